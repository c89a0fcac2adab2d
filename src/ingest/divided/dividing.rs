//! A table under way: its batches are cut by shard and written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, anyhow, ensure};
use arrow::array::Array;

use super::cut::Cut;
use super::place::{Kinds, Place};
use super::portions::Portions;
use super::sorted::{Pieces, Sorted};
use crate::ingest::read::batches::{BATCH_ROWS, Batch};
use crate::ingest::read::export::{Export, OpenFile};
use crate::machine::budget::Budget;
use crate::output::thousands;
use crate::storage::scratch::Scratch;

/// The most bytes that a batch may come to: the numbers of what lies where stay below what 32 bits hold.
const MOST_BATCH: usize = 1 << 30;
/// Bytes that say where a batch is, beside four for each portion.
const BATCH_BYTES: u64 = 96;

/// Bytes that say where the rows of an export are, cut into so many portions.
pub(super) fn places(export: &Export, portions: u64) -> u64 {
    let rows = export.files.iter().flat_map(|file| file.metadata().row_groups()).map(|group| group.num_rows());
    let batches: u64 = rows.map(|rows| u64::try_from(rows).unwrap_or(0).div_ceil(BATCH_ROWS as u64)).sum();
    batches.saturating_mul(BATCH_BYTES + 4 * portions)
}

/// Bytes that cutting a batch takes beside it, about: a column as numbers, as they come and in order of portion, and where each row goes; and
/// what is packed, which is less than the columns are, once column by column and once portion by portion.
fn cutting(batch: &Batch) -> u64 {
    let columns = batch.columns.iter().flatten().chain(&batch.extra);
    let bytes: usize = columns.map(|column| column.get_buffer_memory_size()).sum();
    (bytes as u64).saturating_mul(2).saturating_add((batch.len as u64).saturating_mul(40))
}

/// The rows of a table that are kept, while it is read.
pub(in crate::ingest) struct Dividing {
    /// The portions that are kept, by number.
    portions: Range<u32>,
    /// Where the row groups of each file end.
    groups: Vec<Vec<i64>>,
    scratch: Scratch,
    /// The most bytes that may be written.
    most: u64,
    written: AtomicU64,
    /// Rows of each portion.
    rows: Vec<AtomicU64>,
    state: Mutex<State>,
    /// Memory that is set aside for batches while they are cut.
    room: Option<Arc<Budget>>,
    /// Held by who cuts a batch that memory has no room for.
    alone: Mutex<()>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    kinds: BTreeMap<u32, Arc<Kinds>>,
    /// Why no more is kept.
    failed: Option<anyhow::Error>,
}

impl Dividing {
    pub(super) fn new(export: &Export, portions: Range<u32>, most: u64, scratch: &Path) -> Result<Self> {
        let ends = |file: &OpenFile| -> Vec<i64> {
            let mut end = 0_i64;
            let rows = file.metadata().row_groups().iter().map(|group| group.num_rows());
            rows.map(|rows| {
                end = end.saturating_add(rows);
                end
            })
            .collect()
        };
        Ok(Self {
            groups: export.files.iter().map(ends).collect(),
            scratch: Scratch::below(scratch)?,
            most,
            written: AtomicU64::new(0),
            rows: portions.clone().map(|_| AtomicU64::new(0)).collect(),
            portions,
            state: Mutex::default(),
            room: None,
            alone: Mutex::default(),
        })
    }

