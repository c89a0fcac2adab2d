//! A session: an output folder under lock, and all that is done there.
//!
//! A run goes this way: [`Session::open`] locks the folder and finishes what a crash left undone; [`prepare`] hashes the inputs, names the
//! run, and finds or makes the stages; [`scoring`] scores everyone and writes the tables; [`judging`] holds the result against the gates
//! and earlier runs; [`result`] sums it up and seals the folder; [`publishing`] publishes or refuses, and tells how it ended.
//!
//! [`one_date`] does that for one as-of date, [`backfill`] for many, [`replay`] once more for a run that is kept. [`attempt`] tells of runs
//! that ended before they began, [`shards`] has the stages of one made by several processes, [`releasing`] gives scores to a partner,
//! [`nights`] says whose rows are kept for the next date, [`erasing`] takes subjects out, whom `guard` keeps out of what comes later, [`plan`] says what a run would do, [`acceptance`] which
//! gates are overridden.

pub mod acceptance;
mod attempt;
pub mod backfill;
pub mod calibrating;
mod carriers;
pub mod dataset;
pub mod erasing;
pub mod fitting;
mod guard;
mod hooks;
pub mod identity;
mod judging;
mod new_model;
mod nights;
pub mod one_date;
pub mod plan;
mod prepare;
mod release_rows;
pub mod releasing;
pub mod publishing;
pub mod replay;
pub mod run;
mod scoring;
pub mod shards;
mod result;
mod split;
pub mod training_set;
mod withdrawn;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::machine::memory::usual;
use crate::machine::resources::Resources;
use crate::machine::threads::use_threads;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::pipeline::settings::bytes;
use crate::runs::ledger::Key;
use crate::runs::output_folder::OutputFolder;
use crate::stages::shards::Part;

/// How much of the machine is asked for; what is not said, the pipeline says.
#[derive(Debug, Clone, Default)]
pub struct MachineRequest {
    /// Threads.
    pub threads: Option<usize>,
    /// Memory for rows, such as `512MB`.
    pub memory: Option<String>,
    /// Where rows are spilled.
    pub scratch: Option<PathBuf>,
}

/// How stages that are missing are made; the bytes are the same.
#[derive(Debug, Clone, Default)]
pub enum Making {
    /// In one pass over the exports.
    #[default]
    AtOnce,
    /// One shard of the subjects after another, so many of them.
    InShards(u32),
    /// By others: the parts of all shards.
    Of(Vec<Part>),
}

/// An output folder under lock, and the machine.
pub struct Session<'a> {
    /// The output folder.
    pub folder: OutputFolder,
    /// The machine.
    pub resources: Resources<'a>,
    /// Whether every stage is made anew.
    pub fresh: bool,
    /// How they are made.
    pub making: Making,
}

/// Sets the number of threads; the memory for rows, and where they are spilled if anything says.
fn machine(pipeline: &Pipeline, asked: &MachineRequest) -> Result<(u64, Option<PathBuf>)> {
    let engine = &pipeline.settings.engine;
    use_threads(asked.threads.or(engine.threads))?;
    let memory = asked.memory.as_deref().or(engine.memory.as_deref()).map_or_else(|| Ok(usual()), bytes)?;
    Ok((memory, asked.scratch.clone().or_else(|| engine.scratch.as_ref().map(|s| pipeline.resolve(s)))))
}

impl<'a> Session<'a> {
    /// Locks the output folder of a pipeline and finishes what is undone there; `command` is told to who finds it locked.
    ///
    /// # Errors
    /// [`Locked`](crate::exit::Locked) when another process holds the lock; when the folder cannot be written, or its ledger does not
    /// hold; when a size or number of threads cannot be.
    pub fn open(
        pipeline: &Pipeline,
        command: &str,
        machine: &MachineRequest,
        stop: &'a AtomicBool,
        log: &'a Output,
    ) -> Result<Self> {
        let (memory, scratch) = self::machine(pipeline, machine)?;
        let folder = OutputFolder::open(pipeline, command, log)?;
        let scratch = scratch.unwrap_or_else(|| folder.path.join("stages"));
        Ok(Self { folder, resources: Resources { memory, scratch, stop, log }, fresh: false, making: Making::AtOnce })
    }

    /// The same, with every stage made anew.
    #[must_use]
    pub const fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// The same, with stages made in another way.
    #[must_use]
    pub fn making(mut self, making: Making) -> Self {
        self.making = making;
        self
    }

    /// The key of the folder's ledger, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.folder.key.clone()
    }
}
