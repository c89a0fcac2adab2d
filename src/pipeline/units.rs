//! Points as exact integers: what stands in a card as decimal text is added up without a rounding.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

/// Units of one point.
pub const ONE: i128 = POINT as i128;

/// Likewise, where 64 bits are enough.
pub const POINT: i64 = 1_000_000_000_000;

/// No points are further from 0 than so many; sums over a card stay within 64 bits of units.
pub const MOST_POINTS: i64 = 10_000;

/// Decimal places of a point that are kept.
const PLACES: i64 = 12;

/// No points are further from 0 than this.
const MOST: i128 = MOST_POINTS as i128 * ONE;

/// Digits before the rounding with which points are further from 0 than that, whatever the digits are.
const TOO_MANY: i64 = 18;

/// The largest exponent that is read, either way.
const MOST_EXPONENT: i64 = 10_000;

/// Points in 10⁻¹² as an exact integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Units(pub i128);

/// A text that is no number of points.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPoints(String);

impl FromStr for Units {
    type Err = NotPoints;

    /// Reads a decimal, with or without an exponent; beyond 10⁻¹² it is rounded, halves to the even unit.
    fn from_str(text: &str) -> Result<Self, NotPoints> {
        let refuse = |why: &str| NotPoints(format!("`{}` {why}", text.chars().take(40).collect::<String>()));
        let no_number = || refuse("is no decimal number");
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{places}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(no_number());
        }
        let exponent: i64 = exponent.parse().map_err(|_| no_number())?;
        if !(-MOST_EXPONENT..=MOST_EXPONENT).contains(&exponent) {
            return Err(refuse("has an exponent that no points have"));
        }
        let digits = digits.trim_start_matches('0');
        let length = |part: &str| i64::try_from(part.len()).map_err(|_| no_number());
        // How many of the digits are whole units.
        let kept = length(digits)? - length(places)? + exponent + PLACES;
        if digits.is_empty() || kept < 0 {
            return Ok(Self(0));
        }
        let beyond = || refuse("is more than 10,000 points away from 0");
        if kept >= TOO_MANY {
            return Err(beyond());
        }
        let kept = usize::try_from(kept).map_err(|_| no_number())?;
        let (head, tail) = digits.split_at(kept.min(digits.len()));
        let head: i128 = format!("0{head}{}", "0".repeat(kept - head.len())).parse().map_err(|_| no_number())?;
        let up = match tail.as_bytes() {
            [] => false,
            [b'5', rest @ ..] if rest.iter().all(|b| *b == b'0') => head % 2 == 1,
            [first, ..] => *first >= b'5',
        };
        let magnitude = head + i128::from(up);
        if magnitude > MOST {
            return Err(beyond());
        }
        Ok(Self(if negative { -magnitude } else { magnitude }))
    }
}

impl fmt::Display for Units {
    /// The shortest decimal text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (magnitude, one) = (self.0.unsigned_abs(), ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let places = format!("{:012}", magnitude % one);
        match places.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", magnitude / one),
            places => write!(f, "{sign}{}.{places}", magnitude / one),
        }
    }
}

impl Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Units {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self(0), Add::add)
    }
}

impl Units {
    /// The largest whole number of points that is not above.
    #[must_use]
    pub const fn floor(self) -> i128 {
        self.0.div_euclid(ONE)
    }

    /// The smallest whole number of points that is not below.
    #[must_use]
    pub const fn ceiling(self) -> i128 {
        -(-self.0).div_euclid(ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> i128 {
        text.parse::<Units>().unwrap().0
    }

    #[test]
    fn decimal_text_becomes_units_without_a_double() {
        assert_eq!(units("198.74459392596435"), 198_744_593_925_964);
        assert_eq!(units("-67.01822514611138"), -67_018_225_146_111);
        assert_eq!(units("0.1"), 100_000_000_000);
        assert_eq!(units("1.2e-3"), 1_200_000_000);
        assert_eq!(units("+5.04E+2"), 504 * ONE);
        assert_eq!(units(".5"), ONE / 2);
        assert_eq!(units("5."), 5 * ONE);
        assert_eq!(units("-0.0"), 0);
        assert_eq!(units("1e-9999"), 0);
        assert_eq!(units("10000"), MOST);
    }

    #[test]
    fn halves_go_to_the_even_unit() {
        let ends = ["0.5e-12", "1.5e-12", "2.5e-12", "2.5000000000000000001e-12", "-1.5e-12", "0.05e-12", "0.9e-12"];
        assert_eq!(ends.map(units), [0, 2, 2, 3, -2, 0, 1]);
    }

    #[test]
    fn what_is_no_number_of_points_is_refused() {
        for text in
            ["", "-", ".", "nan", "inf", "-inf", "NA", "0x1p3", "1,5", "1e", "1e1e1", "--1", " 1", "1_0", "1e99999"]
        {
            assert!(text.parse::<Units>().is_err(), "{text}");
        }
        for text in ["10000.000000000001", "-1e5", "1e300", "99999999999999999999"] {
            assert!(text.parse::<Units>().unwrap_err().to_string().contains("10,000"), "{text}");
        }
    }

    #[test]
    fn the_shortest_text_is_written() {
        let texts = ["-18", "198.744593925964", "0", "0.000000000001", "-0.5", "504"];
        assert_eq!(texts.map(|t| t.parse::<Units>().unwrap().to_string()), texts);
        assert_eq!("-18.0".parse::<Units>().unwrap().to_string(), "-18");
    }

    #[test]
    fn floors_and_ceilings_are_whole_points_also_below_0() {
        let ends = |text: &str| text.parse::<Units>().map(|u| (u.floor(), u.ceiling())).unwrap();
        assert_eq!([ends("1.5"), ends("-1.5"), ends("2"), ends("-2")], [(1, 2), (-2, -1), (2, 2), (-2, -2)]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(units in -MOST..=MOST) {
            prop_assert_eq!(Units(units).to_string().parse::<Units>(), Ok(Units(units)));
        }
    }
}
