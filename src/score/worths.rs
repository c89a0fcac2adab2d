//! What bins are worth, laid out for looking up: of every subject at every date sums are taken over all features.

use std::ops::Range;

use super::points::{Fits, Points};
use crate::pipeline::model::RELATIONSHIPS;
use crate::scorecard::card::{CardFeature, Scorecard};

/// What every bin of a scorecard is worth, by segment.
pub struct Worths<'a> {
    card: &'a Scorecard,
    /// Importance times share, feature by feature and bin by bin.
    by_segment: Vec<Vec<i64>>,
    /// Where each feature's bins begin there.
    begins: Vec<usize>,
    /// Features that follow one another in one category, and which.
    runs: Vec<(Range<usize>, usize)>,
    /// The most that the subject's own categories contribute, by segment.
    own_most: Vec<i128>,
}

impl<'a> Worths<'a> {
    /// Lays out a scorecard.
    #[must_use]
    pub fn of(card: &'a Scorecard) -> Self {
        let mut next = 0;
        let begin = |feature: &CardFeature| {
            let begin = next;
            next += feature.shares.len();
            begin
        };
        let begins = card.features.iter().map(begin).collect();
        let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
        for (at, feature) in card.features.iter().enumerate() {
            match runs.last_mut() {
                Some((run, category)) if *category == feature.category => run.end = at + 1,
                _ => runs.push((at..at + 1, feature.category)),
            }
        }
        let of = |importances: &Vec<i64>| {
            let all = card.features.iter().zip(importances);
            all.flat_map(|(feature, importance)| feature.shares.iter().map(move |share| importance * share)).collect()
        };
        let own_most = (0..card.importances.len()).map(|segment| card.own_most(segment)).collect();
        Self { card, by_segment: card.importances.iter().map(of).collect(), begins, runs, own_most }
    }

    /// As [`Scorecard::points`].
    ///
    /// # Errors
    /// When they are none of a scale, which the checks of the model exclude.
    pub fn points(&self, segment: usize, bins: &[u8]) -> Fits<Points> {
        self.card.of_sums(segment, &self.sums(segment, bins))
    }

    /// As [`Scorecard::score`].
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn score(&self, segment: usize, bins: &[u8]) -> Fits<i16> {
        self.card.score_of(segment, &self.sums(segment, bins))
    }

    /// As [`Scorecard::own_share`].
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn own_share(&self, segment: usize, bins: &[u8]) -> Fits<u32> {
        self.card.own_share_of(segment, &self.sums(segment, bins), self.own_most[segment])
    }

    /// As [`Scorecard::lift`].
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn lift(&self, segment: usize, bins: &[u8]) -> Fits<i64> {
        let runs = self.runs.iter().filter(|(_, category)| *category == RELATIONSHIPS);
        self.card.lift_of(segment, runs.map(|(run, _)| self.sum(segment, run, bins)).sum())
    }

    /// Σ importance·share of each category.
    fn sums(&self, segment: usize, bins: &[u8]) -> [i64; 5] {
        let mut sums = [0; 5];
        for (run, category) in &self.runs {
            sums[*category] += self.sum(segment, run, bins);
        }
        sums
    }

    /// The same of some features. A bin is one of its feature's, as it is when it was found by the feature's edges.
    fn sum(&self, segment: usize, run: &Range<usize>, bins: &[u8]) -> i64 {
        let worths = self.by_segment[segment].as_slice();
        let features = self.begins[run.clone()].iter().zip(&bins[run.clone()]);
        features.map(|(begin, bin)| worths[begin + usize::from(*bin)]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::model::Form;
    use crate::scorecard::card::{Origin, sums};
    use proptest::prelude::*;

    /// Features of some categories with some bins, in two segments.
    fn card(features: &[(usize, u8)]) -> Scorecard {
        let feature = |(n, (category, bins)): (i64, &(usize, u8))| CardFeature {
            name: format!("f{n}"),
            origin: Origin::Plan(0),
            category: *category,
            importance: 3,
            segments: None,
            edges: Vec::new(),
            shares: (0..*bins).map(|bin| (370 * i64::from(bin) + 91 * n) % 1_200).collect(),
            neutral: 600,
            reason: None,
            missing: 0,
        };
        let features: Vec<CardFeature> = (0..).zip(features).map(feature).collect();
        let importance =
            |segment: i64| (0..).zip(&features).map(|(n, _): (i64, _)| (n * 5 + segment * 3) % 7).collect();
        let importances: Vec<Vec<i64>> = (0..2).map(importance).collect();
        let mut card = Scorecard {
            form: Form::Shares,
            importance: importances.iter().map(|of| sums(&features, of)).collect(),
            features,
            importances,
            per_share: Vec::new(),
            denominator: Vec::new(),
            full: Vec::new(),
            base: 0,
            weights: Vec::new(),
            low: 350,
            range: 600,
            neutral_share: 600,
            reasons: Vec::new(),
        };
        let common = |of: &[i64; 5]| of.iter().map(|sum| i128::from((*sum).max(1))).product();
        let common: Vec<i128> = card.importance.iter().map(common).collect();
        card.weigh_shares(vec![[3_500, 2_500, 2_000, 1_500, 500]; 2], &common);
        card
    }

    proptest! {
        #[test]
        fn what_is_looked_up_is_what_the_card_says(
            features in proptest::collection::vec((0_usize..5, 1_u8..6), 1..12),
            bins in proptest::collection::vec(any::<u8>(), 12), segment in 0_usize..2,
        ) {
            let card = card(&features);
            let bins: Vec<u8> = features.iter().zip(&bins).map(|((_, most), bin)| bin % most).collect();
            let worths = Worths::of(&card);
            prop_assert_eq!(worths.points(segment, &bins), card.points(segment, &bins));
            prop_assert_eq!(worths.score(segment, &bins), card.score(segment, &bins));
            prop_assert_eq!(worths.own_share(segment, &bins), card.own_share(segment, &bins));
            prop_assert_eq!(worths.lift(segment, &bins), card.lift(segment, &bins));
        }
    }
}
