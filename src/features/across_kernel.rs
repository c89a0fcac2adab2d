//! Adding up one subject's rows for all dates at once: see [`across`](super::across), and [`steps`](super::across_steps) for how a
//! number is added at a set of dates.

use std::ops::Range;

use super::across::{Across, Of};
use super::across_steps::{Steps, each_date, together, totals, write};
use super::across_times::{DATES, Dates, Found, Weighing};
use super::across_weeks::Weeks;
use super::plan::Sum;
use crate::NULL;

/// The evaluated columns of some lines: rows, and then rows as they are at one date alone.
pub(super) struct Lines<'r> {
    /// By condition of the plan, the dates at which each line counts and meets it.
    pub(super) conditions: &'r [Vec<Dates>],
    /// By value of the plan.
    pub(super) values: &'r [Vec<i64>],
    /// The event's months back from the last date.
    pub(super) months: &'r [i64],
    /// Where groups are made by weeks, the event's day.
    pub(super) days: &'r [i64],
    pub(super) reliability: &'r [i64],
    /// By key, the number of each line's group among those of its subject.
    pub(super) groups: &'r [Vec<u32>],
}

/// One subject's lines.
pub(super) struct Own {
    /// Its rows.
    pub(super) rows: Range<usize>,
    /// Those of them that are other rows at one date.
    pub(super) again: Range<usize>,
    /// By key, the number of groups; none of weeks, which are other ones at each date.
    pub(super) groups: Vec<usize>,
}

impl Own {
    fn lines(&self) -> impl Iterator<Item = usize> + Clone {
        self.rows.clone().chain(self.again.clone())
    }

    #[inline]
    fn each(&self, mut of: impl FnMut(usize)) {
        self.rows.clone().for_each(&mut of);
        self.again.clone().for_each(&mut of);
    }
}

#[inline]
const fn known(value: i64) -> i64 {
    if value == NULL { 0 } else { value }
}

/// Adds up for all dates, one sum of one subject after another.
#[derive(Default)]
pub(super) struct Adder {
    /// The grouping of which the dates of each group are known, with these.
    grouping: Option<usize>,
    present: Vec<Dates>,
    steps: Vec<Steps>,
    /// Numbers of each group at each date, or two.
    numbers: Vec<Found>,
    others: Vec<Found>,
    weeks: Weeks,
}

impl Adder {
    /// Another subject follows.
    pub(super) const fn begin(&mut self) {
        self.grouping = None;
    }

    /// What a sum comes to at each date.
    pub(super) fn add(&mut self, across: &Across, sum: &Sum, lines: &Lines, own: &Own) -> Found {
        let values = |at: usize| match across.values[at] {
            Some(Of::Months) => lines.months,
            _ => lines.values[at].as_slice(),
        };
        match *sum {
            Sum::Rows { filter } => {
                let met = &lines.conditions[filter];
                together(own.lines().map(|line| (met[line], 1)))
            }
            Sum::Values { filter, value } => {
                let (met, values) = (&lines.conditions[filter], values(value));
                together(own.lines().map(|line| (met[line], known(values[line]))))
            }
            Sum::Weights { filter, weight } => {
                weighted(across.weights[weight].as_ref(), (&lines.conditions[filter], None), lines, own)
            }
            Sum::WeightedValues { filter, value, weight } => {
                let (met, values) = (&lines.conditions[filter], Some(values(value)));
                weighted(across.weights[weight].as_ref(), (met, values), lines, own)
            }
            Sum::Smallest { filter, value } | Sum::Largest { filter, value } => {
                let least = matches!(sum, Sum::Smallest { .. });
                let found = farthest((&lines.conditions[filter], values(value)), least, own);
                match (across.values[value], &across.back) {
                    (Some(Of::Months), Some(back)) => back_from_each(found, back),
                    _ => found,
                }
            }
            Sum::Groups { grouping }
            | Sum::ZeroGroups { grouping, .. }
            | Sum::Deviations { grouping, .. }
            | Sum::LargestGroup { grouping, .. }
            | Sum::Spans { grouping, .. }
            | Sum::Overlap { grouping, .. } => match across.groupings[grouping] {
                Some(of) if across.keys[of.key] == Of::Weeks => {
                    let (met, values) = (&lines.conditions[of.filter], added(sum).map(values));
                    let number = |line: usize| values.map_or(1, |values| known(values[line]));
                    let rows = own.lines().map(|line| (met[line], lines.days[line], number(line)));
                    self.weeks.add_up(sum, &rows, &across.calendars)
                }
                Some(of) => {
                    let (met, groups) = (&lines.conditions[of.filter], &lines.groups[of.key]);
                    if self.grouping != Some(grouping) {
                        self.present.clear();
                        self.present.resize(own.groups[of.key], 0);
                        own.each(|line| self.present[groups[line] as usize] |= met[line]);
                        self.grouping = Some(grouping);
                    }
                    self.grouped(sum, (met, groups), &values, lines, own)
                }
                None => [0; DATES],
            },
        }
    }

