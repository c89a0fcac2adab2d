//! An attempt at a run that ended before there was one: it is told like any other end.

use std::time::Instant;

use anyhow::{Context, Result};
use jiff::civil::Date;

use super::identity::PROGRAM;
use crate::exit::{self, ExitStatus, Locked};
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::folder::{RunFolder, State};
use crate::runs::lock::Lock;
use crate::runs::monitoring::lineage::{self, Described, Transition};
use crate::runs::monitoring::metrics::{self, Outcome};
use crate::runs::output_folder::{keep_private, output_of};
use crate::runs::remote;
use crate::runs::remote::look::url_of;
use crate::storage::durable;

/// What is known of an attempt.
pub(super) struct Attempt<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The as-of date as it was asked for, if it was understood.
    pub as_of: Option<Date>,
    /// When it began.
    pub started: Instant,
}

impl Attempt<'_> {
    /// Writes state, lineage and metrics of an attempt that failed. Whatever cannot be written is warned of: what matters is the error.
    pub(super) fn failed(&self, error: &anyhow::Error, log: &Output) {
        // Whoever holds the lock is who monitoring should hear of.
        if error.downcast_ref::<Locked>().is_some() {
            return;
        }
        match self.record(error) {
            Err(other) if other.downcast_ref::<Locked>().is_none() => {
                log.warn(&format!("how the run ended could not be written: {other:#}"));
            }
            _ => {}
        }
    }

    fn record(&self, error: &anyhow::Error) -> Result<()> {
        let output = output_of(self.pipeline);
        if url_of(&self.pipeline.settings.output).is_some() && remote::of(&output).is_none() {
            // There is no mirror to write it to.
            return Ok(());
        }
        keep_private(self.pipeline.settings.output_mode);
        let _lock = Lock::take(&output, "a failed run")?;
        durable::no_links(&output, &output.join("runs"))?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let id = format!("{}-failed-{now}", self.as_of.map_or_else(|| "undated".to_owned(), |day| day.to_string()));
        let numbered = (1..1_000).map(|n| if n == 1 { id.clone() } else { format!("{id}-{n}") });
        let run =
            numbered.map(|id| RunFolder::of(&output, &id)).find(|run| !run.folder.exists()).context("a free id")?;
        durable::create_folders(&run.folder)?;
        run.set(&match ExitStatus::of(error) {
            ExitStatus::Interrupted => State::Interrupted,
            _ => State::Failed { error: exit::message(error) },
        })?;
        let pipeline = self.pipeline.settings.name.as_str();
        let output_folder = lineage::place(&output);
        let of =
            Described { run: &run.id, output: &output_folder, program: PROGRAM, pipeline, label: None, inputs: &[] };
        lineage::emit(&run, &of, &Transition::Start, &lineage::now())?;
        lineage::emit(&run, &of, &Transition::of(error), &lineage::now())?;
        if let Some(mirror) = remote::of(&output) {
            remote::publish::push_record(&run, &mirror)?;
        }
        let exit = ExitStatus::of(error).code();
        metrics::write(
            &output,
            &Outcome { pipeline, exit, seconds: self.started.elapsed().as_secs_f64(), of: Some(&run) },
        )
    }
}