    /// Cuts batches in memory that is set aside for them, as far as it goes.
    pub(super) fn cut_in(mut self, room: Option<Arc<Budget>>) -> Self {
        self.room = room;
        self
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// Keeps the rows of a batch by the shard of each; all of them as the first portion where none are told. What hinders it is told at the
    /// end, and the work goes on. What it takes on the way is of what is set aside for it, else of the budget; where neither has room, one batch is
    /// cut at a time.
    ///
    /// # Errors
    /// When a thread failed.
    pub(in crate::ingest) fn add(&self, batch: &Batch, shards: &[u16], budget: &Budget) -> Result<()> {
        if self.state()?.failed.is_some() {
            return Ok(());
        }
        let needed = cutting(batch);
        let aside = self.room.as_ref().and_then(|room| room.hold(needed));
        let taken = aside.or_else(|| budget.hold(needed));
        // Whoever waits here holds nothing that the one who cuts could wait for: it packs and writes, and takes up no other work.
        let alone = match &taken {
            Some(_) => None,
            None => Some(self.alone.lock().map_err(|_| anyhow!("another thread failed"))?),
        };
        let kept = self.keep(batch, shards);
        drop((taken, alone));
        let Err(error) = kept else { return Ok(()) };
        {
            let mut state = self.state()?;
            state.places = Vec::new();
            state.failed.get_or_insert(error);
        }
        // Whatever else is spilled may need the room now; what another thread is about to write is a batch.
        self.scratch.forget()
    }

    fn keep(&self, batch: &Batch, shards: &[u16]) -> Result<()> {
        let kinds = self.kinds(batch)?;
        let count = self.rows.len();
        let first = usize::try_from(self.portions.start)?;
        let sorted = Sorted::new(batch.len, count, |row| {
            let number = shards.get(row).map_or(0, |shard| usize::from(*shard));
            number.checked_sub(first).filter(|portion| *portion < count)
        })?;
        // Column by column, which then stays in the cache; what a portion is made of is put together after that.
        let mut pieces = Pieces::default();
        Cut::numbers((0..batch.len).map(|row| batch.rows.get(row)).collect()).append(&sorted, &mut pieces)?;
        for array in batch.columns.iter().flatten().chain(&batch.extra) {
            Cut::of(array)?.append(&sorted, &mut pieces)?;
        }
        let (all, all_ends) = pieces.blocks(&sorted)?;
        let at = self.write(&all, &all_ends)?;
        let ends = all_ends.iter().map(|end| u32::try_from(*end)).collect::<Result<Box<[u32]>, _>>()?;
        for (portion, rows) in self.rows.iter().enumerate() {
            rows.fetch_add(sorted.rows_of(portion).len() as u64, Ordering::Relaxed);
        }
        let groups = self.groups.get(batch.file as usize).context("defect: a batch of no file")?;
        // By where it was read: a `select` may have left it no row.
        let group = groups.partition_point(|end| *end <= batch.from);
        let place = Place { file: batch.file, group, first: batch.from, at, ends, kinds };
        self.state()?.places.push(place);
        Ok(())
    }

    /// Writes a batch, if it leaves room for what else is spilled.
    fn write(&self, all: &[u8], ends: &[usize]) -> Result<u64> {
        ensure!(all.len() <= MOST_BATCH, "some rows of it are {} bytes long together", thousands(all.len() as u64));
        let before = self.written.fetch_add(all.len() as u64, Ordering::Relaxed);
        ensure!(
            before.saturating_add(all.len() as u64) <= self.most,
            "they take more than {} bytes, which is all that the disk had room for; see --scratch",
            thousands(self.most)
        );
        self.scratch.write(all, ends).context("writing them to the scratch file; is the disk full? See --scratch")
    }

    /// The types of a batch's columns, which are those of its file.
    fn kinds(&self, batch: &Batch) -> Result<Arc<Kinds>> {
        let kinds = Kinds {
            columns: batch.columns.iter().map(|column| column.as_ref().map(|c| c.data_type().clone())).collect(),
            extra: batch.extra.iter().map(|column| column.data_type().clone()).collect(),
        };
        let mut state = self.state()?;
        let known = state.kinds.entry(batch.file).or_insert_with(|| Arc::new(kinds.clone()));
        ensure!(**known == kinds, "rows of one file are of different types");
        Ok(Arc::clone(known))
    }

    /// All rows that were kept, or why they were not.
    ///
    /// # Errors
    /// When a thread failed.
    pub(super) fn finish(self) -> Result<Result<Portions>> {
        let State { mut places, failed, .. } = self.state.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        if let Some(error) = failed {
            return Ok(Err(error));
        }
        places.sort_by_key(|place| (place.file, place.group, place.first));
        places.shrink_to_fit();
        let rows = self.rows.into_iter().map(AtomicU64::into_inner).collect();
        let written = self.written.into_inner();
        Ok(Ok(Portions::new((self.portions.start, rows), (self.scratch, written), places)))
    }
}
