//! `sesame run`: check → stages → score → gates → publish → audit.

use anyhow::Result;

use super::flags::{AcceptArgs, AsOfArgs, EngineArgs, PipelineArgs};
use crate::exit::{ExitStatus, GateFailed};
use crate::job::load::load;
use crate::output::Output;
use crate::runs::ledger::place::table_path;
use crate::session::one_date::{Done, Request};
use crate::session::plan;
use crate::session::publishing::Ended;

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
        accept: args.accept.request(),
        command: format!("run {}", args.pipeline.pipeline.display()),
    };
    match request.run(output)? {
        Done::Nothing(..) => Ok(ExitStatus::Success),
        Done::Made(identity, Ended::Published { run }) => {
            let table = run.output.join(table_path(identity.label.as_of, &identity.label.model)?);
            output.event(
                &format!("published {} (run {})", table.display(), run.id),
                &[("event", "published".into()), ("run", run.id.into()), ("table", table.display().to_string().into())],
            );
            Ok(ExitStatus::Success)
        }
        Done::Made(_, Ended::Refused { run, found }) => {
            let folder = run.folder.display();
            Err(GateFailed(format!("{found}\nnothing was published; the result is kept in {folder}")).into())
        }
    }
}
