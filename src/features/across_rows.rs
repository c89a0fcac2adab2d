//! A bucket's rows with the dates at which they count, and the sums of all dates over them: see `across`.

use std::ops::Range;
use std::sync::Arc;

use super::across::{Across, Of};
use super::across_kernel::{Adder, Lines, Own};
use super::across_times::{Dates, Found};
use super::adding::Sums;
use super::kernel::{bound, magnitude};
use super::numbering::Numbering;
use super::plan::Sum;
use crate::NULL;
use crate::contract::RELIABILITY_ONE;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::resolve::Counting;

/// Rows evaluated at a time, but for those of one subject, which stay together.
const RUN_ROWS: usize = 4_096;
/// A subject with more rows is added up date by date: each of its groups would have a number for every date.
const MOST_ROWS: usize = 16_384;
/// The largest number of months between two days of the calendar is smaller.
const MOST_MONTHS: u64 = 1 << 15;
/// Subjects whose sums are put where they belong at once. The columns of sums and dates lie apart by a power of two, so that their parts
/// for one subject drive each other from the cache; the parts of a column for subjects that follow each other lie together.
const TOGETHER: usize = 16;
/// The place of a subject that a date does not see.
const UNSEEN: u32 = u32::MAX;

/// Rows that are not at a date what they are at others, with what all its conditions and values come to in them.
#[derive(Default)]
pub(super) struct Again {
    /// Positions among the stored rows, in order.
    pub(super) rows: Vec<usize>,
    pub(super) conditions: Vec<Vec<u8>>,
    pub(super) values: Vec<Vec<i64>>,
}

/// At which dates the rows of a bucket count.
#[derive(Default)]
pub struct Noted {
    /// By stored row, the dates at which it counts, is not contested, and is what it is at others.
    counted: Vec<Dates>,
    /// Rows that count at a date and are not then what they are at others.
    others: Vec<Other>,
    dates: Vec<AtDate>,
    /// Whether a column that is read as it is stored is another one at some date.
    differs: bool,
}

/// A row at one date: which of those that the date looked at again.
struct Other {
    row: usize,
    date: usize,
    at: usize,
}

/// What one date says of subjects and of rows that it looked at again.
#[derive(Default)]
struct AtDate {
    /// By subject of the bucket, its place among those that the date sees.
    places: Vec<u32>,
    /// By condition and value of the plan, where one is read.
    conditions: Vec<Vec<u8>>,
    values: Vec<Vec<i64>>,
}

/// A bucket's rows as they are stored, with what the dates share of their conditions and values.
pub(super) struct Stored<'r> {
    pub(super) across: &'r Across<'r>,
    pub(super) rows: &'r BucketRows,
    pub(super) conditions: &'r [Vec<u8>],
    pub(super) values: &'r [Vec<i64>],
}

impl Noted {
    /// Nothing is noted yet of so many rows.
    pub(super) fn new(across: Option<&Across>, rows: usize) -> Self {
        let Some(across) = across else { return Self::default() };
        let dates = (0..across.dates).map(|_| AtDate::default()).collect();
        Self { counted: vec![0; rows], others: Vec::new(), dates, differs: false }
    }

    /// Notes what a date sees: which rows count, which subjects of the bucket it sees, and what the rows come to that it looked at again.
    /// `rows` are all stored ones as it sees them.
    pub(super) fn note(
        &mut self,
        date: usize,
        stored: &Stored,
        (rows, counting, subjects): (&BucketRows, &Counting, &[usize]),
        again: Again,
    ) {
        let (across, bit): (&Across, Dates) = (stored.across, 1 << date);
        let same = |column: usize| Arc::ptr_eq(&rows.columns[column], &stored.rows.columns[column]);
        self.differs |= !across.stored().all(same);
        if counting.disputed.is_empty() {
            counting.rows.iter().for_each(|row| self.counted[*row] |= bit);
        } else {
            let certain = counting.rows.iter().enumerate().filter(|(at, _)| !counting.contested(*at));
            certain.for_each(|(_, row)| self.counted[*row] |= bit);
        }
        for (at, row) in again.rows.iter().enumerate() {
            if self.counted[*row] & bit != 0 {
                self.counted[*row] &= !bit;
                self.others.push(Other { row: *row, date, at });
            }
        }
        let mut places = vec![UNSEEN; stored.rows.starts.len().saturating_sub(1)];
        for (place, subject) in (0_u32..).zip(subjects) {
            places[*subject] = place;
        }
        let Again { mut conditions, mut values, .. } = again;
        conditions.truncate(across.conditions.len());
        values.truncate(across.values.len());
        let unread = conditions.iter_mut().zip(&across.conditions).filter(|(_, condition)| condition.is_none());
        unread.for_each(|(found, _)| *found = Vec::new());
        let unread = values.iter_mut().zip(&across.values).filter(|(_, value)| value.is_none());
        unread.for_each(|(found, _)| *found = Vec::new());
        self.dates[date] = AtDate { places, conditions, values };
    }

