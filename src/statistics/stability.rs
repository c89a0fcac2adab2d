//! Population stability: how far two distributions are apart, and how far chance alone would put them.

/// The population stability index Σ (aᵢ − eᵢ) · ln(aᵢ / eᵢ) over the shares of two distributions in the same cells
/// (Siddiqi, Credit Risk Scorecards, 2006). An empty cell counts as half a case, for the logarithm needs one; a cell that
/// is empty in both counts for nothing.
#[must_use]
pub fn psi(expected: &[u64], actual: &[u64]) -> f64 {
    let shares = |counts: &[u64]| -> Vec<f64> {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|c| if *c == 0 { 0.5 / all } else { *c as f64 / all }).collect()
    };
    let cells = expected.iter().zip(actual).map(|(e, a)| *e > 0 || *a > 0);
    let pairs = shares(expected).into_iter().zip(shares(actual)).zip(cells);
    pairs.filter(|(_, counts)| *counts).map(|((e, a), _)| (a - e) * (a / e).ln()).sum()
}

/// The index that two samples of one population exceed once in a thousand times: with B cells and samples of n and m,
/// PSI is about χ²(B − 1) · (1/n + 1/m) (Yurdakul, Statistical Properties of Population Stability Index, 2018). The
/// quantile of χ² is that of Wilson and Hilferty (1931).
#[must_use]
pub fn psi_by_chance(cells: usize, n: u64, m: u64) -> f64 {
    const Z: f64 = 3.090_232;
    if cells < 2 || n == 0 || m == 0 {
        return 0.0;
    }
    let k = (cells - 1) as f64;
    let spread = 2.0 / (9.0 * k);
    k * Z.mul_add(spread.sqrt(), 1.0 - spread).powi(3) * (1.0 / n as f64 + 1.0 / m as f64)
}

/// The lower ends of cells that hold about equal parts of a distribution by value; fewer where values repeat.
#[must_use]
pub fn quantile_cells(counts: &[u64], parts: u64) -> Vec<usize> {
    let all: u64 = counts.iter().sum();
    let mut starts = vec![0];
    let mut below = 0;
    for (value, count) in counts.iter().enumerate() {
        let wanted = all * starts.len() as u64 / parts.max(1);
        if below > 0 && below >= wanted && (starts.len() as u64) < parts && starts.last() != Some(&value) {
            starts.push(value);
        }
        below += count;
    }
    starts
}

/// Counts by value added up in cells.
#[must_use]
pub fn in_cells(counts: &[u64], starts: &[usize]) -> Vec<u64> {
    let ends = starts.iter().skip(1).copied().chain([counts.len()]);
    starts.iter().zip(ends).map(|(from, to)| counts.get(*from..to).unwrap_or(&[]).iter().sum()).collect()
}

/// Whether a share grew by more than chance explains (two proportions, z above 1.645: one in twenty).
#[must_use]
pub fn grew((before, all_before): (u64, u64), (now, all_now): (u64, u64)) -> bool {
    if all_before == 0 || all_now == 0 {
        return false;
    }
    let (n, m) = (all_before as f64, all_now as f64);
    let pooled = (before + now) as f64 / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    error > 0.0 && (now as f64 / m - before as f64 / n) / error > 1.645
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn psi_equals_values_worked_out_by_hand() {
        // (0.3 - 0.5) ln(0.3 / 0.5) + (0.7 - 0.5) ln(0.7 / 0.5)
        let expected = (-0.2_f64).mul_add(0.6_f64.ln(), 0.2 * 1.4_f64.ln());
        assert!((psi(&[50, 50], &[30, 70]) - expected).abs() < 1e-15);
        assert_eq!(psi(&[5, 0, 7], &[5, 0, 7]), 0.0);
        assert!(psi(&[10, 0], &[5, 5]).is_finite());
    }

    #[test]
    fn chance_is_the_thousandth_quantile_of_chi_squared_over_the_sizes() {
        // χ²(9) exceeds 27.877 once in a thousand times; Wilson and Hilferty are within a percent.
        let found = psi_by_chance(10, 1_000, 1_000) / 0.002;
        assert!((found - 27.877).abs() < 0.28, "{found}");
        assert_eq!((psi_by_chance(1, 10, 10), psi_by_chance(5, 0, 10)), (0.0, 0.0));
    }

    #[test]
    fn growth_needs_more_than_chance() {
        assert!(grew((100, 10_000), (200, 10_000)));
        assert!(!grew((2, 10_000), (4, 10_000)));
        assert!(grew((0, 10_000), (20, 10_000)) && !grew((200, 10_000), (100, 10_000)));
    }

    proptest! {
        /// Subject by subject, each in a cell.
        #[test]
        fn the_index_is_what_counting_subjects_gives(
            then in proptest::collection::vec(0_usize..6, 30..200), now in proptest::collection::vec(0_usize..6, 30..200),
        ) {
            let share = |of: &[usize], cell: usize| of.iter().filter(|c| **c == cell).count() as f64 / of.len() as f64;
            prop_assume!((0..6).all(|c| share(&then, c) > 0.0 && share(&now, c) > 0.0));
            let naive: f64 = (0..6).map(|c| (share(&now, c) - share(&then, c)) * (share(&now, c) / share(&then, c)).ln()).sum();
            let counts = |of: &[usize]| (0..6).map(|c| of.iter().filter(|x| **x == c).count() as u64).collect::<Vec<_>>();
            prop_assert!((psi(&counts(&then), &counts(&now)) - naive).abs() < 1e-12);
        }

        #[test]
        fn cells_cover_every_value_once_and_psi_is_never_negative(
            counts in proptest::collection::vec(0_u64..50, 1..80), other in proptest::collection::vec(0_u64..50, 80), parts in 1_u64..12,
        ) {
            let starts = quantile_cells(&counts, parts);
            prop_assert!(starts[0] == 0 && starts.windows(2).all(|w| w[0] < w[1]) && starts.len() as u64 <= parts);
            let cells = in_cells(&counts, &starts);
            prop_assert_eq!(cells.iter().sum::<u64>(), counts.iter().sum::<u64>());
            let found = psi(&cells, &in_cells(&other[..counts.len()], &starts));
            prop_assert!(found >= -1e-12 && found.is_finite());
        }
    }
}
