//! `sesame plan`: what a run would do and why; nothing is written.

use anyhow::Result;

use super::flags::{AsOfArgs, PipelineArgs};
use crate::exit::ExitStatus;
use crate::features::sql;
use crate::job::load::load;
use crate::output::Output;
use crate::session::plan;

/// Flags of `plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The as-of date.
    #[command(flatten)]
    pub as_of: AsOfArgs,
    /// Print the features' SQL over the visible rows.
    #[arg(long)]
    pub sql: bool,
}

/// Shows what a run would do.
///
/// # Errors
/// All findings about the configuration at once.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let job = load(&args.pipeline.load()?, &args.pipeline.request(Some(&args.as_of)), output)?;
    output.data(&match args.sql {
        true => format!("{};\n", sql::features(&job.plan)),
        false => plan::text(&job, output)?,
    })?;
    Ok(ExitStatus::Success)
}
