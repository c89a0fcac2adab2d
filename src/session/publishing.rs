//! One run: makes a job's result, asks the gates, publishes or refuses, and tells how it ended.

use anyhow::Result;

use super::result::make_result;
use super::run::Run;
use super::scoring::{Scored, score};
use crate::exit::ExitStatus;
use crate::gates::verdicts::Verdict;
use crate::job::inputs::{Input, inputs};
use crate::runs::folder::RunFolder;
use crate::runs::ledger::entry::Begun;
use crate::runs::ledger::place::table_path;
use crate::runs::ledger::{Accepted, Entry, Event, Ledger};
use crate::runs::monitoring::lineage::{self, Described, Transition};
use crate::runs::monitoring::metrics::{self, Outcome};
use crate::runs::publication::conclude;
use crate::runs::publication::recovery::note_failure;
use crate::runs::remote::mirror::Mirror;
use crate::runs::remote::store::TRIES;
use crate::runs::remote::{self, lines, publish};
use crate::runs::step::step;

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

impl Run<'_> {
    /// Scores the job and publishes the table, unless a gate refuses it.
    ///
    /// # Errors
    /// Whatever stops the run; what is published stays, and the run's folder says how it ended.
    pub fn make(&self) -> Result<Ended> {
        let ledger = Ledger::open(&self.session.folder.path, self.session.key())?;
        let folder = RunFolder::create(&self.session.folder.path, &self.identity.id, &ledger)?;
        self.session.resources.log.name_run(&folder.id);
        step("run folder");
        let inputs = inputs(self.job, self.hashes);
        let begun = Begun { at: lineage::now(), output: lineage::place(&folder.output) };
        let label = &self.identity.label;
        let described = Described {
            run: &folder.id,
            output: &begun.output,
            program: &label.program,
            pipeline: &self.job.pipeline.settings.name,
            label: Some((label.as_of, &label.model)),
            inputs: &inputs,
        };
        lineage::emit(&folder, &described, &Transition::Start, &begun.at)?;
        let result = self.make_and_conclude(&folder, &inputs, &begun);
        if let Err(error) = &result {
            note_failure(&folder, error);
        }
        if let Err(error) = &result
            && ExitStatus::of(error) != ExitStatus::Locked
            && let Some(mirror) = remote::of(&folder.output)
            && let Err(error) = publish::push_record(&folder, &mirror)
        {
            self.session.resources.log.warn(&format!("how the run ended could not be told elsewhere: {error:#}"));
        }
        if let Err(error) = self.tell(&folder, &described, &result) {
            // The table is published, or the reason why not is on its way: this is not worth another ending.
            self.session.resources.log.warn(&format!("the run's metrics or lineage could not be written: {error:#}"));
        }
        result
    }

    fn make_and_conclude(&self, folder: &RunFolder, inputs: &[Input], begun: &Begun) -> Result<Ended> {
        let scored = score(self, folder)?;
        let Some(mirror) = remote::of(&folder.output) else {
            return self.judge_and_conclude(folder, inputs, begun, &scored, None);
        };
        for _ in 0..TRIES {
            match self.judge_and_conclude(folder, inputs, begun, &scored, Some(mirror.as_ref())) {
                // Another process published meanwhile: the gates are asked again, against what is published now.
                Err(error) if lines::is_lost(&error) => {
                    self.session.resources.log.line(&format!("{error:#}"));
                    publish::caught_up(folder, self.session.folder.key.as_ref(), &mirror)?;
                    self.session.resources.check()?;
                }
                ended => return ended,
            }
        }
        Err(publish::again_and_again(&mirror))
    }

    /// Asks the gates, and publishes what they let pass; into an object store only if no other process has published meanwhile.
    fn judge_and_conclude(
        &self,
        folder: &RunFolder,
        inputs: &[Input],
        begun: &Begun,
        scored: &Scored,
        mirror: Option<&Mirror>,
    ) -> Result<Ended> {
        let (job, label) = (self.job, &self.identity.label);
        let seen = Ledger::open(&folder.output, self.session.key())?.lines.len();
        let made = make_result(self, folder, inputs, scored)?;
        step("staged");
        let failed: Vec<&Verdict> = made.verdicts.iter().filter(|v| !v.passed && v.accepted.is_none()).collect();
        let event = if failed.is_empty() { Event::Published } else { Event::Refused };
        let found = failed.iter().map(|v| format!("gate {} (limit {}): {}", v.gate, v.limit, v.message));
        let found = found.collect::<Vec<_>>().join("\n");
        let accepted = made.verdicts.iter().filter_map(|v| {
            let because = v.accepted.clone()?;
            Some(Accepted { gate: v.gate.to_owned(), found: v.message.clone(), because })
        });
        let entry = Entry {
            at: lineage::now(),
            event,
            run: folder.id.clone(),
            pipeline: job.pipeline.settings.name.clone(),
            as_of: label.as_of,
            known_by: label.known_by.clone(),
            model: label.model.clone(),
            program: label.program.clone(),
            manifest: made.manifest,
            scores: made.scores,
            plain: made.plain,
            table: table_path(label.as_of, &label.model)?,
            replaces: None,
            begun: Some(begun.clone()),
            size: Some(made.size),
            because: (!failed.is_empty()).then(|| found.clone()),
            lineage: None,
            given: None,
            accepted: accepted.collect(),
        };
        self.session.resources.check()?;
        match mirror {
            Some(mirror) => publish::conclude(folder, entry, seen, self.session.folder.key.as_ref(), mirror)?,
            None => conclude(folder, entry, self.session.key())?,
        }
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
        metrics::write(&self.session.folder.path, &outcome)?;
        match result {
            Ok(_) => Ok(()),
            Err(error) => lineage::emit(folder, of, &Transition::of(error), &lineage::now()),
        }
    }
}
