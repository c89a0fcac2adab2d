//! Shares to points: one rounding of an exact fraction, and parts that add up to it.
//!
//! score = low + round-half-even(range · Σ_c weight_c · Σ_f importance·share / (1200 · Σ_f importance) / 10000), or in the form of points
//! low + round-half-even(base + Σ_f points), where every feature's points count from its least bin.
//! Parts get the floor of their exact contribution; what is left goes to the largest remainders, ties in order.

use std::num::TryFromIntError;

use crate::graph::parameters::SHARE_ONE;
use crate::pipeline::model::RELATIONSHIPS;
use crate::scorecard::card::{CardFeature, Scorecard};

/// What fits, by the bounds that a checked model keeps; anything else is a defect.
pub type Fits<T> = Result<T, TryFromIntError>;

/// What a figure outside the range that a checked model keeps is.
pub const OFF: &str = "defect: a figure is outside the model's scale";

/// Points of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points {
    /// Above the lowest score.
    pub total: i64,
    /// By category; they add up to the total.
    pub categories: [i64; 5],
}

/// An exact non-negative fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: i128,
    /// Below the line; above 0.
    pub denominator: i128,
}

impl Fraction {
    /// To the nearest integer, halves to the even one.
    ///
    /// # Errors
    /// When it is none of 64 bits.
    pub fn round_half_even(self) -> Fits<i64> {
        let (quotient, rest) = divided(self.numerator, self.denominator);
        let up = match (2 * rest).cmp(&self.denominator) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => quotient & 1,
        };
        i64::try_from(quotient + up)
    }
}

/// How often a number goes into another, and what is left. Nearly all are of 64 bits, whose division costs a fraction.
fn divided(numerator: i128, denominator: i128) -> (i128, i128) {
    match (u64::try_from(numerator), u64::try_from(denominator)) {
        (Ok(numerator), Ok(denominator)) if denominator > 0 => {
            (i128::from(numerator / denominator), i128::from(numerator % denominator))
        }
        _ => (numerator.div_euclid(denominator), numerator.rem_euclid(denominator)),
    }
}

/// Shares a total out over exact contributions with the same denominator by largest remainder.
///
/// # Errors
/// When a part is none of 64 bits, or the total is less than its parts.
pub fn share_out(total: i64, contributions: &[i128], denominator: i128) -> Fits<Vec<i64>> {
    let (mut parts, mut order) = (vec![0; contributions.len()], vec![(0, 0); contributions.len()]);
    share_into(&mut parts, &mut order, (total, contributions), denominator)?;
    Ok(parts)
}

/// The same into parts that are there; `order` is as long.
fn share_into(
    parts: &mut [i64],
    order: &mut [(i128, usize)],
    (total, contributions): (i64, &[i128]),
    denominator: i128,
) -> Fits<()> {
    for (n, (contribution, (part, of))) in contributions.iter().zip(parts.iter_mut().zip(order.iter_mut())).enumerate()
    {
        let (whole, rest) = divided(*contribution, denominator);
        (*part, *of) = (i64::try_from(whole)?, (rest, n));
    }
    let left = usize::try_from(total - parts.iter().sum::<i64>())?;
    if left == 0 {
        return Ok(());
    }
    order.sort_by_key(|(rest, _)| std::cmp::Reverse(*rest));
    // A base beside the parts may leave one more than there are parts.
    for (_, n) in order.iter().cycle().take(left) {
        parts[*n] += 1;
    }
    Ok(())
}

impl Scorecard {
    /// Points for the bins of a subject's features in a segment.
    ///
    /// # Errors
    /// When they are none of a scale, which the checks of the model exclude.
    pub fn points(&self, segment: usize, bins: &[u8]) -> Fits<Points> {
        self.of_sums(segment, &self.sums(segment, bins))
    }

    /// The share of the score from the subject's own categories, friends left out, in millionths.
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn own_share(&self, segment: usize, bins: &[u8]) -> Fits<u32> {
        self.own_share_of(segment, &self.sums(segment, bins), self.own_most(segment))
    }

    /// The exact contributions of the subject's own categories from Σ importance·share of each.
    fn own(&self, segment: usize, sums: &[i64; 5]) -> i128 {
        (0..RELATIONSHIPS).map(|c| self.contribution_of(segment, c, sums[c])).sum()
    }

    /// The most that the subject's own categories contribute in a segment.
    pub(super) fn own_most(&self, segment: usize) -> i128 {
        self.own(segment, &self.full[segment])
    }

    /// The same as [`Self::own_share`] from Σ importance·share of each category, and [`Self::own_most`].
    pub(super) fn own_share_of(&self, segment: usize, sums: &[i64; 5], most: i128) -> Fits<u32> {
        let own = self.own(segment, sums);
        if most == 0 {
            return Ok(0);
        }
        let share = Fraction { numerator: own * i128::from(SHARE_ONE), denominator: most }.round_half_even()?;
        u32::try_from(share)
    }

