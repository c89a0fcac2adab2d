//! One batch of a table, from Arrow columns to checked rows.

use std::sync::Mutex;

use anyhow::{Context, Result};

use super::batches::Batch;
use super::check::{Checks, Columns, first_faults, quarantined, reliabilities};
use super::conservation::{Class, Tally};
use super::decode::{Fault, IdColumn, KeyMap, decode, faulty_ids};
use super::pii::looks_personal;
use super::rule::{Quarantined, Rule};
use super::spine::{Spine, UNKNOWN};
use crate::contract::{Calendar, ColumnType, Limits, Table};

/// What every table's scan needs to know of the run.
pub struct Setting<'a> {
    /// The as-of date.
    pub calendar: &'a Calendar,
    /// The knowledge cut-off, microseconds since 1970.
    pub known_by: i64,
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The contract's limits.
    pub limits: &'a Limits,
    /// Reliability of each source, in thousandths.
    pub reliability: KeyMap<i64>,
}

/// What was counted and quarantined so far, of one table.
#[derive(Debug, Default)]
pub struct Findings {
    /// Rows by file and class.
    pub tally: Tally,
    /// Quarantined rows, in no order.
    pub quarantined: Vec<Quarantined>,
}

impl Findings {
    /// Quarantines a row.
    pub fn quarantine(&mut self, row: Quarantined) {
        self.tally.add(row.file, Class::Quarantined, 1);
        self.quarantined.push(row);
    }

    /// Counts rows of a file as used, or as merged where they repeat a tie of another row.
    pub fn merged(&mut self, rows: &[u64], merged: &[u64]) {
        for (file, (rows, merged)) in (0_u32..).zip(rows.iter().zip(merged)) {
            self.tally.add(file, Class::Merged, *merged);
            self.tally.add(file, Class::Used, rows - merged);
        }
    }

    /// Adds what another thread found.
    pub fn merge(&mut self, other: &mut Self) {
        self.tally.merge(&other.tally);
        self.quarantined.append(&mut other.quarantined);
    }
}

/// Turns batches of one table into checked rows.
pub struct Scan<'a> {
    table: &'a Table,
    setting: &'a Setting<'a>,
    checks: Checks,
    source: Option<usize>,
    /// Id columns of records whose text could be personal data.
    plain_ids: Vec<usize>,
    /// Whose row it is.
    owners: Vec<usize>,
    /// What was found so far.
    pub findings: Mutex<Findings>,
}

/// Dense numbers by owner column; empty where no spine was given.
type Owners = Vec<Vec<u32>>;
/// The id columns of the owners.
type OwnerIds = Vec<Option<IdColumn>>;

/// The rows of a batch that are visible and break no rule.
pub struct Checked {
    /// The file.
    pub file: u32,
    /// Row numbers in the file.
    pub rows: Vec<i64>,
    /// Integer columns by position in the contract's table.
    pub columns: Columns,
    /// The rows' positions in the batch.
    pub kept: Vec<u32>,
    /// The positions of rows that are not visible yet.
    pub hidden: Vec<u32>,
    /// Dense numbers per owner column, when a spine was given.
    pub owners: Owners,
    /// The id columns of the owners.
    pub owner_ids: OwnerIds,
}

impl<'a> Scan<'a> {
    /// Prepares the scan of a table.
    ///
    /// # Errors
    /// When the contract is inconsistent.
    pub fn new(table: &'a Table, setting: &'a Setting<'a>) -> Result<Self> {
        let owners: Vec<usize> =
            ["subject_id", "subject_a", "subject_b"].iter().filter_map(|c| table.position(c)).collect();
        let ids = table.columns.iter().enumerate().filter(|(at, c)| c.kind == ColumnType::Id && !owners.contains(at));
        Ok(Self {
            table,
            setting,
            checks: Checks::new(table, setting.limits)?,
            source: table.position("source_id").filter(|_| table.name != "sources"),
            plain_ids: ids.map(|(at, _)| at).collect(),
            owners,
            findings: Mutex::default(),
        })
    }

