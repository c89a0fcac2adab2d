//! One batch of a table, from Arrow columns to checked rows.

pub mod settled;

use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};

use super::decoded::{Decoded, Decoder, gather};
use super::setting::Setting;
pub use super::sifted::{Checked, Sifted, Told};
use super::view::{Sight, View};
use crate::contract::{ColumnType, DateSet, RELIABILITY_ONE, Snapshot, Table};
use crate::ingest::check::checks::{Checks, Columns, first_faults, quarantined};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::of_rows::OfRows;
use crate::ingest::check::rule::{Fault, Quarantined, Rule};
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::KeyMap;
use crate::ingest::spine::Spine;
use crate::ingest::spine::members::Standing;
use crate::ingest::spine::strangers::Strangers;
use crate::output::thousands;
use crate::storage::erased::Erased;
use crate::tables::ids::UNKNOWN;

/// Sets of dates as stored rows hold them.
#[must_use]
pub fn stored(dates: &[DateSet]) -> Vec<i64> {
    dates.iter().map(|d| d.stored()).collect()
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

    /// The same, which notes the ids that are none of the spine's.
    #[must_use]
    pub const fn noting(mut self, strangers: Option<&'a Strangers>) -> Self {
        self.decoder.strangers = strangers;
        self
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

    /// All of them.
    #[must_use]
    pub const fn every_date(&self) -> DateSet {
        self.setting.every_date
    }

    /// The checks of the table.
    #[must_use]
    pub const fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Whose rows are left out because they were erased.
    pub(super) const fn erased(&self) -> &'a Erased {
        self.setting.erased
    }

    /// The columns that say whose row it is.
    pub(super) fn owners(&self) -> &[usize] {
        &self.decoder.owners
    }

    /// What decodes batches of the table.
    pub(super) const fn decoder(&self) -> &Decoder<'a> {
        &self.decoder
    }

    /// Checks a batch for all dates at once: the rows that one of them sees, with the dates at which they break a rule.
    /// What is not visible at every date is left to a [`View`]. With a spine, a row whose subject is unknown is quarantined, or for
    /// ties, left to the caller.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub fn check(&self, batch: &Batch, spine: Option<&Spine>) -> Result<Checked> {
        Ok(self.sift_decoded(batch, self.decoder.decode(batch, spine)?, spine)?.picked(batch))
    }

    /// The same, with the rows that are kept told and not yet picked. The batch is left without columns that became those of the rows.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn sift(&self, batch: &mut Batch, spine: Option<&Spine>) -> Result<Sifted> {
        let decoded = self.decoder.decode_taken(batch, spine)?;
        self.sift_decoded(batch, decoded, spine)
    }

    fn sift_decoded(&self, batch: &Batch, mut decoded: Decoded, spine: Option<&Spine>) -> Result<Sifted> {
        let (every, widest) = (self.setting.every_date, &self.setting.widest);
        let visible = self.turn_back(&mut decoded, batch.len, widest, every);
        let seen = |row: usize| visible.as_ref().is_none_or(|v| v[row]);
        // What is wrong at the widest date need not be at another, which may not know it: of these rows each date judges by itself.
        let mut faults = decoded.faults.clone();
        self.checks.faults(&decoded.columns, batch.len, &widest.calendar, &mut faults);
        let mut suspects: Vec<usize> = faults.iter().map(|f| f.row).collect();
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|row| seen(*row));
        let mut lost: Vec<bool> = Vec::new();
        let (mut faulty, mut hidden): (Vec<DateSet>, Vec<(u32, DateSet)>) = (Vec::new(), Vec::new());
        let mut found: Vec<Findings> = self.setting.snapshots.iter().map(|_| Findings::default()).collect();
        for (row, fates) in suspects.iter().zip(self.fates(&decoded, &suspects, spine)) {
            let kept = fates.contains(&Fate::Good);
            let mut not_yet = DateSet::NONE;
            for (date, fate) in fates.iter().enumerate() {
                match fate {
                    Fate::Faulty(fault) => {
                        faulty.resize(batch.len, DateSet::NONE);
                        faulty[*row].add(date);
                        found[date].quarantine(quarantined(fault, batch.file, batch.rows.get(*row)));
                    }
                    Fate::Hidden => not_yet.add(date),
                    Fate::Good => {}
                }
            }
            if !kept {
                lost.resize(batch.len, false);
                lost[*row] = true;
                (0..found.len())
                    .filter(|date| not_yet.has(*date))
                    .for_each(|date| found[date].tally.add(batch.file, Class::NotVisible, 1));
                if !not_yet.is_empty() {
                    hidden.push((u32::try_from(*row)?, not_yet));
                }
            }
        }
        let unseen = visible.as_ref().map_or(0, |v| v.iter().filter(|v| !**v).count()) as u64;
        for (date, mut found) in found.into_iter().enumerate() {
            found.tally.add(batch.file, Class::NotVisible, unseen);
            found.tally.add(batch.file, Class::LeftOut, batch.left_out);
            found.tally.multiply(batch.file, batch.multiplied);
            self.merge(date, &mut found)?;
        }
        let last = u32::try_from(batch.len)?;
        if visible.is_none() && lost.is_empty() {
            return Ok(self.sifted(batch, decoded, (0..last).collect(), hidden, faulty));
        }
        hidden.extend((0..last).filter(|row| !seen(*row as usize)).map(|row| (row, every)));
        let kept = |row: &u32| seen(*row as usize) && !lost.get(*row as usize).is_some_and(|lost| *lost);
        // Nearly all are.
        let mut all = Vec::with_capacity(batch.len);
        all.extend((0..last).filter(kept));
        Ok(self.sifted(batch, decoded, all, hidden, faulty))
    }

    /// Checks a batch and calls `work` with what each date sees of it.
    ///
    /// # Errors
    /// As [`Self::check`], or the first error of `work`.
    pub fn each(
        &self,
        batch: &Batch,
        spine: Option<&Spine>,
        work: &mut dyn FnMut(usize, Checked) -> Result<()>,
    ) -> Result<()> {
        let checked = self.check(batch, spine)?;
        if self.setting.snapshots.len() == 1 {
            // What was kept for one date is what it sees.
            return work(0, checked);
        }
        for (date, snapshot) in self.setting.snapshots.iter().enumerate() {
            let view = View { date, snapshot, members: spine.map(|s| s.members(date)) };
            work(date, self.at(&checked, &view)?)?;
        }
        Ok(())
    }

    /// What one of several dates sees of checked rows; what it does not see is counted.
    fn at(&self, all: &Checked, view: &View) -> Result<Checked> {
        let mut visible = vec![true; all.rows.len()];
        self.checks.hidden(|at| &all.columns[at], view.snapshot, |row| visible[row] = false);
        let mut found = Findings::default();
        let mut seen = Vec::with_capacity(all.rows.len());
        for (row, visible) in visible.into_iter().enumerate() {
            let early = all.early.get(row).is_some_and(|dates| dates.has(view.date));
            let faulty = all.faulty.get(row).copied().unwrap_or_default();
            let owners = all.owners.iter().filter_map(|numbers| numbers.get(row).copied());
            match view.sight(visible && !early, faulty, owners) {
                Sight::Seen => seen.push(row),
                Sight::Counted => {}
                Sight::Hidden => found.tally.add(all.file, Class::NotVisible, 1),
                Sight::NoSubject => {
                    let (rule, column) = (Rule::UnknownSubject, self.decoder.owners[0]);
                    found.quarantine(Quarantined { file: all.file, row: all.rows[row], rule, column });
                }
            }
        }
        self.merge(view.date, &mut found)?;
        let mut columns: Columns = all.columns.iter().map(|c| gather(c, &seen)).collect();
        let mut editable: Vec<&mut Vec<i64>> = columns.iter_mut().collect();
        self.checks.turn_back(&mut editable, (seen.len(), &|_| true), view.snapshot, &mut Vec::new());
        let number = |owner: u32| if view.knows(owner) { owner } else { UNKNOWN };
        let told = Told {
            file: all.file,
            columns,
            kept: gather(&all.kept, &seen),
            owners: all.owners.iter().map(|c| gather(c, &seen).into_iter().map(number).collect()).collect(),
            ..Told::default()
        };
        Ok(Checked { rows: gather(&all.rows, &seen), told })
    }

    /// What becomes of some rows, whose faults are those of form, at each date.
    fn fates(&self, decoded: &Decoded, rows: &[usize], spine: Option<&Spine>) -> Vec<Vec<Fate>> {
        let mut fates = vec![Vec::new(); rows.len()];
        if rows.is_empty() {
            return fates;
        }
        let some = decoded.pick(rows);
        for (date, snapshot) in self.setting.snapshots.iter().enumerate() {
            let mut here = some.clone();
            let mut visible = self.turn_back(&mut here, rows.len(), snapshot, DateSet::of(date));
            self.checks.faults(&here.columns, rows.len(), &snapshot.calendar, &mut here.faults);
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

    /// Turns rows back to a date; which of them are visible, `None` when all are. Rows of subjects whom none of the given dates sees
    /// are not.
    fn turn_back(&self, decoded: &mut Decoded, rows: usize, snapshot: &Snapshot, dates: DateSet) -> Option<Vec<bool>> {
        let mut visible = self.checks.visible(&decoded.columns, rows, snapshot);
        let mut columns: Vec<&mut Vec<i64>> = decoded.columns.iter_mut().collect();
        self.checks.turn_back(&mut columns, (rows, &|_| true), snapshot, &mut decoded.faults);
        for row in (0..decoded.early.len()).filter(|row| decoded.early[*row].has_all(dates)) {
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

    /// A batch in its final columns, with the rows that are kept.
    fn sifted(
        &self,
        batch: &Batch,
        decoded: Decoded,
        kept: Vec<u32>,
        hidden: Vec<(u32, DateSet)>,
        faulty: Vec<DateSet>,
    ) -> Sifted {
        let Decoded { mut columns, owners, owner_ids, early, .. } = decoded;
        if let Some(at) = self.source {
            columns[at] = reliabilities(&columns[at], &self.setting.reliability);
        }
        for (at, column) in self.table.columns.iter().enumerate() {
            // Every row's currency is now the pipeline's, and owners have their own vectors.
            if column.kind == ColumnType::Currency || self.decoder.owners.contains(&at) {
                columns[at] = Vec::new();
            }
        }
        let breaks = |row: &u32| faulty.get(*row as usize).is_some_and(|dates| !dates.is_empty());
        let faulty = if kept.iter().any(breaks) { faulty } else { Vec::new() };
        Sifted { told: Told { file: batch.file, columns, kept, hidden, faulty, early, owners, owner_ids } }
    }

    /// What was found so far, by date.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn findings(&self) -> Result<MutexGuard<'_, Vec<Findings>>> {
        self.findings.lock().map_err(|_| anyhow::anyhow!("another thread failed"))
    }

    /// Adds what was found in a batch; where far too many rows break a rule, the export is not what it is taken for.
    fn merge(&self, date: usize, found: &mut Findings) -> Result<()> {
        let mut all = self.findings()?;
        all[date].merge(found);
        let (most, quarantined) = (self.setting.limits.quarantined_rows, &all[date].quarantined);
        if let Some(first) = quarantined.first().filter(|_| quarantined.len() > most) {
            return Err(OfRows(format!(
                "more than {} rows of {} break a rule, `{}` in row {} of a file for example: is this the export of {}?",
                thousands(most as u64),
                self.table.name,
                first.rule.name(),
                first.row,
                self.table.name
            ))
            .into());
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
        let mut all = self.findings.into_inner().ok().context("another thread failed")?;
        all.iter_mut().for_each(|found| found.broken = found.quarantined.len() as u64);
        Ok(all)
    }
}

/// What becomes of a row at a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Hidden,
    Faulty(Fault),
}

/// Reliability of each row's source in thousandths; a source that is not listed counts fully.
fn reliabilities(sources: &[i64], known: &KeyMap<i64>) -> Vec<i64> {
    if known.is_empty() || sources.is_empty() {
        return Vec::new();
    }
    super::repeats::mapped(sources, |source| known.get(&source).copied().unwrap_or(RELIABILITY_ONE))
}
