//! Keeps the rows of one file while it is read.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

use super::Counted;
use super::file::{Block, BlockFile, write_index};
use super::rest::RestWriter;
use super::roster::Numbers;
use crate::contract::Table;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::IdColumn;
use crate::ingest::rows::cut::cut;
use crate::ingest::rows::split::Rows;
use crate::ingest::rows::store::Store;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::erased::picked;
use crate::ingest::visibility::scan::Scan;
use crate::tables::ids::UNKNOWN;

/// What keepers of a table's files need to know.
pub(super) struct With<'a> {
    /// The subjects of the pass.
    pub(super) spine: &'a Spine,
    /// The numbers of those whom kept rows may name.
    pub(super) numbers: &'a Numbers,
    /// The table's position of the record's id, if it is kept as text.
    pub(super) record: Option<usize>,
    /// Where rows go that cannot be kept.
    pub(super) store: &'a Store<'a>,
}

/// Keeps the rows of one file while it is read.
pub(super) struct Keeper<'a> {
    blocks: BlockFile,
    rest: RestWriter<'a>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counted: Counted,
    /// Whether what is written is of no use for other nights.
    useless: bool,
    /// Why, if something went wrong.
    failed: Option<anyhow::Error>,
}

/// What was written of a file.
pub(super) struct Written {
    /// The file of its blocks.
    pub(super) file: File,
    /// Where they lie.
    pub(super) blocks: Vec<Block>,
    /// What was counted; nothing when it is of no use for other nights.
    pub(super) counted: Option<Counted>,
    /// Why, if something went wrong.
    pub(super) failed: Option<anyhow::Error>,
}

impl<'a> Keeper<'a> {
    /// Keeps rows of a table in a folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn new(folder: &Path, table: &'a Table) -> Result<Self> {
        let (blocks, rest) = (BlockFile::create(folder)?, RestWriter::new(folder, table)?);
        Ok(Self { blocks, rest, state: Mutex::default() })
    }

    /// Keeps a batch, and returns those of its rows that go the usual way, if there are any.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused, or rows cannot be spilled. What cannot be kept is no error.
    pub(super) fn add(&self, scan: &Scan, batch: &Batch, with: &With) -> Result<Option<Batch>> {
        let divided = scan.divide(batch, with.spine, &|owner| with.numbers.in_roster(owner) != UNKNOWN)?;
        let (settled, rest) = (divided.rows.len() as u64, (batch.len - divided.rows.len()) as u64);
        let (left_out, multiplied) = (batch.left_out, batch.multiplied);
        // Of a row with an id that looks personal nothing is written down, so that the file is read every night.
        self.state().useless |= divided.personal;
        // The row's number, what is disputed and what breaks a rule come before the contract's columns, as in every stored row.
        let mut columns = vec![divided.rows, Vec::new(), Vec::new()];
        columns.extend(divided.columns);
        let text = with.record.and_then(|at| batch.columns.get(at)?.as_ref());
        let ids = text.map(IdColumn::new).transpose()?;
        let records = ids.as_ref().map(|ids| (ids, divided.settled.as_slice()));
        if settled > 0 {
            let subjects: Vec<u32> = divided.owners.iter().map(|owner| with.numbers.in_roster(*owner)).collect();
            let rows = Rows { file: batch.file, subjects: &subjects, columns: &columns, kept: None, records };
            if !self.write(&rows, with.numbers)? {
                with.store.add(&Rows { subjects: &divided.owners, ..rows })?;
            }
        }
        let rest_of = (rest > 0).then(|| picked(batch, &divided.rest)).transpose()?;
        self.note(Counted { settled, rest, left_out, multiplied, erased: 0 });
        match rest_of {
            Some(rest) => {
                if self.is_whole()
                    && let Err(error) = self.rest.add(&rest)
                {
                    self.fail(error);
                }
                Ok(Some(rest))
            }
            None => {
                scan.note(beside(batch.file, Counted { left_out, multiplied, ..Counted::default() }))?;
                Ok(None)
            }
        }
    }

    /// Writes settled rows, unless the disk is full or was: then it says so.
    fn write(&self, rows: &Rows, numbers: &Numbers) -> Result<bool> {
        if !self.is_whole() {
            return Ok(false);
        }
        let (bytes, cuts) = cut(rows, numbers.buckets())?;
        let first =
            *rows.columns.first().and_then(|numbers| numbers.first()).context("defect: rows without numbers")?;
        match self.blocks.add(first, &bytes, &cuts) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.fail(error);
                Ok(false)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts and an error are whole whatever a thread did that held them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_whole(&self) -> bool {
        !self.state().useless
    }

    fn fail(&self, error: anyhow::Error) {
        let mut state = self.state();
        state.useless = true;
        state.failed.get_or_insert(error);
    }

    fn note(&self, of: Counted) {
        let mut state = self.state();
        let all = &mut state.counted;
        all.settled += of.settled;
        all.rest += of.rest;
        all.left_out += of.left_out;
        all.multiplied += of.multiplied;
    }

    /// Ends what is written of a file that has so many rows, of which so many are of erased subjects and visible. It is of use for other
    /// nights when each other one came by, so that none was passed over or not looked at, and more of them are settled than are not.
    ///
    /// # Errors
    /// When a thread failed while it wrote.
    pub(super) fn finish(self, folder: &Path, rows: u64, erased: u64) -> Result<Written> {
        let Self { blocks, rest, state } = self;
        let State { mut counted, useless, failed } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut blocks = blocks.end()?;
        counted.erased = erased;
        let came = counted.settled + counted.rest + counted.left_out + erased == rows + counted.multiplied;
        let useful = !useless && came && counted.settled > counted.rest;
        let finish = || -> Result<()> {
            rest.finish()?;
            blocks.put_in_order(folder)?;
            let all = blocks.all();
            write_index(folder, &all)?;
            let written: u64 = all.iter().map(|block| u64::from(block.rows)).sum();
            ensure!(written == counted.settled, "defect: {written} rows are kept of {}", counted.settled);
            Ok(())
        };
        let failed = failed.or_else(|| if useful { finish().err() } else { None });
        let counted = (useful && failed.is_none()).then_some(counted);
        let all = blocks.all();
        Ok(Written { file: blocks.file, blocks: all, counted, failed })
    }
}

/// What is found of a file's rows that are not there to be looked at.
pub(super) fn beside(file: u32, counted: Counted) -> Findings {
    let mut found = Findings::default();
    found.tally.add(file, Class::LeftOut, counted.left_out);
    found.tally.add(file, Class::Erased, counted.erased);
    found.tally.multiply(file, counted.multiplied);
    found
}
