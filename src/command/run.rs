//! `sesame run`: check → stages → score → gates → publish → audit.

use std::time::Instant;

use anyhow::{Context, Result};

use super::plan::text;
use crate::cli::{AcceptArgs, RunArgs};
use crate::exit::{ExitStatus, GateFailed, stop_on_signals};
use crate::job::{self, Job};
use crate::machine::limits;
use crate::output::Output;
use crate::publish::gates::GATES;
use crate::publish::hashes::Hash;
use crate::runs::identity::{Identity, identify, published};
use crate::runs::inputs::Memory;
use crate::runs::metrics::{self, Outcome};
use crate::runs::output_folder::OutputFolder;
use crate::runs::prepare::{RunContext, stages};
use crate::runs::publication::table_path;
use crate::runs::run::{Accept, Ended, Run};
use crate::stages::store::Stage;

/// Scores a population and publishes the table.
///
/// # Errors
/// All findings about configuration and inputs at once; a failed gate; whatever stops the run.
pub fn run(args: &RunArgs, output: &Output) -> Result<ExitStatus> {
    let started = Instant::now();
    let job = job::load(&args.pipeline)?;
    if args.plan {
        output.data(&text(&job, output)?)?;
        return Ok(ExitStatus::Success);
    }
    let accept = accepted(&args.accept)?;
    let limits = limits(&args.engine, &job.pipeline)?;
    let stop = stop_on_signals()?;
    let command = format!("run {}", args.pipeline.pipeline.display());
    let folder = OutputFolder::open(&job.pipeline, &command, output)?;
    let context = RunContext { folder: &folder, limits: &limits, fresh: args.fresh, stop: &stop, log: output };
    let ready = match ready(&job, &context) {
        Ok(Some(ready)) => ready,
        // A run that scores tells its end itself.
        ended => {
            tell(&job, ended.as_ref().err(), &context, started);
            return ended.map(|_| ExitStatus::Success);
        }
    };
    let Ready { identity, hashes, stages } = &ready;
    match (Run { job: &job, identity, hashes, stages, accept: &accept, context: &context, started }).make()? {
        Ended::Published { run } => {
            let table = table_path(&identity.label.as_of, &identity.label.model);
            output.line(&format!("published {} (run {})", folder.path.join(table).display(), run.id));
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

/// Hashes the inputs and finds or makes the stages; nothing when the table is published already.
fn ready(job: &Job, context: &RunContext) -> Result<Option<Ready>> {
    let folder = &context.folder.path;
    let mut memory = Memory::of(folder);
    let hashes = memory.hashes(&job.exports, context.log, context.stop)?;
    memory.save(folder)?;
    let identity = identify(job, &hashes);
    if !context.fresh
        && let Some(run) = published(&identity, context)?
    {
        context.log.line(&format!("nothing to do: the run {run} is published, and nothing it depends on has changed"));
        return Ok(None);
    }
    let stages = stages(&[job], &hashes, context)?.pop().context("no stages")?;
    Ok(Some(Ready { identity, hashes, stages }))
}

fn tell(job: &Job, error: Option<&anyhow::Error>, context: &RunContext, started: Instant) {
    let exit = error.map_or(ExitStatus::Success, ExitStatus::of).code();
    let pipeline = job.pipeline.settings.name.as_str();
    let outcome = Outcome { pipeline, exit, seconds: started.elapsed().as_secs_f64(), audit: None };
    if let Err(error) = metrics::write(&context.folder.path, &outcome) {
        context.log.warn(&format!("the run's metrics could not be written: {error:#}"));
    }
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
