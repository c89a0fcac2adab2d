//! A bucket's rows as one of several dates sees them.

use std::sync::Arc;

use super::check::Checks;
use super::conservation::Class;
use super::members::{Members, Standing};
use super::resolve::{DISPUTED, FAULTY, FIRST, Layout, ROW};
use super::rule::{Quarantined, Rule};
use super::scan::Findings;
use super::store::BucketRows;
use crate::contract::Snapshot;

/// One date's sight of the rows that a pass for several dates stored.
pub struct View<'a> {
    /// The date's position among them.
    pub date: usize,
    /// The date.
    pub snapshot: &'a Snapshot,
    /// Whom it sees.
    pub members: &'a Members,
}

/// Rows as a date sees them.
pub struct Seen {
    /// All stored rows, with what they said then.
    pub rows: BucketRows,
    /// Which of them the date sees; empty when it sees all.
    pub alive: Vec<bool>,
    /// The positions within the bucket of the subjects it sees.
    pub subjects: Vec<usize>,
}

impl View<'_> {
    /// The rows as they were then; what the date does not see is counted.
    #[must_use]
    pub fn of(&self, all: &BucketRows, first: u32, layout: &Layout, checks: &Checks, found: &mut Findings) -> Seen {
        let bit = |dates: i64| dates.cast_unsigned() >> self.date & 1 == 1;
        let faulty = &all.columns[FAULTY];
        let mut alive = vec![true; all.len()];
        checks.hidden(|at| &all.columns[at + FIRST], self.snapshot, |row| alive[row] = false);
        let mut subjects = Vec::with_capacity(all.starts.len());
        for (subject, number) in (0..all.starts.len().saturating_sub(1)).zip(first..) {
            let standing = self.members.standing(number);
            let range = all.of(subject);
            if matches!(standing, Standing::In(_)) {
                subjects.push(subject);
                if faulty.is_empty() && alive[range.clone()].iter().all(|a| *a) {
                    continue;
                }
            }
            for row in range {
                let seen = std::mem::take(&mut alive[row]);
                match standing {
                    // A row that breaks a rule at the date was counted when it was read.
                    _ if faulty.get(row).is_some_and(|f| bit(*f)) => {}
                    Standing::In(_) if seen => alive[row] = true,
                    Standing::Absent if seen => {
                        let column = layout.table.position("subject_id").unwrap_or(0);
                        found.quarantine(Quarantined {
                            file: all.files[row],
                            row: all.value(ROW, row),
                            rule: Rule::UnknownSubject,
                            column: u16::try_from(column).unwrap_or(u16::MAX),
                        });
                    }
                    _ => found.tally.add(all.files[row], Class::NotVisible, 1),
                }
            }
        }
        let mut rows = all.clone();
        if !rows.columns[DISPUTED].is_empty() {
            Arc::make_mut(&mut rows.columns[DISPUTED]).iter_mut().for_each(|dates| *dates = i64::from(bit(*dates)));
        }
        checks.turn_back(&mut rows.columns[FIRST..], all.len(), self.snapshot, &mut Vec::new());
        Seen { rows, alive, subjects }
    }
}

impl Seen {
    /// Everything, as the only date of a pass sees it.
    #[must_use]
    pub fn all(rows: BucketRows) -> Self {
        let subjects = (0..rows.starts.len().saturating_sub(1)).collect();
        Self { rows, alive: Vec::new(), subjects }
    }

    /// Whether the date sees a row.
    #[must_use]
    pub fn sees(&self, row: usize) -> bool {
        self.alive.is_empty() || self.alive[row]
    }
}
