//! One of several dates' sight of rows that a pass kept for all of them.

use std::ops::Deref;
use std::sync::Arc;

use crate::contract::{DateSet, Snapshot};
use crate::ingest::check::checks::Checks;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::ingest::rows::layout::{DISPUTED, FAULTY, FIRST, Layout};
use crate::ingest::rows::spare::Spare;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::spine::members::{Members, Standing};
use crate::tables::ids::UNKNOWN;

/// One date's sight of the rows that a pass for several dates kept.
pub struct View<'a> {
    /// The date's position among them.
    pub date: usize,
    /// The date.
    pub snapshot: &'a Snapshot,
    /// Whom it sees; nothing for tables that are of nobody.
    pub members: Option<&'a Members>,
}

/// What a date makes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It sees it.
    Seen,
    /// The row breaks a rule then, which was counted when it was read.
    Counted,
    /// It does not see it yet.
    Hidden,
    /// The subject is none that it knows.
    NoSubject,
}

/// Rows as a date sees them.
pub struct Seen {
    /// All stored rows; those that the date sees with what they said then.
    pub rows: BucketRows,
    /// Which of them the date sees; empty when it sees all.
    pub alive: Vec<bool>,
    /// The positions within the bucket of the subjects it sees.
    pub subjects: Vec<usize>,
}

/// Rows that whoever works on them is shown.
pub enum Shown<'a> {
    /// Other dates make use of them again.
    Lent(&'a Seen),
    /// Nobody asks for them again.
    Given(&'a mut Seen),
}

impl Deref for Shown<'_> {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        match self {
            Self::Lent(seen) => seen,
            Self::Given(seen) => seen,
        }
    }
}

impl Shown<'_> {
    /// Chosen rows, in order, with where each subject's begin among them, in the columns that are wanted. What was given away is theirs.
    #[must_use]
    pub fn only(self, keep: &[usize], starts: Vec<u32>, wanted: &dyn Fn(usize) -> bool, spare: &Spare) -> BucketRows {
        match self {
            Self::Lent(seen) => seen.rows.only(keep, starts, wanted, spare),
            Self::Given(seen) => std::mem::take(&mut seen.rows).into_only(keep, starts, wanted, spare),
        }
    }
}

impl View<'_> {
    fn standing(&self, subject: u32) -> Standing {
        self.members.map_or(Standing::In(subject), |members| members.standing(subject))
    }

    /// Whether the date knows a subject of the spine.
    #[must_use]
    pub fn knows(&self, subject: u32) -> bool {
        subject != UNKNOWN && self.standing(subject) != Standing::Absent
    }

    /// What the date makes of a row, which is `visible` by its own times, breaks a rule at some dates, and is of some subjects. A row
    /// between two of which one is unknown stays: that is for others to say.
    pub fn sight(&self, visible: bool, faulty: DateSet, owners: impl Iterator<Item = u32> + Clone) -> Sight {
        if faulty.has(self.date) {
            return Sight::Counted;
        }
        // A subject that no date knows broke a rule when the row was read; what is left of these are rows that name none and need not.
        let standing = |owner: u32| (owner != UNKNOWN).then(|| self.standing(owner));
        if !visible || owners.clone().any(|owner| standing(owner) == Some(Standing::Later)) {
            return Sight::Hidden;
        }
        let mut standings = owners.map(standing);
        match (standings.next(), standings.next()) {
            (Some(Some(Standing::Absent)), None) => Sight::NoSubject,
            _ => Sight::Seen,
        }
    }

    /// The rows of a bucket whose first subject has a number, as they were then; what the date does not see is counted. Where it was found
    /// for all dates, `since` tells the first of them that sees a row by its own times. What another date saw of them is made use of
    /// again.
    #[must_use]
    pub fn of(
        &self,
        (all, first, since): (&BucketRows, u32, Option<&[u8]>),
        other: Option<Seen>,
        (layout, checks): (&Layout, &Checks),
        found: &mut Findings,
    ) -> Seen {
        let faulty = &all.columns[FAULTY];
        let other = other.unwrap_or_else(|| Seen { rows: all.clone(), alive: Vec::new(), subjects: Vec::new() });
        let Seen { mut rows, mut alive, mut subjects } = other;
        rows.columns.clone_from(&all.columns);
        alive.clear();
        subjects.clear();
        match since.zip(u8::try_from(self.date).ok()) {
            Some((since, date)) => alive.extend(since.iter().map(|since| *since <= date)),
            None => {
                alive.resize(all.len(), true);
                checks.hidden(|at| &all.columns[at + FIRST], self.snapshot, |row| alive[row] = false);
            }
        }
        let mut hidden: Vec<u64> = Vec::new();
        for (subject, number) in (0..all.starts.len().saturating_sub(1)).zip(first..) {
            let range = all.of(subject);
            let standing = self.standing(number);
            match standing {
                Standing::In(_) => subjects.push(subject),
                Standing::Later => alive[range.clone()].fill(false),
                Standing::Absent => {}
            }
            if standing != Standing::Absent {
                // Of a subject that it knows a date sees what is visible by its own times and breaks no rule then, of one that comes later
                // nothing; what breaks a rule was counted when it was read, and the rest is hidden.
                for row in range {
                    if faulty.get(row).is_some_and(|dates| DateSet::from_stored(*dates).has(self.date)) {
                        alive[row] = false;
                    } else if !alive[row] {
                        let file = all.files[row] as usize;
                        if file >= hidden.len() {
                            hidden.resize(file + 1, 0);
                        }
                        hidden[file] += 1;
                    }
                }
                continue;
            }
            for row in range {
                let faulty = faulty.get(row).copied().map_or(DateSet::NONE, DateSet::from_stored);
                let sight = self.sight(alive[row], faulty, std::iter::once(number));
                alive[row] = sight == Sight::Seen;
                match sight {
                    Sight::Seen | Sight::Counted => {}
                    Sight::Hidden => found.tally.add(all.files[row], Class::NotVisible, 1),
                    Sight::NoSubject => {
                        let (file, number) = layout.place(all, row);
                        let (rule, column) = (Rule::UnknownSubject, layout.subject);
                        found.quarantine(Quarantined { file, row: number, rule, column });
                    }
                }
            }
        }
        (0_u32..).zip(&hidden).for_each(|(file, rows)| found.tally.add(file, Class::NotVisible, *rows));
        if !rows.columns[DISPUTED].is_empty() {
            let at = |dates: &mut i64| *dates = i64::from(DateSet::from_stored(*dates).has(self.date));
            Arc::make_mut(&mut rows.columns[DISPUTED]).iter_mut().for_each(at);
        }
        // Columns that only rows it does not see would change stay those of all dates.
        let seen = |row: usize| alive[row];
        checks.turn_back(&mut rows.columns[FIRST..], (all.len(), &seen), self.snapshot, &mut Vec::new());
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
