//! Adding up: per subject, exact integers over rows sorted by subject.
//!
//! Conditions and values were evaluated once per row by the expression engine; here they are only added. A subject's
//! rows lie together, so every sum runs over consecutive memory, and grouping by month, week or id needs a scratch
//! space of one subject's rows. Integer addition has no order: the result does not depend on threads or on the order
//! of rows.
//!
//! Ranges: a row's value fits by the checked bound of its expression (see `expression`). Whether sums fit is proven
//! for the rows at hand before they are added: with m the largest value, r the rows of the subject and w = 10^9 the
//! largest weight, a sum is at most m·r, a weighted one m·r·w, a deviation Σ|n·x − S| at most 2·n·m·r, and an overlap
//! r². What cannot be proven is added up in 128 bits (see `exact`); nothing wraps.

use std::ops::Range;

use super::plan::{RECENCY_ONE, RELIABILITY_ONE, Recency, Sum, TablePlan};
use crate::NULL;

/// The evaluated columns of some rows, sorted by subject.
pub struct Evaluated<'a> {
    /// One per predicate: 1 where it holds.
    pub predicates: &'a [&'a [u8]],
    /// One per value.
    pub values: &'a [&'a [i64]],
    /// One per weighting: the weight of each row.
    pub weights: &'a [Vec<i64>],
    /// One per grouping: the group of each row.
    pub keys: &'a [&'a [i64]],
}

/// Scratch space for one subject's groups.
#[derive(Default)]
pub struct Kernel {
    /// How many rows pass the filter.
    passed: usize,
    /// These, and the group of each, numbered as they appear; behind them stands what is left of other subjects.
    rows: Vec<u32>,
    groups: Vec<u32>,
    /// The key of each group.
    keys: Vec<i64>,
    /// Open addressing from key to group.
    slots: Vec<u32>,
    /// One number per group, or two.
    sums: Vec<i64>,
    others: Vec<i64>,
}

const FREE: u32 = u32::MAX;

/// The weight of each row: recency in millionths times reliability in thousandths.
#[must_use]
pub fn weigh(recency: &Recency, months_ago: Option<&[i64]>, reliability: &[i64]) -> Vec<i64> {
    let of = |months: i64| usize::try_from(months).ok().and_then(|m| recency.millionths.get(m)).copied().unwrap_or(0);
    match months_ago {
        Some(months) => months.iter().zip(reliability).map(|(m, r)| of(*m) * r).collect(),
        None => reliability.iter().map(|r| RECENCY_ONE * r).collect(),
    }
}

/// Which accumulators could leave 64 bits for one of the subjects, by what their rows allow.
#[must_use]
pub fn doubtful(plan: &TablePlan, rows: &Evaluated, ranges: &[Range<usize>]) -> Vec<bool> {
    let all = ranges.first().map_or(0, |r| r.start)..ranges.last().map_or(0, |r| r.end);
    let longest = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let largest: Vec<u64> = rows.values.iter().map(|v| magnitude(&v[all.clone()])).collect();
    let fits = |bound: i128| bound <= i128::from(i64::MAX);
    let fits_all = |sum: &Sum| fits(bound(sum, longest, &|v| largest[v]));
    // The rows of all subjects together are too coarse a bound: look at each subject by itself.
    let fits_each =
        |sum: &Sum| ranges.iter().all(|r| fits(bound(sum, r.len(), &|v| magnitude(&rows.values[v][r.clone()]))));
    plan.accumulators.iter().map(|a| !fits_all(&a.sum) && !fits_each(&a.sum)).collect()
}

/// The largest of some values without their signs; nulls are 0.
pub(super) fn magnitude(values: &[i64]) -> u64 {
    // Null is the one number that stays below 0 without its sign, and is never the largest.
    values.iter().fold(0_i64, |most, v| most.max(v.wrapping_abs())).unsigned_abs()
}

/// The most a sum over so many rows can be, from the largest of each value.
pub(super) fn bound(sum: &Sum, rows: usize, largest: &dyn Fn(usize) -> u64) -> i128 {
    let rows = rows as i128;
    let sum_of = |value: usize| i128::from(largest(value)) * rows;
    let weight = i128::from(RECENCY_ONE) * i128::from(RELIABILITY_ONE);
    match *sum {
        Sum::Rows { .. } | Sum::Groups { .. } => rows,
        Sum::ZeroGroups { value, .. } => sum_of(value),
        Sum::Smallest { .. } | Sum::Largest { .. } => 0,
        Sum::Values { value, .. } => sum_of(value),
        Sum::Weights { .. } => rows * weight,
        Sum::WeightedValues { value, .. } => sum_of(value).saturating_mul(weight),
        Sum::Deviations { value, periods, .. } => 2 * periods.map_or(rows, i128::from) * value.map_or(rows, sum_of),
        Sum::LargestGroup { value, .. } => value.map_or(rows, sum_of),
        Sum::Spans { value, .. } => 2 * sum_of(value),
        Sum::Overlap { .. } => rows * rows,
    }
}

