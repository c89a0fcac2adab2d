//! `sesame compare`: which of two models ranks the same outcomes better.

use anyhow::Result;

use super::flags::{Format, KeysArgs, RunsArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::output::Output;
use crate::runs::kept::KeptRun;
use crate::runs::named::find;
use crate::validate::scored::ScoredTable;
use crate::validate::{comparison, outcomes, text};

/// Flags of `compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`.
    pub a: String,
    /// The other one, of the same as-of date.
    pub b: String,
    /// The outcomes: a file, folder or pattern.
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

/// Measures two runs against the same outcomes.
///
/// # Errors
/// When a run is not there, they are of different dates, or the outcomes do not fit the contract.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    args.keys.name()?;
    let folder = args.runs.folder()?;
    let open = |name: &str| KeptRun::open(find(name, &folder)?);
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    comparison::of_one_date(&a, &b)?;
    let (one, other) = (ScoredTable::read(&a)?, ScoredTable::read(&b)?);
    let found = outcomes::read(&a, &one, &args.outcomes, output, &*stop_on_signals()?)?;
    let comparison = comparison::compare((&a, &one), (&b, &other), found);
    output.data(&match args.format {
        Format::Text => text::comparison(&comparison),
        Format::Json => serde_json::to_string_pretty(&comparison)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}