    /// A sum over groups, of which it is known at which dates they have a row.
    fn grouped<'v>(
        &mut self,
        sum: &Sum,
        by: (&[Dates], &[u32]),
        values: &dyn Fn(usize) -> &'v [i64],
        lines: &Lines,
        own: &Own,
    ) -> Found {
        let mut found: Found = [0; DATES];
        match *sum {
            Sum::ZeroGroups { value, .. } => {
                self.sum(by, Some(values(value)), own);
                self.each_group(|date, number| found[date] += i64::from(number == 0));
            }
            Sum::Deviations { value, periods, .. } => {
                self.sum(by, value.map(values), own);
                let (present, mut all) = (self.count(), [0; DATES]);
                self.each_group(|date, number| all[date] += number);
                let n = periods.map_or(present, |periods| [periods; DATES]);
                self.each_group(|date, number| found[date] += (n[date] * number - all[date]).abs());
                for date in 0..DATES {
                    found[date] += (n[date] - present[date]) * all[date].abs();
                }
            }
            Sum::LargestGroup { value, .. } => {
                self.sum(by, value.map(values), own);
                let mut most = [NULL; DATES];
                self.each_group(|date, number| most[date] = most[date].max(number));
                found = most.map(known);
            }
            Sum::Spans { value, .. } => self.spans(by, values(value), own, &mut found),
            Sum::Overlap { split, .. } => {
                self.sum(by, None, own);
                std::mem::swap(&mut self.numbers, &mut self.others);
                let split = &lines.conditions[split];
                self.add_groups(by.1, own, |line| (by.0[line] & split[line], 1));
                let (mut firsts, mut seconds) = ([0; DATES], [0; DATES]);
                for (first, all) in self.numbers.iter().zip(&self.others) {
                    for date in 0..DATES {
                        firsts[date] += first[date];
                        seconds[date] += all[date] - first[date];
                    }
                }
                for (first, all) in self.numbers.iter().zip(&self.others) {
                    for date in 0..DATES {
                        let second = all[date] - first[date];
                        found[date] += (first[date] * seconds[date]).min(second * firsts[date]);
                    }
                }
            }
            _ => found = self.count(),
        }
        found
    }

    /// The number of groups with a row.
    fn count(&self) -> Found {
        let mut steps: Steps = [0; DATES + 1];
        self.present.iter().for_each(|dates| write(&mut steps, *dates, 1));
        totals(&steps)
    }

    /// Calls `of` with the number of each group at each date at which it has a row.
    fn each_group(&self, mut of: impl FnMut(usize, i64)) {
        for (dates, numbers) in self.present.iter().zip(&self.numbers) {
            each_date(*dates, |date| of(date, numbers[date]));
        }
    }

    /// Adds up values, or counts rows, by group.
    fn sum(&mut self, (met, groups): (&[Dates], &[u32]), values: Option<&[i64]>, own: &Own) {
        match values {
            Some(values) => self.add_groups(groups, own, |line| (met[line], known(values[line]))),
            None => self.add_groups(groups, own, |line| (met[line], 1)),
        }
    }

    /// Adds up, by group, a number of each line at the dates that are told with it.
    fn add_groups(&mut self, groups: &[u32], own: &Own, of: impl Fn(usize) -> (Dates, i64)) {
        self.steps.clear();
        self.steps.resize(self.present.len(), [0; DATES + 1]);
        own.each(|line| {
            let (dates, number) = of(line);
            write(&mut self.steps[groups[line] as usize], dates, number);
        });
        self.numbers.clear();
        self.numbers.extend(self.steps.iter().map(totals));
    }

    /// The distance from the smallest to the largest value of each group, added up.
    fn spans(&mut self, (met, groups): (&[Dates], &[u32]), values: &[i64], own: &Own, found: &mut Found) {
        for ends in [&mut self.numbers, &mut self.others] {
            ends.clear();
            ends.resize(self.present.len(), [NULL; DATES]);
        }
        own.each(|line| {
            let (value, group) = (values[line], groups[line] as usize);
            if value != NULL {
                let (high, low) = (&mut self.numbers[group], &mut self.others[group]);
                each_date(met[line], |date| {
                    // Null is smaller than every value.
                    high[date] = high[date].max(value);
                    low[date] = if low[date] == NULL { value } else { low[date].min(value) };
                });
            }
        });
        for (high, low) in self.numbers.iter().zip(&self.others) {
            for date in 0..DATES {
                found[date] += high[date].wrapping_sub(low[date]);
            }
        }
    }
}

/// The value that a sum adds up by group.
const fn added(sum: &Sum) -> Option<usize> {
    match *sum {
        Sum::ZeroGroups { value, .. } => Some(value),
        Sum::Deviations { value, .. } | Sum::LargestGroup { value, .. } => value,
        _ => None,
    }
}

