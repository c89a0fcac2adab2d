//! The small tables that change what others mean: consents, disputes and sources.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};

use super::batches::Batch;
use super::conservation::Class;
use super::decode::KeyMap;
use super::rule::{Quarantined, Rule};
use super::scan::{Checked, Findings, Scan};
use super::spine::{Spine, UNKNOWN};
use crate::NULL;
use crate::contract::{Calendar, Table};

/// What a subject's consents allow.
pub const SCORE: u8 = 1;
/// The subject's ties may count.
pub const NETWORK: u8 = 2;

/// Keys of records.
pub type Keys = HashSet<i64, foldhash::fast::FixedState>;
/// The keys of disputed records, by table.
pub type Disputed = BTreeMap<String, Keys>;

fn value(rows: &Checked, column: usize, row: usize) -> i64 {
    rows.columns[column].get(row).copied().unwrap_or(NULL)
}

fn position(table: &Table, column: &str) -> Result<usize> {
    table.position(column).with_context(|| format!("contract: {} has no column {column}", table.name))
}

/// Collects the consents in force at the end of the as-of date.
pub struct Consents<'a> {
    spine: &'a Spine,
    /// `granted_at`, `revoked_at`, `expires_at`, `purpose`.
    columns: [usize; 4],
    bits: [u8; 3],
    flags: Mutex<Vec<u8>>,
    cutoff: i64,
}

impl<'a> Consents<'a> {
    /// Nobody consents yet.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn new(table: &Table, spine: &'a Spine, calendar: &Calendar) -> Result<Self> {
        let at = |name| position(table, name);
        let purpose = at("purpose")?;
        let bit = |p: &String| match p.as_str() {
            "score" => SCORE,
            "network" => NETWORK,
            _ => 0,
        };
        let mut bits = [0; 3];
        for (bits, purpose) in bits.iter_mut().zip(&table.columns[purpose].values) {
            *bits = bit(purpose);
        }
        Ok(Self {
            spine,
            columns: [at("granted_at")?, at("revoked_at")?, at("expires_at")?, purpose],
            bits,
            flags: Mutex::new(vec![0; spine.len()]),
            cutoff: calendar.cutoff_micros(),
        })
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let rows = scan.check(batch, Some(self.spine))?;
        let [granted, revoked, expires, purpose] = self.columns;
        let mut flags = self.flags.lock().map_err(|_| anyhow!("another thread failed"))?;
        for row in 0..rows.rows.len() {
            let ends = [value(&rows, revoked, row), value(&rows, expires, row)];
            let in_force =
                value(&rows, granted, row) < self.cutoff && ends.iter().all(|e| *e == NULL || *e >= self.cutoff);
            if in_force && rows.owners[0][row] != UNKNOWN {
                let bit = usize::try_from(value(&rows, purpose, row)).ok().and_then(|p| self.bits.get(p));
                flags[rows.owners[0][row] as usize] |= bit.copied().unwrap_or(0);
            }
        }
        drop(flags);
        used(scan, &rows)
    }

    /// Each subject's consents.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.flags.into_inner().map_err(|_| anyhow!("another thread failed"))
    }
}

/// Counts all rows of a batch that are left as used.
fn used(scan: &Scan, rows: &Checked) -> Result<()> {
    let mut findings = scan.findings.lock().map_err(|_| anyhow!("another thread failed"))?;
    findings.tally.add(rows.file, Class::Used, rows.rows.len() as u64);
    Ok(())
}

/// Rows of a small table, with where they stand.
#[derive(Default)]
struct Held {
    rows: Vec<(u32, i64, Vec<i64>)>,
}

impl Held {
    fn add(&mut self, rows: &Checked) {
        for row in 0..rows.rows.len() {
            let values = (0..rows.columns.len()).map(|c| value(rows, c, row)).collect();
            self.rows.push((rows.file, rows.rows[row], values));
        }
    }
}

/// A small table that is held whole and settled by key: one row per key, the latest known.
#[derive(Default)]
pub struct Register(Mutex<Held>);