    /// What friends move the score by, in points: the category's points less those of a neutral category.
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn lift(&self, segment: usize, bins: &[u8]) -> Fits<i64> {
        let all = self.features.iter().zip(&self.importances[segment]).zip(bins);
        let of_friends = all.filter(|((feature, _), _)| feature.category == RELATIONSHIPS);
        let sum: i64 =
            of_friends.map(|((feature, importance), bin)| importance * feature.shares[usize::from(*bin)]).sum();
        self.lift_of(segment, sum)
    }

    /// The same from Σ importance·share of the category of friends.
    pub(super) fn lift_of(&self, segment: usize, sum: i64) -> Fits<i64> {
        let of = |sum: i64| self.contribution_of(segment, RELATIONSHIPS, sum);
        let neutral = of(self.neutral_share * self.importance[segment][RELATIONSHIPS]);
        let numerator = of(sum) - neutral;
        Fraction { numerator, denominator: self.denominator[segment] }.round_half_even()
    }

    /// What a bin of a feature gives in a segment, over [`Self::denominator`].
    #[must_use]
    pub fn contribution(&self, segment: usize, feature: usize, bin: usize) -> i128 {
        self.given(segment, &self.features[feature], bin)
    }

    /// What exact fractions of a score in a segment are over.
    #[must_use]
    pub fn denominator(&self, segment: usize) -> i128 {
        self.denominator[segment]
    }

    fn given(&self, segment: usize, feature: &CardFeature, bin: usize) -> i128 {
        let of_importance = i128::from(feature.importance_in(segment)) * i128::from(feature.shares[bin]);
        self.per_share[segment][feature.category] * of_importance
    }

    /// The points that a bin of a feature gives in a segment, before the one rounding of the score.
    #[must_use]
    pub fn feature_points(&self, segment: usize, feature: &CardFeature, bin: u8) -> f64 {
        self.given(segment, feature, usize::from(bin)) as f64 / self.denominator[segment] as f64
    }

    /// What a score has in a segment before any feature, friends being neutral, over [`Self::denominator`]: the lowest score, what
    /// everyone has, and the neutral points of categories in which nothing counts.
    #[must_use]
    pub fn initial(&self, segment: usize) -> i128 {
        let mut sums = [0; 5];
        sums[RELATIONSHIPS] = self.neutral_share * self.importance[segment][RELATIONSHIPS];
        let none: i128 = self.contributions(segment, &sums).iter().sum();
        i128::from(self.low) * self.denominator[segment] + self.base + none
    }

    /// A category's points shared out over its features by what their bins contribute: position and points of each.
    ///
    /// # Errors
    /// When the points are not those of the bins.
    pub fn feature_parts(&self, segment: usize, category: usize, points: i64, bins: &[u8]) -> Fits<Vec<(usize, i64)>> {
        let of: Vec<usize> = (0..self.features.len())
            .filter(|f| self.features[*f].category == category && self.importances[segment][*f] > 0)
            .collect();
        let contribution = |f: &usize| self.contribution(segment, *f, usize::from(bins[*f]));
        let contributions: Vec<i128> = of.iter().map(contribution).collect();
        let parts = share_out(points, &contributions, self.denominator[segment])?;
        Ok(of.into_iter().zip(parts).collect())
    }

    /// The score for the bins of a subject's features in a segment.
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn score(&self, segment: usize, bins: &[u8]) -> Fits<i16> {
        self.score_of(segment, &self.sums(segment, bins))
    }

    /// The same from Σ importance·share of each category.
    pub(super) fn score_of(&self, segment: usize, sums: &[i64; 5]) -> Fits<i16> {
        i16::try_from(self.low + self.total(segment, &self.contributions(segment, sums))?)
    }

    /// Σ importance·share of each category.
    fn sums(&self, segment: usize, bins: &[u8]) -> [i64; 5] {
        let mut sums = [0_i64; 5];
        for ((feature, importance), bin) in self.features.iter().zip(&self.importances[segment]).zip(bins) {
            sums[feature.category] += importance * feature.shares[usize::from(*bin)];
        }
        sums
    }

    /// The most points each category can give in a segment; they add up to the range.
    ///
    /// # Errors
    /// As [`Self::points`].
    pub fn maxima(&self, segment: usize) -> Fits<[i64; 5]> {
        Ok(self.of_sums(segment, &self.full[segment])?.categories)
    }

