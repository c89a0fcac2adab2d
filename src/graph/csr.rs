//! From ties to the graph: for every subject the ties that count, as compressed sparse rows.
//!
//! Partitions of receivers are built several at a time. A partition's records are sorted by receiver in one counting
//! pass, a small hash table finds the repeated ties of each, and the strongest are kept. Senders are renumbered hub
//! first, by degrees that a sample of the ties tells well enough: the order changes speed, never a result, and so does
//! the order of a receiver's links.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bytemuck::Pod;
use rayon::prelude::*;

use super::links::{HOT, Links, Open, Shelf};
use super::neighbours::{Neighbours, Packed};
use super::order::Order;
use super::parameters::Parameters;
use crate::exit;
use crate::ingest::links::tie_store::{PARTITION, Packing, Ties};
use crate::machine::budget::Budget;
use crate::machine::large_array::LargeArray;
use crate::output::Progress;
use crate::storage::scratch::Scratch;

/// Subjects whose sums are found together where those of all are not held: what is gathered stays in the cache among so many.
const TURN: usize = 256 * PARTITION;

/// The graph of counted subjects.
#[derive(Debug)]
pub struct Graph<'a> {
    hot: Links<u16>,
    warm: Links<u32>,
    cold: Links<u32>,
    shelf: Shelf<'a>,
    /// Counted ties of each subject, before the strongest are chosen.
    pub degree: Vec<u32>,
    /// The hub-first order of all subjects.
    order: Order,
    /// What the chosen ties of each subject are like; empty when not asked for.
    neighbours: Vec<Packed>,
    /// Directed links.
    pub links: u64,
    /// Directed ties that were not among the strongest.
    pub beyond: u64,
    /// Rows by file that repeat a tie of another row.
    pub merged: Vec<u64>,
    /// Rows by file whose tie, all its rows merged, is too young to count.
    pub young: Vec<u64>,
}

/// What a graph is built with.
pub struct Builder<'a> {
    /// The parameters.
    pub parameters: &'a Parameters,
    /// Marks of each subject, when neighbours are to be described.
    pub marks: Option<&'a [u8]>,
    /// Memory for links.
    pub budget: &'a Budget,
    /// Where links beyond it go: an unnamed file.
    pub scratch: Scratch,
    /// Set when the run is interrupted.
    pub stop: &'a AtomicBool,
}

/// What one partition contributes, besides what is told of each of its subjects.
struct Part {
    hot: Links<u16>,
    warm: Links<u32>,
    cold: Links<u32>,
    links: u64,
    beyond: u64,
    /// Repeated rows by file number of the packing.
    merged: Vec<u64>,
    /// Rows of ties that are too young, likewise.
    young: Vec<u64>,
}

/// What is told of each subject of a partition.
type Told<'a> = (&'a mut [u32], &'a mut [Packed]);

/// Scratch space of a thread, kept from partition to partition.
#[derive(Default)]
struct Desk {
    /// The records sorted by receiver, and where those of each begin.
    records: Vec<u64>,
    starts: Vec<u32>,
    /// Where each sender stands in a row.
    seen: Vec<u32>,
    months: Vec<u16>,
    open: [Open; 3],
}

/// What partitions share.
struct Shared<'a> {
    parameters: &'a Parameters,
    packing: Packing,
    order: &'a Order,
    marks: Option<&'a [u8]>,
    /// Strength by the code of the interactions in a record.
    strengths: [u8; 32],
    shelf: &'a Shelf<'a>,
}

impl<'a> Builder<'a> {
    /// Builds the graph.
    ///
    /// # Errors
    /// When the scratch file cannot be read or written, or the run is interrupted.
    pub fn build(self, ties: Ties, progress: &Progress) -> Result<Graph<'a>> {
        let packing = *ties.packing();
        let shelf = Shelf::new(self.budget, self.scratch);
        let order = Order::new(&ties.sampled_degrees()?);
        let shared = Shared {
            parameters: self.parameters,
            packing,
            order: &order,
            marks: self.marks,
            strengths: std::array::from_fn(|code| self.parameters.strength(Packing::interactions(code))),
            shelf: &shelf,
        };
        let mut degree = vec![0; order.len()];
        let mut neighbours = vec![Packed::default(); if self.marks.is_some() { order.len() } else { 0 }];
        let mut described = neighbours.chunks_mut(PARTITION);
        let told: Vec<Told> =
            degree.chunks_mut(PARTITION).map(|degree| (degree, described.next().unwrap_or_default())).collect();
        let parts = told
            .into_par_iter()
            .enumerate()
            .map_init(Desk::default, |desk, (p, told)| {
                exit::check(self.stop)?;
                let records = ties.partition(p)?;
                progress.add(records.iter().map(|r| r.len() as u64).sum());
                shared.part(packing.subjects(p), &records, told, desk)
            })
            .collect::<Result<Vec<Part>>>()?;
        let (mut hot, mut warm, mut cold) = (Links::default(), Links::default(), Links::default());
        let (mut links, mut beyond) = (0, 0);
        let (mut merged, mut young) = (vec![0; packing.files()], vec![0; packing.files()]);
        for mut part in parts {
            hot.append(&mut part.hot);
            warm.append(&mut part.warm);
            cold.append(&mut part.cold);
            links += part.links;
            beyond += part.beyond;
            merged.iter_mut().zip(part.merged).for_each(|(all, one)| *all += one);
            young.iter_mut().zip(part.young).for_each(|(all, one)| *all += one);
        }
        let merged = by_file(&ties.rows, &merged);
        let left: Vec<u64> = ties.rows.iter().zip(&merged).map(|(rows, merged)| rows - merged).collect();
        let young = by_file(&left, &young);
        drop(ties);
        Ok(Graph { hot, warm, cold, shelf, degree, order, neighbours, links, beyond, merged, young })
    }
}

