//! Some of a plan's sums as a plan of their own, with what they read and nothing else.

use std::collections::BTreeSet;

use super::plan::{Accumulator, Grouping, Sum, TablePlan};

/// What a sum reads, by position in its plan.
pub(super) struct Read {
    pub(super) conditions: Vec<usize>,
    pub(super) value: Option<usize>,
    pub(super) weight: Option<usize>,
    pub(super) grouping: Option<usize>,
}

impl Read {
    /// What a sum of a plan reads.
    pub(super) fn of(plan: &TablePlan, sum: &Sum) -> Self {
        let plain = |filter: usize, value: Option<usize>, weight: Option<usize>| Self {
            conditions: vec![filter],
            value,
            weight,
            grouping: None,
        };
        let grouped = |grouping: usize, value: Option<usize>| Self {
            conditions: vec![plan.groupings[grouping].filter],
            value,
            weight: None,
            grouping: Some(grouping),
        };
        match *sum {
            Sum::Rows { filter } => plain(filter, None, None),
            Sum::Values { filter, value } | Sum::Smallest { filter, value } | Sum::Largest { filter, value } => {
                plain(filter, Some(value), None)
            }
            Sum::Weights { filter, weight } => plain(filter, None, Some(weight)),
            Sum::WeightedValues { filter, value, weight } => plain(filter, Some(value), Some(weight)),
            Sum::Groups { grouping } => grouped(grouping, None),
            Sum::ZeroGroups { grouping, value } | Sum::Spans { grouping, value } => grouped(grouping, Some(value)),
            Sum::Deviations { grouping, value, .. } | Sum::LargestGroup { grouping, value } => grouped(grouping, value),
            Sum::Overlap { grouping, split } => {
                let mut read = grouped(grouping, None);
                read.conditions.push(split);
                read
            }
        }
    }
}

/// Some of a plan's sums.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// They alone, and what they read.
    pub(super) plan: TablePlan,
    /// Where its conditions, values and sums stand in the whole plan, in order.
    pub(super) conditions: Vec<usize>,
    pub(super) values: Vec<usize>,
    pub(super) sums: Vec<usize>,
}

impl Rest {
    /// The sums of a plan that are chosen by their position.
    pub(super) fn of(plan: &TablePlan, chosen: &dyn Fn(usize) -> bool) -> Self {
        let sums: Vec<usize> = (0..plan.accumulators.len()).filter(|at| chosen(*at)).collect();
        let (mut conditions, mut values) = (BTreeSet::new(), BTreeSet::new());
        let (mut weights, mut groupings) = (BTreeSet::new(), BTreeSet::new());
        for at in &sums {
            let read = Read::of(plan, &plan.accumulators[*at].sum);
            conditions.extend(read.conditions);
            values.extend(read.value);
            weights.extend(read.weight);
            groupings.extend(read.grouping);
        }
        let places = Places {
            conditions: conditions.into_iter().collect(),
            values: values.into_iter().collect(),
            weights: weights.into_iter().collect(),
            groupings: groupings.into_iter().collect(),
        };
        let grouping = |at: &usize| {
            let Grouping { key, filter } = &plan.groupings[*at];
            Grouping { key: key.clone(), filter: place(&places.conditions, *filter) }
        };
        let accumulator = |at: &usize| {
            let Accumulator { name, sum } = &plan.accumulators[*at];
            Accumulator { name: name.clone(), sum: places.renumbered(sum) }
        };
        let plan = TablePlan {
            table: plan.table.clone(),
            predicates: places.conditions.iter().map(|at| plan.predicates[*at].clone()).collect(),
            values: places.values.iter().map(|at| plan.values[*at].clone()).collect(),
            weights: places.weights.iter().map(|at| plan.weights[*at].clone()).collect(),
            groupings: places.groupings.iter().map(grouping).collect(),
            accumulators: sums.iter().map(accumulator).collect(),
            first_day: plan.first_day,
        };
        let Places { conditions, values, .. } = places;
        Self { plan, conditions, values, sums }
    }
}

/// What is kept of a plan's lists, by position in them and in order.
struct Places {
    conditions: Vec<usize>,
    values: Vec<usize>,
    weights: Vec<usize>,
    groupings: Vec<usize>,
}

