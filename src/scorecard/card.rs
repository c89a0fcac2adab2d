//! The scorecard made ready: features by position, bins in the run's currency.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::expression::product;
use crate::features::Plan;
use crate::pipeline::amount::Amount;
use crate::pipeline::catalogue::{Aggregate, Unit};
use crate::pipeline::exact::{MOST_COMMON, common_multiple};
use crate::pipeline::model::{Bin, CATEGORIES, FULL_SHARE, Form, RELATIONSHIPS};
use crate::pipeline::model_check::{MOST_BINS, MOST_IMPORTANCE};
use crate::pipeline::propagation::Propagation;
use crate::pipeline::units::POINT;
use crate::pipeline::{Finding, Findings, Model};

/// A model's scorecard over a plan's features.
#[derive(Debug, Clone)]
pub struct Scorecard {
    /// What bins are worth.
    pub form: Form,
    /// The features that are scored, in order of the model file.
    pub features: Vec<CardFeature>,
    /// Each feature's importance, by segment; 0 where it does not count.
    pub importances: Vec<Vec<i64>>,
    /// Sum of the importances in each category, by segment; 0 for a category without features.
    pub importance: Vec<[i64; 5]>,
    /// By segment and category: what an importance times a share is worth, over the denominator.
    pub per_share: Vec<[i128; 5]>,
    /// By segment, what exact fractions of the score are over; above 0.
    pub denominator: Vec<i128>,
    /// By segment and category: the sum of importances times shares of who has the best bin of everything.
    pub full: Vec<[i64; 5]>,
    /// The part of a point that everyone has above the lowest score, over the denominator; only in the form of points.
    pub base: i128,
    /// Ten-thousandths per category, by segment; they sum to [`WEIGHTS_ONE`]. In the form of points they follow from the card.
    pub weights: Vec<[i64; 5]>,
    /// Lowest score.
    pub low: i64,
    /// Points between the lowest and the highest score.
    pub range: i64,
    /// Share of a category in which nothing counts.
    pub neutral_share: i64,
    /// Reason codes in order of the model file.
    pub reasons: Vec<String>,
}

/// What the weights of a segment sum to.
pub const WEIGHTS_ONE: i64 = 10_000;

/// Where a feature's values come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Origin {
    /// The plan's feature of that position.
    Plan(usize),
    /// The relationship graph.
    Friends(FriendsFeature),
}

/// A feature of the relationship graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FriendsFeature {
    /// What it is.
    pub aggregate: Aggregate,
    /// How many friends of the kind that a share counts are added to it: the share that it is shrunk towards times what that weighs.
    pub prior_friends: f64,
    /// How many friends that share weighs.
    pub prior_strength: f64,
}

/// One scored feature.
#[derive(Debug, Clone)]
pub struct CardFeature {
    /// Its name.
    pub name: String,
    /// Where its values come from.
    pub origin: Origin,
    /// Its category.
    pub category: usize,
    /// Its weight within the category, in the segments in which it counts.
    pub importance: i64,
    /// The segments in which it counts, by position; all when none is named.
    pub segments: Option<Vec<usize>>,
    /// Where bins end; one fewer than there are bins.
    pub edges: Vec<f64>,
    /// The share of each bin, then of `none`, then of `unknown`. In the form of points: parts of a point above the least bin.
    pub shares: Vec<i64>,
    /// The share that is neither good nor bad: of what is not known.
    pub neutral: i64,
    /// Position of its reason code, if it has one.
    pub reason: Option<usize>,
    /// The bin of no opportunity; that of what was not told follows it.
    pub missing: u8,
}

impl CardFeature {
    /// The bin of a value: [`CardFeature::none`] and [`CardFeature::unknown`] for a missing one.
    #[must_use]
    pub fn bin(&self, value: f64, none: bool) -> u8 {
        match (value.is_nan(), none) {
            (true, true) => self.missing,
            (true, false) => self.missing + 1,
            // There are fewer edges than bins, which were counted when the card was made.
            (false, _) => self.edges.iter().take_while(|e| value >= **e).fold(0, |bin, _| bin + 1),
        }
    }

