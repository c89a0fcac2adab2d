//! How well scores rank outcomes.

use serde::Serialize;

/// Ranking quality of scores against outcomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// Subjects with a score and an outcome.
    pub subjects: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Probability that a good subject has the higher score, ties half.
    pub auc: f64,
    /// 2·AUC − 1.
    pub gini: f64,
    /// Largest distance between the cumulative shares of bad and good.
    pub ks: f64,
}

/// Measures scores, of which a higher one should mean fewer bad outcomes. Nothing when all outcomes are alike.
#[must_use]
pub fn quality(pairs: &[(i64, bool)]) -> Option<Quality> {
    let bad = pairs.iter().filter(|p| p.1).count() as u64;
    let good = pairs.len() as u64 - bad;
    if bad == 0 || good == 0 {
        return None;
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let (mut bad_below, mut good_below, mut twice_wins, mut ks) = (0_u64, 0_u64, 0_u128, 0.0_f64);
    for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
        let bad_here = ties.iter().filter(|p| p.1).count() as u64;
        let good_here = ties.len() as u64 - bad_here;
        twice_wins += u128::from(good_here) * u128::from(2 * bad_below + bad_here);
        bad_below += bad_here;
        good_below += good_here;
        ks = ks.max((bad_below as f64 / bad as f64 - good_below as f64 / good as f64).abs());
    }
    let auc = twice_wins as f64 / (2.0 * bad as f64 * good as f64);
    Some(Quality { subjects: pairs.len() as u64, bad, auc, gini: 2.0 * auc - 1.0, ks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_orders_have_known_quality() {
        let perfect = quality(&[(1, true), (2, true), (3, false)]).unwrap();
        assert_eq!((perfect.auc, perfect.gini, perfect.ks), (1.0, 1.0, 1.0));
        let none = quality(&[(1, true), (1, false)]).unwrap();
        assert_eq!((none.auc, none.ks), (0.5, 0.0));
        assert_eq!(quality(&[(1, false)]), None);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_in_order(pairs in proptest::collection::vec((0_i64..20, any::<bool>()), 2..80)) {
            let wins: f64 = pairs.iter().filter(|p| p.1).flat_map(|b| pairs.iter().filter(|p| !p.1).map(move |g| {
                if g.0 > b.0 { 1.0 } else if g.0 == b.0 { 0.5 } else { 0.0 }
            })).sum();
            if let Some(quality) = quality(&pairs) {
                let all = quality.bad * (quality.subjects - quality.bad);
                prop_assert!((quality.auc - wins / all as f64).abs() < 1e-12);
            }
        }
    }
}
