//! `sesame backfill`: many as-of dates, one after another, from stages that are made in one pass.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::plan;
use super::run::accepted;
use crate::cli::{BackfillArgs, PipelineArgs};
use crate::contract::parse_day;
use crate::exit::{self, ExitStatus, Interrupted, stop_on_signals};
use crate::job::{self, Job, load_dates};
use crate::machine::limits;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::attempt::Attempt;
use crate::runs::backfill::{Backfill, Fate, Only};
use crate::runs::identity::{Identity, Standing, identify, published};
use crate::runs::inputs::Memory;
use crate::runs::ledger::Ledger;
use crate::runs::metrics::{self, Outcome};
use crate::runs::output_folder::{OutputFolder, key_of, output_of};
use crate::runs::prepare::{RunContext, stages};
use crate::runs::publication::table_path;
use crate::runs::run::{Ended, Run};
use crate::stages::store::Stage;
use crate::storage::hashes::Hash;

/// Dates whose stages are made in one pass: as many as fit the memory beside the rows themselves.
const AT_ONCE: usize = 12;

/// Runs the dates of a backfill that are wanted; one that fails does not stop the others.
///
/// # Errors
/// When the configuration or the inputs do not fit the contract, the output is locked, or the work is interrupted.
pub fn run(args: &BackfillArgs, output: &Output) -> Result<ExitStatus> {
    let started = Instant::now();
    let pipeline = Pipeline::load(&args.pipeline.pipeline, &args.pipeline.overrides)?;
    let ended = dates(args, &pipeline, started, output);
    if let Err(error) = &ended
        && !args.plan
    {
        Attempt { pipeline: &pipeline, as_of: None, started }.failed(error, output);
    }
    ended
}

fn dates(args: &BackfillArgs, pipeline: &Pipeline, started: Instant, output: &Output) -> Result<ExitStatus> {
    let range = (parse_day(&args.from).context("--from")?, parse_day(&args.to).context("--to")?, args.every);
    let given = &args.pipeline;
    ensure!(given.as_of.is_none(), "a backfill scores the dates --from … --to; leave --as-of out");
    job::not_in_the_future(range.1, given.allow_future, output)?;
    let accept = accepted(&args.accept)?;
    let limits = limits(&args.engine, pipeline)?;
    // The model names the backfill, so it is read before the dates are known.
    let first = load_dates(pipeline.clone(), given, &[range.0])?.pop().context("no date")?;
    let (name, model, folder) = (first.pipeline.settings.name.clone(), first.model.label(), output_of(pipeline));
    let mut backfill =
        Backfill::open(&folder, &name, &model, range, given.known_by.as_deref(), key_of(pipeline)?.as_ref())?;
    let given = PipelineArgs { known_by: backfill.known_by.clone(), ..given.clone() };
    let dates: Vec<_> = backfill.slots.iter().map(|s| s.as_of).collect();
    let jobs = load_dates(pipeline.clone(), &given, &dates)?;
    if args.plan {
        output.data(&plan::of_backfill(&backfill, &jobs, output)?)?;
        return Ok(ExitStatus::Success);
    }
    let stop = stop_on_signals()?;
    let command = format!("backfill {}", given.pipeline.display());
    let folder = OutputFolder::open(&first.pipeline, &command, output)?;
    let context = RunContext { folder: &folder, limits: &limits, fresh: false, stop: &stop, log: output };
    let key = folder.key.as_ref();
    let mut memory = Memory::of(&folder.path, key);
    let hashes = memory.hashes(&first.exports, output, &stop)?;
    memory.save(&folder.path, key)?;
    let wanted = choose(&mut backfill, jobs, &hashes, args.only, &context)?;
    backfill.save(&folder.path, key)?;
    for some in wanted.chunks(AT_ONCE) {
        let jobs: Vec<&Job> = some.iter().map(|(job, _)| job).collect();
        let made = stages_of_each(&jobs, &hashes, &context)?;
        // The time of the pass is that of all dates: it belongs to the audit of none.
        drop(output.timings());
        for ((job, identity), stages) in some.iter().zip(made) {
            let (hashes, accept, context, started) = (&hashes, &accept, &context, Instant::now());
            let one = |stages: &Vec<Stage>| fate(&Run { job, identity, hashes, stages, accept, context, started });
            let fate = match stages.and_then(|stages| one(&stages)) {
                Ok(fate) => fate,
                Err(error) if error.downcast_ref::<Interrupted>().is_some() => return Err(error),
                Err(error) => Fate::Failed { because: exit::message(&error) },
            };
            if let Fate::Failed { because } = &fate {
                output.error(&format!("{}: {because}", identity.label.as_of));
            }
            backfill.note(job.snapshot.calendar.as_of(), fate);
            backfill.save(&folder.path, key)?;
        }
    }
    output.line(&text(&backfill));
    let failed = backfill.with(|f| matches!(f, Fate::Failed { .. })).count();
    let status = if failed == 0 { ExitStatus::Success } else { ExitStatus::Partly };
    let outcome = Outcome { pipeline: &name, exit: status.code(), seconds: started.elapsed().as_secs_f64(), of: None };
    if let Err(error) = metrics::write(&folder.path, &outcome) {
        output.warn(&format!("the metrics could not be written: {error:#}"));
    }
    Ok(status)
}

