//! `sesame generate`.

use anyhow::Result;

use crate::cli::GenerateArgs;
use crate::contract::parse_day;
use crate::exit::ExitStatus;
use crate::machine::threads;
use crate::output::Output;
use crate::synth::{Settings, write};

/// Writes a synthetic population.
///
/// # Errors
/// When the folder holds something already or cannot be written.
pub fn run(args: &GenerateArgs, output: &Output) -> Result<ExitStatus> {
    threads(args.threads)?;
    let settings =
        Settings { subjects: args.subjects, seed: args.seed, as_of: parse_day(&args.as_of)?, months: args.months };
    write(&args.folder, &settings, output)?;
    Ok(ExitStatus::Success)
}
