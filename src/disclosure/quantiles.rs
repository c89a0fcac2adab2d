//! Quantiles: each is some subject's value, so enough others must lie on either side of it.

/// Quantiles of sorted values by name; nothing where fewer than `min_cell` values lie at or beyond one on either side.
#[must_use]
pub fn quantiles(sorted: &[i64], min_cell: u64) -> [(&'static str, Option<i64>); 7] {
    let min_cell = min_cell.max(1);
    let at = |q: usize| {
        let place = sorted.len().checked_sub(1)? * q / 100;
        (place as u64 + 1 >= min_cell && (sorted.len() - place) as u64 >= min_cell).then(|| sorted[place])
    };
    [("p01", 1), ("p05", 5), ("p25", 25), ("p50", 50), ("p75", 75), ("p95", 95), ("p99", 99)]
        .map(|(name, q)| (name, at(q)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_few_values_are_not_told() {
        let values: Vec<i64> = (0..100).collect();
        let told = |min_cell| quantiles(&values, min_cell).iter().filter(|q| q.1.is_some()).count();
        assert_eq!((told(1), told(10), told(60)), (7, 3, 0));
        assert_eq!(quantiles(&values, 10)[3], ("p50", Some(49)));
        assert!(quantiles(&[], 1).iter().all(|q| q.1.is_none()));
    }
}
