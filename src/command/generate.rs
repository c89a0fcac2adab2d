//! `sesame generate`.

use std::path::PathBuf;

use anyhow::Result;

use crate::contract::parse_day;
use crate::exit::ExitStatus;
use crate::machine::threads::use_threads;
use crate::output::Output;
use crate::synth::{Settings, write};

/// Flags of `generate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder to write to; it must not hold anything yet.
    pub folder: PathBuf,
    /// Number of subjects.
    #[arg(long, value_name = "N")]
    pub subjects: u64,
    /// Seed; the same seed makes the same bytes.
    #[arg(long, value_name = "S")]
    pub seed: u64,
    /// The last day that is written.
    #[arg(long, value_name = "DATE", default_value = "2025-10-31")]
    pub as_of: String,
    /// Months of history before that day.
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub months: u32,
    /// Month ends that outcomes follow, the last day among them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub outcome_dates: u32,
    /// What a year adds to the log-odds of going bad; earlier outcomes are milder by as much.
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_hyphen_values = true)]
    pub risk_drift: f64,
    /// Threads; all cores when not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Writes a synthetic population.
///
/// # Errors
/// When the folder holds something already or cannot be written.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    use_threads(args.threads)?;
    let settings = Settings {
        subjects: args.subjects,
        seed: args.seed,
        as_of: parse_day(&args.as_of)?,
        months: args.months,
        outcome_dates: args.outcome_dates,
        risk_drift: args.risk_drift,
    };
    write(&args.folder, &settings, output)?;
    Ok(ExitStatus::Success)
}
