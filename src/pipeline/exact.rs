//! Bounds within which scores and reasons are exact fractions in 128 bits.

/// The largest common multiple of the categories' sums of importances with which scores and reasons stay exact in 128 bits.
pub const MOST_COMMON: i128 = 1_000_000_000_000;

/// The least common multiple of sums of importances, a category without features counting as 1; nothing beyond [`MOST_COMMON`].
#[must_use]
pub fn common_multiple(importance: &[i64]) -> Option<i128> {
    let divisor = |mut a: i128, mut b: i128| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    importance.iter().try_fold(1_i128, |common, sum| {
        let sum = i128::from(*sum).max(1);
        common.checked_mul(sum / divisor(common, sum)).filter(|c| *c <= MOST_COMMON)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_multiples_are_the_least_and_bounded() {
        assert_eq!(common_multiple(&[100, 80, 60, 0, 25]), Some(1_200));
        assert_eq!(common_multiple(&[999_983, 999_979, 1, 1, 1]), Some(999_983 * 999_979));
        assert_eq!(common_multiple(&[999_983, 999_979, 7, 1, 1]), None);
    }
}
