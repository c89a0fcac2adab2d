//! Where the links of a graph lie: blocks of consecutive subjects, in memory or in a scratch file.
//!
//! Neighbours are named by their place in hub-first order, and links lie by the heat of their neighbour: those to the
//! first 65,536 places, which are most links in a graph of people and take two bytes each, those to the next few hundred
//! thousand, whose values still fit the second-level cache, and the rest. Each kind is passed over by itself, so that what
//! is gathered stays in the cache while it is needed.

use std::ops::Range;

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::machine::budget::Budget;
use crate::storage::scratch::Scratch;

/// Places that a link of two bytes can name.
pub(super) const HOT: u32 = 1 << 16;
/// Places whose values fit the second-level cache.
pub(super) const WARM: u32 = 3 << 17;
/// Links after which a block ends, unless one subject has more: work is cut by links, not by subjects.
const BLOCK_LINKS: usize = 1 << 17;

/// The name of a neighbour, as it is stored.
pub(super) trait Neighbour: Copy + Send + Sync {
    /// Bytes of a name.
    const WIDTH: usize;
    /// The name of a place that it can name.
    fn of(place: u32) -> Self;
    /// Its place among the values.
    fn place(self) -> usize;
    /// Adds its bytes.
    fn put(self, bytes: &mut Vec<u8>);
    /// Names from their bytes.
    fn read(bytes: &[u8]) -> Vec<Self>;
}

impl Neighbour for u16 {
    const WIDTH: usize = 2;
    #[allow(clippy::cast_possible_truncation, reason = "a place below 2^16")]
    fn of(place: u32) -> Self {
        place as Self
    }
    fn place(self) -> usize {
        usize::from(self)
    }
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
    fn read(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<2>().0.iter().map(|b| Self::from_le_bytes(*b)).collect()
    }
}

impl Neighbour for u32 {
    const WIDTH: usize = 4;
    fn of(place: u32) -> Self {
        place
    }
    fn place(self) -> usize {
        self as usize
    }
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
    fn read(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<4>().0.iter().map(|b| Self::from_le_bytes(*b)).collect()
    }
}

/// Links of one kind, block by block.
#[derive(Debug)]
pub(super) struct Links<N> {
    blocks: Vec<Block<N>>,
}

impl<N> Default for Links<N> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

#[derive(Debug)]
struct Block<N> {
    subjects: Range<usize>,
    /// The subjects of the block that have links, those with the same number of links together: the processor then
    /// foresees where the loop over a subject's links ends.
    rows: Box<[u16]>,
    /// Where the links of each row begin; one more entry than rows.
    starts: Box<[u32]>,
    place: Place<N>,
}

#[derive(Debug)]
enum Place<N> {
    Kept { neighbours: Box<[N]>, strengths: Box<[u8]> },
    Spilled { offset: u64 },
}

/// Memory for links, and where those beyond it go.
#[derive(Debug)]
pub(super) struct Shelf<'a> {
    /// The memory.
    pub budget: &'a Budget,
    /// An unnamed file.
    pub scratch: Scratch,
}

impl<'a> Shelf<'a> {
    /// An empty shelf.
    #[must_use]
    pub(super) const fn new(budget: &'a Budget, scratch: Scratch) -> Self {
        Self { budget, scratch }
    }
}

/// A block under way: places of neighbours and strengths of consecutive subjects.
#[derive(Debug)]
pub(super) struct Open {
    first: usize,
    starts: Vec<u32>,
    neighbours: Vec<u32>,
    strengths: Vec<u8>,
}

impl Open {
    /// Links from a first subject on.
    #[must_use]
    pub(super) fn new(first: usize) -> Self {
        Self { first, starts: vec![0], neighbours: Vec::new(), strengths: Vec::new() }
    }

    /// Adds a link of the subject at hand.
    #[inline]
    pub(super) fn push(&mut self, neighbour: u32, strength: u8) {
        self.neighbours.push(neighbour);
        self.strengths.push(strength);
    }

    /// Ends the subject at hand; says whether the block is full.
    ///
    /// # Errors
    /// When it holds more links than 32 bits count.
    pub(super) fn end_subject(&mut self) -> Result<bool> {
        self.starts.push(u32::try_from(self.neighbours.len())?);
        Ok(self.neighbours.len() >= BLOCK_LINKS)
    }

