//! `sesame validate` and `sesame compare`: how well scores rank outcomes, and which of two models does better.

use anyhow::Result;

use crate::cli::{CompareArgs, DiffFormat, ValidateArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::output::Output;
use crate::runs::kept::{KeptRun, find};
use crate::validate::scored::ScoredTable;
use crate::validate::{comparison, outcomes, text, validation};

/// Measures a run against outcomes.
///
/// # Errors
/// When the run is not there, or the outcomes do not fit the contract.
pub fn run(args: &ValidateArgs, output: &Output) -> Result<ExitStatus> {
    let run = KeptRun::open(find(&args.run, &args.runs.output)?)?;
    let table = ScoredTable::read(&run)?;
    let found = outcomes::read(&run, &table, &args.outcomes, output, &*stop_on_signals()?)?;
    let validation = validation::validate(&run, &table, found);
    output.data(&match args.format {
        DiffFormat::Text => text::validation(&validation),
        DiffFormat::Json => serde_json::to_string_pretty(&validation)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}

/// Measures two runs against the same outcomes.
///
/// # Errors
/// When a run is not there, they are of different dates, or the outcomes do not fit the contract.
pub fn compare(args: &CompareArgs, output: &Output) -> Result<ExitStatus> {
    let open = |name: &str| KeptRun::open(find(name, &args.runs.output)?);
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    comparison::of_one_date(&a, &b)?;
    let (one, other) = (ScoredTable::read(&a)?, ScoredTable::read(&b)?);
    let found = outcomes::read(&a, &one, &args.outcomes, output, &*stop_on_signals()?)?;
    let comparison = comparison::compare((&a, &one), (&b, &other), found);
    output.data(&match args.format {
        DiffFormat::Text => text::comparison(&comparison),
        DiffFormat::Json => serde_json::to_string_pretty(&comparison)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}
