//! Decimals as people write them.

/// A double in E notation with a decimal point, which every engine reads as a double.
#[must_use]
pub fn decimal(number: f64) -> String {
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

/// The double nearest to the exact product of two decimals as they are written: 1,500,000 · 0.14 is 210,000 and not a little
/// more, as the product of the two nearest doubles is.
#[must_use]
pub fn product(a: f64, b: f64) -> f64 {
    let exact = || -> Option<f64> {
        let ((a, x), (b, y)) = (parts(a)?, parts(b)?);
        format!("{}e{}", a.checked_mul(b)?, x + y).parse().ok()
    };
    // What is no decimal of 17 digits, an infinity for example, has no exact product either.
    exact().unwrap_or(a * b)
}

/// Digits and exponent of the shortest decimal that reads as a double: at most 17 digits, so that products fit 128 bits.
fn parts(number: f64) -> Option<(i128, i32)> {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len());
    let digits: i128 = mantissa.replace('.', "").parse().ok()?;
    Some((digits, exponent.parse::<i32>().ok()? - i32::try_from(places).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_so_that_every_engine_reads_a_double() {
        assert_eq!((decimal(0.1), decimal(2.0), decimal(-1500.0)), ("1.0E-1".into(), "2.0E0".into(), "-1.5E3".into()));
    }

    #[test]
    fn products_are_those_of_the_decimals_as_they_are_written() {
        assert_eq!(product(1_500_000.0, 0.14), 210_000.0);
        assert_ne!(1_500_000.0 * 0.14, 210_000.0);
        assert_eq!(product(product(0.30, 3.0), 1e9), 900_000_000.0);
        assert_eq!((product(-2.5, 0.2), product(0.0, 7.1), product(1e300, 1e300)), (-0.5, 0.0, f64::INFINITY));
        assert!(product(f64::NAN, 1.0).is_nan() && product(f64::INFINITY, 2.0).is_infinite());
    }
}
