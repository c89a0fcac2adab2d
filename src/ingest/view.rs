//! A bucket's rows as one of several dates sees them.

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

impl View<'_> {
    /// The rows of the subjects that the date sees, as they were then; what it does not see is counted.
    #[must_use]
    pub fn of(
        &self,
        all: &BucketRows,
        first: u32,
        layout: &Layout,
        checks: &Checks,
        found: &mut Findings,
    ) -> BucketRows {
        let bit = |dates: i64| dates.cast_unsigned() >> self.date & 1 == 1;
        let faulty = |row: usize| all.columns[FAULTY].get(row).is_some_and(|f| bit(*f));
        let sees = |row: usize| checks.sees(|c| all.columns[c + FIRST].get(row), self.snapshot);
        let mut keep = Vec::with_capacity(all.len());
        let mut starts = vec![0_u32];
        for (subject, number) in (0..all.starts.len().saturating_sub(1)).zip(first..) {
            let standing = self.members.standing(number);
            // A row that breaks a rule at the date was counted when it was read.
            for row in all.of(subject).filter(|row| !faulty(*row)) {
                match standing {
                    Standing::In(_) if sees(row) => keep.push(row),
                    Standing::Absent if sees(row) => {
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
            if matches!(standing, Standing::In(_)) {
                starts.push(u32::try_from(keep.len()).unwrap_or(u32::MAX));
            }
        }
        let mut rows = all.pick(&keep, starts);
        rows.columns[FAULTY] = Vec::new();
        rows.columns[DISPUTED].iter_mut().for_each(|dates| *dates = i64::from(bit(*dates)));
        checks.turn_back(&mut rows.columns[FIRST..], keep.len(), self.snapshot, &mut Vec::new());
        rows
    }
}
