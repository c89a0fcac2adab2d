//! Outcomes that follow the as-of date: labels for validation, never a feature.

use std::sync::Mutex;

use anyhow::{Result, anyhow};

use super::registers::value;
use crate::contract::Table;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::ingest::read::batches::Batch;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::Scan;

/// What became of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// Days over which it was observed.
    pub horizon_days: i64,
    /// The subject's number at the date.
    pub subject: u32,
    /// Whether the subject defaulted.
    pub bad: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    outcome: Outcome,
    file: u32,
    row: i64,
}

/// Collects outcomes, by date.
pub struct Outcomes(Mutex<Vec<Vec<Held>>>);

impl Outcomes {
    /// None yet, at so many dates.
    #[must_use]
    pub fn new(dates: usize) -> Self {
        Self(Mutex::new(vec![Vec::new(); dates]))
    }

    /// Reads a batch; outcomes of other as-of dates are counted and left out.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch, spine: &Spine, table: &Table) -> Result<()> {
        let (as_of, horizon, bad) = (table.require("as_of")?, table.require("horizon_days")?, table.require("bad")?);
        scan.each(batch, Some(spine), &mut |date, rows| {
            let day = scan.snapshots()[date].calendar.as_of_day();
            let held = |row: usize| Held {
                outcome: Outcome {
                    horizon_days: value(&rows, horizon, row),
                    subject: spine.members(date).number(rows.owners[0][row]),
                    bad: value(&rows, bad, row) == 1,
                },
                file: rows.file,
                row: rows.rows[row],
            };
            let follows = |row: &usize| value(&rows, as_of, *row) == day;
            let found: Vec<Held> = (0..rows.rows.len()).filter(follows).map(held).collect();
            let others = (rows.rows.len() - found.len()) as u64;
            scan.findings()?[date].tally.add(rows.file, Class::OutsideWindows, others);
            self.0.lock().map_err(|_| anyhow!("another thread failed"))?[date].extend(found);
            Ok(())
        })
    }

    /// The outcomes at each date, settled.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn settle(self, table: &Table, findings: &mut [Findings]) -> Result<Vec<Vec<Outcome>>> {
        let dates = self.0.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let column = table.require("bad")?;
        Ok(dates.into_iter().zip(findings).map(|(held, found)| settle(held, column, found)).collect())
    }
}

/// One outcome per horizon and subject, in this order; those that contradict each other are quarantined.
fn settle(mut held: Vec<Held>, column: usize, findings: &mut Findings) -> Vec<Outcome> {
    held.sort_unstable_by_key(|h| (h.outcome.horizon_days, h.outcome.subject, h.file, h.row));
    let mut settled = Vec::with_capacity(held.len());
    let same =
        |a: &Held, b: &Held| (a.outcome.horizon_days, a.outcome.subject) == (b.outcome.horizon_days, b.outcome.subject);
    for group in held.chunk_by(same) {
        if group.iter().any(|h| h.outcome.bad != group[0].outcome.bad) {
            for h in group {
                let rule = Rule::ConflictingVersions;
                findings.quarantine(Quarantined { file: h.file, row: h.row, rule, column });
            }
            continue;
        }
        findings.tally.add(group[0].file, Class::Used, 1);
        group[1..].iter().for_each(|h| findings.tally.add(h.file, Class::Duplicate, 1));
        settled.push(group[0].outcome);
    }
    settled
}
