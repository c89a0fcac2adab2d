//! Many as-of dates, one after another, from stages that are made in one pass.

use std::time::Instant;

use anyhow::{Context, Result};
use jiff::civil::Date;

use super::acceptance::AcceptRequest;
use super::attempt::Attempt;
use super::guard::leave_out_erased;
use super::hooks::Ending;
use super::identity::{Identity, Standing, identify, published};
use super::prepare::{hashes, stages};
use super::publishing::Ended;
use super::run::Run;
use super::{MachineRequest, Session, plan};
use crate::exit::{self, ExitStatus, Interrupted, stop_on_signals};
use crate::job::Job;
use crate::job::load::{JobRequest, load_dates, not_in_the_future};
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::backfill::{Backfill, Every, Fate, Only};
use crate::runs::ledger::Ledger;
use crate::runs::ledger::place::table_path;
use crate::runs::monitoring::metrics::{self, Outcome};
use crate::runs::output_folder::{key_of, looked_at, output_of};
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::stages::key::Kind;
use crate::stages::store::Stage;
use crate::stages::subjects;
use crate::storage::hashes::Hash;

/// Dates whose stages are made in one pass: as many as fit the memory beside the rows themselves.
const AT_ONCE: usize = 12;

/// What is asked for.
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What is asked for beside it; the as-of dates are those of the range.
    pub job: JobRequest,
    /// The first date, the last possible one, and how far apart they are.
    pub range: (Date, Date, Every),
    /// Which of them are run.
    pub only: Only,
    /// How much of the machine is used.
    pub machine: MachineRequest,
    /// Gates to override.
    pub accept: AcceptRequest,
    /// The command, for who finds the folder locked.
    pub command: String,
}

/// A backfill that was begun or goes on, and its jobs, date by date.
struct Begun {
    backfill: Backfill,
    jobs: Vec<Job>,
}

impl Request<'_> {
    /// Runs the dates that are wanted; one that fails does not stop the others.
    ///
    /// # Errors
    /// When the configuration or the inputs do not fit the contract, the output is locked, or the work is interrupted.
    pub fn run(&self, log: &Output) -> Result<Backfill> {
        let started = Instant::now();
        let ended = self.begun(log).and_then(|begun| self.dates(begun, started, log));
        if let Err(error) = &ended {
            Attempt { pipeline: self.pipeline, as_of: None, started }.failed(error, log);
        }
        let ending = match &ended {
            Ok(backfill) => of(backfill),
            Err(error) => Ending::of(error, None),
        };
        ending.tell(self.pipeline, log);
        ended
    }

    /// What each date would reuse and make; nothing is written.
    ///
    /// # Errors
    /// When the configuration or the inputs do not fit the contract.
    pub fn plan(&self, log: &Output) -> Result<String> {
        let Begun { backfill, mut jobs } = self.begun(log)?;
        leave_out_erased(&mut jobs, &output_of(self.pipeline), key_of(self.pipeline)?.as_ref())?;
        plan::of_backfill(&backfill, &jobs, log)
    }

    fn begun(&self, log: &Output) -> Result<Begun> {
        not_in_the_future(self.range.1, &self.pipeline.settings.time_zone, self.job.allow_future, log)?;
        // The model names the backfill, so it is read before the dates are known.
        let first = load_dates(self.pipeline, &self.job, &[self.range.0])?.pop().context("no date")?;
        let (name, model) = (&self.pipeline.settings.name, first.model.label());
        let (folder, key) = (looked_at(self.pipeline, Need::Small)?, key_of(self.pipeline)?);
        let backfill = Backfill::open(&folder, name, &model, self.range, self.job.known_by.as_deref(), key.as_ref())?;
        let request = JobRequest { known_by: backfill.known_by.clone(), ..self.job.clone() };
        let dates: Vec<_> = backfill.slots.iter().map(|s| s.as_of).collect();
        let jobs = load_dates(self.pipeline, &request, &dates)?;
        Ok(Begun { backfill, jobs })
    }

    fn dates(&self, begun: Begun, started: Instant, log: &Output) -> Result<Backfill> {
        let Begun { mut backfill, mut jobs } = begun;
        let (accept, stop) = (self.accept.checked()?, stop_on_signals()?);
        let session = Session::open(self.pipeline, &self.command, &self.machine, &stop, log)?;
        let (folder, key) = (&session.folder.path, session.folder.key.as_ref());
        leave_out_erased(&mut jobs, folder, key)?;
        let hashes = hashes(jobs.first().context("no date")?, &session)?;
        let wanted = choose(&mut backfill, jobs, &hashes, self.only, &session)?;
        backfill.save(folder, key)?;
        for some in wanted.chunks(AT_ONCE) {
            let jobs: Vec<&Job> = some.iter().map(|(job, _)| job).collect();
            let made = stages_of_each(&jobs, &hashes, &session)?;
            // The time of the pass is that of all dates: it belongs to the audit of none.
            drop(log.timings());
            for ((job, identity), stages) in some.iter().zip(made) {
                let (hashes, accept, session, started) = (&hashes, &accept, &session, Instant::now());
                let one = |stages: &Vec<Stage>| fate(&Run { job, identity, hashes, stages, accept, session, started });
                let fate = match stages.and_then(|stages| one(&stages)) {
                    Ok(fate) => fate,
                    Err(error) if error.downcast_ref::<Interrupted>().is_some() => return Err(error),
                    Err(error) => Fate::Failed { because: exit::message(&error) },
                };
                if let Fate::Failed { because } = &fate {
                    log.error(&format!("{}: {because}", identity.label.as_of));
                }
                backfill.note(job.snapshot.calendar.as_of(), fate);
                backfill.save(folder, key)?;
            }
        }
        let (pipeline, exit) = (self.pipeline.settings.name.as_str(), status(&backfill).code());
        let outcome = Outcome { pipeline, exit, seconds: started.elapsed().as_secs_f64(), of: None };
        if let Err(error) = metrics::write(folder, &outcome) {
            log.warn(&format!("the metrics could not be written: {error:#}"));
        }
        Ok(backfill)
    }
}

