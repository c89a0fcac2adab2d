//! One run: stages a job's result, asks the gates, publishes or refuses, and tells how it ended.

use std::time::Instant;

use anyhow::Result;

use super::entry::Begun;
use super::folder::RunFolder;
use super::identity::Identity;
use super::ledger::{Accepted, Entry, Event, Ledger};
use super::lineage::{self, Described, Transition};
use super::manifest::Input;
use super::metrics::{self, Outcome};
use super::prepare::RunContext;
use super::publication::{conclude, table_path};
use super::recovery::note_failure;
use super::staging::{inputs, stage};
use super::step::step;
use crate::exit::{self, ExitStatus};
use crate::job::Job;
use crate::publish::gates::Verdict;
use crate::stages::store::Stage;
use crate::storage::hashes::Hash;

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
        let ledger = Ledger::open(&self.context.folder.path, self.context.folder.key.clone())?;
        let folder = RunFolder::create(&self.context.folder.path, &self.identity.id, &ledger)?;
        self.context.log.name_run(&folder.id);
        step("run folder");
        let inputs = inputs(self.job, self.hashes);
        let begun = Begun { at: lineage::now(), output: lineage::place(&folder.output) };
        let label = &self.identity.label;
        let described = Described {
            run: &folder.id,
            output: &begun.output,
            program: &label.program,
            pipeline: &self.job.pipeline.settings.name,
            label: Some((&label.as_of, &label.model)),
            inputs: &inputs,
        };
        lineage::emit(&folder, &described, &Transition::Start, &begun.at)?;
        let result = self.stage_and_conclude(&folder, &inputs, &begun);
        if let Err(error) = &result {
            note_failure(&folder, error);
        }
        if let Err(error) = self.tell(&folder, &described, &result) {
            // The table is published, or the reason why not is on its way: this is not worth another ending.
            self.context.log.warn(&format!("the run's metrics or lineage could not be written: {error:#}"));
        }
        result
    }

    fn stage_and_conclude(&self, folder: &RunFolder, inputs: &[Input], begun: &Begun) -> Result<Ended> {
        let (job, label) = (self.job, &self.identity.label);
        let staged = stage(self, folder, inputs)?;
        step("staged");
        let failed: Vec<&Verdict> = staged.verdicts.iter().filter(|v| !v.passed && v.accepted.is_none()).collect();
        let event = if failed.is_empty() { Event::Published } else { Event::Refused };
        let found = failed.iter().map(|v| format!("gate {} (limit {}): {}", v.gate, v.limit, v.message));
        let found = found.collect::<Vec<_>>().join("\n");
        let accepted = staged.verdicts.iter().filter_map(|v| {
            let because = v.accepted.clone()?;
            Some(Accepted { gate: v.gate.to_owned(), found: v.message.clone(), because })
        });
        let entry = Entry {
            at: lineage::now(),
            event,
            run: folder.id.clone(),
            pipeline: job.pipeline.settings.name.clone(),
            as_of: label.as_of.clone(),
            known_by: label.known_by.clone(),
            model: label.model.clone(),
            program: label.program.clone(),
            manifest: staged.manifest,
            scores: staged.scores,
            table: table_path(&label.as_of, &label.model)?,
            replaces: None,
            begun: Some(begun.clone()),
            size: Some(staged.size),
            because: (!failed.is_empty()).then(|| found.clone()),
            lineage: None,
            accepted: accepted.collect(),
        };
        exit::check(self.context.stop)?;
        conclude(folder, entry, self.context.folder.key.clone())?;
        let run = folder.clone();
        Ok(if failed.is_empty() { Ended::Published { run } } else { Ended::Refused { run, found } })
    }

    /// Tells monitoring, and lineage where the ledger does not, how the run ended.
    fn tell(&self, folder: &RunFolder, of: &Described, result: &Result<Ended>) -> Result<()> {
        let status = match result {
            Ok(Ended::Published { .. }) => ExitStatus::Success,
            Ok(Ended::Refused { .. }) => ExitStatus::Gate,
            Err(error) => ExitStatus::of(error),
        };
        let outcome = Outcome {
            pipeline: of.pipeline,
            exit: status.code(),
            seconds: self.started.elapsed().as_secs_f64(),
            of: Some(folder),
        };
        metrics::write(&self.context.folder.path, &outcome)?;
        match result {
            Ok(_) => Ok(()),
            Err(error) => lineage::emit(folder, of, &Transition::of(error), &lineage::now()),
        }
    }
}