impl Kernel {
    /// Adds up the rows of consecutive subjects. `ranges` are each subject's rows; `out` has one slice per accumulator
    /// with one entry per subject. Accumulators that are `doubtful` are left out.
    pub fn add(
        &mut self,
        plan: &TablePlan,
        rows: &Evaluated,
        ranges: &[Range<usize>],
        doubtful: &[bool],
        out: &mut [&mut [i64]],
    ) {
        let mut grouped: Vec<Vec<usize>> = vec![Vec::new(); plan.groupings.len()];
        for (n, accumulator) in plan.accumulators.iter().enumerate().filter(|(n, _)| !doubtful[*n]) {
            match accumulator.sum {
                Sum::Groups { grouping }
                | Sum::ZeroGroups { grouping, .. }
                | Sum::Deviations { grouping, .. }
                | Sum::LargestGroup { grouping, .. }
                | Sum::Spans { grouping, .. }
                | Sum::Overlap { grouping, .. } => grouped[grouping].push(n),
                ref sum => plain(sum, rows, ranges, out[n]),
            }
        }
        for (grouping, accumulators) in grouped.iter().enumerate().filter(|(_, a)| !a.is_empty()) {
            let filter = rows.predicates[plan.groupings[grouping].filter];
            for (subject, range) in ranges.iter().enumerate() {
                self.group(filter, rows.keys[grouping], range.clone());
                for n in accumulators {
                    out[*n][subject] = self.reduce(&plan.accumulators[*n].sum, rows);
                }
            }
        }
    }

    /// Numbers the groups of a subject's rows that pass the filter.
    #[allow(clippy::cast_possible_truncation, reason = "a bucket holds fewer than 2^32 rows")]
    fn group(&mut self, filter: &[u8], keys: &[i64], range: Range<usize>) {
        if self.rows.len() < range.len() {
            self.rows.resize(range.len(), 0);
            self.groups.resize(range.len(), 0);
        }
        let rows = &mut self.rows[..range.len()];
        // Each row is written, and stays if it passes: no branch has to be foreseen.
        let mut passed = 0;
        for (row, holds) in (range.start as u32..).zip(&filter[range]) {
            rows[passed] = row;
            passed += usize::from(*holds != 0);
        }
        self.passed = passed;
        self.slots.clear();
        self.slots.resize((2 * passed).next_power_of_two(), FREE);
        self.keys.clear();
        let (mut before, mut last) = (NULL, FREE);
        for (row, group) in rows[..passed].iter().zip(&mut self.groups) {
            let key = keys[*row as usize];
            // Rows often come in runs of one group: by time, by account.
            if last == FREE || before != key {
                (before, last) = (key, find(&mut self.slots, &mut self.keys, key));
            }
            *group = last;
        }
    }

    /// Adds up a number per row, by group, into `sums`.
    fn sum(&mut self, of: impl Fn(usize) -> i64) {
        self.sums.clear();
        self.sums.resize(self.keys.len(), 0);
        let sums = self.sums.as_mut_slice();
        for (row, group) in self.rows[..self.passed].iter().zip(&self.groups) {
            sums[*group as usize] += of(*row as usize);
        }
    }

    /// Adds up values, or counts rows.
    fn total(&mut self, value: Option<usize>, rows: &Evaluated) {
        match value {
            Some(value) => {
                let values = rows.values[value];
                self.sum(|row| if values[row] == NULL { 0 } else { values[row] });
            }
            None => self.sum(|_| 1),
        }
    }

    fn reduce(&mut self, sum: &Sum, rows: &Evaluated) -> i64 {
        match *sum {
            Sum::Groups { .. } => count(self.keys.len()),
            Sum::ZeroGroups { value, .. } => {
                self.total(Some(value), rows);
                count(self.sums.iter().filter(|s| **s == 0).count())
            }
            Sum::Deviations { value, periods, .. } => {
                self.total(value, rows);
                let present = count(self.sums.len());
                let n = periods.unwrap_or(present);
                let all: i64 = self.sums.iter().sum();
                self.sums.iter().map(|x| (n * x - all).abs()).sum::<i64>() + (n - present) * all.abs()
            }
            Sum::LargestGroup { value, .. } => {
                self.total(value, rows);
                self.sums.iter().copied().max().unwrap_or(0)
            }
            Sum::Spans { value, .. } => self.spans(rows.values[value]),
            Sum::Overlap { split, .. } => {
                let split = rows.predicates[split];
                self.total(None, rows);
                std::mem::swap(&mut self.sums, &mut self.others);
                self.sum(|row| i64::from(split[row]));
                let in_first: i64 = self.sums.iter().sum();
                let in_second = count(self.passed) - in_first;
                let least = |(first, all): (&i64, &i64)| (first * in_second).min((all - first) * in_first);
                self.sums.iter().zip(&self.others).map(least).sum()
            }
            _ => 0,
        }
    }

