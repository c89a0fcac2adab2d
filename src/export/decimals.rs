//! Exact fractions as decimals and as doubles.

/// Places after which a fraction is taken for one whose decimal does not end. Denominators are below 2⁶⁴, so no decimal that ends
/// has more, and no midpoint between two doubles lies as near to a fraction as the rest of one.
const MOST_PLACES: usize = 120;

/// A fraction written out, without its sign.
struct Written {
    whole: String,
    places: String,
    /// Whether nothing is left after the places.
    ends: bool,
}

fn written(numerator: i128, denominator: i128) -> Written {
    let (above, below) = (numerator.unsigned_abs(), denominator.unsigned_abs().max(1));
    let mut rest = above % below;
    let mut places = String::new();
    while rest != 0 && places.len() < MOST_PLACES {
        rest *= 10;
        places += &(rest / below).to_string();
        rest %= below;
    }
    Written { whole: (above / below).to_string(), places, ends: rest == 0 }
}

fn sign(numerator: i128) -> &'static str {
    if numerator < 0 { "-" } else { "" }
}

/// The decimal of a fraction whose denominator is above 0: exact where it ends, else the shortest that reads as the nearest double,
/// in 17 digits at most.
#[must_use]
pub fn decimal(numerator: i128, denominator: i128) -> String {
    let Written { whole, places, ends } = written(numerator, denominator);
    match (ends, places.as_str()) {
        (true, "") => format!("{}{whole}", sign(numerator)),
        (true, _) => format!("{}{whole}.{places}", sign(numerator)),
        (false, _) => nearest(numerator, denominator).to_string(),
    }
}

/// The double nearest to a fraction whose denominator is above 0, of two as near the even one.
#[must_use]
pub fn nearest(numerator: i128, denominator: i128) -> f64 {
    let Written { whole, places, ends } = written(numerator, denominator);
    // What is left lies above what is written, and below one more of its last digit.
    let rest = if ends { "0" } else { "1" };
    format!("{}{whole}.{places}{rest}", sign(numerator)).parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_exact_and_what_does_not_is_the_shortest() {
        assert_eq!([decimal(725, 2), decimal(-600, 1), decimal(0, 7)], ["362.5", "-600", "0"]);
        assert_eq!(decimal(1, 1 << 30), "0.000000000931322574615478515625");
        assert_eq!(decimal(245, 22), "11.136363636363637");
        assert_eq!(decimal(-2, 3), "-0.6666666666666666");
    }

    #[test]
    fn the_nearest_double_is_that_of_the_fraction_and_not_of_a_division() {
        assert_eq!((nearest(245, 22), nearest(-1, 3), nearest(0, 5)), (11.136_363_636_363_637, -1.0 / 3.0, 0.0));
        // 2⁵³ + 1 is halfway between two doubles; a little more or less is not.
        let (half, many) = ((1_i128 << 53) + 1, 1_000_000_000_000_000_i128);
        let (even, odd) = (9_007_199_254_740_992.0, 9_007_199_254_740_994.0);
        assert_eq!(nearest(half, 1), even);
        assert_eq!((nearest(half * many + 1, many), nearest(half * many - 1, many)), (odd, even));
    }

    #[test]
    fn no_double_is_nearer_than_the_nearest() {
        for below in [7_i128, 960, 14_400_000, 999_983 * 12_000_000, 11_999_999_999_999_999_993] {
            // From 1 on doubles are whole numbers of 2⁻⁵².
            for above in (8..5_000).step_by(37).map(|n: i128| n * below / 7 + n) {
                let found = nearest(above, below);
                let units = |bits: u64| i128::from((bits & ((1 << 52) - 1)) | (1 << 52)) << ((bits >> 52) - 1023);
                let distance = |bits: u64| (units(bits) * below - (above << 52)).abs();
                let bits = found.to_bits();
                let beside = [bits - 1, bits + 1];
                assert!(beside.into_iter().all(|b| distance(b) >= distance(bits)), "{above}/{below}: {found}");
                assert_eq!(decimal(above, below).parse::<f64>().unwrap(), found);
            }
        }
    }
}
