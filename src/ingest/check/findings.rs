//! What was counted and quarantined of a table.

use super::conservation::{Class, Tally};
use super::rule::Quarantined;

/// What was counted and quarantined so far, of one table.
#[derive(Debug, Default)]
pub struct Findings {
    /// Rows by file and class.
    pub tally: Tally,
    /// Quarantined rows, in no order.
    pub quarantined: Vec<Quarantined>,
    /// The day of the newest visible record.
    pub newest: Option<i64>,
    /// How many of the quarantined rows broke a rule by themselves, when they were read.
    pub broken: u64,
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
        self.broken += other.broken;
    }
}
