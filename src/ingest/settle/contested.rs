//! Which rows of a table are under dispute, at which dates.

use super::disputes::Disputed;
use crate::contract::DateSet;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::{Scan, Sifted};

/// The dates at which each row of a batch is under dispute, of those that are kept; empty when none is.
#[must_use]
pub fn contested_dates(
    scan: &Scan,
    rows: &Sifted,
    spine: &Spine,
    record: usize,
    disputed: &[Disputed],
) -> Vec<DateSet> {
    let mut flags = Vec::new();
    for (date, disputed) in disputed.iter().enumerate() {
        let Some(contested) = disputed.get(scan.table()) else { continue };
        let (snapshot, members) = (&scan.snapshots()[date], spine.members(date));
        let (keys, owners) = (&rows.columns[record], &rows.owners[0]);
        for row in rows.kept.iter().map(|row| *row as usize) {
            // Where ids are null throughout there is no column of them.
            let (Some(key), Some(owner)) = (keys.get(row), owners.get(row)) else { continue };
            let counts = || {
                rows.faulty.get(row).is_none_or(|dates| !dates.has(date))
                    && members.is_in(*owner)
                    && scan.checks().sees(|c| rows.columns[c].get(row), snapshot)
            };
            if contested.contains(*key, *owner, counts) {
                flags.resize(owners.len(), DateSet::NONE);
                flags[row].add(date);
            }
        }
    }
    flags
}
