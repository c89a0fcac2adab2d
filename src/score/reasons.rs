//! Why a score is what it is: the reason codes that cost most points.
//!
//! shortfall = range · weight · importance · (baseline − share) / (1200 · Σ importance), in thousandths of a point,
//! summed by reason code with its sign; what is left above 0 is sorted by points, then by code.

use serde::{Deserialize, Serialize};

use super::card::{Scorecard, WEIGHTS_ONE};
use crate::pipeline::model::{Baseline, FULL_SHARE, RELATIONSHIPS};

/// Reasons given beside a score, the one about relationships not counted.
pub const REASONS: usize = 4;

/// What shares are compared with: per segment and feature, the sum of shares and the number of subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baselines {
    sums: Vec<Vec<i64>>,
    counts: Vec<i64>,
}

impl Baselines {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(card: &Scorecard) -> Self {
        Self { sums: vec![vec![0; card.features.len()]; card.weights.len()], counts: vec![0; card.weights.len()] }
    }

    /// Adds a subject.
    pub fn add(&mut self, card: &Scorecard, segment: usize, bins: &[u8]) {
        self.counts[segment] += 1;
        for ((sum, feature), bin) in self.sums[segment].iter_mut().zip(&card.features).zip(bins) {
            *sum += feature.shares[usize::from(*bin)];
        }
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.sums.iter_mut().flatten().zip(other.sums.iter().flatten()) {
            *mine += theirs;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}

/// What every bin of every feature costs against the baseline, by segment, in thousandths of a point.
#[derive(Debug, Clone)]
pub struct Shortfalls {
    by_segment: Vec<Vec<Vec<i64>>>,
    /// The reason code of each feature, and whether it is one of relationships.
    reasons: Vec<(usize, bool)>,
    codes: usize,
    /// Positions of the reason codes in order of their text.
    rank: Vec<usize>,
}

impl Shortfalls {
    /// Works them out once for all subjects.
    #[must_use]
    pub fn new(card: &Scorecard, baseline: Baseline, seen: &Baselines) -> Self {
        let by_segment = (0..card.weights.len())
            .map(|segment| {
                let feature = |f: usize| {
                    let feature = &card.features[f];
                    let (sum, count) = match baseline {
                        Baseline::PopulationMean | Baseline::NearCutoff if seen.counts[segment] > 0 => {
                            (seen.sums[segment][f], seen.counts[segment])
                        }
                        Baseline::Max => (feature.shares.iter().copied().max().unwrap_or(FULL_SHARE), 1),
                        _ => (card.neutral_share, 1),
                    };
                    let below =
                        i128::from(FULL_SHARE * WEIGHTS_ONE * card.importance[feature.category]) * i128::from(count);
                    let weight =
                        i128::from(1000 * card.range * card.weights[segment][feature.category] * feature.importance);
                    let cost = |share: &i64| {
                        let gap = i128::from(sum) - i128::from(*share) * i128::from(count);
                        i64::try_from((weight * gap).div_euclid(below)).unwrap_or(0)
                    };
                    feature.shares.iter().map(cost).collect()
                };
                (0..card.features.len()).map(feature).collect()
            })
            .collect();
        let mut sorted: Vec<usize> = (0..card.reasons.len()).collect();
        sorted.sort_by(|a, b| card.reasons[*a].cmp(&card.reasons[*b]));
        let mut rank = vec![0; sorted.len()];
        for (place, code) in sorted.into_iter().enumerate() {
            rank[code] = place;
        }
        Self {
            by_segment,
            reasons: card.features.iter().map(|f| (f.reason, f.category == RELATIONSHIPS)).collect(),
            codes: card.reasons.len(),
            rank,
        }
    }

    /// What a feature's bin costs in a segment, in thousandths of a point.
    #[must_use]
    pub fn cost(&self, segment: usize, feature: usize, bin: u8) -> i64 {
        self.by_segment[segment][feature][usize::from(bin)]
    }

    /// The reason codes that cost most, at most [`REASONS`], by position in the model file. Relationships have a slot of
    /// their own; see [`Shortfalls::of_friends`].
    #[must_use]
    pub fn top(&self, segment: usize, bins: &[u8]) -> Vec<usize> {
        let mut codes = self.costly(segment, bins, false);
        codes.truncate(REASONS);
        codes
    }

    /// The reason code of relationships that costs most, for a subject with enough friends.
    #[must_use]
    pub fn of_friends(&self, segment: usize, bins: &[u8]) -> Option<usize> {
        self.costly(segment, bins, true).first().copied()
    }

    fn costly(&self, segment: usize, bins: &[u8], of_friends: bool) -> Vec<usize> {
        let mut cost = vec![0_i64; self.codes];
        for (feature, bin) in bins.iter().enumerate() {
            let (reason, friends) = self.reasons[feature];
            if let Some(cost) = cost.get_mut(reason).filter(|_| friends == of_friends) {
                *cost += self.cost(segment, feature, *bin);
            }
        }
        let mut codes: Vec<usize> = (0..self.codes).filter(|c| cost[*c] > 0).collect();
        codes.sort_unstable_by_key(|c| (std::cmp::Reverse(cost[*c]), self.rank[*c]));
        codes
    }
}
