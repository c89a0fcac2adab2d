//! `sesame validate`: how well scores rank outcomes.

use anyhow::Result;

use super::flags::{Format, KeysArgs, RunsArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::output::Output;
use crate::runs::kept::KeptRun;
use crate::runs::named::find;
use crate::validate::scored::ScoredTable;
use crate::validate::{outcomes, text, validation};

/// Flags of `validate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`.
    pub run: String,
    /// The outcomes: a file, folder or pattern, or the URL of such.
    #[arg(long, value_name = "FILE")]
    pub outcomes: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Which keys open its files.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Measures a run against outcomes.
///
/// # Errors
/// When the run is not there, or the outcomes do not fit the contract.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    args.keys.name()?;
    let run = KeptRun::open(find(&args.run, &args.runs.folder()?)?)?;
    let table = ScoredTable::read(&run)?;
    let found = outcomes::read(&run, &table, &args.outcomes, output, &*stop_on_signals()?)?;
    let validation = validation::validate(&run, &table, found);
    output.data(&match args.format {
        Format::Text => text::validation(&validation),
        Format::Json => serde_json::to_string_pretty(&validation)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}
