//! The scorecard made ready: features by position, bins in the run's currency.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::expression::product;
use crate::features::Plan;
use crate::pipeline::catalogue::{Aggregate, Unit};
use crate::pipeline::exact::{MOST_COMMON, common_multiple};
use crate::pipeline::model::{Bin, CATEGORIES, RELATIONSHIPS};
use crate::pipeline::model_check::{MOST_BINS, MOST_IMPORTANCE};
use crate::pipeline::propagation::Propagation;
use crate::pipeline::{Finding, Findings, Model};

/// A model's scorecard over a plan's features.
#[derive(Debug, Clone)]
pub struct Scorecard {
    /// The features that are scored, in order of the model file.
    pub features: Vec<CardFeature>,
    /// Each feature's importance, by segment; 0 where it does not count.
    pub importances: Vec<Vec<i64>>,
    /// Sum of the importances in each category, by segment; 0 for a category without features.
    pub importance: Vec<[i64; 5]>,
    /// The least common multiple of those sums, by segment: what exact fractions of the score are over.
    pub common: Vec<i128>,
    /// Ten-thousandths per category, by segment; they sum to [`WEIGHTS_ONE`].
    pub weights: Vec<[i64; 5]>,
    /// Lowest score.
    pub low: i64,
    /// Points between the lowest and the highest score.
    pub range: i64,
    /// Share of what is not known.
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
    /// What a share is shrunk towards.
    pub prior: f64,
    /// How many friends the prior weighs.
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
    /// The share of each bin, then of `none`, then of `unknown`.
    pub shares: Vec<i64>,
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
        let mut features: Vec<CardFeature> = Vec::new();
        let reasons: Vec<String> = card.reason.iter().map(|r| r.get_ref().code.clone()).collect();
        for scored in card.feature.iter().map(toml::Spanned::get_ref) {
            let Some(declared) = model.catalogue.feature(&scored.name) else { continue };
            let origin = match positions.get(scored.name.as_str()) {
                Some(position) => Origin::Plan(*position),
                None if declared.declared.aggregate.of_friends() => Origin::Friends(FriendsFeature {
                    aggregate: declared.declared.aggregate,
                    prior: declared.declared.prior.unwrap_or(0.0),
                    prior_strength: declared.declared.prior_strength.unwrap_or(0.0),
                }),
                None => continue,
            };
            let Some(category) = CATEGORIES.iter().position(|c| *c == declared.category) else { continue };
            let scale = if declared.declared.unit == Unit::Money { factor } else { 1.0 };
            let bins: Vec<&Bin> = scored.bins.iter().map(toml::Spanned::get_ref).collect();
            let missing = u8::try_from(bins.len()).ok().filter(|n| *n <= MOST_BINS);
            let missing = missing.with_context(|| format!("`{}` has more than {MOST_BINS} bins", scored.name))?;
            let mut shares: Vec<i64> = bins.iter().map(|b| b.share).collect();
            shares.push(scored.none.unwrap_or(card.scale.neutral_share));
            shares.push(scored.unknown.unwrap_or(card.scale.neutral_share));
            let places =
                |names: &Vec<String>| names.iter().filter_map(|n| segments.iter().position(|s| s == n)).collect();
            features.push(CardFeature {
                name: scored.name.clone(),
                origin,
                category,
                importance: scored.importance.clamp(0, MOST_IMPORTANCE),
                segments: scored.segments.as_ref().map(places),
                edges: bins.iter().filter_map(|b| b.below).map(|e| product(e, scale)).collect(),
                shares,
                reason: reasons.iter().position(|r| declared.declared.reason.as_ref() == Some(r)),
                missing,
            });
        }
        let weights = card.segment.iter().map(|s| weights(&s.get_ref().weights, &card.propagation)).collect();
        let of = |segment: usize| features.iter().map(|f| f.importance_in(segment)).collect::<Vec<i64>>();
        let importances: Vec<Vec<i64>> = (0..segments.len()).map(of).collect();
        let importance: Vec<[i64; 5]> = importances.iter().map(|of| sums(&features, of)).collect();
        let common = importance.iter().map(|sums| common(model, sums)).collect::<Result<_>>()?;
        Ok(Self {
            features,
            importances,
            importance,
            common,
            weights,
            low: card.scale.low,
            range: card.range(),
            neutral_share: card.scale.neutral_share,
            reasons,
        })
    }
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

impl Scorecard {
    /// Whether a subject has enough friends for anything to be told of them.
    #[must_use]
    pub fn tells_of_friends(&self, bins: &[u8]) -> bool {
        let mut friends = self.features.iter().zip(bins).filter(|(f, _)| f.category == RELATIONSHIPS);
        friends.any(|(f, bin)| usize::from(*bin) != f.none())
    }
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

fn money_factor(model: &Model, currency: &str) -> Result<f64> {
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
