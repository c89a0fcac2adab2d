//! The model's section about friends: how their scores are propagated.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use toml::Spanned;

use super::basis::Basis;

/// How friends' scores are propagated; see `graph::propagate` for the formula.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Propagation {
    /// Whether the relationship category is on.
    pub enabled: bool,
    /// Where the category's weight goes when it is off: percent for each of the other categories.
    pub when_off: BTreeMap<String, i64>,
    /// Days a tie must be old.
    pub min_tie_age_days: u32,
    /// The most ties that count per subject, strongest first.
    pub max_ties: usize,
    /// Counted ties below which the whole category is neutral.
    pub min_friends: u32,
    /// Where the steps begin in which a number of friends is told.
    pub friend_steps: Vec<u32>,
    /// Interactions of ninety days at which a tie has full strength.
    pub full_interactions: u8,
    /// Confidence below which a subject neither lends nor gets.
    pub confidence_floor: f64,
    /// The number of full-weight friends one sender has to give.
    pub sender_budget: u32,
    /// κ: the full-strength friends that the population mean stands for.
    pub anchor: f64,
    /// λ: the most that friends move a subject's own share.
    pub influence: f64,
    /// The largest error of a share after the last round; the number of rounds follows from it.
    pub precision: f64,
    /// Whose identity is verified: SQL over the subject and its features.
    #[schemars(with = "String")]
    pub verified: Spanned<String>,
    /// Who is in default: SQL over the subject and its features.
    #[schemars(with = "String")]
    pub in_default: Spanned<String>,
    /// The trust gate.
    pub trust: Trust,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// The trust gate; see `graph::trust`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Whether it is on.
    pub enabled: bool,
    /// Trust, relative to that of a mixed walk, at which a sender has no weight.
    pub low: f64,
    /// How much above it the sender has full weight.
    pub span: f64,
    /// Where the numbers come from.
    pub basis: Basis,
}
