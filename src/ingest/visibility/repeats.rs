//! Values that a column repeats, such as the few sources of its rows, looked up once.

use crate::ingest::read::recent::Recent;

/// What a look-up says of each value. It is asked again only of one that another has driven from its place meanwhile.
pub(super) fn mapped(values: &[i64], look_up: impl Fn(i64) -> i64) -> Vec<i64> {
    let mut seen = Recent::<i64, i64>::default();
    let of = |value: &i64| {
        seen.get(*value).unwrap_or_else(|| {
            let found = look_up(*value);
            seen.put(*value, found);
            found
        })
    };
    values.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_that_repeat_are_looked_up_as_each_by_itself(
            some in proptest::collection::vec(any::<i64>(), 1..200),
            rows in proptest::collection::vec(0_usize..200, 0..600),
        ) {
            let values: Vec<i64> = rows.iter().map(|row| some[row % some.len()]).collect();
            let look_up = |value: i64| value.rotate_left(7) ^ 3;
            prop_assert_eq!(mapped(&values, look_up), values.iter().map(|v| look_up(*v)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_value_that_repeats_is_looked_up_once() {
        let asked = std::cell::Cell::new(0);
        let look_up = |value: i64| {
            asked.set(asked.get() + 1);
            value + 1
        };
        assert_eq!(mapped(&[7, 7, 7, i64::MIN, 7, i64::MIN], look_up), [8, 8, 8, i64::MIN + 1, 8, i64::MIN + 1]);
        assert_eq!(asked.get(), 2);
    }
}