    /// Points from Σ importance·share of each category.
    pub(super) fn of_sums(&self, segment: usize, sums: &[i64; 5]) -> Fits<Points> {
        let contributions = self.contributions(segment, sums);
        let total = self.total(segment, &contributions)?;
        let mut categories = [0; 5];
        share_into(&mut categories, &mut [(0, 0); 5], (total, &contributions), self.denominator[segment])?;
        Ok(Points { total, categories })
    }

    /// Points above the lowest score, from the exact contributions of the categories.
    fn total(&self, segment: usize, contributions: &[i128; 5]) -> Fits<i64> {
        let numerator = self.base + contributions.iter().sum::<i128>();
        Fraction { numerator, denominator: self.denominator[segment] }.round_half_even()
    }

    /// Exact contributions of the categories.
    fn contributions(&self, segment: usize, sums: &[i64; 5]) -> [i128; 5] {
        std::array::from_fn(|c| self.contribution_of(segment, c, sums[c]))
    }

    /// The exact contribution of a category; one without features is neutral, unless its sum is told.
    fn contribution_of(&self, segment: usize, category: usize, sum: i64) -> i128 {
        let empty = self.importance[segment][category] == 0 && sum == 0;
        let sum = if empty { self.neutral_share } else { sum };
        self.per_share[segment][category] * i128::from(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exact::common_multiple;
    use crate::pipeline::model::Form;
    use crate::scorecard::card::{Origin, sums};
    use proptest::prelude::*;

    fn card(importances: &[(usize, i64)], weights: [i64; 5]) -> Scorecard {
        let features: Vec<CardFeature> = importances
            .iter()
            .map(|(category, i)| CardFeature {
                name: String::new(),
                origin: Origin::Plan(0),
                category: *category,
                importance: *i,
                segments: None,
                edges: (1..100).map(f64::from).collect(),
                shares: (0..=100).map(|s| s * 12).chain([500, 500]).take(102).collect(),
                neutral: 500,
                reason: None,
                missing: 100,
            })
            .collect();
        let of: Vec<i64> = importances.iter().map(|(_, i)| *i).collect();
        let importance = sums(&features, &of);
        let mut card = Scorecard {
            form: Form::Shares,
            features,
            importances: vec![of],
            per_share: vec![],
            denominator: vec![],
            full: vec![],
            base: 0,
            importance: vec![importance],
            weights: vec![],
            low: 350,
            range: 600,
            neutral_share: 500,
            reasons: vec![],
        };
        card.weigh_shares(vec![weights.map(|w| 100 * w)], &[common_multiple(&importance).unwrap()]);
        card
    }

    #[test]
    fn what_is_not_known_is_600_in_every_segment() {
        for weights in [[35, 25, 20, 15, 5], [35, 35, 20, 10, 0], [10, 20, 35, 30, 5]] {
            let card = card(&[(0, 7), (1, 3), (2, 11), (3, 1)], weights);
            let unknown = u8::try_from(card.features[0].unknown()).unwrap();
            assert_eq!(card.points(0, &[unknown; 4]).unwrap().total, 250);
            assert_eq!(card.maxima(0).unwrap().iter().sum::<i64>(), 600);
        }
    }

    #[test]
    fn halves_go_to_the_even_number() {
        let half = |numerator| Fraction { numerator, denominator: 2 }.round_half_even().unwrap();
        assert_eq!([half(1), half(3), half(5), half(4)], [0, 2, 2, 2]);
    }

    #[test]
    fn what_is_left_goes_to_the_largest_remainders_in_order() {
        assert_eq!(share_out(10, &[33, 33, 34], 10).unwrap(), [3, 3, 4]);
        assert_eq!(share_out(2, &[5, 5, 10], 10).unwrap(), [1, 0, 1]);
    }

    proptest! {
        #[test]
        fn numbers_of_64_bits_are_divided_as_those_of_128(
            numerator in prop_oneof![any::<i64>().prop_map(i128::from), -10_i128..10, (1_i128 << 63)..(1 << 66), -(1_i128 << 70)..0],
            denominator in prop_oneof![1_i128..1_000, (1_i128 << 62)..(1 << 66)],
        ) {
            let expected = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
            prop_assert_eq!(divided(numerator, denominator), expected);
        }

        #[test]
        fn category_points_add_up_to_the_total(bins in proptest::collection::vec(0_u8..102, 6), w in 0_i64..=40) {
            let card = card(&[(0, 14), (0, 9), (1, 3), (2, 11), (3, 1), (3, 17)], [35, 40 - w, 5 + w, 15, 5]);
            let points = card.points(0, &bins).unwrap();
            prop_assert_eq!(points.categories.iter().sum::<i64>(), points.total);
            prop_assert!((0..=600).contains(&points.total));
            prop_assert!(points.categories.iter().zip(card.maxima(0).unwrap()).all(|(p, m)| *p <= m + 1));
        }
    }
}
