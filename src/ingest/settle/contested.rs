//! Which rows of a table are under dispute, at which dates.

use super::disputes::Disputed;
use crate::contract::DateSet;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::{Checked, Scan};

/// The dates at which each row is under dispute; empty when none is.
#[must_use]
pub fn contested_dates(
    scan: &Scan,
    rows: &Checked,
    spine: &Spine,
    record: usize,
    disputed: &[Disputed],
) -> Vec<DateSet> {
    let mut flags = Vec::new();
    for (date, disputed) in disputed.iter().enumerate() {
        let Some(contested) = disputed.get(scan.table()) else { continue };
        let (snapshot, members) = (&scan.snapshots()[date], spine.members(date));
        for (row, (key, owner)) in rows.columns[record].iter().zip(&rows.owners[0]).enumerate() {
            let counts = || {
                rows.faulty.get(row).is_none_or(|dates| !dates.has(date))
                    && members.is_in(*owner)
                    && scan.checks().sees(|c| rows.columns[c].get(row), snapshot)
            };
            if contested.contains(*key, *owner, counts) {
                flags.resize(rows.rows.len(), DateSet::NONE);
                flags[row].add(date);
            }
        }
    }
    flags
}
