//! One as-of date: scored and published, unless it is as it would be already.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;

use super::acceptance::AcceptRequest;
use super::attempt::Attempt;
use super::guard::leave_out_erased;
use super::hooks::Ending;
use super::identity::{Identity, Standing, identify, published};
use super::prepare::{hashes, stages};
use super::publishing::Ended;
use super::run::Run;
use super::{MachineRequest, Making, Session};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::job::Job;
use crate::job::dependencies::Dependencies;
use crate::job::load::{JobRequest, load};
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::folder::RunFolder;
use crate::runs::ledger::place::table_path;
use crate::runs::monitoring::metrics::{self, Outcome};
use crate::stages::store::Stage;
use crate::storage::hashes::Hash;

/// What is asked for.
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What is asked for beside it.
    pub job: JobRequest,
    /// How much of the machine is used.
    pub machine: MachineRequest,
    /// Whether everything is made anew.
    pub fresh: bool,
    /// How stages that are missing are made.
    pub making: Making,
    /// What the result must depend on, where it was planned.
    pub planned: Option<Dependencies>,
    /// Gates to override.
    pub accept: AcceptRequest,
    /// The command, for who finds the folder locked.
    pub command: String,
}

/// How it ended.
pub enum Done {
    /// The run that is published is the one that would be made.
    Nothing(Box<Identity>, RunFolder),
    /// It was made.
    Made(Box<Identity>, Ended),
}

impl Done {
    fn ending(&self) -> Result<Ending<'_>> {
        let (identity, run, result) = match self {
            Self::Nothing(identity, run) => (identity, run, "nothing_to_do"),
            Self::Made(identity, Ended::Published { run }) => (identity, run, "published"),
            Self::Made(identity, Ended::Refused { run, .. }) => (identity, run, "refused"),
        };
        let (exit, message) = match self {
            Self::Made(_, Ended::Refused { found, .. }) => (ExitStatus::Gate, Some(found.clone())),
            _ => (ExitStatus::Success, None),
        };
        let label = &identity.label;
        let table = match exit {
            ExitStatus::Success => Some(run.output.join(table_path(label.as_of, &label.model)?)),
            _ => None,
        };
        Ok(Ending { result, exit, as_of: Some(label.as_of), run: Some(&run.id), table, message })
    }
}

/// Tells monitoring, and the command that the pipeline has for it, of a run that failed before there was one.
pub fn failed(pipeline: &Pipeline, as_of: Option<Date>, started: Instant, error: &anyhow::Error, log: &Output) {
    Attempt { pipeline, as_of, started }.failed(error, log);
    Ending::of(error, as_of).tell(pipeline, log);
}

impl Request<'_> {
    /// Scores the date and publishes the table.
    ///
    /// # Errors
    /// All findings about configuration and inputs at once, or whatever stops the run; it is told to monitoring.
    pub fn run(&self, log: &Output) -> Result<Done> {
        let started = Instant::now();
        let mut told = false;
        let done = self.done(started, &mut told, log);
        let as_of = || self.pipeline.as_of(self.job.as_of.as_deref()).ok();
        match &done {
            Ok(done) => done.ending()?.tell(self.pipeline, log),
            Err(error) if told => Ending::of(error, as_of()).tell(self.pipeline, log),
            Err(error) => failed(self.pipeline, as_of(), started, error, log),
        }
        done
    }

    /// Does the work; `told` says whether its end is told whatever it is.
    fn done(&self, started: Instant, told: &mut bool, log: &Output) -> Result<Done> {
        let mut job = load(self.pipeline, &self.job, log)?;
        let accept = self.accept.checked()?;
        let stop = stop_on_signals()?;
        let session = Session::open(self.pipeline, &self.command, &self.machine, &stop, log)?.fresh(self.fresh);
        let session = session.making(self.making.clone());
        leave_out_erased(std::slice::from_mut(&mut job), &session.folder.path, session.folder.key.as_ref())?;
        let (identity, hashes, stages) = match ready(&job, self.planned.as_ref(), &session, started)? {
            Ready::Published(identity, run) => return Ok(Done::Nothing(identity, run)),
            Ready::ToMake(identity, hashes, stages) => (identity, hashes, stages),
        };
        *told = true;
        let run = Run {
            job: &job,
            identity: &identity,
            hashes: &hashes,
            stages: &stages,
            accept: &accept,
            session: &session,
            started,
        };
        let ended = run.make()?;
        Ok(Done::Made(identity, ended))
    }
}

/// What there is to do.
enum Ready {
    /// Nothing: the run is published.
    Published(Box<Identity>, RunFolder),
    /// A run, with all that it needs.
    ToMake(Box<Identity>, Vec<Vec<Hash>>, Vec<Stage>),
}

/// Hashes the inputs and finds or makes the stages, unless the table is published already, which is told.
fn ready(job: &Job, planned: Option<&Dependencies>, session: &Session, started: Instant) -> Result<Ready> {
    let log = session.resources.log;
    let hashes = hashes(job, session)?;
    let identity = identify(job, &hashes);
    if let Some(planned) = planned {
        let differ = planned.differences(&identity.dependencies);
        ensure!(
            differ.is_empty(),
            "the shards were planned for something else: {} changed; plan them again",
            differ.join(", ")
        );
    }
    log.name_run(&identity.id);
    let unset = job.pipeline.settings.gates().unset();
    if !job.pipeline.settings.names_gates() {
        log.line("the pipeline has no [gates]: all of them are checked with their usual limits");
    } else if !unset.is_empty() {
        log.line(&format!("gates that are not set and not checked: {}", unset.join(", ")));
    }
    let folder = &session.folder.path;
    if !session.fresh
        && let Standing::Same(run) = published(&identity, folder, session.key(), session.resources.stop)?
    {
        let text = format!("nothing to do: the run {} is published, and nothing it depends on has changed", run.id);
        log.event(&text, &[("event", "nothing_to_do".into()), ("run", run.id.clone().into())]);
        let pipeline = job.pipeline.settings.name.as_str();
        let outcome = Outcome { pipeline, exit: 0, seconds: started.elapsed().as_secs_f64(), of: Some(&run) };
        if let Err(error) = metrics::write(folder, &outcome) {
            log.warn(&format!("the run's metrics could not be written: {error:#}"));
        }
        return Ok(Ready::Published(Box::new(identity), run));
    }
    let stages = stages(&[job], &hashes, session)?.pop().context("no stages")?;
    Ok(Ready::ToMake(Box::new(identity), hashes, stages))
}
