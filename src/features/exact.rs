//! The sums of the kernel in 128 bits, one subject at a time: for rows of which 64 bits cannot be proven to suffice. Every sum
//! is written down as its definition says; speed does not matter here.

use std::collections::BTreeMap;
use std::ops::Range;

use super::kernel::Evaluated;
use super::plan::{Sum, TablePlan};
use crate::NULL;

/// What an accumulator comes to over the rows of one subject. With at most 10^6 rows of values below 2^63 and weights of at most
/// 10^9 every part stays below 2^125. Nothing for a sum that is null without rows.
#[must_use]
pub(super) fn exact(plan: &TablePlan, sum: &Sum, rows: &Evaluated, range: Range<usize>) -> Option<i128> {
    let holds = |predicate: usize, row: usize| rows.predicates[predicate][row] != 0;
    let value = |value: usize, row: usize| Some(rows.values[value][row]).filter(|v| *v != NULL).map(i128::from);
    let of = |filter: usize| range.clone().filter(move |row| holds(filter, *row));
    let groups = |grouping: usize| {
        let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        of(plan.groupings[grouping].filter)
            .for_each(|row| groups.entry(rows.keys[grouping][row]).or_default().push(row));
        groups
    };
    // A group's values, or its rows where there are none to add.
    let total = |by: Option<usize>, group: &[usize]| match by {
        Some(by) => group.iter().filter_map(|row| value(by, *row)).sum(),
        None => count(group.len()),
    };
    let totals = |grouping: usize, by: Option<usize>| -> Vec<i128> {
        groups(grouping).values().map(|group| total(by, group)).collect()
    };
    Some(match *sum {
        Sum::Rows { filter } => count(of(filter).count()),
        Sum::Values { filter, value: v } => of(filter).filter_map(|row| value(v, row)).sum(),
        Sum::Smallest { filter, value: v } => return of(filter).filter_map(|row| value(v, row)).min(),
        Sum::Largest { filter, value: v } => return of(filter).filter_map(|row| value(v, row)).max(),
        Sum::Weights { filter, weight } => of(filter).map(|row| i128::from(rows.weights[weight][row])).sum(),
        Sum::WeightedValues { filter, value: v, weight } => {
            of(filter).filter_map(|row| Some(value(v, row)? * i128::from(rows.weights[weight][row]))).sum()
        }
        Sum::Groups { grouping } => count(groups(grouping).len()),
        Sum::ZeroGroups { grouping, value: v } => count(totals(grouping, Some(v)).iter().filter(|x| **x == 0).count()),
        Sum::Deviations { grouping, value: v, periods } => {
            let x = totals(grouping, v);
            let (present, all) = (count(x.len()), x.iter().sum::<i128>());
            let n = periods.map_or(present, i128::from);
            x.iter().map(|x| (n * x - all).abs()).sum::<i128>() + (n - present) * all.abs()
        }
        Sum::LargestGroup { grouping, value: v } => totals(grouping, v).into_iter().max().unwrap_or(0),
        Sum::Spans { grouping, value: v } => {
            let span = |group: &Vec<usize>| {
                let values = || group.iter().filter_map(|row| value(v, *row));
                values().max().zip(values().min()).map_or(0, |(high, low)| high - low)
            };
            groups(grouping).values().map(span).sum()
        }
        Sum::Overlap { grouping, split } => {
            let halves: Vec<(i128, i128)> = groups(grouping)
                .values()
                .map(|group| {
                    let first = count(group.iter().filter(|row| holds(split, **row)).count());
                    (first, count(group.len()) - first)
                })
                .collect();
            let (a, b) = (halves.iter().map(|h| h.0).sum::<i128>(), halves.iter().map(|h| h.1).sum::<i128>());
            halves.iter().map(|(in_a, in_b)| (in_a * b).min(in_b * a)).sum()
        }
    })
}

#[allow(clippy::cast_possible_wrap, reason = "a number of rows of one subject, at most 10^6")]
const fn count(n: usize) -> i128 {
    n as i128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::kernel::Kernel;
    use crate::features::plan::{Accumulator, Grouping};
    use proptest::prelude::*;

    fn plan() -> TablePlan {
        let sums = vec![
            Sum::Rows { filter: 0 },
            Sum::Values { filter: 0, value: 0 },
            Sum::Smallest { filter: 0, value: 0 },
            Sum::Largest { filter: 0, value: 0 },
            Sum::Weights { filter: 0, weight: 0 },
            Sum::WeightedValues { filter: 0, value: 0, weight: 0 },
            Sum::Groups { grouping: 0 },
            Sum::ZeroGroups { grouping: 0, value: 0 },
            Sum::Deviations { grouping: 0, value: Some(0), periods: None },
            Sum::Deviations { grouping: 0, value: None, periods: Some(12) },
            Sum::LargestGroup { grouping: 0, value: Some(0) },
            Sum::Spans { grouping: 0, value: 0 },
            Sum::Overlap { grouping: 0, split: 1 },
        ];
        TablePlan {
            table: "t".into(),
            predicates: Vec::new(),
            values: Vec::new(),
            weights: Vec::new(),
            groupings: vec![Grouping { key: "k".into(), filter: 0 }],
            accumulators: sums.into_iter().map(|sum| Accumulator { name: String::new(), sum }).collect(),
            first_day: None,
        }
    }

    proptest! {
        #[test]
        fn the_kernel_comes_to_what_the_definitions_say(
            rows in proptest::collection::vec((any::<bool>(), any::<bool>(), proptest::option::of(-50_i64..50), 0_i64..1_000, 0_i64..5), 0..60),
            sizes in proptest::collection::vec(0_usize..30, 0..6),
        ) {
            let predicates: [Vec<u8>; 2] =
                [rows.iter().map(|r| u8::from(r.0)).collect(), rows.iter().map(|r| u8::from(r.1)).collect()];
            let predicates = predicates.each_ref().map(Vec::as_slice);
            let value = rows.iter().map(|r| r.2.unwrap_or(NULL)).collect::<Vec<_>>();
            let values = [value.as_slice()];
            let weights = [rows.iter().map(|r| r.3).collect::<Vec<_>>()];
            let key: Vec<i64> = rows.iter().map(|r| r.4).collect();
            let keys = [key.as_slice()];
            let evaluated = Evaluated { predicates: &predicates, values: &values, weights: &weights, keys: &keys };
            let plan = plan();
            // The rows of several subjects, some of whom have none.
            let (mut ranges, mut from) = (Vec::new(), 0);
            for size in sizes.into_iter().chain([rows.len()]) {
                let to = rows.len().min(from + size);
                ranges.push(from..to);
                from = to;
            }
            let mut out = vec![vec![0_i64; ranges.len()]; plan.accumulators.len()];
            let mut slices: Vec<&mut [i64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
            let none = vec![false; plan.accumulators.len()];
            Kernel::default().add(&plan, &evaluated, &ranges, &none, &mut slices);
            for (accumulator, found) in plan.accumulators.iter().zip(&out) {
                for (range, found) in ranges.iter().zip(found) {
                    let expected = exact(&plan, &accumulator.sum, &evaluated, range.clone()).unwrap_or(i128::from(NULL));
                    prop_assert_eq!(i128::from(*found), expected, "{:?}", accumulator.sum);
                }
            }
        }
    }
}
