//! Small tables that are held whole and settled by key.

use std::sync::Mutex;

use anyhow::{Result, anyhow};

use crate::NULL;
use crate::contract::Table;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::KeyMap;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::{Checked, Scan};
use crate::tables::ids::UNKNOWN;

pub(super) fn value(rows: &Checked, column: usize, row: usize) -> i64 {
    rows.columns[column].get(row).copied().unwrap_or(NULL)
}

/// A row of a small table, with where it stands.
#[derive(Debug, Clone)]
pub struct HeldRow {
    /// Whose it is, for a table read with a spine; [`UNKNOWN`] when it does not say.
    pub owner: u32,
    /// Integer columns by position in the contract's table.
    pub values: Vec<i64>,
    file: u32,
    row: i64,
}

/// A small table at every date: one row per key counts, the latest known.
pub struct Register(Mutex<Vec<Vec<HeldRow>>>);

impl Register {
    /// An empty table at so many dates.
    #[must_use]
    pub fn new(dates: usize) -> Self {
        Self(Mutex::new(vec![Vec::new(); dates]))
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch, spine: Option<&Spine>) -> Result<()> {
        scan.each(batch, spine, &mut |date, rows| {
            let owner = |row: usize| rows.owners.first().and_then(|o| o.get(row)).copied().unwrap_or(UNKNOWN);
            let held = (0..rows.rows.len()).map(|row| HeldRow {
                owner: owner(row),
                values: (0..rows.columns.len()).map(|c| value(&rows, c, row)).collect(),
                file: rows.file,
                row: rows.rows[row],
            });
            self.0.lock().map_err(|_| anyhow!("another thread failed"))?[date].extend(held);
            Ok(())
        })
    }

    /// One row per key and date; the others are counted as duplicate, superseded or quarantined.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn settle(
        self,
        table: &Table,
        key: &str,
        event: Option<&str>,
        findings: &mut [Findings],
    ) -> Result<Vec<Vec<HeldRow>>> {
        let dates = self.0.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        dates.into_iter().zip(findings).map(|(rows, found)| Self::settle_at(rows, table, key, event, found)).collect()
    }

    fn settle_at(
        mut rows: Vec<HeldRow>,
        table: &Table,
        key: &str,
        event: Option<&str>,
        findings: &mut Findings,
    ) -> Result<Vec<HeldRow>> {
        let key = table.require(key)?;
        let event = event.map(|e| table.require(e)).transpose()?;
        let known = table.position("known_at");
        let when = |r: &HeldRow| match known.map_or(NULL, |k| r.values[k]) {
            NULL => event.map_or(NULL, |e| r.values[e]),
            known => known,
        };
        let content = |r: &HeldRow| -> (u32, Vec<i64>) {
            (r.owner, (0..r.values.len()).filter(|c| Some(*c) != known).map(|c| r.values[c]).collect())
        };
        rows.sort_by(|a, b| {
            let place = |r: &HeldRow| (r.file, r.row);
            (a.values[key].cmp(&b.values[key]))
                .then_with(|| when(b).cmp(&when(a)))
                .then_with(|| place(a).cmp(&place(b)))
        });
        let mut settled = Vec::new();
        for group in rows.chunk_by(|a, b| a.values[key] == b.values[key]) {
            let first = &group[0];
            let newest = group.iter().filter(|r| when(r) == when(first));
            if newest.clone().any(|r| content(r) != content(first)) {
                for held in group {
                    let rule = Rule::ConflictingVersions;
                    findings.quarantine(Quarantined { file: held.file, row: held.row, rule, column: key });
                }
                continue;
            }
            findings.tally.add(first.file, Class::Used, 1);
            for other in &group[1..] {
                let class = if content(other) == content(first) { Class::Duplicate } else { Class::Superseded };
                findings.tally.add(other.file, class, 1);
            }
            settled.push(first.clone());
        }
        Ok(settled)
    }

    /// The reliability of each source, in thousandths; it is the same at every date, for nothing says since when.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn reliability(self, table: &Table, findings: &mut [Findings]) -> Result<KeyMap<i64>> {
        let (source, reliability) = (table.require("source_id")?, table.require("reliability")?);
        let rows = self.settle(table, "source_id", None, findings)?.pop().unwrap_or_default();
        Ok(rows.into_iter().map(|r| (r.values[source], r.values[reliability])).collect())
    }
}
