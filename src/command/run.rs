//! `sesame run`: check → stages → score → gates → publish → audit.

use std::time::Instant;

use anyhow::{Context, Result};

use super::plan::text;
use crate::cli::RunArgs;
use crate::exit::{ExitStatus, GateFailed, stop_on_signals};
use crate::job;
use crate::machine::limits;
use crate::output::Output;
use crate::publish::gates::GATES;
use crate::runs::house::House;
use crate::runs::inputs::Memory;
use crate::runs::prepare::{Workshop, stages};
use crate::runs::run::{Accept, Ended, identify, published, run as score};

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
    let accept = accepted(&args.accept, args.because.as_deref())?;
    let limits = limits(&args.engine, &job.pipeline)?;
    let stop = stop_on_signals()?;
    let command = format!("run {}", args.pipeline.pipeline.display());
    let house = House::open(&job.pipeline, &command, output)?;
    let shop = Workshop { house: &house, limits: &limits, fresh: args.fresh, stop: &stop, log: output };
    let mut memory = Memory::of(&house.output);
    let hashes = memory.hashes(&job.exports, output, &stop)?;
    memory.save(&house.output)?;
    let identity = identify(&job, &hashes);
    if !args.fresh
        && let Some(run) = published(&identity, &shop)?
    {
        output.line(&format!("nothing to do: the run {run} is published, and nothing it depends on has changed"));
        return Ok(ExitStatus::Success);
    }
    let stages = stages(&[&job], &hashes, &shop)?.pop().context("no stages")?;
    match score(&job, &identity, &hashes, &stages, &accept, &shop, started)? {
        Ended::Published { run } => {
            let table = crate::runs::publication::table_path(&identity.label.as_of, &identity.label.model);
            output.line(&format!("published {} (run {})", house.output.join(table).display(), run.id));
            Ok(ExitStatus::Success)
        }
        Ended::Refused { run, found } => {
            let folder = run.folder.display();
            Err(GateFailed(format!("{found}\nnothing was published; the result is kept in {folder}")).into())
        }
    }
}

/// The gates to override, with the reason.
///
/// # Errors
/// When a gate does not exist, or no reason is given.
pub fn accepted(gates: &[String], because: Option<&str>) -> Result<Vec<Accept>> {
    let because = because.map(str::trim).unwrap_or_default();
    for gate in gates {
        if !GATES.contains(&gate.as_str()) {
            let hint = crate::expression::did_you_mean(gate, GATES);
            anyhow::bail!("--accept {gate}: there is no such gate{hint}; there are {}", GATES.join(", "));
        }
    }
    anyhow::ensure!(gates.is_empty() || !because.is_empty(), "--accept needs a reason: --because TEXT");
    Ok(gates.iter().map(|gate| Accept { gate: gate.clone(), because: because.to_owned() }).collect())
}
