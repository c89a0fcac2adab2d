//! One run: stages a job's result, asks the gates, publishes or refuses, and tells how it ended.

use std::time::Instant;

use anyhow::Result;

use super::folder::{AUDIT, RunFolder};
use super::identity::Identity;
use super::ledger::{Accepted, Entry, Event};
use super::lineage::{self, Transition};
use super::metrics;
use super::prepare::RunContext;
use super::publication::{SCORES, conclude, note_failure, table_path};
use super::staging::stage;
use super::step::step;
use crate::exit::{self, ExitStatus};
use crate::job::Job;
use crate::publish::gates::Verdict;
use crate::publish::hashes::Hash;
use crate::stages::store::Stage;

/// A gate to override, and why.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The gate's key in the pipeline file.
    pub gate: String,
    /// Why.
    pub because: String,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// Its table is published.
    Published {
        /// The run.
        run: RunFolder,
    },
    /// Gates refused it.
    Refused {
        /// The run, which is kept.
        run: RunFolder,
        /// What they found, a line each.
        found: String,
    },
}

/// A run about to be made.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is scored.
    pub job: &'a Job,
    /// What the run is called.
    pub identity: &'a Identity,
    /// The hashes of the input files, export by export.
    pub hashes: &'a [Vec<Hash>],
    /// The stages it is scored from.
    pub stages: &'a [Stage],
    /// Gates to override.
    pub accept: &'a [Accept],
    /// The output folder and the machine.
    pub context: &'a RunContext<'a>,
    /// When the work on it began.
    pub started: Instant,
}

impl Run<'_> {
    /// Scores the job and publishes the table, unless a gate refuses it.
    ///
    /// # Errors
    /// Whatever stops the run; what is published stays, and the run's folder says how it ended.
    pub fn make(&self) -> Result<Ended> {
        let folder = RunFolder::create(&self.context.folder.path, &self.identity.id)?;
        step("run folder");
        lineage::emit(&folder, self.job, self.identity, &Transition::Start)?;
        let result = self.stage_and_conclude(&folder);
        if let Err(error) = &result {
            note_failure(&folder, error);
        }
        if let Err(error) = self.tell(&folder, &result) {
            // The table is published, or the reason why not is on its way: this is not worth another ending.
            self.context.log.warn(&format!("the run's metrics or lineage could not be written: {error:#}"));
        }
        result
    }

    fn stage_and_conclude(&self, folder: &RunFolder) -> Result<Ended> {
        let (job, label) = (self.job, &self.identity.label);
        let staged = stage(self, folder)?;
        step("staged");
        let failed: Vec<&Verdict> = staged.verdicts.iter().filter(|v| !v.passed && v.accepted.is_none()).collect();
        let event = if failed.is_empty() { Event::Published } else { Event::Refused };
        let accepted = staged.verdicts.iter().filter_map(|v| {
            let because = v.accepted.clone()?;
            Some(Accepted { gate: v.gate.to_owned(), found: v.message.clone(), because })
        });
        let entry = Entry {
            at: jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string(),
            event,
            run: folder.id.clone(),
            pipeline: job.pipeline.settings.name.clone(),
            as_of: label.as_of.clone(),
            known_by: label.known_by.clone(),
            model: label.model.clone(),
            program: label.program.clone(),
            manifest: staged.manifest,
            scores: staged.scores,
            table: table_path(&label.as_of, &label.model),
            replaces: None,
            accepted: accepted.collect(),
        };
        exit::check(self.context.stop)?;
        conclude(folder, entry, self.context.folder.key.clone())?;
        if failed.is_empty() {
            return Ok(Ended::Published { run: folder.clone() });
        }
        let found = failed.iter().map(|v| format!("gate {} (limit {}): {}", v.gate, v.limit, v.message));
        Ok(Ended::Refused { run: folder.clone(), found: found.collect::<Vec<_>>().join("\n") })
    }

    /// Tells monitoring and lineage how the run ended.
    fn tell(&self, folder: &RunFolder, result: &Result<Ended>) -> Result<()> {
        let audit = fs_err::read_to_string(folder.path(AUDIT)).ok().and_then(|t| serde_json::from_str(&t).ok());
        let (transition, exit) = match result {
            Ok(Ended::Published { .. }) => {
                let bytes = fs_err::metadata(folder.path(SCORES))?.len();
                let rows = audit.as_ref().and_then(|a: &serde_json::Value| a["coverage"]["subjects"].as_u64());
                (Transition::Complete { rows: rows.unwrap_or(0), bytes }, ExitStatus::Success)
            }
            Ok(Ended::Refused { found, .. }) => (Transition::Fail { because: found.clone() }, ExitStatus::Gate),
            Err(error) => match ExitStatus::of(error) {
                ExitStatus::Interrupted => (Transition::Abort, ExitStatus::Interrupted),
                status => (Transition::Fail { because: exit::message(error) }, status),
            },
        };
        let outcome = metrics::Outcome {
            pipeline: &self.job.pipeline.settings.name,
            exit: exit.code(),
            seconds: self.started.elapsed().as_secs_f64(),
            audit: audit.as_ref(),
        };
        metrics::write(&self.context.folder.path, &outcome)?;
        lineage::emit(folder, self.job, self.identity, &transition)
    }
}