    /// The bins of many values, as [`CardFeature::bin`] finds them: how many edges each has reached, edge by edge, for they ascend.
    pub fn fill(&self, bins: &mut [u8], values: &[f64], nones: &[u8]) {
        bins.fill(0);
        for edge in &self.edges {
            bins.iter_mut().zip(values).for_each(|(bin, value)| *bin += u8::from(value >= edge));
        }
        for ((bin, value), none) in bins.iter_mut().zip(values).zip(nones) {
            if value.is_nan() {
                *bin = self.bin(*value, *none == 1);
            }
        }
    }

    /// Its weight in a segment; 0 where it does not count.
    #[must_use]
    pub fn importance_in(&self, segment: usize) -> i64 {
        if self.segments.as_ref().is_none_or(|s| s.contains(&segment)) { self.importance } else { 0 }
    }

    /// The bin of no opportunity.
    #[must_use]
    pub fn none(&self) -> usize {
        usize::from(self.missing)
    }

    /// The bin of what was not told.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.none() + 1
    }

    /// What a bin is called in reports: `[from, below)`, `none` or `unknown`.
    #[must_use]
    pub fn label(&self, bin: usize) -> String {
        if bin == self.none() {
            return "none".into();
        }
        if bin == self.unknown() {
            return "unknown".into();
        }
        match (bin.checked_sub(1).map(|b| self.edges[b]), self.edges.get(bin)) {
            (None, None) => "any".into(),
            (None, Some(below)) => format!("< {below}"),
            (Some(from), None) => format!(">= {from}"),
            (Some(from), Some(below)) => format!("[{from}, {below})"),
        }
    }
}

impl Scorecard {
    /// Lays a checked model over a plan. Money bins are converted from the model's currency to the run's.
    ///
    /// # Errors
    /// When the model has no factor for the run's currency.
    pub fn new(model: &Model, plan: &Plan, currency: &str) -> Result<Self> {
        let card = &model.card;
        let positions = plan.positions();
        let factor = money_factor(model, currency)?;
        let segments: Vec<&str> = card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let mut base = i128::from(card.scale.base.as_ref().and_then(Amount::parts).unwrap_or(0));
        let mut features: Vec<CardFeature> = Vec::new();
        let reasons: Vec<String> = card.reason.iter().map(|r| r.get_ref().code.clone()).collect();
        for scored in card.feature.iter().map(toml::Spanned::get_ref) {
            let Some(declared) = model.catalogue.feature(&scored.name) else { continue };
            let (prior, prior_strength) =
                (declared.declared.prior.unwrap_or(0.0), declared.declared.prior_strength.unwrap_or(0.0));
            let origin = match positions.get(scored.name.as_str()) {
                Some(position) => Origin::Plan(*position),
                None if declared.declared.aggregate.of_friends() => Origin::Friends(FriendsFeature {
                    aggregate: declared.declared.aggregate,
                    prior_friends: product(prior, prior_strength),
                    prior_strength,
                }),
                None => continue,
            };
            let Some(category) = CATEGORIES.iter().position(|c| *c == declared.category) else { continue };
            let scale = if declared.declared.unit == Unit::Money { factor } else { 1.0 };
            let bins: Vec<&Bin> = scored.bins.iter().map(toml::Spanned::get_ref).collect();
            let missing = u8::try_from(bins.len()).ok().filter(|n| *n <= MOST_BINS);
            let missing = missing.with_context(|| format!("`{}` has more than {MOST_BINS} bins", scored.name))?;
            let (form, worth) = (card.scale.form, |amount| card.scale.worth(amount));
            let worths =
                bins.iter().map(|b| b.worth(form)).chain([worth(scored.none.as_ref()), worth(scored.unknown.as_ref())]);
            let mut shares: Vec<i64> = worths
                .collect::<Option<_>>()
                .with_context(|| format!("`{}` has a bin without a worth", scored.name))?;
            if form == Form::Points {
                let least = shares.iter().copied().min().unwrap_or(0);
                base += i128::from(least);
                shares.iter_mut().for_each(|share| *share -= least);
            }
            let neutral = card.scale.neutral().or(shares.last().copied()).context("a feature without bins")?;
            let places =
                |names: &Vec<String>| names.iter().filter_map(|n| segments.iter().position(|s| s == n)).collect();
            features.push(CardFeature {
                name: scored.name.clone(),
                origin,
                category,
                importance: scored.importance().clamp(0, MOST_IMPORTANCE),
                segments: scored.segments.as_ref().map(places),
                edges: bins.iter().filter_map(|b| b.below).map(|e| product(e, scale)).collect(),
                shares,
                neutral,
                reason: reasons.iter().position(|r| declared.declared.reason.as_ref() == Some(r)),
                missing,
            });
        }
        let of = |segment: usize| features.iter().map(|f| f.importance_in(segment)).collect::<Vec<i64>>();
        let importances: Vec<Vec<i64>> = (0..segments.len()).map(of).collect();
        let importance: Vec<[i64; 5]> = importances.iter().map(|of| sums(&features, of)).collect();
        let mut made = Self {
            form: card.scale.form,
            per_share: Vec::new(),
            denominator: Vec::new(),
            full: Vec::new(),
            base,
            weights: Vec::new(),
            low: card.scale.low,
            range: card.range(),
            neutral_share: card.scale.neutral().unwrap_or(0),
            reasons,
            features,
            importances,
            importance,
        };
        match card.scale.form {
            Form::Shares => {
                let common = made.importance.iter().map(|sums| common(model, sums)).collect::<Result<Vec<_>>>()?;
                let weights = card.segment.iter().map(|s| weights(&s.get_ref().weights, &card.propagation)).collect();
                made.weigh_shares(weights, &common);
            }
            Form::Points => made.weigh_points(),
        }
        Ok(made)
    }

