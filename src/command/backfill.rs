//! `sesame backfill`: many as-of dates, one after another, from stages that are made in one pass.

use anyhow::{Context, Result};

use super::flags::{AcceptArgs, EngineArgs, PipelineArgs};
use crate::contract::parse_day;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::runs::backfill::{Backfill, Every, Fate, Only};
use crate::session::backfill::{Request, status};

/// Flags of `backfill`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The first as-of date.
    #[arg(long, value_name = "DATE")]
    pub from: String,
    /// The last possible as-of date.
    #[arg(long, value_name = "DATE")]
    pub to: String,
    /// How far apart the dates are.
    #[arg(long, value_enum)]
    pub every: Every,
    /// Which of the dates are run.
    #[arg(long, value_enum, default_value_t)]
    pub only: Only,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Gates to override.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// Show what would be done and stop.
    #[arg(long)]
    pub plan: bool,
}

/// Runs the dates of a backfill that are wanted; one that fails does not stop the others.
///
/// # Errors
/// When the configuration or the inputs do not fit the contract, the output is locked, or the work is interrupted.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = args.pipeline.load()?;
    let request = Request {
        pipeline: &pipeline,
        job: args.pipeline.request(None),
        range: (parse_day(&args.from).context("--from")?, parse_day(&args.to).context("--to")?, args.every),
        only: args.only,
        machine: args.engine.request(),
        accept: args.accept.request(),
        command: format!("backfill {}", args.pipeline.pipeline.display()),
    };
    if args.plan {
        output.data(&request.plan(output)?)?;
        return Ok(ExitStatus::Success);
    }
    let backfill = request.run(output)?;
    output.line(&text(&backfill));
    Ok(status(&backfill))
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
