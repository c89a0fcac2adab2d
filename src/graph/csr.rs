//! From ties to the graph: for every subject the ties that count, as compressed sparse rows.
//!
//! Partitions of receivers are built several at a time. A partition's records are sorted by receiver in one counting
//! pass, in which they are also given what is known of their senders, so that nobody is looked up again: the place, the
//! marks, and whether the sender has the larger number. The repeated ties of each receiver are [merged](super::merge), and
//! the [strongest](super::strongest) are kept. Senders are renumbered hub first, by degrees that a sample of the ties tells
//! well enough: the order changes speed, never a result, and so does the order of a receiver's links.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow};
use bytemuck::Pod;
use rayon::prelude::*;

use super::links::{HOT, Links, Shelf};
use super::merge::{Merging, rooms};
use super::neighbours::{Neighbours, Packed};
use super::open::Open;
use super::order::Order;
use super::parameters::Parameters;
use super::receivers::by_receiver;
use super::strongest::strongest;
use crate::exit;
use crate::ingest::links::tie_store::{PARTITION, Packing, Ties};
use crate::machine::budget::Budget;
use crate::machine::large_array::LargeArray;
use crate::output::Progress;
use crate::storage::scratch::Scratch;

/// Subjects worked on at a time where there are no links to cut by.
const RUN: usize = 1 << 16;
/// Records of a large page: room for them is made in so many.
const PAGE: usize = 1 << 18;
/// In what a record tells of its sender, above the marks: that the sender's number is the larger one. Each row makes two
/// records, and the one of the lower receiver counts it.
const COUNTS: usize = 1 << u8::BITS;
const _: () = assert!(2 * COUNTS <= PARTITION);
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