/// Weights, or values by their weights, at the dates of each line.
fn weighted(weighing: Option<&Weighing>, (met, values): (&[Dates], Option<&[i64]>), lines: &Lines, own: &Own) -> Found {
    let number = |line: usize| values.map_or(1, |values| known(values[line]));
    let mut found: Found = [0; DATES];
    match weighing {
        Some(Weighing::Same) => {
            let one = super::plan::RECENCY_ONE;
            found = together(own.lines().map(|line| (met[line], number(line) * (one * lines.reliability[line]))));
        }
        Some(by_months) => {
            let add = |found: &mut Found, (dates, months): (Dates, i64), total: i64| {
                if let Some(weights) = by_months.weights(months) {
                    each_date(dates, |date| found[date] += total * weights[date]);
                }
            };
            // Rows of a month follow each other for the most part: their numbers are weighted as one.
            let (mut at, mut total) = ((0, NULL), 0);
            own.each(|line| {
                let here = (met[line], lines.months[line]);
                if here.0 == 0 {
                    return;
                }
                if here != at {
                    add(&mut found, at, total);
                    (at, total) = (here, 0);
                }
                total += number(line) * lines.reliability[line];
            });
            add(&mut found, at, total);
        }
        None => {}
    }
    found
}

/// The smallest or largest value at each date, null where there is none.
fn farthest((met, values): (&[Dates], &[i64]), least: bool, own: &Own) -> Found {
    let mut found: Found = [NULL; DATES];
    let put = |found: &mut Found, dates: Dates, value: i64| {
        each_date(dates, |date| {
            let held = &mut found[date];
            if *held == NULL || (value < *held) == least {
                *held = value;
            }
        });
    };
    // Of rows that follow each other at the same dates only the farthest is compared at each of them.
    let (mut at, mut farthest) = (0, NULL);
    own.each(|line| {
        let (dates, value) = (met[line], values[line]);
        if dates == 0 || value == NULL {
            return;
        }
        if dates != at {
            put(&mut found, at, farthest);
            (at, farthest) = (dates, value);
        } else if (value < farthest) == least {
            farthest = value;
        }
    });
    put(&mut found, at, farthest);
    found
}

/// Months back from each date, of those from the last.
fn back_from_each(mut found: Found, back: &[i64]) -> Found {
    found.iter_mut().zip(back).filter(|(months, _)| **months != NULL).for_each(|(months, back)| *months -= back);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::plan::Recency;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_that_follow_each_other_come_to_what_each_comes_to(
            rows in proptest::collection::vec((0_u16..8, prop_oneof![-4_i64..5, Just(NULL)], -1_i64..5, 1..4_usize), 0..12),
            again in 0_usize..6,
        ) {
            let rows: Vec<(Dates, i64, i64)> =
                rows.iter().flat_map(|(dates, value, months, times)| vec![(*dates, *value, *months); *times]).collect();
            let met: Vec<Dates> = rows.iter().map(|row| row.0).collect();
            let values: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let months: Vec<i64> = rows.iter().map(|row| row.2).collect();
            let reliability: Vec<i64> = (0..4).cycle().take(rows.len()).collect();
            let lines = Lines {
                conditions: &[],
                values: &[],
                months: &months,
                days: &[],
                reliability: &reliability,
                groups: &[],
            };
            let first = rows.len() - again.min(rows.len());
            let own = Own { rows: 0..first, again: first..rows.len(), groups: Vec::new() };
            let recency = Recency { months_ago: "m".into(), millionths: vec![100, 50, 25] };
            let weighing = Weighing::of(&recency, Some(&[1, 1, 0]));
            let (met, values) = (met.as_slice(), values.as_slice());
            let (least, most) = (farthest((met, values), true, &own), farthest((met, values), false, &own));
            let weights = weighted(Some(&weighing), (met, None), &lines, &own);
            let weighted_values = weighted(Some(&weighing), (met, Some(values)), &lines, &own);
            for date in 0..DATES {
                let at = || rows.iter().zip(&reliability).filter(move |(row, _)| row.0 >> date & 1 == 1);
                let told = || at().map(|(row, _)| row.1).filter(|value| *value != NULL);
                prop_assert_eq!(least[date], told().min().unwrap_or(NULL));
                prop_assert_eq!(most[date], told().max().unwrap_or(NULL));
                let weight = |months: i64, reliability: i64| weighing.weights(months).map_or(0, |w| w[date]) * reliability;
                let all: i64 = at().map(|(row, reliability)| weight(row.2, *reliability)).sum();
                let of_values: i64 = at().map(|(row, reliability)| known(row.1) * weight(row.2, *reliability)).sum();
                prop_assert_eq!((weights[date], weighted_values[date]), (all, of_values));
            }
        }
    }
}
