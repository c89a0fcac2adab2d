//! One batch of a table, from Arrow columns to checked rows.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, bail};

use super::batches::Batch;
use super::check::{Checks, Columns, first_faults, quarantined, reliabilities};
use super::conservation::{Class, Tally};
use super::decode::{Fault, IdColumn, KeyMap};
use super::decoded::{Decoded, Decoder, gather};
use super::members::Standing;
use super::rule::{Quarantined, Rule};
use super::spine::{Spine, UNKNOWN};
use crate::contract::{ColumnType, Limits, Snapshot, Table};
use crate::output::thousands;

/// What every table's scan needs to know of the run.
pub struct Setting<'a> {
    /// The dates to score for, at most [`MOST_DATES`].
    pub snapshots: &'a [Snapshot],
    /// What one of them sees.
    pub widest: Snapshot,
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The contract's limits.
    pub limits: &'a Limits,
    /// Reliability of each source, in thousandths.
    pub reliability: KeyMap<i64>,
}

impl Setting<'_> {
    /// One bit for each date.
    #[must_use]
    pub const fn every_date(&self) -> u64 {
        u64::MAX >> (u64::BITS as usize - self.snapshots.len())
    }
}

/// The most dates that one pass serves: a row keeps one bit of an integer for each.
pub const MOST_DATES: usize = 60;

/// What was counted and quarantined so far, of one table.
#[derive(Debug, Default)]
pub struct Findings {
    /// Rows by file and class.
    pub tally: Tally,
    /// Quarantined rows, in no order.
    pub quarantined: Vec<Quarantined>,
    /// The day of the newest visible record.
    pub newest: Option<i64>,
}

impl Findings {
    /// Quarantines a row.
    pub fn quarantine(&mut self, row: Quarantined) {
        self.tally.add(row.file, Class::Quarantined, 1);
        self.quarantined.push(row);
    }

    /// Counts rows of links by file as used, as merged where they repeat a tie of another row, or as dropped.
    pub fn links(&mut self, rows: &[u64], merged: &[u64], dropped: &[u64]) {
        for (file, ((rows, merged), dropped)) in (0_u32..).zip(rows.iter().zip(merged).zip(dropped)) {
            self.tally.add(file, Class::Merged, *merged);
            self.tally.add(file, Class::Dropped, *dropped);
            self.tally.add(file, Class::Used, rows - merged - dropped);
        }
    }

    /// Adds what another thread found.
    pub fn merge(&mut self, other: &mut Self) {
        self.tally.merge(&other.tally);
        self.quarantined.append(&mut other.quarantined);
        self.newest = self.newest.max(other.newest);
    }
}

/// Turns batches of one table into checked rows.
pub struct Scan<'a> {
    table: &'a Table,
    setting: &'a Setting<'a>,
    checks: Checks,
    source: Option<usize>,
    decoder: Decoder<'a>,
    /// What was found so far, by date.
    findings: Mutex<Vec<Findings>>,
}

