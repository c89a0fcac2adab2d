//! `sesame run`: check → stages → score → gates → publish → audit.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Context, Result};

use super::plan::text;
use crate::cli::{AcceptArgs, RunArgs};
use crate::exit::{ExitStatus, GateFailed, stop_on_signals};
use crate::job::{self, Job, load_dates};
use crate::machine::limits;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::publish::gates::GATES;
use crate::runs::attempt::Attempt;
use crate::runs::identity::{Identity, Standing, identify, published};
use crate::runs::inputs::Memory;
use crate::runs::metrics::{self, Outcome};
use crate::runs::output_folder::OutputFolder;
use crate::runs::prepare::{RunContext, stages};
use crate::runs::publication::table_path;
use crate::runs::run::{Accept, Ended, Run};
use crate::stages::store::Stage;
use crate::storage::hashes::Hash;

/// Scores a population and publishes the table.
///
/// # Errors
/// All findings about configuration and inputs at once; a failed gate; whatever stops the run.
pub fn run(args: &RunArgs, output: &Output) -> Result<ExitStatus> {
    let started = Instant::now();
    let pipeline = Pipeline::load(&args.pipeline.pipeline, &args.pipeline.overrides)?;
    if args.plan {
        output.data(&text(&job::of(pipeline, &args.pipeline, output)?, output)?)?;
        return Ok(ExitStatus::Success);
    }
    let told = Cell::new(false);
    let ended = scored(args, &pipeline, &told, started, output);
    if let Err(error) = ended.as_ref()
        && !told.get()
    {
        let as_of = pipeline.as_of(args.pipeline.as_of.as_deref()).ok().map(|d| d.to_string());
        Attempt { pipeline: &pipeline, as_of, started }.failed(error, output);
    }
    ended
}

/// Does the work; `told` says whether its end has been told.
fn scored(
    args: &RunArgs,
    pipeline: &Pipeline,
    told: &Cell<bool>,
    started: Instant,
    output: &Output,
) -> Result<ExitStatus> {
    let as_of = pipeline.as_of(args.pipeline.as_of.as_deref())?;
    job::not_in_the_future(as_of, args.pipeline.allow_future, output)?;
    let job = load_dates(pipeline.clone(), &args.pipeline, &[as_of])?.pop().context("no as-of date")?;
    let accept = accepted(&args.accept)?;
    let limits = limits(&args.engine, &job.pipeline)?;
    let stop = stop_on_signals()?;
    let command = format!("run {}", args.pipeline.pipeline.display());
    let folder = OutputFolder::open(&job.pipeline, &command, output)?;
    let context = RunContext { folder: &folder, limits: &limits, fresh: args.fresh, stop: &stop, log: output };
    let Some(Ready { identity, hashes, stages }) = ready(&job, &context, started)? else {
        return Ok(ExitStatus::Success);
    };
    told.set(true);
    let run = Run {
        job: &job,
        identity: &identity,
        hashes: &hashes,
        stages: &stages,
        accept: &accept,
        context: &context,
        started,
    };
    match run.make()? {
        Ended::Published { run } => {
            let table = folder.path.join(table_path(&identity.label.as_of, &identity.label.model)?);
            output.event(
                &format!("published {} (run {})", table.display(), run.id),
                &[("event", "published".into()), ("run", run.id.into()), ("table", table.display().to_string().into())],
            );
            Ok(ExitStatus::Success)
        }
        Ended::Refused { run, found } => {
            let folder = run.folder.display();
            Err(GateFailed(format!("{found}\nnothing was published; the result is kept in {folder}")).into())
        }
    }
}

/// All that scoring needs.
struct Ready {
    identity: Identity,
    hashes: Vec<Vec<Hash>>,
    stages: Vec<Stage>,
}

/// Hashes the inputs and finds or makes the stages; nothing when the table is published already, which is told.
fn ready(job: &Job, context: &RunContext, started: Instant) -> Result<Option<Ready>> {
    let (folder, key) = (&context.folder.path, context.folder.key.as_ref());
    let mut memory = Memory::of(folder, key);
    let hashes = memory.hashes(&job.exports, context.log, context.stop)?;
    memory.save(folder, key)?;
    let identity = identify(job, &hashes);
    context.log.name_run(&identity.id);
    let unset = job.pipeline.settings.gates().unset();
    if !job.pipeline.settings.names_gates() {
        context.log.line("the pipeline has no [gates]: all of them are checked with their usual limits");
    } else if !unset.is_empty() {
        context.log.line(&format!("gates that are not set and not checked: {}", unset.join(", ")));
    }
    if !context.fresh
        && let Standing::Same(run) = published(&identity, folder, context.folder.key.clone(), context.stop)?
    {
        let text = format!("nothing to do: the run {} is published, and nothing it depends on has changed", run.id);
        context.log.event(&text, &[("event", "nothing_to_do".into()), ("run", run.id.clone().into())]);
        let pipeline = job.pipeline.settings.name.as_str();
        let outcome = Outcome { pipeline, exit: 0, seconds: started.elapsed().as_secs_f64(), of: Some(&run) };
        if let Err(error) = metrics::write(folder, &outcome) {
            context.log.warn(&format!("the run's metrics could not be written: {error:#}"));
        }
        return Ok(None);
    }
    let stages = stages(&[job], &hashes, context)?.pop().context("no stages")?;
    Ok(Some(Ready { identity, hashes, stages }))
}

/// The gates to override, with the reason.
///
/// # Errors
/// When a gate does not exist, or no reason is given.
pub fn accepted(args: &AcceptArgs) -> Result<Vec<Accept>> {
    let (gates, because) = (&args.accept, args.because.as_deref().map(str::trim).unwrap_or_default());
    for gate in gates {
        if !GATES.contains(&gate.as_str()) {
            let hint = crate::expression::did_you_mean(gate, GATES);
            anyhow::bail!("--accept {gate}: there is no such gate{hint}; there are {}", GATES.join(", "));
        }
    }
    anyhow::ensure!(gates.is_empty() || !because.is_empty(), "--accept needs a reason: --because TEXT");
    Ok(gates.iter().map(|gate| Accept { gate: gate.clone(), because: because.to_owned() }).collect())
}
