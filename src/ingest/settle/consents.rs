//! Consents: what each subject agreed to at the end of the as-of date.
//!
//! A grant is a subject, a purpose and the instant it was granted. When rows of one grant differ, the one that ends
//! first counts: a withdrawal holds, whether the export updates the row or adds another.

use std::sync::Mutex;

use anyhow::{Result, anyhow};

use super::registers::value;
use crate::NULL;
use crate::contract::Table;
use crate::ingest::read::batches::Batch;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::{Checked, Scan};

/// What a subject's consents allow.
pub const SCORE: u8 = 1;
/// The subject's ties may count.
pub const NETWORK: u8 = 2;

/// A subject's grant for one purpose.
type Grant = (u32, u8, i64);

/// Collects the consents in force at the end of each as-of date.
pub struct Consents<'a> {
    spine: &'a Spine,
    /// `granted_at`, `revoked_at`, `expires_at`, `purpose`.
    columns: [usize; 4],
    /// The bit of each purpose.
    bits: Vec<u8>,
    /// By date.
    grants: Mutex<Vec<Grants>>,
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
    pub fn new(table: &Table, spine: &'a Spine, dates: usize) -> Result<Self> {
        let at = |name| table.require(name);
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
            grants: Mutex::new((0..dates).map(|_| Grants::default()).collect()),
        })
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        scan.each(batch, Some(self.spine), &mut |date, rows| {
            let cutoff = scan.snapshots()[date].calendar.cutoff_micros();
            let mut all = self.grants.lock().map_err(|_| anyhow!("another thread failed"))?;
            for row in 0..rows.rows.len() {
                if let Some((grant, in_force)) = self.grant(&rows, row, cutoff) {
                    let Grants { in_force: kept, ended } = &mut all[date];
                    if in_force { kept.push(grant) } else { ended.push(grant) }
                }
            }
            drop(all);
            scan.used(date, rows.file, rows.rows.len() as u64)
        })
    }

    /// A row's grant, if scoring heeds its purpose, and whether it is in force.
    fn grant(&self, rows: &Checked, row: usize, cutoff: i64) -> Option<(Grant, bool)> {
        let [granted, revoked, expires, purpose] = self.columns;
        let bit = *self.bits.get(usize::try_from(value(rows, purpose, row)).ok()?)?;
        let ends = [value(rows, revoked, row), value(rows, expires, row)];
        let in_force = ends.iter().all(|e| *e == NULL || *e >= cutoff);
        (bit != 0).then(|| ((rows.owners[0][row], bit, value(rows, granted, row)), in_force))
    }

    /// Each subject's consents, by date and number in the spine.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Vec<Vec<u8>>> {
        let dates = self.grants.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let flags = dates.into_iter().map(|Grants { in_force, mut ended }| {
            ended.sort_unstable();
            let mut flags = vec![0; self.spine.len()];
            for grant in in_force.iter().filter(|g| ended.binary_search(g).is_err()) {
                flags[grant.0 as usize] |= grant.1;
            }
            flags
        });
        Ok(flags.collect())
    }
}