impl Shared<'_> {
    fn part(
        &self,
        subjects: Range<usize>,
        records: &[Cow<[u64]>],
        (degree, neighbours): Told,
        desk: &mut Desk,
    ) -> Result<Part> {
        let packing = self.packing;
        let Desk { records: sorted, starts, seen, months, open } = desk;
        by_receiver(records, subjects.len(), &packing, (sorted, starts));
        open.iter_mut().for_each(|open| open.begin(subjects.start));
        let mut part = Part {
            hot: Links::default(),
            warm: Links::default(),
            cold: Links::default(),
            links: 0,
            beyond: 0,
            merged: vec![0; packing.files()],
            young: vec![0; packing.files()],
        };
        for (local, receiver) in subjects.enumerate() {
            let row = &mut sorted[starts[local] as usize..starts[local + 1] as usize];
            let unique = self.merge(row, receiver, seen, &mut part.merged);
            let unique = self.of_age(&mut row[..unique], receiver, &mut part.young);
            degree[local] = u32::try_from(unique)?;
            let kept = unique.min(self.parameters.max_ties);
            if kept < unique {
                part.beyond += (unique - kept) as u64;
                // Strongest first, ties by id.
                let key = |r: &u64| (std::cmp::Reverse(self.strength(*r)), packing.from(*r));
                row[..unique].select_nth_unstable_by_key(kept, key);
            }
            let row = &row[..kept];
            if let Some(marks) = self.marks {
                neighbours[local] = Packed::of(&Neighbours::of(row, &packing, marks, months))?;
            }
            part.links += kept as u64;
            for record in row {
                let (class, from) = self.order.place(packing.from(*record));
                open[class].push(from, self.strength(*record));
            }
            let [hot, warm, cold] = open;
            if hot.end_subject()? {
                part.hot.take(hot, self.shelf)?;
            }
            if warm.end_subject()? {
                part.warm.take(warm, self.shelf)?;
            }
            if cold.end_subject()? {
                part.cold.take(cold, self.shelf)?;
            }
        }
        let [hot, warm, cold] = open;
        part.hot.take(hot, self.shelf)?;
        part.warm.take(warm, self.shelf)?;
        part.cold.take(cold, self.shelf)?;
        Ok(part)
    }

    fn strength(&self, record: u64) -> u8 {
        self.strengths[Packing::code(record)]
    }

    /// Merges the repeated ties of one receiver to the front of its records; returns how many are left. `seen` is
    /// scratch space: a table of where each sender stands in the row.
    fn merge(&self, row: &mut [u64], receiver: usize, seen: &mut Vec<u32>, merged: &mut [u64]) -> usize {
        const FREE: u32 = u32::MAX;
        let packing = self.packing;
        let bits = (2 * row.len()).next_power_of_two().trailing_zeros().max(1);
        seen.clear();
        seen.resize(1 << bits, FREE);
        let mut unique = 0;
        for n in 0..row.len() {
            let record = row[n];
            let from = packing.from(record);
            let mut slot = (from.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize;
            loop {
                match seen[slot] {
                    FREE => {
                        #[allow(clippy::cast_possible_truncation, reason = "a row of one partition")]
                        let place = unique as u32;
                        seen[slot] = place;
                        row[unique] = record;
                        unique += 1;
                        break;
                    }
                    other if packing.from(row[other as usize]) == from => {
                        let (kept, repeated) = packing.merged(row[other as usize], record);
                        row[other as usize] = kept;
                        // Each row makes two records; the one of the lower receiver counts it.
                        merged[repeated] += u64::from(receiver < from as usize);
                        break;
                    }
                    _ => slot = (slot + 1) & ((1 << bits) - 1),
                }
            }
        }
        unique
    }

    /// Moves the ties that are old enough to the front; returns how many they are and counts the others by file.
    fn of_age(&self, row: &mut [u64], receiver: usize, young: &mut [u64]) -> usize {
        let mut old = 0;
        for n in 0..row.len() {
            let record = row[n];
            if Packing::young(record) {
                young[self.packing.file(record)] += u64::from(receiver < self.packing.from(record) as usize);
            } else {
                row[old] = record;
                old += 1;
            }
        }
        old
    }
}

