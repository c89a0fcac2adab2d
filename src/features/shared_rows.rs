//! A bucket's rows, looked at once for all dates, and what each date adds up of them: see [`shared`](super::shared).

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::across_rows::{Again, Noted, Stored};
use super::adding::{Sums, add_up, without_rows};
use super::compute::RUN_ROWS;
use super::kernel::{Evaluated, Kernel, weigh};
use super::plan::Recency;
use super::rest::Rest;
use super::shared::{Key, OfDate, Part, RELIABILITY, SharedTable, Value};
use crate::NULL;
use crate::engine::Frame;
use crate::ingest::rows::layout::ROW;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::resolve::Counting;

/// The rows of a bucket with what dates share of their conditions and values.
pub struct SharedRows<'a> {
    table: &'a SharedTable<'a>,
    /// The rows as the widest date sees them.
    rows: &'a BucketRows,
    conditions: Vec<Vec<u8>>,
    values: Vec<Vec<i64>>,
}

/// What one date makes of the rows.
#[derive(Debug, Default)]
pub struct AtDate {
    /// The sums of its plan, for the subjects that it sees; none where no feature reads the table. Those that are added up for all dates
    /// are there once all were [looked at](SharedRows::add_up).
    pub sums: Sums,
    /// For each of its other conditions, 1 where a stored row meets it. Of rows that do not count it says nothing.
    pub holds: Vec<Vec<u8>>,
}

/// What is used for one run of rows after another.
#[derive(Default)]
struct Desk {
    kernel: Kernel,
    /// 1 for each row that is added up.
    added: Vec<u8>,
    /// One for each condition of the rest of the plan.
    filters: Vec<Vec<u8>>,
}

/// What a date evaluates itself in a run of rows.
struct Own {
    frame: Frame,
    comparisons: Vec<Vec<u8>>,
    conditions: Vec<Vec<u8>>,
    values: Vec<Vec<i64>>,
}

impl<'a> SharedTable<'a> {
    /// A bucket's rows with what each date needs of all of them: the days of events that are instants, behind the stored columns.
    #[must_use]
    pub fn with_days(&self, mut rows: BucketRows) -> BucketRows {
        if let Some(event) = &self.instant {
            let day = |instant: &i64| if *instant == NULL { NULL } else { event.day(*instant) };
            let days: Vec<i64> = rows.columns[event.column].iter().map(day).collect();
            rows.columns.push(Arc::new(days));
        }
        rows
    }

    /// Looks at a bucket's rows, as they were stored; they are [with days](Self::with_days).
    ///
    /// # Errors
    /// When the engine fails.
    pub fn rows(&'a self, rows: &'a BucketRows) -> Result<SharedRows<'a>> {
        let mut conditions: Vec<Vec<u8>> = (0..self.conditions).map(|_| Vec::with_capacity(rows.len())).collect();
        let values = self.conditions..self.program.len();
        let mut values: Vec<Vec<i64>> = values.map(|_| Vec::with_capacity(rows.len())).collect();
        for from in (0..rows.len()).step_by(RUN_ROWS).filter(|_| !self.program.is_empty()) {
            let frame = self.cleaner.clean(rows, from..rows.len().min(from + RUN_ROWS), self.calendar)?;
            let mut found = self.program.run(&frame)?.into_iter();
            for (all, found) in conditions.iter_mut().zip(&mut found) {
                all.append(&mut found.into_conditions()?);
            }
            for (all, found) in values.iter_mut().zip(found) {
                all.append(&mut found.into_integers()?);
            }
        }
        Ok(SharedRows { table: self, rows, conditions, values })
    }
}

