//! The stages of one or more jobs: found where they are kept, made where they are not.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::output_folder::OutputFolder;
use crate::ingest::store::Budget;
use crate::job::Job;
use crate::machine::Limits;
use crate::measure::make::{Engine, Lacking, make};
use crate::output::Output;
use crate::stages::key::keys;
use crate::stages::store::{Missing, Stage};
use crate::storage::hashes::Hash;

/// What runs of one process share.
pub struct RunContext<'a> {
    /// The output folder.
    pub folder: &'a OutputFolder,
    /// Memory, and where rows are spilled.
    pub limits: &'a Limits,
    /// Make every stage anew.
    pub fresh: bool,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
    /// Where progress is shown.
    pub log: &'a Output,
}

impl RunContext<'_> {
    /// Where rows are spilled.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.limits.scratch.clone().unwrap_or_else(|| self.folder.path.join("stages"))
    }
}

/// The stages of every job, in order; those that are missing are made, all dates in one pass over the exports.
///
/// # Errors
/// When inputs are corrupt, the disk is full, or the work is interrupted.
pub fn stages(jobs: &[&Job], hashes: &[Vec<Hash>], context: &RunContext) -> Result<Vec<Vec<Stage>>> {
    let scratch = context.scratch();
    fs_err::create_dir_all(&scratch)?;
    let mut wanted = Vec::with_capacity(jobs.len());
    let mut found: Vec<Vec<Stage>> = Vec::with_capacity(jobs.len());
    let mut lacking = Vec::new();
    for job in jobs {
        let keys = keys(job, hashes)?;
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for key in &keys {
            match if context.fresh { Err(Missing::Never) } else { context.folder.stages.verified(key)? } {
                Ok(stage) => kept.push(stage),
                Err(why) => {
                    if why == Missing::Damaged {
                        context.log.warn(&format!(
                            "the stage {} of {} is damaged; it is made again",
                            key.kind.name(),
                            key.as_of
                        ));
                    }
                    missing.push(key.clone());
                }
            }
        }
        if !kept.is_empty() {
            let names: Vec<String> = kept.iter().map(|s| s.label.key.kind.name()).collect();
            context.log.line(&format!("reused as of {}: {}", job.snapshot.calendar.as_of(), names.join(", ")));
        }
        if !missing.is_empty() {
            lacking.push(Lacking { job, keys: missing });
        }
        wanted.push(keys);
        found.push(kept);
    }
    let budget = Budget::new(context.limits.memory);
    let engine = Engine {
        store: &context.folder.stages,
        budget: &budget,
        scratch: &scratch,
        stop: context.stop,
        output: context.log,
    };
    make(&lacking, &engine)?;
    for (keys, found) in wanted.iter().zip(&mut found) {
        for key in keys.iter().filter(|k| !found.iter().any(|s| s.label.key == **k)).collect::<Vec<_>>() {
            let stage = context.folder.stages.find(key);
            found.push(stage.with_context(|| format!("the stage {} was not made", key.kind.name()))?);
        }
        found.sort_by(|a, b| a.label.key.kind.cmp(&b.label.key.kind));
    }
    Ok(found)
}