    /// The checks of the table.
    #[must_use]
    pub const fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Checks a batch. With a spine, a row whose subject is unknown is quarantined, or for ties, left to the caller.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub fn check(&self, batch: &Batch, spine: Option<&Spine>) -> Result<Checked> {
        let rows = batch.len;
        let mut faults: Vec<Fault> = Vec::new();
        let mut columns: Columns = Vec::with_capacity(self.table.columns.len());
        for (at, (column, array)) in self.table.columns.iter().zip(&batch.columns).enumerate() {
            columns.push(match array {
                // Owners are looked up by their bytes; all that matters here is whether they are null.
                Some(array) if self.owners.contains(&at) => {
                    if array.null_count() == 0 {
                        vec![0; rows]
                    } else {
                        (0..rows).map(|r| if array.is_null(r) { crate::NULL } else { 0 }).collect()
                    }
                }
                Some(array) => decode(column, at, array, self.setting.currency, &mut faults)?,
                None => Vec::new(),
            });
        }
        for (at, column) in self.table.columns.iter().enumerate().filter(|(_, c)| c.kind == ColumnType::Id) {
            if let Some(array) = &batch.columns[at] {
                let faulty = faulty_ids(array, column.required)?.into_iter();
                faults.extend(faulty.map(|(row, rule)| Fault { row, column: at, rule }));
            }
        }
        let mut visible = self.checks.visible(&columns, self.setting.calendar, self.setting.known_by);
        self.checks.turn_back(&mut columns, rows, self.setting.calendar, &mut faults);
        self.checks.faults(&columns, rows, self.setting.calendar, &mut faults);
        let (owners, owner_ids) = self.look_up(batch, spine, &mut visible, &mut faults)?;
        self.personal_ids(batch, &mut faults)?;
        if let Some(at) = self.source {
            columns[at] = reliabilities(&columns[at], &self.setting.reliability);
        }
        for (at, column) in self.table.columns.iter().enumerate() {
            // Every row's currency is now the pipeline's, and owners have their own vectors.
            if column.kind == ColumnType::Currency || self.owners.contains(&at) {
                columns[at] = Vec::new();
            }
        }
        let kept = self.keep(batch, visible.as_deref(), faults)?;
        let numbers = kept.iter().map(|r| batch.rows.get(*r as usize)).collect();
        let (columns, owners) = if kept.len() == rows {
            (columns, owners)
        } else {
            let gather =
                |c: &Vec<i64>| if c.is_empty() { Vec::new() } else { kept.iter().map(|r| c[*r as usize]).collect() };
            let columns = columns.iter().map(gather).collect();
            // Without a spine owners were not looked up.
            let dense =
                |c: &Vec<u32>| if c.is_empty() { Vec::new() } else { kept.iter().map(|r| c[*r as usize]).collect() };
            (columns, owners.iter().map(dense).collect())
        };
        let last = u32::try_from(rows)?;
        let hidden = visible.map_or_else(Vec::new, |v| (0..last).filter(|r| !v[*r as usize]).collect());
        Ok(Checked { file: batch.file, rows: numbers, columns, kept, hidden, owners, owner_ids })
    }

    /// Counts what is left out and returns the positions of the rest.
    fn keep(&self, batch: &Batch, visible: Option<&[bool]>, faults: Vec<Fault>) -> Result<Vec<u32>> {
        let seen = |row: usize| visible.is_none_or(|v| v[row]);
        let mut lost: Vec<bool> = Vec::new();
        let mut found = Findings::default();
        for fault in first_faults(faults).into_iter().filter(|f| seen(f.row)) {
            if lost.is_empty() {
                lost = vec![false; batch.len];
            }
            lost[fault.row] = true;
            found.quarantine(quarantined(&fault, batch.file, batch.rows.get(fault.row)));
        }
        let hidden = visible.map_or(0, |v| v.iter().filter(|v| !**v).count());
        found.tally.add(batch.file, Class::NotVisible, hidden as u64);
        found.tally.add(batch.file, Class::LeftOut, batch.left_out);
        let mut findings = self.findings.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
        findings.merge(&mut found);
        drop(findings);
        let last = u32::try_from(batch.len)?;
        Ok((0..last).filter(|r| seen(*r as usize) && !lost.get(*r as usize).is_some_and(|l| *l)).collect())
    }

    /// Finds the owners. A row of a subject that is itself not visible yet is not visible either.
    fn look_up(
        &self,
        batch: &Batch,
        spine: Option<&Spine>,
        visible: &mut Option<Vec<bool>>,
        faults: &mut Vec<Fault>,
    ) -> Result<(Owners, OwnerIds)> {
        let (mut all, mut ids) = (Vec::new(), Vec::new());
        for at in &self.owners {
            let column = batch.columns[*at].as_ref().map(IdColumn::new).transpose()?;
            let dense = match (spine, &column) {
                (Some(spine), Some(column)) => column.numbers(spine, batch.len),
                _ => Vec::new(),
            };
            // An id of the spine has been looked at when the spine was built.
            let all_known = dense.len() == batch.len && !dense.contains(&UNKNOWN);
            for row in (0..batch.len).filter(|_| !all_known) {
                if dense.get(row).is_some_and(|d| *d != UNKNOWN) {
                    continue;
                }
                let Some(id) = column.as_ref().and_then(|c| c.get(row)) else { continue };
                if matches!(column, Some(IdColumn::Text(_))) && looks_personal(id) {
                    faults.push(Fault { row, column: *at, rule: Rule::PiiSuspect });
                } else if spine.is_some_and(|s| s.is_later(id)) {
                    visible.get_or_insert_with(|| vec![true; batch.len])[row] = false;
                } else if spine.is_some() && self.owners.len() == 1 {
                    faults.push(Fault { row, column: *at, rule: Rule::UnknownSubject });
                }
            }
            all.push(dense);
            ids.push(column);
        }
        Ok((all, ids))
    }

    fn personal_ids(&self, batch: &Batch, faults: &mut Vec<Fault>) -> Result<()> {
        for at in &self.plain_ids {
            let Some(array) = &batch.columns[*at] else { continue };
            if let column @ IdColumn::Text(_) = IdColumn::new(array)? {
                let personal = (0..batch.len).filter(|r| column.get(*r).is_some_and(looks_personal));
                faults.extend(personal.map(|row| Fault { row, column: *at, rule: Rule::PiiSuspect }));
            }
        }
        Ok(())
    }

    /// Counts rows of a file as used.
    ///
    /// # Errors
    /// When a thread failed while it held the findings.
    pub fn used(&self, file: u32, rows: u64) -> Result<()> {
        let mut findings = self.findings.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
        findings.tally.add(file, Class::Used, rows);
        Ok(())
    }

    /// Ends the scan.
    ///
    /// # Errors
    /// When a thread failed while it held the findings.
    pub fn finish(self) -> Result<Findings> {
        self.findings.into_inner().ok().context("another thread failed")
    }
}