impl SharedRows<'_> {
    /// What dates note for the sums that are added up for all of them.
    #[must_use]
    pub fn noted(&self) -> Noted {
        Noted::new(self.table.across.as_ref(), self.rows.len())
    }

    /// What a date makes of the rows that count then; `rows` are all stored ones as it sees them, and `subjects` the positions within the
    /// bucket of the subjects that it sees. For what is added up for all dates it is noted.
    ///
    /// # Errors
    /// When the engine fails, or 64 bits do not hold a sum.
    pub fn at(
        &self,
        date: usize,
        (rows, subjects): (&BucketRows, &[usize]),
        counting: &Counting,
        noted: &mut Noted,
    ) -> Result<AtDate> {
        let of = self.table.dates.get(date).context("no such date")?;
        let again = self.again(of, rows, counting)?;
        let in_rest = of.rest.as_ref().map_or(0, |rest| rest.conditions.len());
        let mut at = AtDate {
            sums: of.plan.map(|plan| without_rows(plan, counting.subjects())).unwrap_or_default(),
            holds: vec![vec![0; rows.len()]; of.parts.conditions.len() - in_rest],
        };
        let mut desk = Desk { filters: vec![Vec::new(); in_rest], ..Desk::default() };
        let asks = !at.holds.is_empty() || of.rest.as_ref().is_some_and(|rest| !rest.sums.is_empty());
        let mut first = if asks { 0 } else { counting.subjects() };
        while first < counting.subjects() {
            let last = run_end(counting, first);
            let counted = &counting.rows[counting.starts[first] as usize..counting.starts[last] as usize];
            if let (Some(one), Some(end)) = (counted.first(), counted.last()) {
                let (subjects, rows_of) = (first..last, *one..end + 1);
                let run = Run { shared: self, of, rows, counting, again: &again, subjects, rows_of };
                run.add(&mut desk, &mut at)?;
            }
            first = last;
        }
        if let Some(stored) = self.stored() {
            noted.note(date, &stored, (rows, counting, subjects), again);
        }
        Ok(at)
    }

    /// Adds up what is added up for all dates, once all have noted what they see, and puts it among the sums of each. Whether it could be
    /// done; where it could not, every date has to add up its rows alone.
    #[must_use]
    pub fn add_up(&self, noted: Noted, sums: &mut [&mut Sums]) -> bool {
        self.stored().is_none_or(|stored| noted.add_up(&stored, sums))
    }

    /// The rows, where something is added up for all dates.
    fn stored(&self) -> Option<Stored<'_>> {
        let across = self.table.across.as_ref()?;
        Some(Stored { across, rows: self.rows, conditions: &self.conditions, values: &self.values })
    }

    /// The rows that count at a date and are not then what they are at others.
    fn again(&self, of: &OfDate, rows: &BucketRows, counting: &Counting) -> Result<Again> {
        let changed = |at: &usize| !Arc::ptr_eq(&rows.columns[*at], &self.rows.columns[*at]);
        let changed: Vec<usize> = self.table.reads.iter().copied().filter(changed).collect();
        let waits = &self.table.waits;
        if self.table.program.is_empty() || (waits.is_empty() && changed.is_empty()) {
            return Ok(Again::default());
        }
        let mut differs = vec![false; rows.len()];
        waits.iter().for_each(|at| mark(&mut differs, &rows.columns[*at], |value| value == NULL));
        for at in changed {
            let (then, stored) = (rows.columns[at].as_slice(), self.rows.columns[at].as_slice());
            match (then.is_empty(), stored.is_empty()) {
                (true, _) => mark(&mut differs, stored, |value| value != NULL),
                (_, true) => mark(&mut differs, then, |value| value != NULL),
                _ => differs.iter_mut().zip(then.iter().zip(stored)).for_each(|(to, (then, all))| *to |= then != all),
            }
        }
        let few: Vec<usize> = counting.rows.iter().copied().filter(|row| differs[*row]).collect();
        if few.is_empty() {
            return Ok(Again::default());
        }
        let wanted = |at: usize| of.reads.get(at).copied().unwrap_or(false);
        let picked = rows.pick_columns(&few, vec![0, u32::try_from(few.len())?], &wanted);
        let (cleaner, program) = &of.whole;
        let mut again = Again {
            rows: few,
            conditions: vec![Vec::new(); of.conditions],
            values: vec![Vec::new(); program.len() - of.conditions],
        };
        for from in (0..picked.len()).step_by(RUN_ROWS) {
            let frame = cleaner.clean(&picked, from..picked.len().min(from + RUN_ROWS), of.calendar)?;
            let mut found = program.run(&frame)?.into_iter();
            for (all, found) in again.conditions.iter_mut().zip(&mut found) {
                all.append(&mut found.into_conditions()?);
            }
            for (all, found) in again.values.iter_mut().zip(found) {
                all.append(&mut found.into_integers()?);
            }
        }
        Ok(again)
    }
}

