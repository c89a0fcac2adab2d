//! Rows by subject bucket, in memory up to a budget and then in a scratch file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};

use super::buckets::Buckets;
use super::desks::{Desk, Desks};
use super::pack::Unpacker;
use super::spare::Spare;
use super::split::Rows;
pub use super::taken::{BucketRows, Records};
use crate::ingest::kept::held::{Held, HeldBlock};
use crate::machine::budget::Budget;
use crate::storage::scratch::Scratch;

/// Where one block of a bucket is.
#[derive(Debug)]
struct Place {
    file: u32,
    rows: u32,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Kept(Box<[u8]>),
    Spilled {
        offset: u64,
        len: u32,
    },
    /// Of rows that are kept from night to night, with the number in their roster of the subject that theirs are counted from.
    Held(Box<[u8]>, u32),
}

impl Place {
    fn held(block: HeldBlock) -> Self {
        Self { file: block.file, rows: block.rows, bytes: Bytes::Held(block.bytes, block.first) }
    }
}

/// Stands for the place of a row that is of another bucket.
const ELSEWHERE: u32 = u32::MAX;

/// The rows of one table, by bucket.
#[derive(Debug)]
pub struct Store<'a> {
    buckets: Buckets,
    places: Vec<Mutex<Vec<Place>>>,
    budget: &'a Budget,
    scratch: Scratch,
    /// Rows that lie elsewhere.
    held: Option<Held>,
    /// Where rows are cut, for as long as some are added.
    desks: Option<Arc<Desks<'a>>>,
}

impl<'a> Store<'a> {
    /// An empty store that spills into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made.
    pub fn new(buckets: Buckets, budget: &'a Budget, scratch: &Path) -> Result<Self> {
        let scratch = Scratch::below(scratch)?;
        let places = (0..buckets.count()).map(|_| Mutex::default()).collect();
        let desks = Some(Arc::new(Desks::new(budget)));
        Ok(Self { buckets, places, budget, scratch, held: None, desks })
    }

    /// The same, whose rows are cut where those of other tables are.
    #[must_use]
    pub(in crate::ingest) fn cut_at(mut self, desks: &Arc<Desks<'a>>) -> Self {
        self.desks = Some(Arc::clone(desks));
        self
    }

    /// The same with all its rows, of which some may be kept from night to night: what adding them took is given up, but for what other
    /// tables use as well.
    #[must_use]
    pub(in crate::ingest) fn with(mut self, held: Option<Held>) -> Self {
        self.held = held;
        self.desks = None;
        self
    }

    /// Whether some rows are kept from night to night; which of them are disputed now they do not say.
    #[must_use]
    pub(in crate::ingest) const fn holds_kept(&self) -> bool {
        self.held.is_some()
    }

    /// Splits rows by bucket and keeps them.
    ///
    /// # Errors
    /// When the scratch file cannot be written, for example on a full disk.
    pub fn add(&self, rows: &Rows) -> Result<()> {
        let mut desk = self.desks.as_deref().map_or_else(|| Ok(Desk::default()), Desks::take)?;
        desk.split.cut(rows, &self.buckets)?;
        let kept = self.keep(&mut desk)?;
        for ((bucket, count), bytes) in desk.split.blocks().iter().zip(kept) {
            let mut places = self.places[*bucket].lock().map_err(|_| anyhow!("another thread failed"))?;
            places.push(Place { file: rows.file, rows: *count, bytes });
        }
        self.desks.as_deref().map_or(Ok(()), |desks| desks.put_back(desk))
    }

    /// Keeps the blocks of rows that were cut, in memory or in the scratch file.
    fn keep(&self, desk: &mut Desk) -> Result<Vec<Bytes>> {
        let Desk { split, all, ends, .. } = desk;
        let mut kept = Vec::with_capacity(split.blocks().len());
        if self.budget.take(split.len() as u64) {
            for n in 0..split.blocks().len() {
                let mut block = Vec::with_capacity(split.block_len(n));
                split.append(n, &mut block);
                kept.push(Bytes::Kept(block.into_boxed_slice()));
            }
            return Ok(kept);
        }
        all.clear();
        all.reserve_exact(split.len());
        ends.clear();
        for n in 0..split.blocks().len() {
            split.append(n, all);
            ends.push(all.len());
        }
        let written = self.scratch.write(all, ends);
        let at = written.context("spilling rows to the scratch file; is the disk full? See --scratch")?;
        let mut from = 0;
        for (n, end) in ends.iter().enumerate() {
            let (offset, len) = (self.scratch.part(at, n, from), u32::try_from(end - from)?);
            kept.push(Bytes::Spilled { offset, len });
            from = *end;
        }
        Ok(kept)
    }