/// Scratch space for a partition, kept for the ones after it.
#[derive(Default)]
struct Desk {
    /// Room for records sorted by receiver, and where those of each begin.
    records: Option<LargeArray<u64>>,
    starts: Vec<u32>,
    merging: Merging,
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
        let desks = Mutex::new(Vec::<Desk>::new());
        let free = || desks.lock().map_err(|_| anyhow!("another thread failed"));
        let parts = told
            .into_par_iter()
            .enumerate()
            .map(|(p, told)| {
                exit::check(self.stop)?;
                let records = ties.partition(p)?;
                progress.add(records.iter().map(|r| r.len() as u64).sum());
                let mut desk = free()?.pop().unwrap_or_default();
                let part = shared.part(&packing.subjects(p), &records, told, &mut desk)?;
                free()?.push(desk);
                Ok(part)
            })
            .collect::<Result<Vec<Part>>>()?;
        drop(desks);
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
        subjects: &Range<usize>,
        records: &[Cow<[u64]>],
        (degree, neighbours): Told,
        desk: &mut Desk,
    ) -> Result<Part> {
        let (packing, strengths) = (self.packing, self.strengths);
        let Desk { records: room, starts, merging, months, open } = desk;
        let all: usize = records.iter().map(|r| r.len()).sum();
        if room.as_ref().is_none_or(|room| room.len() < all) {
            *room = None;
            *room = Some(LargeArray::zeroed(all.next_multiple_of(PAGE))?);
        }
        let sorted = room.as_deref_mut().unwrap_or_default();
        let (order, marks, first) = (self.order, self.marks.unwrap_or_default(), subjects.start);
        let seen = move |record: u64| {
            let from = packing.from(record);
            let larger = first + packing.local(record) < from as usize;
            let mark = marks.get(from as usize).copied().unwrap_or(0);
            packing.renamed(record, order.place(from), u64::from(mark) | u64::from(larger) << u8::BITS)
        };
        by_receiver(records, subjects.len(), &packing, (&mut *sorted, &mut *starts), seen);
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
        let link = move |record: u64| (packing.from(record), strengths[Packing::code(record)]);
        for (local, of) in starts.windows(2).take(subjects.len()).enumerate() {
            let row = &sorted[of[0] as usize..of[1] as usize];
            let ([hot, warm, cold], rooms) = (&mut *open, rooms(row, &packing));
            let mut lists = [hot.room(rooms[0]), warm.room(rooms[1]), cold.room(rooms[2])];
            let (ties, kept) = self.choose(row, &mut lists, merging, &mut part);
            degree[local] = u32::try_from(ties)?;
            if self.marks.is_some() {
                let chosen = lists.iter().zip(kept).flat_map(|(list, kept)| &list[..kept]);
                neighbours[local] = Packed::of(&Neighbours::of(chosen, &packing, months))?;
            }
            part.links += kept.iter().sum::<usize>() as u64;
            open.iter_mut().zip(kept).for_each(|(open, kept)| open.add(kept));
            let [hot, warm, cold] = &mut *open;
            if hot.end_subject()? {
                hot.hand_over(&mut part.hot, self.shelf, link)?;
            }
            if warm.end_subject()? {
                warm.hand_over(&mut part.warm, self.shelf, link)?;
            }
            if cold.end_subject()? {
                cold.hand_over(&mut part.cold, self.shelf, link)?;
            }
        }
        let [hot, warm, cold] = open;
        hot.hand_over(&mut part.hot, self.shelf, link)?;
        warm.hand_over(&mut part.warm, self.shelf, link)?;
        cold.hand_over(&mut part.cold, self.shelf, link)?;
        Ok(part)
    }

    /// Shares those of a receiver's records that are chosen out to the lists of their kinds; returns how many ties count and
    /// how many of each kind are chosen, and counts the others in the part.
    fn choose(
        &self,
        row: &[u64],
        lists: &mut [&mut [u64]; 3],
        merging: &mut Merging,
        part: &mut Part,
    ) -> (usize, [usize; 3]) {
        let packing = &self.packing;
        let again = |record: u64, file: usize| part.merged[file] += self.counted(record);
        let mut of_age = merging.share(row, packing, self.order.len(), lists, again);
        if row.iter().fold(false, |any, record| any | Packing::young(*record)) {
            for (list, of_age) in lists.iter_mut().zip(&mut of_age) {
                *of_age = self.of_age(&mut list[..*of_age], &mut part.young);
            }
        }
        let ties = of_age.iter().sum::<usize>();
        let most = self.parameters.max_ties;
        part.beyond += ties.saturating_sub(most) as u64;
        let strength = |record| self.strength(record);
        (ties, strongest(lists, of_age, most, (packing, self.order), strength))
    }

    /// 1 for the one of a row's two records that counts it.
    fn counted(&self, record: u64) -> u64 {
        u64::from(self.packing.local(record) & COUNTS != 0)
    }

    fn strength(&self, record: u64) -> u8 {
        self.strengths[Packing::code(record)]
    }

    /// Moves the ties that are old enough to the front; returns how many they are and counts the others by file.
    fn of_age(&self, records: &mut [u64], young: &mut [u64]) -> usize {
        let mut old = 0;
        for n in 0..records.len() {
            let record = records[n];
            if Packing::young(record) {
                young[self.packing.file(record)] += self.counted(record);
            } else {
                records[old] = record;
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

    /// One value per subject, in hub-first order; `subjects` are [those at each place](Self::subjects).
    ///
    /// # Errors
    /// When there is not enough memory; an error of `of`.
    pub fn hub_first<T: Pod + Send>(
        &self,
        subjects: &[u32],
        of: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<LargeArray<T>> {
        let mut out = LargeArray::<T>::zeroed(self.len())?;
        out.par_chunks_mut(RUN).zip(subjects.par_chunks(RUN)).try_for_each(|(out, subjects)| {
            for (out, subject) in out.iter_mut().zip(subjects) {
                *out = of(*subject as usize)?;
            }
            anyhow::Ok(())
        })?;
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
        out.par_chunks_mut(RUN).for_each(|some| some.fill(0));
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