/// The jobs to run; of the others the state says why they are not.
fn choose(
    backfill: &mut Backfill,
    jobs: Vec<Job>,
    hashes: &[Vec<Hash>],
    only: Only,
    context: &RunContext,
) -> Result<Vec<(Job, Identity)>> {
    let ledger = Ledger::open(&context.folder.path, context.folder.key.clone())?;
    let mut wanted = Vec::new();
    for job in jobs {
        exit::check(context.stop)?;
        let as_of = job.snapshot.calendar.as_of();
        let held = backfill.slots.iter().find(|s| s.as_of == as_of).map(|s| s.fate.clone());
        let identity = identify(&job, hashes);
        let table = table_path(&identity.label.as_of, &identity.label.model)?;
        let there = ledger.current(&table).filter(|_| context.folder.path.join(&table).exists());
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
        let standing = published(&identity, &context.folder.path, context.folder.key.clone(), context.stop)?;
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
fn stages_of_each(jobs: &[&Job], hashes: &[Vec<Hash>], context: &RunContext) -> Result<Vec<Result<Vec<Stage>>>> {
    match stages(jobs, hashes, context) {
        Ok(made) => Ok(made.into_iter().map(Ok).collect()),
        Err(error) if error.downcast_ref::<Interrupted>().is_some() => Err(error),
        Err(error) if jobs.len() == 1 => Ok(vec![Err(error)]),
        Err(error) => {
            context.log.warn(&format!("the dates are tried one by one, for together: {}", exit::message(&error)));
            let mut each = Vec::with_capacity(jobs.len());
            for job in jobs {
                exit::check(context.stop)?;
                each.push(stages(&[*job], hashes, context).and_then(|mut s| s.pop().context("no stages")));
            }
            Ok(each)
        }
    }
}

/// What becomes of a date.
fn fate(run: &Run) -> Result<Fate> {
    if subjects(run.stages)? == 0 {
        return Ok(Fate::Skipped { because: "no subject is visible at this date".to_owned() });
    }
    Ok(match run.make()? {
        Ended::Published { run: folder } => {
            run.context.log.line(&format!("published {} (run {})", run.identity.label.as_of, folder.id));
            Fate::Done { run: folder.id }
        }
        Ended::Refused { found, .. } => Fate::Failed { because: found },
    })
}

/// Number of subjects that the stages' date sees.
fn subjects(stages: &[Stage]) -> Result<usize> {
    let of = stages.iter().find(|s| s.label.key.kind == crate::stages::key::Kind::Subjects);
    crate::stages::subjects::count(of.context("no stage of subjects")?)
}

fn text(backfill: &Backfill) -> String {
    let mut lines = vec![format!("\nbackfill of {} with {}", backfill.pipeline, backfill.model)];
    for slot in &backfill.slots {
        let fate = match &slot.fate {
            Fate::Pending => "pending".to_owned(),
            Fate::Done { run } => format!("done     {run}"),
            Fate::Failed { because } => format!("failed   {}", because.replace('\n', "; ")),
            Fate::Skipped { because } => format!("skipped  {because}"),
        };
        lines.push(format!("  {}  {fate}", slot.as_of));
    }
    lines.join("\n")
}
