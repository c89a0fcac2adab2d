//! Doubles as text: decimal, or hexadecimal as Python's `float.hex` writes them.

/// The largest mantissa that a double holds exactly.
const MOST_MANTISSA: u64 = 1 << 53;

/// The largest exponent of two of a hexadecimal that is read, either way.
const MOST_EXPONENT: i32 = 1_200;

/// The finite double that a text says, in either form.
#[must_use]
pub fn double(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        Some(digits) => hexadecimal(digits).map(|value| sign * value),
        None => text.parse().ok(),
    }
    .filter(|value: &f64| value.is_finite())
}

/// What follows `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P']).unwrap_or((text, "0"));
    let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{places}");
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mantissa = u64::from_str_radix(&digits, 16).ok().filter(|m| *m <= MOST_MANTISSA)?;
    let exponent: i32 = exponent.parse().ok().filter(|e| (-MOST_EXPONENT..=MOST_EXPONENT).contains(e))?;
    let exponent = exponent - 4 * i32::try_from(places.len()).ok()?;
    // In two steps, each a power of two that a double holds.
    let half = exponent / 2;
    Some(mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimals_are_what_python_says() {
        assert_eq!(double("0x1.3c7aef0000000p-7"), Some(0.009_658_209_513_872_862));
        assert_eq!(double("0x1.04p+5"), Some(32.5));
        assert_eq!(double("-0x1.8p+0"), Some(-1.5));
        assert_eq!(double("0x0.0p+0"), Some(0.0));
        assert_eq!(double("0x1.fffffffffffffp+1023"), Some(f64::MAX));
        assert_eq!(double("0x0.0000000000001p-1022"), Some(f64::from_bits(1)));
    }

    #[test]
    fn decimals_are_read_and_what_is_neither_is_not() {
        assert_eq!(double("-2.5e-1"), Some(-0.25));
        for text in ["", "x", "nan", "inf", "0x", "0x1.gp0", "0x1p9999", "0x1.8pp", "0x+1p0", "1e999"] {
            assert_eq!(double(text), None, "{text}");
        }
    }
}
