//! An export of outcomes, read by the contract's rules for the subjects of a kept run.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::Serialize;

use super::scored::ScoredTable;
use crate::contract::{Contract, Snapshot};
use crate::ingest::check::conservation::Class;
use crate::ingest::pass::Pass;
use crate::ingest::read::listing::from_here;
use crate::ingest::read::open::open;
use crate::ingest::settle::outcomes::Outcome;
use crate::machine::memory::LEAST;
use crate::machine::resources::Resources;
use crate::output::Output;
use crate::pipeline::{Findings, Input};
use crate::runs::kept::KeptRun;
use crate::storage::erased::NOBODY;

/// Outcomes by horizon and subject, and what became of the export's rows.
pub struct Outcomes {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
    /// The rows.
    pub rows: Rows,
}

/// What became of the export's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// All of them.
    pub rows: u64,
    /// Those that count.
    pub used: u64,
    /// Those that repeat another.
    pub duplicate: u64,
    /// Those of other as-of dates.
    pub other_dates: u64,
    /// Those that broke a rule, by rule.
    pub quarantined: BTreeMap<&'static str, u64>,
}

/// Reads the outcomes that follow a run's as-of date.
///
/// # Errors
/// All findings about the export at once; or when a file turns out corrupt.
pub fn read(run: &KeptRun, table: &ScoredTable, path: &str, log: &Output, stop: &AtomicBool) -> Result<Outcomes> {
    let contract = Contract::load()?;
    let mut pipeline = run.pipeline.clone();
    // What the user names is relative to where the user is, not to the pipeline file.
    let absolute = from_here(path)?;
    pipeline.settings.inputs = BTreeMap::from([("outcomes".to_owned(), Input { path: absolute, select: None })]);
    let (exports, found) = open(&pipeline, &contract)?;
    Findings(found).or(())?;
    let parameters = run.manifest.parameters();
    let snapshot = Snapshot {
        calendar: contract.calendar(parameters.as_of, &pipeline.settings.time_zone)?,
        known_by: parameters.known_by.parse().context("the run's knowledge cut-off")?,
    };
    let resources = Resources { memory: LEAST, scratch: std::env::temp_dir(), stop, log };
    let budget = resources.budget();
    let pass = Pass {
        contract: &contract,
        snapshots: std::slice::from_ref(&snapshot),
        currency: &pipeline.settings.currency,
        exports: &exports,
        budget: &budget,
        resources: &resources,
        // Who was erased is no subject of the run any more.
        erased: &NOBODY,
        shard: None,
        shuffled: None,
        divided: None,
        keeping: None,
    };
    let (mut dates, mut found) = pass.outcomes_alone(&table.spine()?)?;
    let (outcomes, found) = (dates.pop().unwrap_or_default(), found.pop().unwrap_or_default());
    let mut quarantined = BTreeMap::new();
    for row in &found.quarantined {
        *quarantined.entry(row.rule.name()).or_default() += 1;
    }
    let rows = Rows {
        rows: Class::ALL.iter().map(|c| found.tally.total(*c)).sum(),
        used: found.tally.total(Class::Used),
        duplicate: found.tally.total(Class::Duplicate),
        other_dates: found.tally.total(Class::OutsideWindows),
        quarantined,
    };
    anyhow::ensure!(
        !outcomes.is_empty(),
        "{path} has no outcome of a subject of the run that follows {}; its {} rows are: {} of other as-of dates, {} quarantined ({})",
        parameters.as_of,
        rows.rows,
        rows.other_dates,
        rows.quarantined.values().sum::<u64>(),
        rows.quarantined.keys().copied().collect::<Vec<_>>().join(", ")
    );
    Ok(Outcomes { outcomes, rows })
}
