//! Rows by subject bucket, in memory up to a budget and then in a scratch file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};

use super::pack::{Unpacker, pack};
use crate::ingest::read::decode::IdColumn;
use crate::machine::budget::Budget;
use crate::storage::scratch::Scratch;

/// How dense subject numbers are cut into buckets.
#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    shift: u32,
    subjects: usize,
}

/// Rows of a table that a bucket holds at most, where each subject has as many.
const BUCKET_ROWS: u64 = 1 << 19;
/// Buckets are of two to this many subjects or more.
const FEWEST_SUBJECTS: u32 = 4;

impl Buckets {
    /// Buckets of 4,096 to 16,384 subjects: small enough for the cache, few enough to write to all at once. Of fewer where the largest
    /// table has very many rows of each: a bucket's rows are in memory together.
    #[must_use]
    pub fn new(subjects: usize, rows: u64) -> Self {
        let usual = match subjects {
            0..=2_000_000 => 12,
            2_000_001..=8_000_000 => 13,
            _ => 14,
        };
        let of_each = rows / (subjects as u64).max(1);
        let shift =
            (FEWEST_SUBJECTS..=usual).rev().find(|shift| of_each << shift <= BUCKET_ROWS).unwrap_or(FEWEST_SUBJECTS);
        Self { shift, subjects }
    }

    /// Number of buckets; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.subjects.div_ceil(1 << self.shift).max(1)
    }

    /// The bucket of a subject.
    #[must_use]
    pub const fn of(&self, subject: u32) -> usize {
        (subject >> self.shift) as usize
    }

    /// The dense numbers of a bucket's subjects.
    #[must_use]
    pub fn subjects(&self, bucket: usize) -> std::ops::Range<usize> {
        let size = 1 << self.shift;
        (bucket * size).min(self.subjects)..((bucket + 1) * size).min(self.subjects)
    }
}

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
    Spilled { offset: u64, len: u32 },
}

/// The rows of one table, by bucket.
#[derive(Debug)]
pub struct Store<'a> {
    buckets: Buckets,
    places: Vec<Mutex<Vec<Place>>>,
    budget: &'a Budget,
    scratch: Scratch,
}

/// Rows ready to be split: one file's, with their subjects.
pub struct Rows<'a> {
    /// The file, by its position in the export.
    pub file: u32,
    /// The dense number of each row's subject.
    pub subjects: &'a [u32],
    /// Integer columns; an empty one is null throughout.
    pub columns: &'a [Vec<i64>],
    /// Ids of the records if they are kept as text, and each row's position among them.
    pub records: Option<(&'a IdColumn, &'a [u32])>,
}

impl<'a> Store<'a> {
    /// An empty store that spills into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made.
    pub fn new(buckets: Buckets, budget: &'a Budget, scratch: &Path) -> Result<Self> {
        let scratch = Scratch::below(scratch)?;
        let places = (0..buckets.count()).map(|_| Mutex::default()).collect();
        Ok(Self { buckets, places, budget, scratch })
    }

    /// Splits rows by bucket and keeps them.
    ///
    /// # Errors
    /// When the scratch file cannot be written, for example on a full disk.
    pub fn add(&self, rows: &Rows) -> Result<()> {
        let count = self.buckets.count();
        // Counting sort of the rows by bucket.
        let mut starts = vec![0_u32; count + 1];
        for s in rows.subjects {
            starts[self.buckets.of(*s) + 1] += 1;
        }
        for b in 0..count {
            starts[b + 1] += starts[b];
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; rows.subjects.len()];
        for (row, s) in (0_u32..).zip(rows.subjects) {
            let place = &mut next[self.buckets.of(*s)];
            order[*place as usize] = row;
            *place += 1;
        }
        let sorted: Vec<Vec<i64>> = rows
            .columns
            .iter()
            .map(
                |column| {
                    if column.is_empty() { Vec::new() } else { order.iter().map(|r| column[*r as usize]).collect() }
                },
            )
            .collect();
        let mut packed = Vec::new();
        let mut blocks = Vec::new();
        let mut local = Vec::new();
        for bucket in 0..count {
            let part = starts[bucket] as usize..starts[bucket + 1] as usize;
            if part.is_empty() {
                continue;
            }
            let from = packed.len();
            let first = i64::try_from(self.buckets.subjects(bucket).start)?;
            local.clear();
            local.extend(order[part.clone()].iter().map(|r| i64::from(rows.subjects[*r as usize]) - first));
            pack(&local, &mut packed);
            for column in &sorted {
                pack(column.get(part.clone()).unwrap_or(&[]), &mut packed);
            }
            if let Some((ids, positions)) = rows.records {
                let texts = order[part.clone()].iter().map(|r| ids.get(positions[*r as usize] as usize).unwrap_or(&[]));
                local.clear();
                for text in texts.clone() {
                    local.push(i64::try_from(text.len())?);
                }
                pack(&local, &mut packed);
                texts.for_each(|t| packed.extend_from_slice(t));
            }
            blocks.push((bucket, u32::try_from(part.len())?, from..packed.len()));
        }
        self.keep(rows.file, &packed, blocks)
    }

    fn keep(&self, file: u32, packed: &[u8], blocks: Vec<(usize, u32, std::ops::Range<usize>)>) -> Result<()> {
        let kept = self.budget.take(packed.len() as u64);
        let mut at = 0;
        if !kept {
            let ends: Vec<usize> = blocks.iter().map(|(_, _, part)| part.end).collect();
            let written = self.scratch.write(packed, &ends);
            at = written.context("spilling rows to the scratch file; is the disk full? See --scratch")?;
        }
        for (n, (bucket, rows, part)) in blocks.into_iter().enumerate() {
            let bytes = if kept {
                Bytes::Kept(packed[part].into())
            } else {
                Bytes::Spilled { offset: self.scratch.part(at, n, part.start), len: u32::try_from(part.len())? }
            };
            let mut places = self.places[bucket].lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
            places.push(Place { file, rows, bytes });
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
        // Threads add blocks in any order; nothing below may depend on it.
        places.sort_by_key(|p| p.file);
        let mut blocks = Vec::with_capacity(places.len());
        for place in &mut places {
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
            });
        }
        let rows: usize = places.iter().map(|p| p.rows as usize).sum();
        let subjects = self.buckets.subjects(bucket);
        let mut readers: Vec<Unpacker> =
            places.iter().zip(&blocks).map(|(p, b)| Unpacker::new(b, p.rows as usize)).collect();
        let mut starts = vec![0_u32; subjects.len() + 1];
        let mut local = Vec::with_capacity(rows);
        for reader in &mut readers {
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
        let mut next = starts.clone();
        let to: Vec<u32> = local
            .iter()
            .map(|s| {
                let place = &mut next[*s as usize];
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
                reader.column(|row, v| column[to[row] as usize] = v)?;
            }
            out.push(Arc::new(column));
        }
        let mut files = vec![0; rows];
        for (place, base) in places.iter().zip(&bases) {
            for t in &to[*base..*base + place.rows as usize] {
                files[*t as usize] = place.file;
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
                    records.spans[to[row] as usize] = (from, len as u32);
                    from += len as u32;
                })?;
                all.extend_from_slice(reader.rest());
            }
            records.bytes = Arc::new(all);
        }
        Ok(BucketRows { starts, files, columns: out, records })
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