    /// Puts the sums of every date where they belong: `sums` has those of each date, by position in the plan and subject that it sees.
    /// Whether it could be done; otherwise the dates are added up one by one.
    pub(super) fn add_up(mut self, stored: &Stored, sums: &mut [&mut Sums]) -> bool {
        let (across, rows) = (stored.across, stored.rows);
        let subjects = rows.starts.len().saturating_sub(1);
        if self.differs || (0..subjects).any(|subject| rows.of(subject).len() > MOST_ROWS) {
            return false;
        }
        self.others.sort_unstable_by_key(|other| (other.row, other.date));
        let (mut run, mut adder) = (Run::new(across), Adder::default());
        let (mut added, mut found) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER * across.sums.len()));
        let mut first = 0;
        while first < subjects {
            let last = run_end(rows, first);
            run.look(stored, &self, first..last);
            if !run.fits(across) {
                return false;
            }
            let lines = run.lines();
            for (own, subject) in run.subjects.iter().zip(first..last) {
                // The sums of subjects without rows are there.
                if own.rows.is_empty() {
                    continue;
                }
                adder.begin();
                found.extend(across.sums.iter().map(|(_, sum)| adder.add(across, sum, &lines, own)));
                added.push(subject);
                if added.len() == TOGETHER {
                    self.put(across, (&added, &found), sums);
                    added.clear();
                    found.clear();
                }
            }
            first = last;
        }
        self.put(across, (&added, &found), sums);
        true
    }

    /// Puts what was found of some subjects, all sums of one after those of another, where it belongs.
    fn put(&self, across: &Across, (subjects, found): (&[usize], &[Found]), sums: &mut [&mut Sums]) {
        for (n, (at, _)) in across.sums.iter().enumerate() {
            for (date, (of, sums)) in self.dates.iter().zip(sums.iter_mut()).enumerate() {
                let column = &mut sums[*at];
                for (subject, found) in subjects.iter().zip(found.chunks(across.sums.len())) {
                    let place = of.places[*subject];
                    if place != UNSEEN {
                        column[place as usize] = found[n][date];
                    }
                }
            }
        }
    }
}

/// The subject after the last one whose rows still fit into a run.
fn run_end(rows: &BucketRows, first: usize) -> usize {
    let subjects = rows.starts.len() - 1;
    let begin = rows.starts[first] as usize;
    let fits = |subject: &usize| rows.starts[*subject] as usize - begin <= RUN_ROWS;
    (first + 1..=subjects).take_while(fits).last().unwrap_or(first + 1)
}

/// Some consecutive subjects' rows, and behind them those of them that are others at one date.
struct Run {
    windows: Vec<Vec<Dates>>,
    conditions: Vec<Vec<Dates>>,
    values: Vec<Vec<i64>>,
    months: Vec<i64>,
    days: Vec<i64>,
    reliability: Vec<i64>,
    groups: Vec<Vec<u32>>,
    numbering: Numbering,
    subjects: Vec<Own>,
    reads_months: bool,
    reads_weeks: bool,
}

impl Run {
    fn new(across: &Across) -> Self {
        Self {
            windows: across.windows.iter().map(|_| Vec::new()).collect(),
            conditions: across.conditions.iter().map(|_| Vec::new()).collect(),
            values: across.values.iter().map(|_| Vec::new()).collect(),
            months: Vec::new(),
            days: Vec::new(),
            reliability: Vec::new(),
            groups: across.keys.iter().map(|_| Vec::new()).collect(),
            numbering: Numbering::default(),
            subjects: Vec::new(),
            reads_months: across.reads_months(),
            reads_weeks: across.keys.contains(&Of::Weeks),
        }
    }