/// Marks the rows whose value is so; a column without values is null throughout.
fn mark(rows: &mut [bool], column: &[i64], is: impl Fn(i64) -> bool) {
    match column.is_empty() {
        true if is(NULL) => rows.fill(true),
        true => {}
        false => rows.iter_mut().zip(column).for_each(|(row, value)| *row |= is(*value)),
    }
}

/// Some consecutive subjects' rows at a date.
struct Run<'r> {
    shared: &'r SharedRows<'r>,
    of: &'r OfDate<'r>,
    rows: &'r BucketRows,
    counting: &'r Counting,
    again: &'r Again,
    subjects: Range<usize>,
    /// From the first of their rows that counts to the last.
    rows_of: Range<usize>,
}

impl Run<'_> {
    /// Adds up the rest of the plan, and finds where the other conditions hold.
    fn add(&self, desk: &mut Desk, to: &mut AtDate) -> Result<()> {
        let own = self.own()?;
        let place = |end: usize| self.again.rows.partition_point(|row| *row < end);
        let again = place(self.rows_of.start)..place(self.rows_of.end);
        if let Some(rest) = self.of.rest.as_ref().filter(|rest| !rest.sums.is_empty()) {
            self.filter(rest, &own, &again, desk);
            self.add_up(rest, &own, &again, desk, &mut to.sums)?;
        }
        let in_rest = desk.filters.len();
        let in_plan = self.of.plan.map_or(0, |plan| plan.predicates.len());
        for (n, parts) in self.of.parts.conditions[in_rest..].iter().enumerate() {
            let holds = &mut to.holds[n][self.rows_of.clone()];
            holds.fill(1);
            self.narrow(holds, parts, &own);
            for at in again.clone() {
                holds[self.again.rows[at] - self.rows_of.start] = self.again.conditions[in_plan + n][at];
            }
        }
        Ok(())
    }

    /// Finds which rows are added up, and which of them meet each condition of the rest of the plan.
    fn filter(&self, rest: &Rest, own: &Own, again: &Range<usize>, desk: &mut Desk) {
        desk.added.clear();
        desk.added.resize(self.rows_of.len(), 0);
        let counted = self.counting.of(self.subjects.start).start..self.counting.of(self.subjects.end - 1).end;
        for at in counted.filter(|at| !self.counting.contested(*at)) {
            desk.added[self.counting.rows[at] - self.rows_of.start] = 1;
        }
        let parts = self.of.parts.conditions.iter();
        for ((filter, whole), parts) in desk.filters.iter_mut().zip(&rest.conditions).zip(parts) {
            filter.clear();
            filter.extend_from_slice(&desk.added);
            self.narrow(filter, parts, own);
            for at in again.clone() {
                let row = self.again.rows[at] - self.rows_of.start;
                filter[row] = self.again.conditions[*whole][at] & desk.added[row];
            }
        }
    }

    /// What the date evaluates itself.
    fn own(&self) -> Result<Own> {
        let of = &self.of.parts;
        let frame = of.cleaner.clean(self.rows, self.rows_of.clone(), self.of.calendar)?;
        let mut own = Own { comparisons: Vec::new(), conditions: Vec::new(), values: Vec::new(), frame };
        for comparison in &of.comparisons {
            own.comparisons.push(comparison.holds(own.frame.values(&comparison.column)?));
        }
        if !of.program.is_empty() {
            for (n, found) in of.program.run(&own.frame)?.into_iter().enumerate() {
                match n < of.own_conditions {
                    true => own.conditions.push(found.into_conditions()?),
                    false => own.values.push(found.into_integers()?),
                }
            }
        }
        Ok(own)
    }

    /// Leaves those rows in which every part of a condition holds.
    fn narrow(&self, rows: &mut [u8], parts: &[Part], own: &Own) {
        for part in parts {
            let holds: &[u8] = match *part {
                Part::Shared(n) => &self.shared.conditions[n][self.rows_of.clone()],
                Part::Compared(n) => &own.comparisons[n],
                Part::Own(n) => &own.conditions[n],
            };
            rows.iter_mut().zip(holds).for_each(|(row, holds)| *row &= holds);
        }
    }

    /// Adds up the rest of the plan; `again` tells which rows of [`Again`] are among these.
    fn add_up(
        &self,
        rest: &Rest,
        own: &Own,
        again: &Range<usize>,
        desk: &mut Desk,
        sums: &mut [Vec<i64>],
    ) -> Result<()> {
        let (start, plan, of) = (self.rows_of.start, &rest.plan, &self.of.parts);
        // Shared values that some of the rows do not have at this date.
        let corrected = of.values.iter().zip(&rest.values).map(|(value, whole)| {
            let Value::Shared(shared) = value else { return Vec::new() };
            let (all, own) = (&self.shared.values[*shared], &self.again.values);
            if again.clone().all(|at| own[*whole][at] == all[self.again.rows[at]]) {
                return Vec::new();
            }
            let mut values = all[self.rows_of.clone()].to_vec();
            for at in again.clone() {
                values[self.again.rows[at] - start] = own[*whole][at];
            }
            values
        });
        let corrected: Vec<Vec<i64>> = corrected.collect();
        let mut values: Vec<&[i64]> = Vec::with_capacity(corrected.len());
        for (value, corrected) in of.values.iter().zip(&corrected) {
            values.push(match value {
                Value::Shared(n) if corrected.is_empty() => &self.shared.values[*n][self.rows_of.clone()],
                Value::Shared(_) => corrected,
                Value::Column(name) => own.frame.values(name)?,
                Value::Own(n) => &own.values[*n],
            });
        }
        let reliability: &[i64] = if plan.weights.is_empty() { &[] } else { own.frame.values(RELIABILITY)? };
        let weigh = |recency: &Recency| match recency.months_ago.as_str() {
            "" => Ok(weigh(recency, None, reliability)),
            column => Ok(weigh(recency, Some(own.frame.values(column)?), reliability)),
        };
        let weights = plan.weights.iter().map(weigh).collect::<Result<Vec<_>>>()?;
        let is_empty = |key: &Key| matches!(key, Key::Stored(column) if self.rows.columns[*column].is_empty());
        let unknown = if of.keys.iter().any(is_empty) { vec![NULL; self.rows_of.len()] } else { Vec::new() };
        let mut keys: Vec<&[i64]> = Vec::with_capacity(of.keys.len());
        for key in &of.keys {
            keys.push(match key {
                Key::Stored(column) => self.rows.columns[*column].get(self.rows_of.clone()).unwrap_or(&unknown),
                Key::Clean(name) => own.frame.values(name)?,
            });
        }
        let mut end = 0;
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(self.subjects.len());
        for subject in self.subjects.clone() {
            let counted = &self.counting.rows[self.counting.of(subject)];
            let first = counted.first().map_or(end, |first| first - start);
            end = counted.last().map_or(end, |last| last + 1 - start);
            ranges.push(first..end);
        }
        let predicates: Vec<&[u8]> = desk.filters.iter().map(Vec::as_slice).collect();
        let rows = Evaluated { predicates: &predicates, values: &values, weights: &weights, keys: &keys };
        let added = &desk.added;
        let place = |subject: usize| {
            let first = ranges[subject].clone().find(|row| added[*row] == 1).unwrap_or(ranges[subject].start);
            (self.rows.files[start + first], self.rows.value(ROW, start + first))
        };
        let own = sums.iter_mut().enumerate().filter(|(at, _)| rest.sums.binary_search(at).is_ok());
        let mut out: Vec<&mut [i64]> = own.map(|(_, sums)| &mut sums[self.subjects.clone()]).collect();
        add_up(plan, &rows, &ranges, &place, &mut desk.kernel, &mut out)
    }
}

/// The subject after the last one whose rows still fit into a run.
fn run_end(counting: &Counting, first: usize) -> usize {
    let begin = counting.starts[first] as usize;
    let fits = |subject: &usize| {
        let end = counting.starts[*subject] as usize;
        end <= begin + 1 || counting.rows[end - 1] - counting.rows[begin] < RUN_ROWS
    };
    (first + 1..=counting.subjects()).take_while(fits).last().unwrap_or(first + 1)
}