/// How a backfill ended, and which dates failed.
fn of(backfill: &Backfill) -> Ending<'static> {
    let failed = backfill.slots.iter().filter_map(|slot| match &slot.fate {
        Fate::Failed { because } => Some(format!("{}: {because}", slot.as_of)),
        _ => None,
    });
    let failed: Vec<String> = failed.collect();
    let result = if failed.is_empty() { "backfilled" } else { "partly_backfilled" };
    let message = (!failed.is_empty()).then(|| failed.join("\n"));
    Ending { result, exit: status(backfill), as_of: None, run: None, table: None, message }
}

/// What the shell sees of a backfill.
#[must_use]
pub fn status(backfill: &Backfill) -> ExitStatus {
    match backfill.with(|f| matches!(f, Fate::Failed { .. })).count() {
        0 => ExitStatus::Success,
        _ => ExitStatus::Partly,
    }
}

/// The jobs to run; of the others the state says why they are not.
fn choose(
    backfill: &mut Backfill,
    jobs: Vec<Job>,
    hashes: &[Vec<Hash>],
    only: Only,
    session: &Session,
) -> Result<Vec<(Job, Identity)>> {
    let ledger = Ledger::open(&session.folder.path, session.key())?;
    let mut wanted = Vec::new();
    for job in jobs {
        session.resources.check()?;
        let as_of = job.snapshot.calendar.as_of();
        let held = backfill.slots.iter().find(|s| s.as_of == as_of).map(|s| s.fate.clone());
        let identity = identify(&job, hashes);
        let table = table_path(identity.label.as_of, &identity.label.model)?;
        remote::bring(&session.folder.path.join(&table))?;
        let there = ledger.current(&table).filter(|_| session.folder.path.join(&table).exists());
        match (only, held) {
            (Only::Failed, Some(Fate::Failed { .. })) | (Only::All, _) => {}
            (Only::Failed, _) => continue,
            (Only::Missing, held) => {
                if let Some(line) = there {
                    // What this backfill did itself stays done.
                    if !matches!(held, Some(Fate::Done { .. })) {
                        let because = format!("published by the run {}", line.entry.run);
                        backfill.note(as_of, Fate::Skipped { because });
                    }
                    continue;
                }
            }
        }
        let standing = published(&identity, &session.folder.path, session.key(), session.resources.stop)?;
        if let Standing::Same(run) = standing {
            let because = format!("the run {} is published, and nothing it depends on has changed", run.id);
            backfill.note(as_of, Fate::Skipped { because });
            continue;
        }
        backfill.note(as_of, Fate::Pending);
        wanted.push((job, identity));
    }
    Ok(wanted)
}

/// The stages of every job. When making them together fails, each date is tried by itself, so that the others go on.
fn stages_of_each(jobs: &[&Job], hashes: &[Vec<Hash>], session: &Session) -> Result<Vec<Result<Vec<Stage>>>> {
    match stages(jobs, hashes, session) {
        Ok(made) => Ok(made.into_iter().map(Ok).collect()),
        Err(error) if error.downcast_ref::<Interrupted>().is_some() => Err(error),
        Err(error) if jobs.len() == 1 => Ok(vec![Err(error)]),
        Err(error) => {
            session
                .resources
                .log
                .warn(&format!("the dates are tried one by one, for together: {}", exit::message(&error)));
            let mut each = Vec::with_capacity(jobs.len());
            for job in jobs {
                session.resources.check()?;
                each.push(stages(&[*job], hashes, session).and_then(|mut s| s.pop().context("no stages")));
            }
            Ok(each)
        }
    }
}

/// What becomes of a date.
fn fate(run: &Run) -> Result<Fate> {
    if subjects_of(run.stages)? == 0 {
        return Ok(Fate::Skipped { because: "no subject is visible at this date".to_owned() });
    }
    Ok(match run.make()? {
        Ended::Published { run: folder } => {
            run.session.resources.log.line(&format!("published {} (run {})", run.identity.label.as_of, folder.id));
            Fate::Done { run: folder.id }
        }
        Ended::Refused { found, .. } => Fate::Failed { because: found },
    })
}

/// Number of subjects that the stages' date sees.
fn subjects_of(stages: &[Stage]) -> Result<usize> {
    let of = stages.iter().find(|s| s.label.key.kind == Kind::Subjects);
    subjects::count(of.context("no stage of subjects")?)
}
