//! Consents: what each subject agreed to at the end of the as-of date.
//!
//! A grant is a subject, a purpose and the instant it was granted. When rows of one grant differ, the one that ends
//! first counts: a withdrawal holds, whether the export updates the row or adds another.

use std::sync::Mutex;

use anyhow::{Result, anyhow};

use super::batches::Batch;
use super::registers::{position, value};
use super::scan::Scan;
use super::spine::Spine;
use crate::NULL;
use crate::contract::{Calendar, Table};

/// What a subject's consents allow.
pub const SCORE: u8 = 1;
/// The subject's ties may count.
pub const NETWORK: u8 = 2;

/// A subject's grant for one purpose.
type Grant = (u32, u8, i64);

/// Collects the consents in force at the end of the as-of date.
pub struct Consents<'a> {
    spine: &'a Spine,
    /// `granted_at`, `revoked_at`, `expires_at`, `purpose`.
    columns: [usize; 4],
    /// The bit of each purpose.
    bits: Vec<u8>,
    cutoff: i64,
    grants: Mutex<Grants>,
}

#[derive(Default)]
struct Grants {
    in_force: Vec<Grant>,
    ended: Vec<Grant>,
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
        Ok(Self {
            spine,
            columns: [at("granted_at")?, at("revoked_at")?, at("expires_at")?, purpose],
            bits: table.columns[purpose].values.iter().map(bit).collect(),
            cutoff: calendar.cutoff_micros(),
            grants: Mutex::default(),
        })
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let rows = scan.check(batch, Some(self.spine))?;
        let [granted, revoked, expires, purpose] = self.columns;
        let mut all = self.grants.lock().map_err(|_| anyhow!("another thread failed"))?;
        for row in 0..rows.rows.len() {
            let bit = usize::try_from(value(&rows, purpose, row)).ok().and_then(|p| self.bits.get(p)).copied();
            let Some(bit) = bit.filter(|b| *b != 0) else { continue };
            let ends = [value(&rows, revoked, row), value(&rows, expires, row)];
            let in_force = ends.iter().all(|e| *e == NULL || *e >= self.cutoff);
            let grant = (rows.owners[0][row], bit, value(&rows, granted, row));
            if in_force { all.in_force.push(grant) } else { all.ended.push(grant) }
        }
        drop(all);
        scan.used(rows.file, rows.rows.len() as u64)
    }

    /// Each subject's consents.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Vec<u8>> {
        let Grants { in_force, mut ended } = self.grants.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        ended.sort_unstable();
        let mut flags = vec![0; self.spine.len()];
        for grant in in_force.iter().filter(|g| ended.binary_search(g).is_err()) {
            flags[grant.0 as usize] |= grant.1;
        }
        Ok(flags)
    }
}