    /// Takes the rows of a bucket out, sorted by subject. `columns` is the number of integer columns they were added with; they are made
    /// of spare ones.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn take(&self, bucket: usize, columns: usize, text_records: bool, spare: &Spare) -> Result<BucketRows> {
        let mut places =
            std::mem::take(&mut *self.places[bucket].lock().map_err(|_| anyhow!("another thread failed"))?);
        let subjects = self.buckets.subjects(bucket);
        if let Some(held) = &self.held {
            places.extend(held.of(&subjects)?.into_iter().map(Place::held));
        }
        // Threads add blocks in any order; nothing below may depend on it.
        places.sort_by_key(|p| p.file);
        let mut blocks = Vec::with_capacity(places.len());
        // Where the numbers of a block's subjects are counted from, if they are those of a roster.
        let mut rosters: Vec<Option<u32>> = vec![None; places.len()];
        for (place, roster) in places.iter_mut().zip(&mut rosters) {
            blocks.push(match std::mem::replace(&mut place.bytes, Bytes::Kept(Box::default())) {
                Bytes::Kept(bytes) => {
                    self.budget.give_back(bytes.len() as u64);
                    bytes
                }
                Bytes::Spilled { offset, len } => {
                    let mut bytes = Vec::new();
                    self.scratch.read(offset, len as usize, &mut bytes)?;
                    bytes.into()
                }
                Bytes::Held(bytes, first) => {
                    *roster = Some(first);
                    bytes
                }
            });
        }
        let all: usize = places.iter().map(|p| p.rows as usize).sum();
        let mut readers: Vec<Unpacker> =
            places.iter().zip(&blocks).map(|(p, b)| Unpacker::new(b, p.rows as usize)).collect();
        let mut starts = vec![0_u32; subjects.len() + 1];
        // The place of each row's subject within the bucket, and then of the row itself.
        let mut to: Vec<u32> = Vec::with_capacity(all);
        for (reader, roster) in readers.iter_mut().zip(&rosters) {
            if let (Some(first), Some(held)) = (roster, &self.held) {
                reader.column(|_, s| {
                    let number = u32::try_from(s).ok().and_then(|s| first.checked_add(s));
                    let place = number.and_then(|number| held.numbers().place(number, &subjects));
                    if let Some(place) = place {
                        starts[place as usize + 1] += 1;
                    }
                    to.push(place.unwrap_or(ELSEWHERE));
                })?;
                continue;
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a position within the bucket, as `add` wrote it"
            )]
            reader.runs(|_, subjects| {
                subjects.iter().for_each(|s| starts[*s as usize + 1] += 1);
                to.extend(subjects.iter().map(|s| *s as u32));
            })?;
        }
        for s in 0..subjects.len() {
            starts[s + 1] += starts[s];
        }
        let rows = starts.last().map_or(0, |rows| *rows as usize);
        let mut next = starts.clone();
        for to in &mut to {
            *to = match next.get_mut(*to as usize) {
                Some(place) => {
                    *place += 1;
                    *place - 1
                }
                None => ELSEWHERE,
            };
        }
        let bases: Vec<usize> = places
            .iter()
            .scan(0, |base, p| {
                let here = *base;
                *base += p.rows as usize;
                Some(here)
            })
            .collect();
        let mut out = Vec::with_capacity(columns);
        for _ in 0..columns {
            if readers.iter().all(Unpacker::next_is_null) {
                for reader in &mut readers {
                    reader.column(|_, _| ())?;
                }
                out.push(Arc::default());
                continue;
            }
            // Each row has a place of its own, and each place a row: none is left as it was.
            let mut column = spare.column(rows);
            let values = column.as_mut_slice();
            for (reader, base) in readers.iter_mut().zip(&bases) {
                let to = &to[*base..];
                reader.runs(|from, run| {
                    to[from..from + run.len()].iter().zip(run).for_each(|(to, v)| put(values, *to, *v));
                })?;
            }
            out.push(Arc::new(column));
        }
        let mut files = vec![places.first().map_or(0, |place| place.file); rows];
        // They are in order: where the last is of the first one's file, all are.
        if places.first().map(|place| place.file) != places.last().map(|place| place.file) {
            for (place, base) in places.iter().zip(&bases) {
                for t in &to[*base..*base + place.rows as usize] {
                    put(&mut files, *t, place.file);
                }
            }
        }
        let mut records = Records::default();
        if text_records {
            records.spans = vec![(0, 0); rows];
            let mut all = Vec::new();
            for (reader, base) in readers.iter_mut().zip(&bases) {
                let mut from = u32::try_from(all.len())?;
                let to = &to[*base..];
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the length of a text of this block"
                )]
                reader.column(|row, len| {
                    put(&mut records.spans, to[row], (from, len as u32));
                    from += len as u32;
                })?;
                all.extend_from_slice(reader.rest());
            }
            records.bytes = Arc::new(all);
        }
        Ok(BucketRows { starts, files, columns: out, records })
    }
}

