//! Rows of the exports by shard, where one process makes all shards: whichever shard reads a table first keeps the rows of the shards after
//! it, and those read them instead of the export, so that every export is decoded once.
//!
//! What is kept of a batch are the rows that [`of_shard`](super::visibility::shard::of_shard) would pick of it for each shard, in the types
//! that they were read in and with their places in the export, before anything was looked at but whose they are: what a shard makes of them,
//! finds in them and says of them is the same. They lie packed ([`columns`], [`texts`]) in a scratch file without a name for each table,
//! which is encrypted where keys are named and goes with the process. A batch is written as soon as it was cut, so that what memory holds
//! is where the batches of a table are: four bytes for each batch and shard, which count as rows do.
//!
//! The tables that go whole to every shard are kept as of one. Where rows cannot be kept (no room on the disk, columns of a type that
//! is not packed) the others read the export as the first one did, which is said.

mod columns;
mod dividing;
mod place;
mod portions;
mod texts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Result, anyhow};

use self::dividing::{BATCH_BYTES, Dividing};
use self::portions::Portions;
use super::read::batches::{self, BATCH_ROWS};
use super::read::export::Export;
use super::shuffled::DISPUTED;
use super::spine::Spine;
use super::spine::shard::Shard;
use crate::machine::budget::Budget;
use crate::machine::disk;
use crate::machine::resources::Resources;
use crate::output::thousands;

/// What is wrong with a block that is not what was written.
const DAMAGED: &str = "a block of divided rows is damaged";

/// What part of the memory for rows may say where divided rows are.
const PART_OF_MEMORY: u64 = 8;
/// What part of the free disk the rows of a table may take: the shards spill theirs to it as well.
const PART_OF_DISK: u64 = 2;
/// Bytes that a subject whom a dispute names takes at most, but for an id of unusual length.
const SUBJECT_BYTES: u64 = 160;

/// The rows of the exports by shard.
#[derive(Default)]
pub struct Divided(Mutex<State>);

#[derive(Default)]
struct State {
    /// By table; nothing for one whose rows could not be kept.
    tables: BTreeMap<String, Option<Arc<Portions>>>,
    /// The subjects that disputes name, who are the same for every shard.
    named: Option<Arc<Spine>>,
    /// Bytes that are held for as long as shards are made, by what they are for.
    held: BTreeMap<String, u64>,
}

impl State {
    fn bytes(&self) -> u64 {
        self.held.values().fold(0, |all, bytes| all.saturating_add(*bytes))
    }
}

impl Divided {
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        self.0.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// Takes what it holds of the memory of another pass.
    ///
    /// # Errors
    /// When a thread failed while it held it.
    pub fn count(&self, budget: &Budget) -> Result<()> {
        let bytes = self.state()?.bytes();
        // A part of the memory, of which nothing was taken yet: it is there. For as long as the pass is under way.
        budget.take(bytes);
        Ok(())
    }

    /// The rows of a table, if an earlier shard kept them.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub(in crate::ingest) fn find(&self, table: &str) -> Result<Option<Arc<Portions>>> {
        Ok(self.state()?.tables.get(table).cloned().flatten())
    }

    /// Begins to keep the rows of a table for the shards after the one that reads it; with `whole` they are the same for all of them. Nothing
    /// where there is no other shard, or no room: then it is said, and nobody tries again.
    ///
    /// # Errors
    /// When the scratch file cannot be made, or a thread failed.
    pub(in crate::ingest) fn begin(
        &self,
        export: &Export,
        (shard, whole): (Shard, bool),
        budget: &Budget,
        resources: &Resources,
    ) -> Result<Option<Dividing>> {
        let name = &export.table.name;
        let later = shard.number() + 1..shard.of();
        if later.is_empty() || self.state()?.tables.contains_key(name) {
            return Ok(None);
        }
        let portions = if whole { 0..1 } else { later };
        let free = match disk::free(&resources.scratch) {
            Ok(free) => free,
            Err(error) => return self.give_up(name, &format!("{error:#}"), resources),
        };
        let (most, needed) = (free / PART_OF_DISK, batches::bytes(export));
        if needed > most {
            let (needed, place) = (thousands(needed), resources.scratch.display());
            let why = format!("they take some {needed} bytes, and {place} has {} free; see --scratch", thousands(free));
            return self.give_up(name, &why, resources);
        }
        let rows = export.files.iter().flat_map(|file| file.metadata().row_groups()).map(|group| group.num_rows());
        let batches: u64 = rows.map(|rows| u64::try_from(rows).unwrap_or(0).div_ceil(BATCH_ROWS as u64)).sum();
        let bytes = batches.saturating_mul(BATCH_BYTES + 4 * u64::from(portions.end - portions.start));
        if !self.reserve(name, bytes, (budget, resources))? {
            let why = format!("to know where they are takes {} bytes; see --memory", thousands(bytes));
            return self.give_up(name, &why, resources);
        }
        Dividing::new(export, portions, most, &resources.scratch).map(Some)
    }

    /// Keeps the rows of a table, all of which were read.
    ///
    /// # Errors
    /// When a thread failed.
    pub(in crate::ingest) fn keep(&self, table: &str, rows: Dividing, resources: &Resources) -> Result<()> {
        match rows.finish()? {
            Ok(portions) => {
                self.state()?.tables.insert(table.to_owned(), Some(Arc::new(portions)));
            }
            Err(error) => drop(self.give_up(table, &format!("{error:#}"), resources)?),
        }
        Ok(())
    }

    /// Says why the rows of a table are not kept.
    fn give_up(&self, table: &str, why: &str, resources: &Resources) -> Result<Option<Dividing>> {
        self.state()?.tables.insert(table.to_owned(), None);
        resources.log.warn(&format!("the rows of {table} are not kept for the other shards, which read it again: {why}"));
        Ok(None)
    }

    /// Whether there is memory for so many bytes more, which stay for as long as shards are made.
    fn reserve(&self, what: &str, bytes: u64, (budget, resources): (&Budget, &Resources)) -> Result<bool> {
        let mut state = self.state()?;
        // Those of a shard before this one, which failed on the way, are held no more.
        state.held.remove(what);
        let all = state.bytes().saturating_add(bytes);
        let fits = all <= resources.memory / PART_OF_MEMORY && budget.take(bytes);
        if fits {
            state.held.insert(what.to_owned(), bytes);
        }
        Ok(fits)
    }

    /// The subjects that disputes name, if an earlier shard read them.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub(in crate::ingest) fn named(&self) -> Result<Option<Arc<Spine>>> {
        Ok(self.state()?.named.clone())
    }

    /// Remembers the subjects that disputes name, if they are few.
    ///
    /// # Errors
    /// When a thread failed while it held others.
    pub(in crate::ingest) fn name(&self, spine: &Arc<Spine>, budget: &Budget, resources: &Resources) -> Result<()> {
        let bytes = (spine.len() as u64).saturating_mul(SUBJECT_BYTES);
        if self.reserve(DISPUTED, bytes, (budget, resources))? {
            self.state()?.named = Some(Arc::clone(spine));
        }
        Ok(())
    }
}
