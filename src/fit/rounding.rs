//! From log-odds back to a card: importances and shares in integers.

use super::newton::Fitted;
use super::sample::{Chosen, Feature, Sample};
use super::scale::Scale;
use super::weighting::Weighting;
use crate::pipeline::model::FULL_SHARE;

/// Shares are multiples of this.
const RESOLUTION: f64 = 10.0;

/// A fitted card in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounded {
    /// The features, in the order of the sample.
    pub features: Vec<RoundedFeature>,
    /// The weights of categories.
    pub weighting: Weighting,
}

/// A feature of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundedFeature {
    /// Its importance.
    pub importance: i64,
    /// Where its bins end.
    pub edges: Vec<f64>,
    /// Their shares.
    pub shares: Vec<i64>,
    /// The shares of no opportunity and of what was not told.
    pub missing: [i64; 2],
}

impl Rounded {
    /// The scores of some rows, in the order of [`Chosen::rows`].
    #[must_use]
    pub fn scores(&self, sample: &Sample, chosen: &Chosen, scale: &Scale) -> Vec<i64> {
        let worth: Vec<Vec<f64>> = sample
            .features
            .iter()
            .zip(&self.features)
            .map(|(f, card)| {
                let whole = self.weighting.whole(f) / f.importance as f64 * card.importance as f64 / FULL_SHARE as f64;
                let missing = |bin: usize| card.missing.get(bin - card.shares.len());
                let share = |bin: usize| card.shares.get(bin).or_else(|| missing(bin));
                let points = |bin: usize| share(bin).map_or(0.0, |s| whole * (s - scale.neutral) as f64);
                f.coarser(&card.edges).into_iter().map(points).collect()
            })
            .collect();
        let mut scores = Vec::with_capacity(chosen.rows().count());
        for (rows, factors) in chosen.by_segment.iter().zip(&self.weighting.factors(sample)) {
            for row in rows {
                let row = *row as usize;
                let of = |((f, worth), k): ((&Feature, &Vec<f64>), &f64)| worth[usize::from(f.bins[row])] * k;
                let points: f64 = sample.features.iter().zip(&worth).zip(factors).map(of).sum();
                scores.push(nearest(scale.zero() + self.weighting.held(&sample.rows, row) + points));
            }
        }
        scores
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a score lies within its scale")]
const fn nearest(score: f64) -> i64 {
    score.round_ties_even() as i64
}

/// Rounds a fit: importances keep their sum in every category, so that it moves a score as much as its weight; what no row told of
/// stays as it was to the letter.
#[must_use]
pub fn rounded(sample: &Sample, weighting: Weighting, fitted: &Fitted, neutral: i64) -> Rounded {
    let mut importances: Vec<i64> = sample.features.iter().map(|f| f.importance).collect();
    let categories = sample.features.iter().map(|f| f.category).max().map_or(0, |c| c + 1);
    for category in 0..categories {
        let of = |f: &usize| sample.features[*f].category == category && fitted.seen[*f];
        let free: Vec<usize> = (0..importances.len()).filter(of).collect();
        let sum = free.iter().map(|f| importances[*f]).sum();
        let worths: Vec<f64> = free.iter().map(|f| fitted.worths[*f].max(0.0)).collect();
        for (f, importance) in free.iter().zip(parts(sum, &worths)) {
            importances[*f] = importance;
        }
    }
    let features = sample.features.iter().enumerate().map(|(f, feature)| {
        if !fitted.seen[f] {
            let (edges, shares) = (feature.edges.clone(), feature.shares.clone());
            return RoundedFeature { importance: feature.importance, edges, shares, missing: feature.missing_shares };
        }
        let whole = fitted.line.beta * weighting.whole(feature) / feature.importance as f64 * importances[f] as f64;
        let edges = fitted.steps.edges[f].clone();
        let worth = fitted.steps.worth(f, &fitted.sizes);
        let shares = worth[..=edges.len()].iter().map(|worth| share(worth / whole, neutral)).collect();
        let missing = match feature.free_missing {
            true => [1, 2].map(|n| share(worth[edges.len() + n] / whole, neutral)),
            false => feature.missing_shares,
        };
        RoundedFeature { importance: importances[f], edges, shares, missing }
    });
    Rounded { features: features.collect(), weighting }
}

/// The share, in 1/1200, that is a part of the whole away from neutral.
#[allow(clippy::cast_possible_truncation, reason = "it is clamped to the scale")]
fn share(part: f64, neutral: i64) -> i64 {
    let share = (neutral as f64 + FULL_SHARE as f64 * part) / RESOLUTION;
    (share.round_ties_even() * RESOLUTION).clamp(0.0, FULL_SHARE as f64) as i64
}

/// Shares a sum out by largest remainder; everyone gets at least 1.
#[allow(clippy::cast_possible_truncation, reason = "a part is at most the sum, which is an integer")]
#[must_use]
pub fn parts(sum: i64, worths: &[f64]) -> Vec<i64> {
    let all: f64 = worths.iter().sum();
    let even = 1.0 / worths.len().max(1) as f64;
    let exact: Vec<f64> = worths.iter().map(|w| sum as f64 * if all > 0.0 { w / all } else { even }).collect();
    let mut parts: Vec<i64> = exact.iter().map(|e| (e.floor() as i64).max(1)).collect();
    let first_largest = |of: &dyn Fn(usize) -> f64| {
        (0..exact.len()).fold(None, |best: Option<usize>, n| match best {
            Some(held) if of(held) >= of(n) => best,
            _ => Some(n),
        })
    };
    while parts.iter().sum::<i64>() < sum {
        let Some(n) = first_largest(&|n| exact[n] - parts[n] as f64) else { break };
        parts[n] += 1;
    }
    while parts.iter().sum::<i64>() > sum {
        let over = |n: usize| if parts[n] > 1 { parts[n] as f64 - exact[n] } else { f64::NEG_INFINITY };
        let Some(n) = first_largest(&over).filter(|n| parts[*n] > 1) else { break };
        parts[n] -= 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_add_up_and_none_is_nothing(worths in proptest::collection::vec(0.0_f64..3.0, 1..12), more in 0_i64..300) {
            let sum = i64::try_from(worths.len()).unwrap() + more;
            let parts = parts(sum, &worths);
            prop_assert_eq!(parts.iter().sum::<i64>(), sum);
            prop_assert!(parts.iter().all(|p| *p >= 1));
        }
    }

    #[test]
    fn shares_stay_on_the_scale() {
        assert_eq!(
            [share(0.0, 500), share(7.0 / 12.0, 500), share(-5.0 / 12.0, 500), share(1.0, 500)],
            [500, 1200, 0, 1200]
        );
        assert_eq!(share(0.0041, 500), 500);
        assert_eq!(share(0.0043, 500), 510);
    }
}