    /// Makes a block of what is there and goes on after it.
    fn close<N: Neighbour>(&mut self, shelf: &Shelf) -> Result<Block<N>> {
        let subjects = self.first..self.first + self.starts.len() - 1;
        self.first = subjects.end;
        let length = |row: &u16| self.starts[usize::from(*row) + 1] - self.starts[usize::from(*row)];
        let mut rows: Vec<u16> = (0_u16..).take(subjects.len()).filter(|row| length(row) > 0).collect();
        rows.sort_by_key(length);
        let mut starts = Vec::with_capacity(rows.len() + 1);
        let (mut neighbours, mut strengths) =
            (Vec::with_capacity(self.neighbours.len()), Vec::with_capacity(self.strengths.len()));
        starts.push(0);
        for row in &rows {
            let links = self.starts[usize::from(*row)] as usize..self.starts[usize::from(*row) + 1] as usize;
            neighbours.extend(self.neighbours[links.clone()].iter().map(|place| N::of(*place)));
            strengths.extend_from_slice(&self.strengths[links]);
            starts.push(u32::try_from(neighbours.len())?);
        }
        self.starts.truncate(1);
        self.neighbours.clear();
        self.strengths.clear();
        let size = (strengths.len() * (N::WIDTH + 1)) as u64;
        let place = if shelf.budget.take(size) {
            Place::Kept { neighbours: neighbours.into(), strengths: strengths.into() }
        } else {
            let mut bytes = strengths;
            neighbours.iter().for_each(|n| n.put(&mut bytes));
            let written = shelf.scratch.write(&bytes, &[bytes.len()]);
            Place::Spilled {
                offset: written.context("spilling links to the scratch file; is the disk full? See --scratch")?,
            }
        };
        Ok(Block { subjects, rows: rows.into(), starts: starts.into(), place })
    }
}

impl<N: Neighbour> Links<N> {
    /// Takes over the links of a block under way.
    ///
    /// # Errors
    /// When links cannot be spilled.
    pub(super) fn take(&mut self, open: &mut Open, shelf: &Shelf) -> Result<()> {
        if open.starts.len() > 1 {
            self.blocks.push(open.close(shelf)?);
        }
        Ok(())
    }

    /// Adds the links of the subjects that follow.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.blocks.append(&mut other.blocks);
    }

    /// Adds Σ strength · value over the links of every subject to `out`, blocks in parallel.
    ///
    /// # Errors
    /// When spilled links cannot be read.
    pub(super) fn weigh<V: Copy + Into<u64> + Sync>(&self, shelf: &Shelf, values: &[V], out: &mut [u64]) -> Result<()> {
        let mut work = Vec::with_capacity(self.blocks.len());
        let mut rest = out;
        for block in &self.blocks {
            let (mine, others) = rest.split_at_mut(block.subjects.len());
            work.push((block, mine));
            rest = others;
        }
        work.into_par_iter().try_for_each(|(block, out)| match &block.place {
            Place::Kept { neighbours, strengths } => {
                sums(&block.rows, &block.starts, neighbours, strengths, values, out);
                Ok(())
            }
            Place::Spilled { offset } => {
                let links = block.starts.last().copied().unwrap_or(0) as usize;
                let mut strengths = Vec::new();
                shelf.scratch.read(*offset, links * (N::WIDTH + 1), &mut strengths)?;
                let neighbours = N::read(&strengths.split_off(links));
                sums(&block.rows, &block.starts, &neighbours, &strengths, values, out);
                Ok(())
            }
        })
    }

    /// Memory taken from the budget.
    #[must_use]
    pub(super) fn kept(&self) -> u64 {
        let size = |b: &Block<N>| match &b.place {
            Place::Kept { strengths, .. } => (strengths.len() * (N::WIDTH + 1)) as u64,
            Place::Spilled { .. } => 0,
        };
        self.blocks.iter().map(size).sum()
    }
}

/// The loop the run spends its time in.
fn sums<N: Neighbour, V: Copy + Into<u64>>(
    rows: &[u16],
    starts: &[u32],
    neighbours: &[N],
    strengths: &[u8],
    values: &[V],
    out: &mut [u64],
) {
    for (row, range) in rows.iter().zip(starts.windows(2)) {
        let (from, to) = (range[0] as usize, range[1] as usize);
        let links = neighbours[from..to].iter().zip(&strengths[from..to]);
        let sum: u64 = links.map(|(n, o)| u64::from(*o) * values[n.place()].into()).sum();
        out[usize::from(*row)] += sum;
    }
}