    /// Shares of importances in weighted categories; `common` are multiples of the sums of importances.
    pub(crate) fn weigh_shares(&mut self, weights: Vec<[i64; 5]>, common: &[i128]) {
        for ((weights, common), importance) in weights.iter().zip(common).zip(&self.importance) {
            let worth = |c: usize| i128::from(self.range * weights[c]) * (common / i128::from(importance[c].max(1)));
            self.per_share.push(std::array::from_fn(worth));
            self.denominator.push(i128::from(FULL_SHARE * WEIGHTS_ONE) * common);
            self.full.push(importance.map(|sum| FULL_SHARE * sum.max(1)));
        }
        self.weights = weights;
    }

    /// Points that are added up. What a category can give of the whole is its weight.
    fn weigh_points(&mut self) {
        let point = i128::from(POINT);
        self.base -= i128::from(self.low) * point;
        for _ in 0..self.importances.len() {
            let mut full = [0; 5];
            for feature in &self.features {
                full[feature.category] += feature.shares.iter().copied().max().unwrap_or(0);
            }
            let all: i128 = full.iter().copied().map(i128::from).sum();
            let parts = full.map(|f| i128::from(f) * i128::from(WEIGHTS_ONE));
            self.weights.push(largest_remainder(&parts, all.max(1)));
            self.per_share.push([1; 5]);
            self.denominator.push(point);
            self.full.push(full);
        }
    }
}

/// Parts with the same denominator as integers that add up to [`WEIGHTS_ONE`].
fn largest_remainder(parts: &[i128; 5], denominator: i128) -> [i64; 5] {
    let whole = |part: i128| i64::try_from(part / denominator).unwrap_or(0);
    let mut integers = parts.map(whole);
    let mut order = [0, 1, 2, 3, 4];
    order.sort_by_key(|c| std::cmp::Reverse(parts[*c] % denominator));
    let left = usize::try_from(WEIGHTS_ONE - integers.iter().sum::<i64>()).unwrap_or(0);
    order.iter().take(left.min(order.len())).for_each(|c| integers[*c] += 1);
    integers
}

