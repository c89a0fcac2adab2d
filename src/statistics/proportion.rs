//! Shares and the normal distribution.

/// Standard deviations on either side that hold 95 % of a normal distribution.
pub const Z95: f64 = 1.959_963_984_540_054;

/// A figure to so many decimals: enough for a person, and too few to work a count of subjects out of it.
#[must_use]
pub fn rounded(figure: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (figure * unit).round() / unit
}

/// The probability that a standard normal variable is at most `z`.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The 95 % interval of a share (Wilson, Probable inference, 1927), which holds for few cases and shares near 0 as well.
#[must_use]
pub fn wilson(part: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, p, z2) = (all as f64, part as f64 / all as f64, Z95 * Z95);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let low = if part == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if part == all { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}
