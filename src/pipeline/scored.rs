//! The scorecard of a model file: the scale, and what the bins of each feature are worth.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::amount::Amount;
use super::basis::Basis;
use crate::statistics::calibration::Nominal;

/// Share that a feature of full worth has: shares are counted in 1/1200.
pub const FULL_SHARE: i64 = 1200;

/// The range of the score.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Lowest score.
    pub low: i64,
    /// Highest score.
    pub high: i64,
    /// What bins are worth: shares of importances within weighted categories, or points.
    #[serde(default)]
    pub form: Form,
    /// In the form of shares: the share, in 1/1200, of what is not known.
    pub neutral_share: Option<i64>,
    /// In the form of points: those that everyone has.
    pub base: Option<Amount>,
    /// The odds a score nominally stands for; until they were calibrated on outcomes they are no probability.
    pub nominal: Option<Nominal>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// What the bins of a scorecard are worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Shares of a feature's importance, in categories with weights.
    #[default]
    Shares,
    /// Points that are added up, as other tools' scorecards have them.
    Points,
}

/// A feature's place in the scorecard.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoredFeature {
    /// The feature's name in the catalogue.
    pub name: String,
    /// Its weight within its category; none in the form of points.
    pub importance: Option<i64>,
    /// The segments in which it counts; all when not given.
    pub segments: Option<Vec<String>>,
    /// Worth where there was no opportunity; the neutral share when not given.
    pub none: Option<Amount>,
    /// Worth where it was not told; the neutral share when not given.
    pub unknown: Option<Amount>,
    /// In the form of points: why they may run against the direction that the catalogue declares.
    pub against_direction: Option<String>,
    /// The bins, in order.
    #[schemars(with = "Vec<Bin>")]
    pub bins: Vec<Spanned<Bin>>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// The values `[from, below)`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Lowest value; the first bin has none.
    pub from: Option<f64>,
    /// The first value above; the last bin has none.
    pub below: Option<f64>,
    /// Worth, in 1/1200 of the feature's importance.
    pub share: Option<i64>,
    /// Worth in points, in the form of points.
    pub points: Option<Amount>,
}

impl Bin {
    /// Its worth in the unit of a form: in 1/1200, or in parts of a point as [`Amount::parts`] counts them. A checked model has it.
    #[must_use]
    pub fn worth(&self, form: Form) -> Option<i64> {
        match form {
            Form::Shares => self.share,
            Form::Points => self.points.as_ref().and_then(Amount::parts),
        }
    }
}

impl ScoredFeature {
    /// Its weight within its category; 1 in the form of points, which has none.
    #[must_use]
    pub fn importance(&self) -> i64 {
        self.importance.unwrap_or(1)
    }
}

impl Scale {
    /// The worth of what is not told; nothing in the form of points, where each feature says so.
    #[must_use]
    pub fn neutral(&self) -> Option<i64> {
        match self.form {
            Form::Shares => self.neutral_share,
            Form::Points => None,
        }
    }

    /// A worth beside the bins in the unit of the form, or that of what is not told.
    #[must_use]
    pub fn worth(&self, given: Option<&Amount>) -> Option<i64> {
        match (given, self.form) {
            (None, _) => self.neutral(),
            (Some(amount), Form::Shares) => amount.share(),
            (Some(amount), Form::Points) => amount.parts(),
        }
    }
}