    fn lines(&self) -> Lines<'_> {
        let Self { conditions, values, months, days, reliability, groups, .. } = self;
        Lines { conditions, values, months, days, reliability, groups }
    }

    /// Takes in the rows of some subjects.
    fn look(&mut self, stored: &Stored, noted: &Noted, subjects: Range<usize>) {
        let (across, rows) = (stored.across, stored.rows);
        let some = rows.starts[subjects.start] as usize..rows.starts[subjects.end] as usize;
        let place = |end: usize| noted.others.partition_point(|other| other.row < end);
        let others = &noted.others[place(some.start)..place(some.end)];
        let repeated: Vec<usize> = others.iter().map(|other| other.row - some.start).collect();
        let days = across.day.and_then(|column| rows.columns[column].get(some.clone()));
        for (window, dates) in across.windows.iter().zip(&mut self.windows) {
            dates.clear();
            match days {
                Some(days) => dates.extend(days.iter().map(|day| window.dates(*day))),
                None => dates.resize(some.len(), 0),
            }
        }
        for (at, (condition, met)) in across.conditions.iter().zip(&mut self.conditions).enumerate() {
            let Some(condition) = condition else { continue };
            met.clear();
            met.extend_from_slice(&noted.counted[some.clone()]);
            for shared in &condition.shared {
                let holds = &stored.conditions[*shared][some.clone()];
                // All bits of what holds, none of what does not.
                met.iter_mut().zip(holds).for_each(|(met, holds)| *met &= 0_u16.wrapping_sub(u16::from(*holds)));
            }
            if let Some(window) = condition.window {
                met.iter_mut().zip(&self.windows[window]).for_each(|(met, dates)| *met &= dates);
            }
            let then = |other: &Other| Dates::from(noted.dates[other.date].conditions[at][other.at]) << other.date;
            met.extend(others.iter().map(then));
        }
        for (at, (value, found)) in across.values.iter().zip(&mut self.values).enumerate() {
            let Some(Of::Shared(shared)) = value else { continue };
            found.clear();
            found.extend_from_slice(&stored.values[*shared][some.clone()]);
            found.extend(others.iter().map(|other| noted.dates[other.date].values[at][other.at]));
        }
        self.months.clear();
        if self.reads_months {
            let months = |day: &i64| if *day == NULL { NULL } else { across.last.months_ago(*day).unwrap_or(NULL) };
            match days {
                Some(days) => self.months.extend(days.iter().map(months)),
                None => self.months.resize(some.len(), NULL),
            }
            repeat(&mut self.months, &repeated);
        }
        self.days.clear();
        if self.reads_weeks {
            match days {
                Some(days) => self.days.extend_from_slice(days),
                None => self.days.resize(some.len(), NULL),
            }
            repeat(&mut self.days, &repeated);
        }
        self.reliability.clear();
        let weight = |value: &i64| if *value == NULL { RELIABILITY_ONE } else { *value };
        match across.source.and_then(|column| rows.columns[column].get(some.clone())) {
            Some(values) => self.reliability.extend(values.iter().map(weight)),
            None => self.reliability.resize(some.len(), RELIABILITY_ONE),
        }
        repeat(&mut self.reliability, &repeated);
        self.divide(stored, subjects, some, (others, &repeated));
    }

    /// Divides the lines among subjects, and each subject's into groups.
    fn divide(
        &mut self,
        stored: &Stored,
        subjects: Range<usize>,
        some: Range<usize>,
        (others, repeated): (&[Other], &[usize]),
    ) {
        let rows = stored.rows;
        self.subjects.clear();
        let mut first = 0;
        for subject in subjects {
            let own = rows.of(subject);
            let last = first + others[first..].partition_point(|other| other.row < own.end);
            self.subjects.push(Own {
                rows: own.start - some.start..own.end - some.start,
                again: some.len() + first..some.len() + last,
                groups: Vec::with_capacity(self.groups.len()),
            });
            first = last;
        }
        for (key, groups) in stored.across.keys.iter().zip(&mut self.groups) {
            groups.clear();
            let keys = match key {
                Of::Stored(column) => rows.columns[*column].get(some.clone()),
                Of::Months | Of::Shared(_) => self.months.get(..some.len()),
                // Each date counts them itself.
                Of::Weeks => {
                    self.subjects.iter_mut().for_each(|own| own.groups.push(0));
                    continue;
                }
            };
            for own in &mut self.subjects {
                // A column that is null throughout makes one group.
                let count = match keys {
                    Some(keys) => self.numbering.number(&keys[own.rows.clone()], groups),
                    None => {
                        groups.resize(own.rows.end, 0);
                        1
                    }
                };
                own.groups.push(count);
            }
            repeat(groups, repeated);
        }
    }

    /// Whether 64 bits hold every sum at every date, which is proven from the largest values as in [`kernel`](super::kernel). A date has
    /// each row at most once.
    fn fits(&self, across: &Across) -> bool {
        let fits =
            |sum: &Sum, rows: usize, largest: &dyn Fn(usize) -> u64| bound(sum, rows, largest) <= i128::from(i64::MAX);
        let of_all: Vec<u64> = self.values.iter().map(|values| magnitude(values)).collect();
        let longest = self.subjects.iter().map(|own| own.rows.len()).max().unwrap_or(0);
        let largest = |at: usize| match across.values[at] {
            Some(Of::Months) => MOST_MONTHS,
            _ => of_all[at],
        };
        let of = |own: &Own, at: usize| match across.values[at] {
            Some(Of::Months) => MOST_MONTHS,
            _ => magnitude(&self.values[at][own.rows.clone()]).max(magnitude(&self.values[at][own.again.clone()])),
        };
        across.sums.iter().all(|(_, sum)| {
            fits(sum, longest, &largest) || self.subjects.iter().all(|own| fits(sum, own.rows.len(), &|at| of(own, at)))
        })
    }
}

/// Adds what some lines have once more.
fn repeat<T: Copy>(all: &mut Vec<T>, lines: &[usize]) {
    for line in lines {
        all.push(all[*line]);
    }
}
