//! The rows of a table that were kept, read by one shard after another.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::DAMAGED;
use super::columns::Joined;
use super::place::{Kinds, Place};
use super::room::room;
use crate::exit;
use crate::ingest::read::batches::{self, BATCH_ROWS, Batch, RowNumbers};
use crate::ingest::read::export::Export;
use crate::ingest::rows::pack::Unpacker;
use crate::output::Progress;
use crate::storage::scratch::Scratch;

/// The most batches whose rows of a shard are put together again at a time: many shards have few rows of each.
const MOST_TOGETHER: usize = 64;
/// Bytes of a column's texts beyond which no more are put together.
const MOST_TEXT: usize = 64 << 20;

/// The rows of a table by shard.
#[derive(Debug)]
pub(in crate::ingest) struct Portions {
    /// The number of the first.
    first: u32,
    /// Rows of each.
    rows: Vec<u64>,
    scratch: Scratch,
    /// Bytes of all.
    pub(super) bytes: u64,
    /// Where the batches are, in the order of the export's rows.
    places: Vec<Place>,
}

impl Portions {
    /// Those from a number on, with the rows of each; the file with its bytes; and where the batches are in it.
    pub(super) fn new((first, rows): (u32, Vec<u64>), (scratch, bytes): (Scratch, u64), places: Vec<Place>) -> Self {
        Self { first, rows, scratch, bytes, places }
    }

    fn position(&self, number: u32) -> Result<usize> {
        let at = number.checked_sub(self.first).map(usize::try_from).transpose()?;
        at.filter(|at| *at < self.rows.len()).context("defect: the rows of a shard that were not kept")
    }

    /// The rows of a shard; of a table that goes whole to every shard, those of the number 0.
    ///
    /// # Errors
    /// When none were kept for it.
    pub(in crate::ingest) fn rows(&self, number: u32) -> Result<u64> {
        Ok(self.rows[self.position(number)?])
    }

    /// Hands the rows of a shard to `work`, several batches in parallel: of each row group that was read one at least, which may be empty, as
    /// the export itself does. What a `select` left out or made more of is the first shard's, which reads the export.
    ///
    /// # Errors
    /// When the scratch file cannot be read, or the work is interrupted; or the first error of `work`, with the row group of the export.
    pub(in crate::ingest) fn read(
        &self,
        number: u32,
        export: &Export,
        progress: &Progress,
        stop: &AtomicBool,
        work: &(dyn Fn(Batch) -> Result<()> + Sync),
    ) -> Result<()> {
        let portion = self.position(number)?;
        // As many as come to a batch where all shards have as many rows, the one that read the export included.
        let most = self.rows.len().saturating_add(1).min(MOST_TOGETHER);
        let groups = self.places.chunk_by(|a, b| (a.file, a.group) == (b.file, b.group));
        let runs: Vec<&[Place]> = groups.flat_map(|group| group.chunks(most)).collect();
        runs.into_par_iter().try_for_each(|run| {
            let Some(first) = run.first() else { return Ok(()) };
            let file = export.files.get(first.file as usize).context("defect: rows of no file")?;
            let read = self.read_run(run, first, portion, &|batch| {
                exit::check(stop)?;
                let rows = batch.len as u64;
                work(batch)?;
                progress.add(rows);
                Ok(())
            });
            read.with_context(|| batches::place(file, first.group))
        })
    }

    /// Reads a portion of batches of one row group, which are put together to batches as large as those that are decoded.
    fn read_run(&self, run: &[Place], first: &Place, portion: usize, work: &dyn Fn(Batch) -> Result<()>) -> Result<()> {
        let (mut together, mut told, mut bytes) = (Together::of(first, run.len()), false, Vec::new());
        for (at, place) in run.iter().enumerate() {
            let from = portion.checked_sub(1).map_or(0, |before| place.ends[before]);
            let len = place.ends[portion].checked_sub(from).context(DAMAGED)?;
            if len == 0 {
                continue;
            }
            let part = self.scratch.part(place.at, portion, from as usize);
            self.scratch.read(part, len as usize, &mut bytes)?;
            together.add(&bytes)?;
            if together.is_full() {
                let next = Together::of(first, run.len() - at - 1);
                work(std::mem::replace(&mut together, next).batch()?)?;
                told = true;
            }
        }
        if told && together.is_empty() {
            return Ok(());
        }
        work(together.batch()?)
    }
}

/// Blocks of one file, put together.
struct Together {
    /// How many there may be.
    most: usize,
    file: u32,
    from: i64,
    kinds: Arc<Kinds>,
    rows: Vec<i64>,
    columns: Vec<Option<Joined>>,
    extra: Vec<Joined>,
}

impl Together {
    /// Nothing yet, of a batch's file and of so many blocks at most.
    fn of(place: &Place, most: usize) -> Self {
        let kinds = Arc::clone(&place.kinds);
        let columns = kinds.columns.iter().map(|kind| kind.as_ref().map(Joined::of)).collect();
        let extra = kinds.extra.iter().map(Joined::of).collect();
        Self { most, file: place.file, from: place.first, kinds, rows: Vec::new(), columns, extra }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn is_full(&self) -> bool {
        let columns = self.columns.iter().flatten().chain(&self.extra);
        self.rows.len() >= BATCH_ROWS || columns.map(Joined::text_bytes).any(|bytes| bytes >= MOST_TEXT)
    }

    /// Adds a block.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let (rows, block) = bytes.split_first_chunk::<4>().context(DAMAGED)?;
        let rows = u32::from_le_bytes(*rows) as usize;
        let mut block = Unpacker::new(block, rows);
        // What says of the column of row numbers that none is null.
        block.take(1)?;
        block.append(&mut self.rows)?;
        for (kind, column) in self.kinds.columns.iter().zip(&mut self.columns) {
            if let (Some(kind), Some(column)) = (kind, column) {
                column.add(kind, &mut block, rows)?;
            }
        }
        for (kind, column) in self.kinds.extra.iter().zip(&mut self.extra) {
            column.add(kind, &mut block, rows)?;
        }
        anyhow::ensure!(block.rest().is_empty(), DAMAGED);
        if self.rows.len() == rows {
            self.make_room();
        }
        Ok(())
    }

    /// Makes room for as many blocks like the first one as are put together, and for half of one, for some are larger: what grows while they
    /// come is copied again and again, and held twice on the way.
    fn make_room(&mut self) {
        let rows = self.rows.len();
        let times = BATCH_ROWS.saturating_sub(rows).div_ceil(rows.max(1)).min(self.most.saturating_sub(1));
        if times > 0 {
            self.rows.reserve(room(rows, times));
            let columns = self.columns.iter_mut().flatten().chain(&mut self.extra);
            columns.for_each(|column| column.make_room(times, MOST_TEXT));
        }
    }

    /// The batch that they are.
    fn batch(self) -> Result<Batch> {
        let kinds = &self.kinds;
        let array = |(kind, column): (&Option<_>, Option<Joined>)| match (kind, column) {
            (Some(kind), Some(column)) => column.array(kind).map(Some),
            _ => Ok(None),
        };
        let columns = kinds.columns.iter().zip(self.columns).map(array).collect::<Result<_>>()?;
        let extra = kinds.extra.iter().zip(self.extra).map(|(kind, column)| column.array(kind));
        Ok(Batch {
            file: self.file,
            from: self.from,
            len: self.rows.len(),
            columns,
            extra: extra.collect::<Result<_>>()?,
            rows: RowNumbers::Listed(self.rows),
            left_out: 0,
            multiplied: 0,
        })
    }
}
