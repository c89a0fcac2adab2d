//! `sesame run`: check → stages → score → gates → publish → audit.

use anyhow::Result;

use super::ended::ended;
use super::flags::{AcceptArgs, AsOfArgs, EngineArgs, PipelineArgs};
use crate::exit::ExitStatus;
use crate::ingest::spine::shard::MOST_SHARDS;
use crate::job::load::load;
use crate::output::Output;
use crate::session::Making;
use crate::session::one_date::Request;
use crate::session::plan;

/// Flags of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The as-of date.
    #[command(flatten)]
    pub as_of: AsOfArgs,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Gates to override.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// Make everything anew instead of reusing what is kept.
    #[arg(long)]
    pub fresh: bool,
    /// Hold the rows of one of so many shards of the subjects at a time: less memory, more time, the same bytes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub shards: Option<u32>,
    /// Show what would be done and stop.
    #[arg(long)]
    pub plan: bool,
}

/// Scores a population and publishes the table.
///
/// # Errors
/// All findings about configuration and inputs at once; a failed gate; whatever stops the run.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = args.pipeline.load()?;
    let job = args.pipeline.request(Some(&args.as_of));
    if args.plan {
        output.data(&plan::text(&load(&pipeline, &job, output)?, output)?)?;
        return Ok(ExitStatus::Success);
    }
    let request = Request {
        pipeline: &pipeline,
        job,
        machine: args.engine.request(),
        fresh: args.fresh,
        making: args.shards.map_or(Making::AtOnce, Making::InShards),
        planned: None,
        accept: args.accept.request(),
        command: format!("run {}", args.pipeline.pipeline.display()),
    };
    ended(&request, output)
}
