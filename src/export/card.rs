//! A segment's card by itself: what each bin gives, exactly, and what everyone has. No date and no exports are needed for it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use jiff::civil::{Date, date};

use crate::contract::{Contract, Zone};
use crate::expression::did_you_mean;
use crate::features::compile;
use crate::pipeline::{Findings, Model, model_check};
use crate::scorecard::Scorecard;
use crate::scorecard::card::Origin;

/// Version of the program, as what is written tells it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a card does not decide.
const NOT_IN_IT: &str =
    "not in it: who is in this segment, who has a score at all, and the policy rules that cap a score";

/// The date the catalogue is compiled for: which features there are, and where their bins end, is the same at every date.
const ANY_DATE: Date = date(2025, 1, 1);

/// The card of one segment, without friends. A score is `low` + the points above it, rounded half to even:
/// (`initial` − `low` · `denominator` + Σ of the features' bins) / `denominator`.
#[derive(Debug, Clone)]
pub struct SegmentCard {
    /// Name and version of the model.
    pub model: String,
    /// The hash of what the model means.
    pub hash: String,
    /// The segment.
    pub segment: String,
    /// The currency whose minor units the bins of money are in.
    pub currency: String,
    /// Lowest score.
    pub low: i64,
    /// What all numerators are over.
    pub denominator: i128,
    /// What everyone has, the lowest score included.
    pub initial: i128,
    /// The categories of the features, in the model's order.
    pub categories: Vec<String>,
    /// The features that count, in order of the model file.
    pub features: Vec<SegmentFeature>,
    /// Friends' features that would count and are left out.
    pub friends: Vec<String>,
}

/// A feature of a segment's card, its points as numerators.
#[derive(Debug, Clone)]
pub struct SegmentFeature {
    /// Its name.
    pub name: String,
    /// Its category, by position.
    pub category: usize,
    /// Its reason code.
    pub reason: Option<String>,
    /// Where bins end; one fewer than there are bins.
    pub edges: Vec<f64>,
    /// What each bin gives.
    pub bins: Vec<i128>,
    /// What no opportunity gives.
    pub none: i128,
    /// What was not told gives.
    pub unknown: i128,
}

impl SegmentFeature {
    /// Whether it matters why a value is missing.
    #[must_use]
    pub const fn tells_none(&self) -> bool {
        self.none != self.unknown
    }

    /// Everything it can give.
    pub fn all(&self) -> impl Iterator<Item = i128> {
        self.bins.iter().copied().chain([self.none, self.unknown])
    }

    /// The least and the most that it can give.
    #[must_use]
    pub fn ends(&self) -> (i128, i128) {
        self.all().fold((self.none, self.none), |(least, most), one| (least.min(one), most.max(one)))
    }
}

impl SegmentCard {
    /// Takes a segment's card out of a model. Bins of money are in the currency given, or else in the model's own.
    ///
    /// # Errors
    /// All findings about the model; when it has no such segment, or no factor for the currency.
    pub fn of(model: &Model, segment: &str, currency: Option<&str>) -> Result<Self> {
        let currency = currency.unwrap_or(&model.card.money.currency);
        let card = scorecard(model, currency)?;
        let names: Vec<&str> = model.card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let Some(at) = names.iter().position(|name| *name == segment) else {
            let hint = did_you_mean(segment, names.iter().copied());
            bail!("--segment {segment}: {} has no such segment{hint}; there are {}", model.label(), names.join(", "));
        };
        let (counted, friends): (Vec<usize>, Vec<usize>) = (0..card.features.len())
            .filter(|f| card.importances[at][*f] != 0)
            .partition(|f| matches!(card.features[*f].origin, Origin::Plan(_)));
        let category = |f: usize| {
            let declared = model.catalogue.feature(&card.features[f].name);
            declared.map_or_else(String::new, |d| d.category.clone())
        };
        let categories: BTreeMap<usize, String> =
            counted.iter().map(|f| (card.features[*f].category, category(*f))).collect();
        let feature = |f: &usize| {
            let of = &card.features[*f];
            let gives = |bin: usize| card.contribution(at, *f, bin);
            SegmentFeature {
                name: of.name.clone(),
                category: categories.keys().take_while(|c| **c != of.category).count(),
                reason: of.reason.and_then(|r| card.reasons.get(r)).cloned(),
                edges: of.edges.clone(),
                bins: (0..of.none()).map(gives).collect(),
                none: gives(of.none()),
                unknown: gives(of.unknown()),
            }
        };
        // Where relationships weigh nothing, nothing is missed.
        let matters = |f: &&usize| {
            let unknown = card.features[**f].unknown();
            (0..unknown).any(|bin| card.contribution(at, **f, bin) != card.contribution(at, **f, unknown))
        };
        Ok(Self {
            model: model.label(),
            hash: model.hash(),
            segment: segment.to_owned(),
            currency: currency.to_owned(),
            low: card.low,
            denominator: card.denominator(at),
            initial: card.initial(at),
            features: counted.iter().map(feature).collect(),
            friends: friends.iter().filter(matters).map(|f| card.features[*f].name.clone()).collect(),
            categories: categories.into_values().collect(),
        })
    }

    /// What a reader must know of what is written, a line each: where it comes from, and what is not in it.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let Self { segment, model, hash, currency, .. } = self;
        let from = format!(
            "segment {segment} of the model {model} (blake3 {hash}), written by sesame {VERSION}; amounts are minor units of {currency}"
        );
        std::iter::once(from).chain(self.left_out()).chain([NOT_IN_IT.to_owned()]).collect()
    }

    /// Which features are left out, and what that means; nothing when none is.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let names = self.friends.join(", ");
        let text = || {
            format!("left out, because only a run knows the ties: {names}; everyone has what a neutral category gives")
        };
        (!self.friends.is_empty()).then(text)
    }
}

/// The scorecard of a model without a pipeline, in a currency.
///
/// # Errors
/// All findings about the model.
pub fn scorecard(model: &Model, currency: &str) -> Result<Scorecard> {
    let contract = Contract::load()?;
    let calendar = contract.calendar(ANY_DATE, &Zone::utc())?;
    let present: BTreeSet<String> = contract.tables.iter().map(|t| t.name.clone()).collect();
    let mut findings = Findings::default();
    findings.collect(model_check::check(model).map_err(Into::into))?;
    let plan = findings.collect(compile(&model.catalogue, &contract, &calendar, &present))?;
    let card = match &plan {
        Some(plan) => findings.collect(Scorecard::new(model, plan, currency))?,
        None => None,
    };
    findings.or(())?;
    card.context("the model makes no scorecard")
}
