//! What all values of a column lie within, found in one pass without a branch, so that a column in which nothing is wrong
//! is not looked at row by row.
//!
//! Null is the smallest number. The passes that every column goes through are of bits and differences, which any processor
//! does for several values at once; it compares numbers of 64 bits one by one.

use std::cell::OnceCell;

use crate::NULL;

/// Bounds of some values: such as cost little, and where these do not do, the smallest and the largest value.
pub(super) struct Bounds<'a> {
    values: &'a [i64],
    /// The bits that one of the values has. Values of which none is negative, and so none null, lie between 0 and these bits as a number.
    bits: i64,
    exact: OnceCell<Extent>,
}

/// The smallest and the largest of some values that are not null; of none, the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    low: i64,
    high: i64,
}

impl<'a> Bounds<'a> {
    /// Of a column.
    pub(super) fn of(values: &'a [i64]) -> Self {
        Self { values, bits: values.iter().fold(0_i64, |bits, v| bits | v), exact: OnceCell::new() }
    }

    /// Whether one of the values is null.
    pub(super) fn nulls(&self) -> bool {
        self.bits < 0 && self.values.contains(&NULL)
    }

    /// Whether bounds pass, between which lie all values that are not null. What passes has to pass for bounds within its own, too.
    pub(super) fn within(&self, pass: impl Fn(i64, i64) -> bool) -> bool {
        if self.bits >= 0 && pass(0, self.bits) {
            return true;
        }
        let exact = self.exact.get_or_init(|| Extent::of(self.values));
        exact.low > exact.high || pass(exact.low, exact.high)
    }
}

impl Extent {
    fn of(values: &[i64]) -> Self {
        // The number below null is the largest, so that of the numbers below the values null's is never the smallest but where all are null.
        // Each of four places has its own, so that none waits for the one before.
        let (mut below, mut high) = ([i64::MAX; 4], [NULL; 4]);
        let mut add = |at: usize, v: i64| {
            below[at] = below[at].min(v.wrapping_sub(1));
            high[at] = high[at].max(v);
        };
        let (fours, rest) = values.as_chunks::<4>();
        for [a, b, c, d] in fours {
            add(0, *a);
            add(1, *b);
            add(2, *c);
            add(3, *d);
        }
        rest.iter().for_each(|v| add(0, *v));
        let below = below.into_iter().fold(i64::MAX, i64::min);
        Self { low: below.saturating_add(1), high: high.into_iter().fold(NULL, i64::max) }
    }
}

/// Calls `found` for every row whose value is wrong; the usual case of none is one pass without a branch.
pub(super) fn each(values: &[i64], wrong: impl Fn(i64) -> bool, found: impl FnMut(usize)) {
    if values.iter().fold(false, |any, v| any | wrong(*v)) {
        (0..values.len()).filter(|row| wrong(values[*row])).for_each(found);
    }
}

/// Calls `found` for every row whose value lies after another one.
pub(super) fn each_after(values: &[i64], last: i64, found: impl FnMut(usize)) {
    if !none_after(values, last) {
        each(values, |v| v > last, found);
    }
}

/// Whether no value lies after another one, told by signs of differences; `false` says nothing.
///
/// Without its sign null is zero, and any other value at least zero: no difference to a `last` that is not negative overflows.
/// Of a value that is not negative it is negative where the value lies after. Any other lies before, whatever its difference.
fn none_after(values: &[i64], last: i64) -> bool {
    last >= 0 && values.iter().fold(0_i64, |signs, v| signs | (last - (v & i64::MAX))) >= 0
}

/// Whether no value but null lies before the one of another column, given that none but null is negative; `false` says nothing.
///
/// A value that lies before another one is then not negative, nor is the other one: their difference does not overflow and is
/// negative. All other pairs are in order, whatever their difference. Without its sign a start that is null is zero, and no
/// value lies before it.
pub(super) fn in_order(values: &[i64], starts: &[i64]) -> bool {
    values.iter().zip(starts).fold(0_i64, |signs, (v, s)| signs | v.wrapping_sub(s & i64::MAX)) >= 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers near those at which bounds and signs change.
    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            3 => 0_i64..20,
            1 => -3_i64..3,
            1 => prop_oneof![Just(NULL), Just(NULL + 1), Just(NULL + 5), Just(i64::MAX), Just(i64::MAX - 1)],
        ]
    }

    /// Columns: of any values, of amounts, and of amounts and nulls.
    fn column() -> impl Strategy<Value = Vec<i64>> {
        let amounts = prop_oneof![4 => 0_i64..20, 1 => Just(NULL)];
        prop_oneof![
            proptest::collection::vec(value(), 0..12),
            proptest::collection::vec(0_i64..20, 0..12),
            proptest::collection::vec(amounts, 0..12),
        ]
    }

    proptest! {
        #[test]
        fn bounds_say_what_all_values_say(values in column(), low in value(), high in value()) {
            let bounds = Bounds::of(&values);
            prop_assert_eq!(bounds.nulls(), values.contains(&NULL));
            let all = values.iter().all(|v| *v == NULL || (low <= *v && *v <= high));
            prop_assert_eq!(bounds.within(|least, most| low <= least && most <= high), all);
            // Asked again, it is the same.
            prop_assert_eq!(bounds.within(|least, most| low <= least && most <= high), all);
        }

        #[test]
        fn what_lies_after_is_found(values in column(), last in value()) {
            let mut found = Vec::new();
            each_after(&values, last, |row| found.push(row));
            let after = (0..values.len()).filter(|row| values[*row] > last);
            prop_assert_eq!(found, after.collect::<Vec<_>>());
        }

        #[test]
        fn what_is_told_to_be_in_order_is(
            pairs in proptest::collection::vec((prop_oneof![9 => 0_i64..20, 1 => Just(NULL)], value()), 0..6),
        ) {
            let (values, starts): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
            let wrong = pairs.iter().any(|(v, s)| *v != NULL && v < s);
            prop_assert!(!(in_order(&values, &starts) && wrong));
            prop_assert!(in_order(&values, &[]));
        }
    }

    #[test]
    fn usual_columns_are_told_without_a_look_at_each_row() {
        let days = [20_089, 20_400, NULL, 19_000];
        assert!(none_after(&days, 20_400) && !none_after(&days, 20_399));
        assert!(in_order(&[20_100, NULL, 7, 5], &[20_089, 20_089, 7, NULL]) && !in_order(&[20_088], &[20_089]));
        let bounds = Bounds::of(&[3, 5, 20]);
        assert!(bounds.within(|low, high| low >= 0 && high <= 31) && bounds.exact.get().is_none());
        assert!(!bounds.within(|low, high| low >= 0 && high <= 19) && bounds.exact.get().is_some());
    }
}