/// Where one that is kept stands among those that are.
fn place(kept: &[usize], at: usize) -> usize {
    kept.partition_point(|other| *other < at)
}

impl Places {
    fn renumbered(&self, sum: &Sum) -> Sum {
        let condition = |at: usize| place(&self.conditions, at);
        let value = |at: usize| place(&self.values, at);
        let weight = |at: usize| place(&self.weights, at);
        let grouping = |at: usize| place(&self.groupings, at);
        match *sum {
            Sum::Rows { filter } => Sum::Rows { filter: condition(filter) },
            Sum::Values { filter, value: v } => Sum::Values { filter: condition(filter), value: value(v) },
            Sum::Smallest { filter, value: v } => Sum::Smallest { filter: condition(filter), value: value(v) },
            Sum::Largest { filter, value: v } => Sum::Largest { filter: condition(filter), value: value(v) },
            Sum::Weights { filter, weight: w } => Sum::Weights { filter: condition(filter), weight: weight(w) },
            Sum::WeightedValues { filter, value: v, weight: w } => {
                Sum::WeightedValues { filter: condition(filter), value: value(v), weight: weight(w) }
            }
            Sum::Groups { grouping: g } => Sum::Groups { grouping: grouping(g) },
            Sum::ZeroGroups { grouping: g, value: v } => Sum::ZeroGroups { grouping: grouping(g), value: value(v) },
            Sum::Deviations { grouping: g, value: v, periods } => {
                Sum::Deviations { grouping: grouping(g), value: v.map(value), periods }
            }
            Sum::LargestGroup { grouping: g, value: v } => {
                Sum::LargestGroup { grouping: grouping(g), value: v.map(value) }
            }
            Sum::Spans { grouping: g, value: v } => Sum::Spans { grouping: grouping(g), value: value(v) },
            Sum::Overlap { grouping: g, split } => Sum::Overlap { grouping: grouping(g), split: condition(split) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Expression, Type};
    use crate::features::plan::Recency;

    #[test]
    fn sums_that_are_chosen_read_what_they_read_in_the_whole_plan() {
        let expression = |n: usize| Expression::literal(&format!("e{n}"), Type::Number);
        let recency = |n: i64| Recency { months_ago: String::new(), millionths: vec![n] };
        let sums = [
            Sum::Rows { filter: 0 },
            Sum::WeightedValues { filter: 3, value: 2, weight: 1 },
            Sum::Values { filter: 1, value: 0 },
            Sum::Overlap { grouping: 1, split: 4 },
            Sum::Deviations { grouping: 0, value: Some(1), periods: None },
            Sum::Weights { filter: 0, weight: 0 },
        ];
        let whole = TablePlan {
            table: "t".into(),
            predicates: (0..5).map(expression).collect(),
            values: (0..3).map(expression).collect(),
            weights: (0..2).map(recency).collect(),
            groupings: vec![Grouping { key: "a".into(), filter: 0 }, Grouping { key: "b".into(), filter: 2 }],
            accumulators: sums.iter().map(|sum| Accumulator { name: String::new(), sum: sum.clone() }).collect(),
            first_day: Some(5),
        };
        let rest = Rest::of(&whole, &|at| at == 1 || at == 3);
        assert_eq!((rest.sums, rest.conditions, rest.values), (vec![1, 3], vec![2, 3, 4], vec![2]));
        let sums: Vec<Sum> = rest.plan.accumulators.into_iter().map(|a| a.sum).collect();
        let expected = [Sum::WeightedValues { filter: 1, value: 0, weight: 0 }, Sum::Overlap { grouping: 0, split: 2 }];
        assert_eq!(sums, expected);
        assert_eq!(rest.plan.predicates, [2, 3, 4].map(expression));
        assert_eq!(rest.plan.weights, [recency(1)]);
        assert_eq!(rest.plan.groupings, [Grouping { key: "b".into(), filter: 0 }]);
        // All of them are the plan as it is.
        let all = Rest::of(&whole, &|_| true).plan;
        assert_eq!(all.accumulators, whole.accumulators);
        assert_eq!((all.predicates, all.values), (whole.predicates, whole.values));
    }
}