/// Dense numbers by owner column; empty where no spine was given.
pub type Owners = Vec<Vec<u32>>;
/// The id columns of the owners.
pub type OwnerIds = Vec<Option<IdColumn>>;

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
    /// The positions of rows that are not kept and not visible yet, with the dates, one bit each, that do not see them.
    pub hidden: Vec<(u32, u64)>,
    /// The dates, one bit each, at which a row breaks a rule; empty when none does.
    pub faulty: Vec<i64>,
    /// Numbers in the spine per owner column, when a spine was given.
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
        let findings = setting.snapshots.iter().map(|_| Findings::default()).collect();
        Ok(Self {
            table,
            setting,
            checks: Checks::new(table, setting.limits)?,
            source: table.position("source_id").filter(|_| table.name != "sources"),
            decoder: Decoder::new(table, setting),
            findings: Mutex::new(findings),
        })
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &'a str {
        &self.table.name
    }

    /// The dates.
    #[must_use]
    pub const fn snapshots(&self) -> &'a [Snapshot] {
        self.setting.snapshots
    }

    /// The checks of the table.
    #[must_use]
    pub const fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Checks a batch for every date by itself. With a spine, a row whose subject is unknown is quarantined, or for ties,
    /// left to the caller.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub fn check_each(&self, batch: &Batch, spine: Option<&Spine>) -> Result<Vec<Checked>> {
        let decoded = self.decoder.decode(batch, spine)?;
        let last = self.setting.snapshots.len().saturating_sub(1);
        let mut each = Vec::with_capacity(last + 1);
        for date in 0..last {
            each.push(self.check_at(batch, decoded.clone(), spine, date)?);
        }
        each.push(self.check_at(batch, decoded, spine, last)?);
        Ok(each)
    }

    /// Checks a batch for all dates at once: the rows that one of them sees, with the dates at which they break a rule.
    /// What is not visible at every date is left to [`view`](super::view).
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub fn check(&self, batch: &Batch, spine: Option<&Spine>) -> Result<Checked> {
        let mut decoded = self.decoder.decode(batch, spine)?;
        if self.setting.snapshots.len() == 1 {
            return self.check_at(batch, decoded, spine, 0);
        }
        let every = self.setting.every_date();
        let visible = self.examine(&mut decoded, batch.len, &self.setting.widest, every);
        let mut suspects: Vec<usize> = decoded.faults.iter().map(|f| f.row).collect();
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|row| visible.as_ref().is_none_or(|v| v[*row]));
        let mut kept = vec![true; batch.len];
        let mut faulty = Vec::new();
        let mut found: Vec<Findings> = self.setting.snapshots.iter().map(|_| Findings::default()).collect();
        if let Some(visible) = &visible {
            kept.copy_from_slice(visible);
            let hidden = visible.iter().filter(|v| !**v).count() as u64;
            found.iter_mut().for_each(|f| f.tally.add(batch.file, Class::NotVisible, hidden));
        }
        for found in &mut found {
            found.tally.add(batch.file, Class::LeftOut, batch.left_out);
            found.tally.multiply(batch.file, batch.multiplied);
        }
        let mut hidden: Vec<(u32, u64)> = Vec::new();
        for (row, fates) in suspects.iter().zip(self.fates(&decoded, &suspects, spine)) {
            kept[*row] = fates.contains(&Fate::Good);
            let not_yet = fates.iter().enumerate().filter(|(_, f)| **f == Fate::Hidden).fold(0, |d, (n, _)| d | 1 << n);
            if !kept[*row] && not_yet != 0 {
                hidden.push((u32::try_from(*row)?, not_yet));
            }
            for (date, fate) in fates.iter().enumerate() {
                match fate {
                    Fate::Faulty(fault) => {
                        faulty.resize(batch.len, 0);
                        faulty[*row] |= 1_i64 << date;
                        found[date].quarantine(quarantined(fault, batch.file, batch.rows.get(*row)));
                    }
                    Fate::Hidden if !kept[*row] => found[date].tally.add(batch.file, Class::NotVisible, 1),
                    _ => {}
                }
            }
        }
        self.add(found)?;
        let last = u32::try_from(batch.len)?;
        hidden.extend((0..last).filter(|r| visible.as_ref().is_some_and(|v| !v[*r as usize])).map(|r| (r, every)));
        let kept = (0..last).filter(|r| kept[*r as usize]).collect();
        self.checked(batch, decoded, kept, hidden, &faulty)
    }

    /// What becomes of some rows at each date.
    fn fates(&self, decoded: &Decoded, rows: &[usize], spine: Option<&Spine>) -> Vec<Vec<Fate>> {
        let mut fates = vec![Vec::new(); rows.len()];
        if rows.is_empty() {
            return fates;
        }
        let some = decoded.pick(rows);
        for (date, snapshot) in self.setting.snapshots.iter().enumerate() {
            let mut here = some.clone();
            let mut visible = self.examine(&mut here, rows.len(), snapshot, 1 << date);
            self.place(&mut here, &mut visible, rows.len(), spine, date);
            let first = first_faults(here.faults);
            for (at, fates) in fates.iter_mut().enumerate() {
                let fault = first.binary_search_by_key(&at, |f| f.row).ok().map(|f| first[f]);
                fates.push(match fault {
                    _ if visible.as_ref().is_some_and(|v| !v[at]) => Fate::Hidden,
                    Some(fault) => Fate::Faulty(fault),
                    None => Fate::Good,
                });
            }
        }
        fates
    }

    /// Checks a batch for one date.
    fn check_at(&self, batch: &Batch, mut decoded: Decoded, spine: Option<&Spine>, date: usize) -> Result<Checked> {
        let mut visible = self.examine(&mut decoded, batch.len, &self.setting.snapshots[date], 1 << date);
        self.place(&mut decoded, &mut visible, batch.len, spine, date);
        let seen = |row: usize| visible.as_ref().is_none_or(|v| v[row]);
        let mut lost: Vec<bool> = Vec::new();
        let mut found = Findings::default();
        for fault in first_faults(std::mem::take(&mut decoded.faults)).into_iter().filter(|f| seen(f.row)) {
            lost.resize(batch.len, false);
            lost[fault.row] = true;
            found.quarantine(quarantined(&fault, batch.file, batch.rows.get(fault.row)));
        }
        let hidden = visible.as_ref().map_or(0, |v| v.iter().filter(|v| !**v).count());
        found.tally.add(batch.file, Class::NotVisible, hidden as u64);
        found.tally.add(batch.file, Class::LeftOut, batch.left_out);
        found.tally.multiply(batch.file, batch.multiplied);
        self.merge(date, &mut found)?;
        let last = u32::try_from(batch.len)?;
        let kept = (0..last).filter(|r| seen(*r as usize) && !lost.get(*r as usize).is_some_and(|l| *l)).collect();
        let hidden = (0..last).filter(|r| !seen(*r as usize)).map(|r| (r, 1 << date)).collect();
        self.checked(batch, decoded, kept, hidden, &[])
    }

    /// Turns rows back to a date and adds what is wrong with them then; which of them are visible, `None` when all are.
    /// Rows of subjects whom none of the given dates sees are not.
    fn examine(&self, decoded: &mut Decoded, rows: usize, snapshot: &Snapshot, dates: u64) -> Option<Vec<bool>> {
        let mut visible = self.checks.visible(&decoded.columns, rows, snapshot);
        let mut columns: Vec<&mut Vec<i64>> = decoded.columns.iter_mut().collect();
        self.checks.turn_back(&mut columns, rows, snapshot, &mut decoded.faults);
        self.checks.faults(&decoded.columns, rows, &snapshot.calendar, &mut decoded.faults);
        for row in (0..decoded.early.len()).filter(|row| decoded.early[*row] & dates == dates) {
            visible.get_or_insert_with(|| vec![true; rows])[row] = false;
        }
        visible
    }

    /// Holds rows against the subjects of a date: one that is not visible yet hides its rows, an unknown one is a fault.
    fn place(
        &self,
        decoded: &mut Decoded,
        visible: &mut Option<Vec<bool>>,
        rows: usize,
        spine: Option<&Spine>,
        date: usize,
    ) {
        let Some(members) = spine.map(|s| s.members(date)).filter(|m| !m.is_all()) else { return };
        for (owners, column) in decoded.owners.iter_mut().zip(&self.decoder.owners) {
            for (row, owner) in owners.iter_mut().enumerate().filter(|(_, o)| **o != UNKNOWN) {
                match members.standing(*owner) {
                    Standing::In(_) => {}
                    Standing::Later => visible.get_or_insert_with(|| vec![true; rows])[row] = false,
                    Standing::Absent => {
                        *owner = UNKNOWN;
                        if self.decoder.owners.len() == 1 {
                            decoded.faults.push(Fault { row, column: *column, rule: Rule::UnknownSubject });
                        }
                    }
                }
            }
        }
    }

    /// The rows that are kept, in their final columns.
    fn checked(
        &self,
        batch: &Batch,
        decoded: Decoded,
        kept: Vec<u32>,
        hidden: Vec<(u32, u64)>,
        faulty: &[i64],
    ) -> Result<Checked> {
        let Decoded { mut columns, owners, owner_ids, .. } = decoded;
        if let Some(at) = self.source {
            columns[at] = reliabilities(&columns[at], &self.setting.reliability);
        }
        for (at, column) in self.table.columns.iter().enumerate() {
            // Every row's currency is now the pipeline's, and owners have their own vectors.
            if column.kind == ColumnType::Currency || self.decoder.owners.contains(&at) {
                columns[at] = Vec::new();
            }
        }
        let rows = kept.iter().map(|r| batch.rows.get(*r as usize)).collect();
        let (columns, owners) = if kept.len() == batch.len {
            (columns, owners)
        } else {
            let few: Vec<usize> = kept.iter().map(|r| *r as usize).collect();
            (columns.iter().map(|c| gather(c, &few)).collect(), owners.iter().map(|c| gather(c, &few)).collect())
        };
        let faulty: Vec<i64> =
            if faulty.is_empty() { Vec::new() } else { kept.iter().map(|r| faulty[*r as usize]).collect() };
        let faulty = if faulty.iter().all(|f| *f == 0) { Vec::new() } else { faulty };
        Ok(Checked { file: batch.file, rows, columns, kept, hidden, faulty, owners, owner_ids })
    }

    /// What was found so far, by date.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn findings(&self) -> Result<MutexGuard<'_, Vec<Findings>>> {
        self.findings.lock().map_err(|_| anyhow::anyhow!("another thread failed"))
    }

    fn add(&self, found: Vec<Findings>) -> Result<()> {
        for (date, mut found) in found.into_iter().enumerate() {
            self.merge(date, &mut found)?;
        }
        Ok(())
    }

    /// Adds what was found in a batch; where far too many rows break a rule, the export is not what it is taken for.
    fn merge(&self, date: usize, found: &mut Findings) -> Result<()> {
        let mut all = self.findings()?;
        all[date].merge(found);
        let (most, quarantined) = (self.setting.limits.quarantined_rows, &all[date].quarantined);
        if let Some(first) = quarantined.first().filter(|_| quarantined.len() > most) {
            bail!(
                "more than {} rows of {} break a rule, `{}` in row {} of a file for example: is this the export of {}?",
                thousands(most as u64),
                self.table.name,
                first.rule.name(),
                first.row,
                self.table.name
            );
        }
        Ok(())
    }

    /// Counts rows of a file as used at a date.
    ///
    /// # Errors
    /// When a thread failed while it held the findings.
    pub fn used(&self, date: usize, file: u32, rows: u64) -> Result<()> {
        self.findings()?[date].tally.add(file, Class::Used, rows);
        Ok(())
    }

    /// Ends the scan: what was found, by date.
    ///
    /// # Errors
    /// When a thread failed while it held the findings.
    pub fn finish(self) -> Result<Vec<Findings>> {
        self.findings.into_inner().ok().context("another thread failed")
    }
}

/// What becomes of a row at a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Hidden,
    Faulty(Fault),
}