impl Register {
    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let rows = scan.check(batch, None)?;
        self.0.lock().map_err(|_| anyhow!("another thread failed"))?.add(&rows);
        Ok(())
    }

    /// One row of values per key, in order of place; the others are counted as duplicate, superseded or quarantined.
    fn settle(self, table: &Table, key: &str, event: Option<&str>, findings: &mut Findings) -> Result<Vec<Vec<i64>>> {
        let key = position(table, key)?;
        let event = event.map(|e| position(table, e)).transpose()?;
        let known = table.position("known_at");
        let mut rows = self.0.into_inner().map_err(|_| anyhow!("another thread failed"))?.rows;
        let when = |v: &[i64]| match known.map_or(NULL, |k| v[k]) {
            NULL => event.map_or(NULL, |e| v[e]),
            known => known,
        };
        let content = |v: &[i64]| -> Vec<i64> { (0..v.len()).filter(|c| Some(*c) != known).map(|c| v[c]).collect() };
        rows.sort_by(|a, b| {
            a.2[key].cmp(&b.2[key]).then_with(|| when(&b.2).cmp(&when(&a.2))).then_with(|| (a.0, a.1).cmp(&(b.0, b.1)))
        });
        let mut settled = Vec::new();
        for group in rows.chunk_by(|a, b| a.2[key] == b.2[key]) {
            let (file, _, first) = &group[0];
            let newest = group.iter().filter(|r| when(&r.2) == when(first));
            if newest.clone().any(|r| content(&r.2) != content(first)) {
                for (file, row, _) in group {
                    let column = u16::try_from(key).unwrap_or(u16::MAX);
                    findings.quarantine(Quarantined {
                        file: *file,
                        row: *row,
                        rule: Rule::ConflictingVersions,
                        column,
                    });
                }
                continue;
            }
            findings.tally.add(*file, Class::Used, 1);
            for (file, _, other) in &group[1..] {
                let class = if content(other) == content(first) { Class::Duplicate } else { Class::Superseded };
                findings.tally.add(*file, class, 1);
            }
            settled.push(first.clone());
        }
        Ok(settled)
    }

    /// The keys of records under an open or upheld dispute.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn disputed(self, table: &Table, findings: &mut Findings) -> Result<Disputed> {
        let (tables, record, state) =
            (position(table, "table")?, position(table, "record_id")?, position(table, "state")?);
        let mut disputed = Disputed::new();
        let name = |column: usize, code: i64| {
            let values = &table.columns[column].values;
            usize::try_from(code).ok().and_then(|c| values.get(c)).map_or("", String::as_str)
        };
        for row in self.settle(table, "dispute_id", Some("opened_at"), findings)? {
            if matches!(name(state, row[state]), "open" | "upheld") {
                disputed.entry(name(tables, row[tables]).to_owned()).or_default().insert(row[record]);
            }
        }
        Ok(disputed)
    }

    /// The reliability of each source, in thousandths.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn reliability(self, table: &Table, findings: &mut Findings) -> Result<KeyMap<i64>> {
        let (source, reliability) = (position(table, "source_id")?, position(table, "reliability")?);
        let rows = self.settle(table, "source_id", None, findings)?;
        Ok(rows.into_iter().map(|r| (r[source], r[reliability])).collect())
    }
}

/// Reads outcomes that follow the as-of date: the subject's dense number and whether it went bad.
///
/// # Errors
/// When the batch cannot be read.
pub fn outcomes(
    scan: &Scan,
    batch: &Batch,
    spine: &Spine,
    calendar: &Calendar,
    table: &Table,
    out: &Mutex<Vec<(u32, bool)>>,
) -> Result<()> {
    let rows = scan.check(batch, Some(spine))?;
    let (as_of, bad) = (position(table, "as_of")?, position(table, "bad")?);
    let matches = |row: &usize| value(&rows, as_of, *row) == calendar.as_of_day();
    let found: Vec<(u32, bool)> =
        (0..rows.rows.len()).filter(matches).map(|r| (rows.owners[0][r], value(&rows, bad, r) == 1)).collect();
    let mut findings = scan.findings.lock().map_err(|_| anyhow!("another thread failed"))?;
    findings.tally.add(rows.file, Class::Used, found.len() as u64);
    findings.tally.add(rows.file, Class::OutsideWindows, (rows.rows.len() - found.len()) as u64);
    drop(findings);
    out.lock().map_err(|_| anyhow!("another thread failed"))?.extend(found);
    Ok(())
}
