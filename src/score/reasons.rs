//! Why a score is what it is: the reason codes that cost most points.
//!
//! shortfall = range · weight · importance · (baseline − share) / (1200 · Σ importance), summed by reason code with its sign; what is
//! left above 0 is sorted by points, then by code. The sums are exact: in a segment all shortfalls are over one denominator.

use serde::{Deserialize, Serialize};

use crate::pipeline::model::{Baseline, RELATIONSHIPS};
use crate::scorecard::card::Scorecard;
use crate::tables::scores::REASONS;

/// Reason codes up to which no memory is asked for to add up what each costs.
const FEW_CODES: usize = 48;

/// What shares are compared with: per segment and feature, the sum of shares and the number of subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baselines {
    sums: Vec<Vec<i128>>,
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
            *sum += i128::from(feature.shares[usize::from(*bin)]);
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

/// What every bin of every feature costs against the baseline, by segment.
#[derive(Debug, Clone)]
pub struct Shortfalls {
    by_segment: Vec<Segment>,
    /// The features that have a reason code, each with its code: those of the subject's own categories.
    own: Vec<(usize, usize)>,
    /// The same of relationships.
    of_friends: Vec<(usize, usize)>,
    codes: usize,
    /// Positions of the reason codes in order of their text.
    rank: Vec<usize>,
}

/// What bins cost in one segment.
#[derive(Debug, Clone)]
struct Segment {
    /// By feature and bin, over the denominator.
    costs: Vec<Vec<i128>>,
    denominator: i128,
}

impl Shortfalls {
    /// Works them out once for all subjects.
    #[must_use]
    pub fn new(card: &Scorecard, baseline: Baseline, seen: &Baselines) -> Self {
        let by_segment = (0..card.weights.len()).map(|segment| Segment::new(card, baseline, seen, segment)).collect();
        let mut sorted: Vec<usize> = (0..card.reasons.len()).collect();
        sorted.sort_by(|a, b| card.reasons[*a].cmp(&card.reasons[*b]));
        let mut rank = vec![0; sorted.len()];
        for (place, code) in sorted.into_iter().enumerate() {
            rank[code] = place;
        }
        let with_code = |friends: bool| {
            let of = card.features.iter().enumerate().filter(|(_, f)| (f.category == RELATIONSHIPS) == friends);
            of.filter_map(|(at, feature)| Some((at, feature.reason?))).collect()
        };
        Self { by_segment, own: with_code(false), of_friends: with_code(true), codes: card.reasons.len(), rank }
    }

    /// What a feature's bin costs in a segment, in points.
    #[must_use]
    pub fn points(&self, segment: usize, feature: usize, bin: u8) -> f64 {
        self.cost(segment, feature, bin) as f64 / self.by_segment[segment].denominator as f64
    }

    /// Whether a feature's bin costs anything in a segment.
    #[must_use]
    pub fn costs(&self, segment: usize, feature: usize, bin: u8) -> bool {
        self.cost(segment, feature, bin) > 0
    }

    fn cost(&self, segment: usize, feature: usize, bin: u8) -> i128 {
        self.by_segment[segment].costs[feature][usize::from(bin)]
    }

    /// The reason codes that cost most, at most [`REASONS`], by position in the model file. Relationships have a slot of
    /// their own; see [`Shortfalls::of_friends`].
    #[must_use]
    pub fn top(&self, segment: usize, bins: &[u8]) -> Vec<usize> {
        self.costly(segment, bins, &self.own, REASONS)
    }

    /// The reason code of relationships that costs most, for a subject with enough friends.
    #[must_use]
    pub fn of_friends(&self, segment: usize, bins: &[u8]) -> Option<usize> {
        self.costly(segment, bins, &self.of_friends, 1).first().copied()
    }

    /// The `most` codes that cost most by some features, those that cost as much in order of their text.
    fn costly(&self, segment: usize, bins: &[u8], features: &[(usize, usize)], most: usize) -> Vec<usize> {
        // Few models have so many codes that they do not fit here: this is done for every subject at every date.
        let (mut few, mut many) = ([0_i128; FEW_CODES], Vec::new());
        let cost = match few.get_mut(..self.codes) {
            Some(few) => few,
            None => {
                many.resize(self.codes, 0_i128);
                many.as_mut_slice()
            }
        };
        let costs = &self.by_segment[segment].costs;
        for (feature, code) in features {
            cost[*code] += costs[*feature][usize::from(bins[*feature])];
        }
        let before = |a: usize, b: usize| (cost[b], self.rank[a]) < (cost[a], self.rank[b]);
        let mut codes: Vec<usize> = Vec::with_capacity(most + 1);
        for code in (0..self.codes).filter(|code| cost[*code] > 0) {
            if codes.len() < most || codes.last().is_some_and(|last| before(code, *last)) {
                let place = codes.partition_point(|other| before(*other, code));
                codes.insert(place, code);
                codes.truncate(most);
            }
        }
        codes
    }
}

impl Segment {
    /// What every bin costs, over the denominator of scores times the count. In the form of shares that is
    /// range · weight · importance · (baseline − share) over 1200 · 10,000 · count · lcm(Σ importance); an importance is at
    /// most its category's sum, so that with a multiple of at most 10^12 and 2^32 subjects a numerator stays below
    /// 2^15 · 10^4 · 10^12 · 1200 · 2^32 < 2^112.
    fn new(card: &Scorecard, baseline: Baseline, seen: &Baselines, segment: usize) -> Self {
        let counted = matches!(baseline, Baseline::PopulationMean | Baseline::NearCutoff) && seen.counts[segment] > 0;
        let count = if counted { i128::from(seen.counts[segment]) } else { 1 };
        let costs = card.features.iter().enumerate().map(|(f, feature)| {
            let sum = match baseline {
                _ if counted => seen.sums[segment][f],
                Baseline::Max => feature.shares.iter().copied().max().unwrap_or(feature.neutral).into(),
                _ => feature.neutral.into(),
            };
            // A category in which nothing counts has no importance, and its features cost nothing.
            let weight = card.per_share[segment][feature.category] * i128::from(feature.importance_in(segment));
            let cost = |share: &i64| weight * (sum - i128::from(*share) * count);
            feature.shares.iter().map(cost).collect()
        });
        Self { costs: costs.collect(), denominator: count * card.denominator[segment] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_costliest_codes_are_the_first_of_all_in_order(
            costs in proptest::collection::vec((-3_i128..6, 0_usize..7, any::<bool>()), 1..30), most in 1_usize..5,
        ) {
            let with_code = |friends: bool| -> Vec<(usize, usize)> {
                let of = costs.iter().enumerate().filter(|(_, (_, code, of))| *code < 6 && *of == friends);
                of.map(|(at, (_, code, _))| (at, *code)).collect()
            };
            let shortfalls = Shortfalls {
                by_segment: vec![Segment { costs: costs.iter().map(|(cost, _, _)| vec![*cost]).collect(), denominator: 1 }],
                own: with_code(false),
                of_friends: with_code(true),
                codes: 6,
                rank: vec![3, 1, 5, 0, 2, 4],
            };
            let cost = |code: usize| -> i128 {
                costs.iter().filter(|(_, of, friends)| *of == code && !friends).map(|(cost, _, _)| cost).sum()
            };
            let mut expected: Vec<usize> = (0..6).filter(|code| cost(*code) > 0).collect();
            expected.sort_by_key(|code| (std::cmp::Reverse(cost(*code)), shortfalls.rank[*code]));
            expected.truncate(most);
            prop_assert_eq!(shortfalls.costly(0, &vec![0; costs.len()], &shortfalls.own, most), expected);
        }
    }
}