    /// The distance from the smallest to the largest value of each group, added up.
    fn spans(&mut self, values: &[i64]) -> i64 {
        for ends in [&mut self.sums, &mut self.others] {
            ends.clear();
            ends.resize(self.keys.len(), NULL);
        }
        for (row, group) in self.rows[..self.passed].iter().zip(&self.groups) {
            let (value, group) = (values[*row as usize], *group as usize);
            if value != NULL {
                // Null is smaller than every value.
                self.sums[group] = self.sums[group].max(value);
                let least = &mut self.others[group];
                *least = if *least == NULL { value } else { value.min(*least) };
            }
        }
        self.sums.iter().zip(&self.others).filter(|(high, _)| **high != NULL).map(|(high, low)| high - low).sum()
    }
}

/// The group of a key among those that `keys` lists, which it is added to if it is new. `slots` lead there by open addressing; at least one
/// of them is free.
#[allow(clippy::cast_possible_truncation, reason = "masked to the table's size")]
fn find(slots: &mut [u32], keys: &mut Vec<i64>, key: i64) -> u32 {
    let mask = slots.len() - 1;
    let mut slot = (key.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
    loop {
        match slots[slot] {
            FREE => {
                let group = keys.len() as u32;
                slots[slot] = group;
                keys.push(key);
                return group;
            }
            group if keys[group as usize] == key => return group,
            _ => slot = (slot + 1) & mask,
        }
    }
}

/// The sums that need no groups.
fn plain(sum: &Sum, rows: &Evaluated, ranges: &[Range<usize>], out: &mut [i64]) {
    let each = |out: &mut [i64], of: &dyn Fn(Range<usize>) -> i64| {
        for (o, range) in out.iter_mut().zip(ranges) {
            *o = of(range.clone());
        }
    };
    match *sum {
        Sum::Rows { filter } => {
            let filter = rows.predicates[filter];
            each(out, &|r| ones(&filter[r]));
        }
        Sum::Values { filter, value } => {
            let (filter, values) = (rows.predicates[filter], rows.values[value]);
            let term = |f: u8, v: i64| if (f != 0) & (v != NULL) { v } else { 0 };
            each(out, &|r| filter[r.clone()].iter().zip(&values[r]).map(|(f, v)| term(*f, *v)).sum());
        }
        Sum::Smallest { filter, value } | Sum::Largest { filter, value } => {
            let (filter, values) = (rows.predicates[filter], rows.values[value]);
            let smallest = matches!(sum, Sum::Smallest { .. });
            each(out, &|r| {
                let chosen =
                    filter[r.clone()].iter().zip(&values[r]).filter(|(f, v)| **f != 0 && **v != NULL).map(|(_, v)| *v);
                let found = if smallest { chosen.min() } else { chosen.max() };
                found.unwrap_or(NULL)
            });
        }
        Sum::Weights { filter, weight } => {
            let (filter, weights) = (rows.predicates[filter], &rows.weights[weight]);
            each(out, &|r| filter[r.clone()].iter().zip(&weights[r]).map(|(f, w)| if *f != 0 { *w } else { 0 }).sum());
        }
        Sum::WeightedValues { filter, value, weight } => {
            let (filter, values, weights) = (rows.predicates[filter], rows.values[value], &rows.weights[weight]);
            // Without a branch: which rows count is no pattern that a processor could foresee.
            let term = |f: u8, v: i64, w: i64| (if (f != 0) & (v != NULL) { v } else { 0 }) * w;
            each(out, &|r| {
                let terms = filter[r.clone()].iter().zip(&values[r.clone()]).zip(&weights[r]);
                terms.map(|((f, v), w)| term(*f, *v, *w)).sum()
            });
        }
        _ => {}
    }
}

/// How many of some bytes of 0 and 1 are 1: eight at a time, whose sum a multiplication leaves in the highest byte.
fn ones(bytes: &[u8]) -> i64 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let of_eight = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0101_0101_0101_0101) >> 56;
    let all = eights.iter().map(of_eight).sum::<u64>() + rest.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    all.cast_signed()
}

#[allow(clippy::cast_possible_wrap, reason = "a number of rows of one subject, at most 10^6")]
const fn count(n: usize) -> i64 {
    n as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_magnitude_is_that_of_the_largest_value_that_is_not_null(values in proptest::collection::vec(
            prop_oneof![Just(NULL), Just(NULL + 1), Just(i64::MAX), any::<i64>(), -9_i64..9], 0..20)
        ) {
            let known = values.iter().filter(|v| **v != NULL).map(|v| v.unsigned_abs());
            prop_assert_eq!(magnitude(&values), known.max().unwrap_or(0));
        }
    }
}
