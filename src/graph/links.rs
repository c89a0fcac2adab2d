//! Where the links of a graph lie: blocks of consecutive subjects, in memory or in a scratch file.
//!
//! Neighbours are named by their place in hub-first order, and links lie by the heat of their neighbour: those to the
//! first 65,536 places, which are most links in a graph of people and take two bytes each, those to the next few hundred
//! thousand, whose values still fit the second-level cache, and the rest. Each kind is passed over by itself, so that what
//! is gathered stays in the cache while it is needed.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;

use crate::machine::budget::Budget;
use crate::storage::scratch::Scratch;

/// Places that a link of two bytes can name.
pub(super) const HOT: u32 = 1 << 16;
/// Places whose values fit the second-level cache.
pub(super) const WARM: u32 = 3 << 17;

/// The name of a neighbour, as it is stored.
pub(super) trait Neighbour: Copy + Default + Send + Sync {
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

/// The links of one kind of consecutive subjects.
#[derive(Debug)]
pub(super) struct Block<N> {
    /// The subjects.
    pub subjects: Range<usize>,
    /// The subjects of the block that have links, those with the same number of links together: where the links of each
    /// begin need not be stored, and the loop over few links is unrolled.
    pub rows: Box<[u16]>,
    /// How many rows have how many links, from few to many.
    pub runs: Box<[Run]>,
    /// Where they lie.
    pub place: Place<N>,
}

/// Rows with the same number of links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The links of each.
    pub links: u32,
    /// The rows.
    pub rows: u32,
}

impl<N> Block<N> {
    fn links(&self) -> usize {
        self.runs.iter().map(|run| run.links as usize * run.rows as usize).sum()
    }
}

/// Where the links of a block lie.
#[derive(Debug)]
pub(super) enum Place<N> {
    /// In memory.
    Kept {
        /// The neighbour of each link.
        neighbours: Box<[N]>,
        /// Its strength.
        strengths: Box<[u8]>,
    },
    /// In the scratch file.
    Spilled {
        /// Where strengths and then neighbours begin.
        offset: u64,
    },
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

impl<N: Neighbour> Links<N> {
    /// Adds the block of the subjects that follow.
    pub(super) fn push(&mut self, block: Block<N>) {
        self.blocks.push(block);
    }

    /// Adds the links of the subjects that follow.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.blocks.append(&mut other.blocks);
    }

    /// Adds Σ strength · value over the links of every subject from a first one on to `out`, blocks in parallel. The first is that of a
    /// block, and so is the one after the last.
    ///
    /// # Errors
    /// When spilled links cannot be read.
    pub(super) fn weigh<V: Copy + Into<u64> + Sync>(
        &self,
        shelf: &Shelf,
        values: &[V],
        (first, out): (usize, &mut [u64]),
    ) -> Result<()> {
        // Blocks are in order, and of subjects that follow each other.
        let begin = |subject: usize| self.blocks.partition_point(|block| block.subjects.start < subject);
        let blocks = &self.blocks[begin(first)..begin(first + out.len())];
        let mut work = Vec::with_capacity(blocks.len());
        let mut rest = out;
        for block in blocks {
            let (mine, others) = rest.split_at_mut(block.subjects.len());
            work.push((block, mine));
            rest = others;
        }
        work.into_par_iter().try_for_each(|(block, out)| match &block.place {
            Place::Kept { neighbours, strengths } => {
                sums((&block.rows, &block.runs), neighbours, strengths, values, out);
                Ok(())
            }
            Place::Spilled { offset } => {
                let links = block.links();
                let mut strengths = Vec::new();
                shelf.scratch.read(*offset, links * (N::WIDTH + 1), &mut strengths)?;
                let neighbours = N::read(&strengths.split_off(links));
                sums((&block.rows, &block.runs), &neighbours, &strengths, values, out);
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
    (rows, runs): (&[u16], &[Run]),
    neighbours: &[N],
    strengths: &[u8],
    values: &[V],
    out: &mut [u64],
) {
    let (mut rows, mut neighbours, mut strengths) = (rows, neighbours, strengths);
    for run in runs {
        let links = run.links as usize;
        let (of, others) = rows.split_at(run.rows as usize);
        let (names, more) = neighbours.split_at(links * of.len());
        let (weights, rest) = strengths.split_at(links * of.len());
        (rows, neighbours, strengths) = (others, more, rest);
        match links {
            1 => fixed::<1, N, V>(of, names, weights, values, out),
            2 => fixed::<2, N, V>(of, names, weights, values, out),
            3 => fixed::<3, N, V>(of, names, weights, values, out),
            4 => fixed::<4, N, V>(of, names, weights, values, out),
            5 => fixed::<5, N, V>(of, names, weights, values, out),
            6 => fixed::<6, N, V>(of, names, weights, values, out),
            7 => fixed::<7, N, V>(of, names, weights, values, out),
            8 => fixed::<8, N, V>(of, names, weights, values, out),
            _ => {
                for ((row, names), weights) in of.iter().zip(names.chunks_exact(links)).zip(weights.chunks_exact(links))
                {
                    out[usize::from(*row)] += weighed(names, weights, values);
                }
            }
        }
    }
}

/// The same for rows of so many links.
fn fixed<const LINKS: usize, N: Neighbour, V: Copy + Into<u64>>(
    rows: &[u16],
    neighbours: &[N],
    strengths: &[u8],
    values: &[V],
    out: &mut [u64],
) {
    let links = neighbours.as_chunks::<LINKS>().0.iter().zip(strengths.as_chunks::<LINKS>().0);
    for (row, (names, weights)) in rows.iter().zip(links) {
        out[usize::from(*row)] += weighed(names, weights, values);
    }
}

/// Σ strength · value of one row.
#[inline]
fn weighed<N: Neighbour, V: Copy + Into<u64>>(neighbours: &[N], strengths: &[u8], values: &[V]) -> u64 {
    neighbours.iter().zip(strengths).map(|(n, o)| u64::from(*o) * values[n.place()].into()).sum()
}
