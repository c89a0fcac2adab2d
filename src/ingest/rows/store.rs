//! Rows by subject bucket, in memory up to a budget and then in a scratch file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};

use super::buckets::Buckets;
use super::pack::Unpacker;
use super::split::{Rows, Split};
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
}

impl<'a> Store<'a> {
    /// An empty store that spills into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made.
    pub fn new(buckets: Buckets, budget: &'a Budget, scratch: &Path) -> Result<Self> {
        let scratch = Scratch::below(scratch)?;
        let places = (0..buckets.count()).map(|_| Mutex::default()).collect();
        Ok(Self { buckets, places, budget, scratch, held: None })
    }

    /// The same, with rows that are kept from night to night.
    #[must_use]
    pub(in crate::ingest) fn with(mut self, held: Option<Held>) -> Self {
        self.held = held;
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
        let split = Split::of(rows, &self.buckets)?;
        let mut kept = Vec::with_capacity(split.blocks().len());
        if self.budget.take(split.len() as u64) {
            for n in 0..split.blocks().len() {
                let mut block = Vec::with_capacity(split.block_len(n));
                split.append(n, &mut block);
                kept.push(Bytes::Kept(block.into_boxed_slice()));
            }
        } else {
            let (mut all, mut ends) = (Vec::with_capacity(split.len()), Vec::new());
            for n in 0..split.blocks().len() {
                split.append(n, &mut all);
                ends.push(all.len());
            }
            let written = self.scratch.write(&all, &ends);
            let at = written.context("spilling rows to the scratch file; is the disk full? See --scratch")?;
            let mut from = 0;
            for (n, end) in ends.into_iter().enumerate() {
                let (offset, len) = (self.scratch.part(at, n, from), u32::try_from(end - from)?);
                kept.push(Bytes::Spilled { offset, len });
                from = end;
            }
        }
        for ((bucket, count), bytes) in split.blocks().iter().zip(kept) {
            let mut places = self.places[*bucket].lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
            places.push(Place { file: rows.file, rows: *count, bytes });
        }
        Ok(())
    }

    /// Takes the rows of a bucket out, sorted by subject. `columns` is the number of integer columns they were added with.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn take(&self, bucket: usize, columns: usize, text_records: bool) -> Result<BucketRows> {
        let mut places =
            std::mem::take(&mut *self.places[bucket].lock().map_err(|_| anyhow::anyhow!("another thread failed"))?);
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
        let mut local = Vec::with_capacity(all);
        for (reader, roster) in readers.iter_mut().zip(&rosters) {
            if let (Some(first), Some(held)) = (roster, &self.held) {
                reader.column(|_, s| {
                    let number = u32::try_from(s).ok().and_then(|s| first.checked_add(s));
                    let place = number.and_then(|number| held.numbers().place(number, &subjects));
                    if let Some(place) = place {
                        starts[place as usize + 1] += 1;
                    }
                    local.push(place.unwrap_or(ELSEWHERE));
                })?;
                continue;
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a position within the bucket, as `add` wrote it"
            )]
            reader.column(|_, s| {
                starts[s as usize + 1] += 1;
                local.push(s as u32);
            })?;
        }
        for s in 0..subjects.len() {
            starts[s + 1] += starts[s];
        }
        let rows = starts.last().map_or(0, |rows| *rows as usize);
        let mut next = starts.clone();
        let to: Vec<u32> = local
            .iter()
            .map(|s| {
                let Some(place) = next.get_mut(*s as usize) else { return ELSEWHERE };
                *place += 1;
                *place - 1
            })
            .collect();
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
            let mut column = vec![0; rows];
            for (reader, base) in readers.iter_mut().zip(&bases) {
                let to = &to[*base..];
                reader.column(|row, v| put(&mut column, to[row], v))?;
            }
            out.push(Arc::new(column));
        }
        let mut files = vec![0; rows];
        for (place, base) in places.iter().zip(&bases) {
            for t in &to[*base..*base + place.rows as usize] {
                put(&mut files, *t, place.file);
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

/// The rows of one bucket and table, sorted by subject.
#[derive(Debug, Clone, Default)]
pub struct BucketRows {
    /// Where each subject's rows begin; one more entry than subjects.
    pub starts: Vec<u32>,
    /// The file of each row.
    pub files: Vec<u32>,
    /// Integer columns; an empty one is null throughout. Dates that see the same values share them.
    pub columns: Vec<Arc<Vec<i64>>>,
    /// Text ids of the records.
    pub records: Records,
}

/// Text ids of a bucket's records.
#[derive(Debug, Clone, Default)]
pub struct Records {
    bytes: Arc<Vec<u8>>,
    spans: Vec<(u32, u32)>,
}

impl Records {
    /// The text id of a row; nothing when ids are integers.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let (from, len) = *self.spans.get(row)?;
        self.bytes.get(from as usize..(from + len) as usize)
    }

    /// The ids of chosen rows.
    #[must_use]
    pub fn select(&self, keep: &[usize]) -> Self {
        if self.spans.is_empty() {
            return Self::default();
        }
        Self { bytes: Arc::clone(&self.bytes), spans: keep.iter().map(|r| self.spans[*r]).collect() }
    }
}

impl BucketRows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The rows of a subject.
    #[must_use]
    pub fn of(&self, subject: usize) -> std::ops::Range<usize> {
        self.starts[subject] as usize..self.starts[subject + 1] as usize
    }

    /// A value, [`crate::NULL`] where null.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        self.columns[column].get(row).copied().unwrap_or(crate::NULL)
    }
}
impl BucketRows {
    /// Chosen rows, in order, with where each subject's now begin.
    #[must_use]
    pub fn pick(&self, keep: &[usize], starts: Vec<u32>) -> Self {
        self.pick_columns(keep, starts, &|_| true)
    }

    /// The same of some columns; the others read as null.
    #[must_use]
    pub fn pick_columns(&self, keep: &[usize], starts: Vec<u32>, wanted: &dyn Fn(usize) -> bool) -> Self {
        let gather = |(at, column): (usize, &Arc<Vec<i64>>)| match column.is_empty() || !wanted(at) {
            true => Arc::default(),
            false => Arc::new(keep.iter().map(|r| column[*r]).collect()),
        };
        Self {
            starts,
            files: keep.iter().map(|r| self.files[*r]).collect(),
            columns: self.columns.iter().enumerate().map(gather).collect(),
            records: self.records.select(keep),
        }
    }
}