/// Puts a value at its place, if it has one here: a row of another bucket has none.
fn put<T>(values: &mut [T], to: u32, value: T) {
    if let Some(place) = values.get_mut(to as usize) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back_by_subject_whatever_spare_columns_held(
            batches in proptest::collection::vec(
                (0_u32..3, proptest::collection::vec((0_u32..60, any::<i64>(), any::<bool>()), 0..40)), 0..6),
            stale in proptest::collection::vec(proptest::collection::vec(any::<i64>(), 0..300), 0..6),
            room in prop_oneof![Just(0_u64), Just(400), Just(1 << 20)],
        ) {
            let (folder, buckets) = (tempfile::tempdir().unwrap(), Buckets::with_shift(4, 60));
            // Some of the rows are spilled, or all, or none.
            let (budget, columns) = (Budget::new(room), Budget::new(1 << 20));
            let spare = Spare::new(&columns);
            let store = Store::new(buckets, &budget, folder.path()).unwrap();
            let mut expected: Vec<(u32, u32, i64)> = Vec::new();
            for (file, rows) in &batches {
                let subjects: Vec<u32> = rows.iter().map(|row| row.0).collect();
                let columns = [rows.iter().map(|row| row.1).collect(), Vec::new()];
                let kept: Vec<u32> = (0..).zip(rows).filter(|(_, row)| row.2).map(|(at, _)| at).collect();
                let some = Rows { file: *file, subjects: &subjects, columns: &columns, kept: Some(&kept), records: None };
                store.add(&some).unwrap();
                expected.extend(rows.iter().filter(|row| row.2).map(|row| (row.0, *file, row.1)));
            }
            let store = store.with(None);
            spare.keep(stale.into_iter().map(Arc::new).collect());
            let mut found: Vec<(u32, u32, i64)> = Vec::new();
            for bucket in 0..buckets.count() {
                let rows = store.take(bucket, 2, false, &spare).unwrap();
                for (subject, number) in buckets.subjects(bucket).enumerate() {
                    let number = u32::try_from(number).unwrap();
                    found.extend(rows.of(subject).map(|row| (number, rows.files[row], rows.value(0, row))));
                }
                prop_assert!(rows.columns[1].is_empty());
                let every: Vec<usize> = (0..rows.len()).collect();
                let second: Vec<usize> = every.iter().copied().filter(|row| row % 2 == 1).collect();
                let (all, some) = (
                    rows.only(&every, rows.starts.clone(), &|_| false, &spare),
                    rows.only(&second, Vec::new(), &|column| column == 0, &spare),
                );
                prop_assert!(all.columns.iter().zip(&rows.columns).all(|(one, other)| Arc::ptr_eq(one, other)));
                prop_assert!(second.iter().enumerate().all(|(at, row)| some.value(0, at) == rows.value(0, *row)));
                prop_assert!(second.iter().zip(&some.files).all(|(row, file)| rows.files[*row] == *file));
                [all, some, rows].into_iter().for_each(|rows| spare.keep(rows.columns));
            }
            // Of one subject in no order that anything may depend on.
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