/// The weights of a segment in ten-thousandths; without propagation the relationships' go where the model says.
fn weights(percent: &BTreeMap<String, i64>, propagation: &Propagation) -> [i64; 5] {
    let of = |weights: &BTreeMap<String, i64>, c: usize| weights.get(CATEGORIES[c]).copied().unwrap_or(0);
    let friends = of(percent, RELATIONSHIPS);
    std::array::from_fn(|c| match (propagation.enabled, c) {
        (true, _) => 100 * of(percent, c),
        (false, RELATIONSHIPS) => 0,
        (false, _) => 100 * of(percent, c) + friends * of(&propagation.when_off, c),
    })
}

/// The sum of the features' importances in each category.
#[must_use]
pub fn sums(features: &[CardFeature], importances: &[i64]) -> [i64; 5] {
    let mut sums = [0; 5];
    features.iter().zip(importances).for_each(|(feature, importance)| sums[feature.category] += importance);
    sums
}

/// What exact fractions of the score are over.
fn common(model: &Model, importance: &[i64; 5]) -> Result<i128> {
    let Some(common) = common_multiple(importance) else {
        let sums: Vec<String> = CATEGORIES.iter().zip(importance).map(|(c, s)| format!("{c} {s}")).collect();
        let message = format!(
            "the importances of the categories sum to {}; their least common multiple is above {MOST_COMMON}, choose rounder ones",
            sums.join(", ")
        );
        return Err(Findings(vec![Finding { file: model.source.path.clone(), line: 0, message }]).into());
    };
    Ok(common)
}

/// Minor units of a currency that stand for one of the model's.
///
/// # Errors
/// When the model does not say.
pub fn money_factor(model: &Model, currency: &str) -> Result<f64> {
    let money = &model.card.money;
    if money.currency == currency {
        return Ok(1.0);
    }
    match money.per_unit.get(currency) {
        Some(factor) if *factor > 0.0 => Ok(*factor),
        _ => {
            let line = model.source.text.lines().position(|l| l.trim() == "[money]").map_or(0, |l| l + 1);
            let message = format!(
                "money bins are in {}, and [money] per_unit has no positive factor for the pipeline's {currency}; add per_unit.{currency} = …",
                money.currency
            );
            Err(Findings(vec![Finding { file: model.source.path.clone(), line, message }]).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_values_have_the_bins_that_each_of_them_has(
            mut edges in proptest::collection::vec(-4_i32..4, 0..6),
            values in proptest::collection::vec((prop_oneof![4 => -5_i32..5, 1 => Just(i32::MIN), 1 => Just(i32::MAX)], any::<bool>()), 0..40),
        ) {
            edges.sort_unstable();
            let missing = u8::try_from(edges.len() + 1).unwrap();
            let feature = CardFeature {
                name: String::new(),
                origin: Origin::Plan(0),
                category: 0,
                importance: 1,
                segments: None,
                edges: edges.into_iter().map(f64::from).collect(),
                shares: Vec::new(),
                neutral: 0,
                reason: None,
                missing,
            };
            let value = |of: i32| match of {
                i32::MIN => f64::NAN,
                i32::MAX => f64::INFINITY,
                of => f64::from(of),
            };
            let nones: Vec<u8> = values.iter().map(|(_, none)| u8::from(*none)).collect();
            let values: Vec<f64> = values.iter().map(|(of, _)| value(*of)).collect();
            let mut bins = vec![9; values.len()];
            feature.fill(&mut bins, &values, &nones);
            let each: Vec<u8> = values.iter().zip(&nones).map(|(value, none)| feature.bin(*value, *none == 1)).collect();
            prop_assert_eq!(bins, each);
        }
    }
}
