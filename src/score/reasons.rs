//! Why a score is what it is: the reason codes that cost most points.
//!
//! shortfall = range · weight · importance · (baseline − share) / (1200 · Σ importance), summed by reason code with its sign; what is
//! left above 0 is sorted by points, then by code. The sums are exact: in a segment all shortfalls are over one denominator.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::pipeline::model::{Baseline, RELATIONSHIPS};
use crate::scorecard::card::{CardFeature, Scorecard};
use crate::tables::scores::REASONS;

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
    /// Where the costs of each feature's bins begin.
    begins: Vec<usize>,
    /// The reason codes of the subject's own categories.
    own: Coded,
    /// The same of relationships.
    of_friends: Coded,
}

/// Reason codes with the features that give them, laid out for adding up: this is done for every subject at every date.
#[derive(Debug, Clone)]
struct Coded {
    /// Codes, by position in the model file and in order of their text, each with where its features lie.
    codes: Vec<(usize, Range<usize>)>,
    /// Features, code by code, each with where the costs of its bins begin.
    features: Vec<(usize, usize)>,
}

impl Coded {
    /// Some features with their codes; `rank` is the place of every code in order of text.
    fn new(mut given: Vec<(usize, usize)>, rank: &[usize], begins: &[usize]) -> Self {
        given.sort_by_key(|(_, code)| rank[*code]);
        let mut codes: Vec<(usize, Range<usize>)> = Vec::new();
        for (at, (_, code)) in given.iter().enumerate() {
            match codes.last_mut() {
                Some((last, features)) if *last == *code => features.end = at + 1,
                _ => codes.push((*code, at..at + 1)),
            }
        }
        Self { codes, features: given.into_iter().map(|(feature, _)| (feature, begins[feature])).collect() }
    }
}

/// The reason codes that cost a subject most, at most so many, by position in the model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costliest<const MOST: usize> {
    codes: [usize; MOST],
    found: usize,
}

impl<const MOST: usize> Costliest<MOST> {
    /// The codes, the one that costs most first.
    #[must_use]
    pub fn codes(&self) -> &[usize] {
        &self.codes[..self.found]
    }
}

/// What bins cost in one segment.
#[derive(Debug, Clone)]
struct Segment {
    /// Feature by feature and bin by bin, over the denominator.
    costs: Vec<i128>,
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
        let mut next = 0;
        let begin = |feature: &CardFeature| {
            let begin = next;
            next += feature.shares.len();
            begin
        };
        let begins: Vec<usize> = card.features.iter().map(begin).collect();
        let with_code = |friends: bool| {
            let of = card.features.iter().enumerate().filter(|(_, f)| (f.category == RELATIONSHIPS) == friends);
            Coded::new(of.filter_map(|(at, feature)| Some((at, feature.reason?))).collect(), &rank, &begins)
        };
        let (own, of_friends) = (with_code(false), with_code(true));
        Self { by_segment, begins, own, of_friends }
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
        self.by_segment[segment].costs[self.begins[feature] + usize::from(bin)]
    }

    /// The reason codes that cost most, at most [`REASONS`]. Relationships have a slot of their own; see
    /// [`Shortfalls::of_friends`].
    #[must_use]
    pub fn top(&self, segment: usize, bins: &[u8]) -> Costliest<REASONS> {
        self.costliest(segment, bins, &self.own)
    }

    /// The reason code of relationships that costs most, for a subject with enough friends.
    #[must_use]
    pub fn of_friends(&self, segment: usize, bins: &[u8]) -> Option<usize> {
        self.costliest::<1>(segment, bins, &self.of_friends).codes().first().copied()
    }

    /// The `MOST` codes that cost most by some features, those that cost as much in order of their text. A bin is one of its
    /// feature's, as it is when it was found by the feature's edges.
    fn costliest<const MOST: usize>(&self, segment: usize, bins: &[u8], of: &Coded) -> Costliest<MOST> {
        let costs = self.by_segment[segment].costs.as_slice();
        let mut costliest = Costliest { codes: [0; MOST], found: 0 };
        // What they cost, the most first; 0 where there is room, for only what costs something is a reason.
        let mut most = [0_i128; MOST];
        for (code, features) in &of.codes {
            let features = of.features[features.clone()].iter();
            let cost: i128 = features.map(|(feature, begin)| costs[begin + usize::from(bins[*feature])]).sum();
            if cost <= most[MOST - 1] {
                continue;
            }
            // Codes come in order of their text: one that costs as much as others comes after them.
            let mut place = MOST - 1;
            while place > 0 && cost > most[place - 1] {
                (most[place], costliest.codes[place]) = (most[place - 1], costliest.codes[place - 1]);
                place -= 1;
            }
            (most[place], costliest.codes[place]) = (cost, *code);
            costliest.found = MOST.min(costliest.found + 1);
        }
        costliest
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
        let costs = card.features.iter().enumerate().flat_map(|(f, feature)| {
            let sum = match baseline {
                _ if counted => seen.sums[segment][f],
                Baseline::Max => feature.shares.iter().copied().max().unwrap_or(feature.neutral).into(),
                _ => feature.neutral.into(),
            };
            // A category in which nothing counts has no importance, and its features cost nothing.
            let weight = card.per_share[segment][feature.category] * i128::from(feature.importance_in(segment));
            feature.shares.iter().map(move |share| weight * (sum - i128::from(*share) * count))
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
            features in proptest::collection::vec(
                (proptest::collection::vec(-3_i128..6, 1..4), 0_usize..7, any::<bool>(), any::<usize>()), 1..30,
            ),
        ) {
            let rank = [3_usize, 1, 5, 0, 2, 4];
            let begins: Vec<usize> =
                (0..features.len()).map(|at| features[..at].iter().map(|(costs, ..)| costs.len()).sum()).collect();
            // A feature of the code 6 has none.
            let with_code = |friends: bool| {
                let of = features.iter().enumerate().filter(|(_, (_, code, of, _))| *code < 6 && *of == friends);
                Coded::new(of.map(|(at, (_, code, ..))| (at, *code)).collect(), &rank, &begins)
            };
            let bins: Vec<usize> = features.iter().map(|(costs, _, _, bin)| bin % costs.len()).collect();
            let costs = features.iter().flat_map(|(costs, ..)| costs.iter().copied()).collect();
            let shortfalls = Shortfalls {
                by_segment: vec![Segment { costs, denominator: 1 }],
                begins: begins.clone(),
                own: with_code(false),
                of_friends: with_code(true),
            };
            let cost = |code: usize| -> i128 {
                let of = features.iter().zip(&bins).filter(|((_, of, friends, _), _)| *of == code && !friends);
                of.map(|((costs, ..), bin)| costs[*bin]).sum()
            };
            let mut expected: Vec<usize> = (0..6).filter(|code| cost(*code) > 0).collect();
            expected.sort_by_key(|code| (std::cmp::Reverse(cost(*code)), rank[*code]));
            let bins: Vec<u8> = bins.iter().map(|bin| u8::try_from(*bin).unwrap()).collect();
            let first = |most: usize| &expected[..most.min(expected.len())];
            prop_assert!(shortfalls.costliest::<1>(0, &bins, &shortfalls.own).codes() == first(1));
            prop_assert!(shortfalls.costliest::<2>(0, &bins, &shortfalls.own).codes() == first(2));
            prop_assert!(shortfalls.top(0, &bins).codes() == first(REASONS));
            prop_assert!(shortfalls.costliest::<7>(0, &bins, &shortfalls.own).codes() == first(7));
        }
    }
}