/// Repeated rows by file. Files beyond those the records tell apart share a count; their rows are taken as repeated
/// from the last file backwards.
fn by_file(rows: &[u64], merged: &[u64]) -> Vec<u64> {
    let mut out = vec![0; rows.len()];
    let Some((shared, own)) = merged.split_last() else { return out };
    for (out, merged) in out.iter_mut().zip(own) {
        *out = *merged;
    }
    let mut left = *shared;
    for file in (own.len()..rows.len()).rev() {
        out[file] = left.min(rows[file]);
        left -= out[file];
    }
    out
}

/// Sorts records by receiver, and tells where those of each begin.
fn by_receiver(
    records: &[Cow<[u64]>],
    receivers: usize,
    packing: &Packing,
    (sorted, starts): (&mut Vec<u64>, &mut Vec<u32>),
) {
    starts.clear();
    starts.resize(receivers + 2, 0);
    let all = || records.iter().flat_map(|some| some.iter());
    all().for_each(|r| starts[packing.local(*r) + 2] += 1);
    for n in 2..starts.len() {
        starts[n] += starts[n - 1];
    }
    // Every place is written to, so what was there does not matter.
    sorted.resize(records.iter().map(|r| r.len()).sum(), 0);
    for record in all() {
        let start = &mut starts[packing.local(*record) + 1];
        sorted[*start as usize] = *record;
        *start += 1;
    }
}

impl Graph<'_> {
    /// Number of subjects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no subject.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What the chosen ties of each subject are like; the rest of the graph is let go.
    #[must_use]
    pub fn into_neighbours(mut self) -> Vec<Packed> {
        std::mem::take(&mut self.neighbours)
    }

    /// The subject at each place of the hub-first order.
    #[must_use]
    pub fn subjects(&self) -> Vec<u32> {
        self.order.subjects()
    }

    /// One value per subject, moved to hub-first order.
    ///
    /// # Errors
    /// When there is not enough memory; the first error of `of`.
    pub fn hub_first<T: Pod>(&self, of: impl Fn(usize) -> Result<T>) -> Result<LargeArray<T>> {
        let mut out = LargeArray::zeroed(self.len())?;
        for (subject, place) in self.order.places().enumerate() {
            out[place as usize] = of(subject)?;
        }
        Ok(out)
    }

    /// Σ strength · value of the neighbours for every subject; `values` are in hub-first order.
    ///
    /// # Errors
    /// When spilled links cannot be read.
    pub fn weigh<V: Copy + Into<u64> + Sync>(&self, values: &[V], out: &mut [u64]) -> Result<()> {
        self.weigh_some(values, 0, out)
    }

    /// The same for the subjects from a first one on, as many as `out` has room for: a multiple of [`PARTITION`] before them, and in them
    /// unless they are the last, for no block of links goes beyond its partition.
    ///
    /// # Errors
    /// When spilled links cannot be read.
    pub fn weigh_some<V: Copy + Into<u64> + Sync>(&self, values: &[V], first: usize, out: &mut [u64]) -> Result<()> {
        out.par_chunks_mut(1 << 16).for_each(|some| some.fill(0));
        let hot = &values[..values.len().min(HOT as usize)];
        self.hot.weigh(&self.shelf, hot, (first, &mut *out))?;
        self.warm.weigh(&self.shelf, values, (first, &mut *out))?;
        self.cold.weigh(&self.shelf, values, (first, out))
    }

    /// As [`Graph::weigh`], some subjects at a time: `take` is given the first of them and their sums. Nobody then holds the sums of all.
    ///
    /// # Errors
    /// When spilled links cannot be read; the first of `take`.
    pub fn weigh_in_turn<V: Copy + Into<u64> + Sync>(
        &self,
        values: &[V],
        mut take: impl FnMut(usize, &[u64]) -> Result<()>,
    ) -> Result<()> {
        let mut sums = vec![0; self.len().min(TURN)];
        for first in (0..self.len()).step_by(TURN) {
            let sums = &mut sums[..TURN.min(self.len() - first)];
            self.weigh_some(values, first, sums)?;
            take(first, sums)?;
        }
        Ok(())
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        self.shelf.budget.give_back(self.hot.kept() + self.warm.kept() + self.cold.kept());
    }
}
