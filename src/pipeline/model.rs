//! The model file: every weight, bin, threshold and reason text of a score.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::basis::Basis;
use super::calibrated::Calibrated;
use super::catalogue::Catalogue;
use super::finding::{Finding, Findings, Source};
use super::fitted::FittedFrom;
use super::propagation::Propagation;
pub use super::scored::{Bin, FULL_SHARE, Form, Scale, ScoredFeature};
use crate::storage::hashes::{Hash, part};

/// The most ties per subject that a model may count; sums over them stay within 64 bits.
pub const MOST_TIES: usize = 1_000_000;

/// The status of a subject who does not consent to be scored; no rule of a model can score one.
pub const NO_CONSENT: &str = "no_consent";

/// The five categories, in the order of every table and report.
pub const CATEGORIES: [&str; 5] =
    ["credit_history", "fulfilment_capacity", "behaviour_preference", "personal_characteristics", "relationships"];

/// The position of the relationship category among them.
pub const RELATIONSHIPS: usize = 4;

/// A model with the catalogue it scores.
#[derive(Debug, Clone)]
pub struct Model {
    /// The file, for hashing and messages.
    pub source: Source,
    /// What the file says.
    pub card: Card,
    /// The features.
    pub catalogue: Catalogue,
}

/// The keys of a model file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The model's name.
    pub name: String,
    /// Its version; name and version are part of the published path.
    pub version: String,
    /// One line about it.
    pub about: String,
    /// The catalogue files, relative to the model file.
    pub catalogue: Vec<PathBuf>,
    /// The range of the score.
    pub scale: Scale,
    /// What money bins mean in other currencies.
    pub money: Money,
    /// The categories, with what makes a subject's evidence.
    #[schemars(with = "Vec<Category>")]
    pub category: Vec<Spanned<Category>>,
    /// Whose score is weighted how; the first whose rule holds.
    #[schemars(with = "Vec<Segment>")]
    pub segment: Vec<Spanned<Segment>>,
    /// Names for ranges of the score.
    #[schemars(with = "Vec<Band>")]
    pub band: Vec<Spanned<Band>>,
    /// What a score opens.
    #[serde(default)]
    #[schemars(with = "Vec<Privilege>")]
    pub privilege: Vec<Spanned<Privilege>>,
    /// Who is scored; the first whose rule holds.
    #[schemars(with = "Vec<Status>")]
    pub status: Vec<Spanned<Status>>,
    /// What moves a score after the points.
    #[serde(default)]
    #[schemars(with = "Vec<Policy>")]
    pub policy: Vec<Spanned<Policy>>,
    /// How reasons are chosen.
    pub reasons: Reasons,
    /// The texts of the reason codes.
    #[schemars(with = "Vec<Reason>")]
    pub reason: Vec<Spanned<Reason>>,
    /// What `explain --format notice` writes.
    #[schemars(with = "Option<Notice>")]
    pub notice: Option<Spanned<Notice>>,
    /// How friends' scores are propagated.
    pub propagation: Propagation,
    /// What the parts with `basis = "fitted"` were fitted to.
    #[schemars(with = "Option<FittedFrom>")]
    pub fitted: Option<Spanned<FittedFrom>>,
    /// The probability of going bad that a finished score stands for; without it a score only ranks.
    #[schemars(with = "Option<Calibrated>")]
    pub calibration: Option<Spanned<Calibrated>>,
    /// The scorecard.
    #[schemars(with = "Vec<ScoredFeature>")]
    pub feature: Vec<Spanned<ScoredFeature>>,
}

/// What money bins mean in other currencies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The currency whose minor units money bins are written in.
    pub currency: String,
    /// Minor units of another currency that stand for one minor unit of that one.
    pub per_unit: BTreeMap<String, f64>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// A category and its evidence.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name, one of the five.
    pub name: String,
    /// What reports call it.
    pub title: String,
    /// The evidence mass n: SQL over the features.
    #[schemars(with = "Option<String>")]
    pub evidence: Option<Spanned<String>>,
    /// k in the confidence n / (n + k).
    pub evidence_strength: Option<f64>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// Whose score is weighted how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// The condition: SQL over `kind` and the features; without one everyone else is in it.
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// Percent per category; none in the form of points.
    #[serde(default)]
    pub weights: BTreeMap<String, i64>,
    /// Where the weights come from.
    pub basis: Basis,
}

/// A named range of the score, up to the next band.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// What it is called in a notice, by language; its name when not given.
    #[serde(default)]
    pub title: BTreeMap<String, String>,
    /// Its lowest score.
    pub from: i64,
    /// Where the number comes from.
    pub basis: Basis,
}

/// What a score opens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privilege {
    /// Its name.
    pub name: String,
    /// The lowest score that has it.
    pub from: i64,
    /// Where the number comes from.
    pub basis: Basis,
}

/// Who is scored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The condition; without one everyone else has it.
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// Whether it has a score.
    #[serde(default)]
    pub scored: bool,
    /// The reason code given instead of features' reasons, for a status without a score.
    pub reason: Option<String>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// A rule over records that caps a score.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its code, recorded beside the score.
    pub code: String,
    /// What it does, for people.
    pub about: String,
    /// The table whose records trigger it.
    #[serde(rename = "source")]
    pub table: String,
    /// Which records do.
    #[serde(rename = "where")]
    #[schemars(with = "String")]
    pub condition: Spanned<String>,
    /// The highest score left.
    pub cap: i64,
    /// The reason code that then comes first.
    pub reason: String,
    /// Where the number comes from.
    pub basis: Basis,
}

/// How reasons are chosen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasons {
    /// What a feature's share is compared with.
    pub baseline: Baseline,
    /// For `near_cutoff`: subjects within `cutoff_within` points of this score.
    pub cutoff: Option<i64>,
    /// For `near_cutoff`: how near.
    pub cutoff_within: Option<i64>,
    /// Where the numbers come from.
    pub basis: Basis,
}

/// What a feature's share is compared with to find what cost points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The mean over the segment's scored subjects.
    PopulationMean,
    /// The mean over the segment's scored subjects near the cut-off.
    NearCutoff,
    /// The feature's best bin.
    Max,
    /// The neutral share.
    Neutral,
}

/// The notice that tells a person of the score, by language. `{subject}`, `{as_of}`, `{score}`, `{low}`, `{high}`, `{band}`,
/// `{reasons}` and `{disputed_records}` stand for what they say.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// For a subject with a score.
    pub scored: BTreeMap<String, String>,
    /// For one without.
    pub unscored: BTreeMap<String, String>,
}

impl Notice {
    /// What can stand in braces.
    pub const PLACES: [&'static str; 8] =
        ["subject", "as_of", "score", "low", "high", "band", "reasons", "disputed_records"];
}

/// The text of a reason code.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The text, by language.
    pub text: BTreeMap<String, String>,
    /// The text, by language, when nothing is on record that could have earned the points; `text` when not given.
    #[serde(default)]
    pub missing: BTreeMap<String, String>,
    /// What the person can do, by language.
    #[serde(default)]
    pub advice: BTreeMap<String, String>,
}

impl Model {
    /// Reads a model file and its catalogue. The model is not yet checked; see `model_check`.
    ///
    /// # Errors
    /// Findings, when a file cannot be read or has mistakes of form, with file and line.
    pub fn load(path: &Path) -> Result<Self, Findings> {
        let unreadable = |e: anyhow::Error| {
            Findings(vec![Finding { file: path.to_owned(), line: 0, message: format!("the model: {e:#}") }])
        };
        Self::of(Source::read(path).map_err(unreadable)?)
    }

    /// The model of a file's text, with its catalogue.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of(source: Source) -> Result<Self, Findings> {
        let card: Card = source.parse().map_err(|finding| Findings(vec![finding]))?;
        let folder = source.path.parent().unwrap_or_else(|| Path::new("."));
        let files: Vec<PathBuf> = card.catalogue.iter().map(|f| folder.join(f)).collect();
        let catalogue = Catalogue::load(&files)?;
        Ok(Self { source, card, catalogue })
    }

    /// The hash of what the model and its catalogue mean, wherever their files are and however they are laid out.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for source in std::iter::once(&self.source).chain(&self.catalogue.sources) {
            part(&mut hasher, source.meaning(&["catalogue"]).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The name in the published path: `name-version`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-{}", self.card.name, self.card.version)
    }
}

impl Card {
    /// The band of a score.
    #[must_use]
    pub fn band(&self, score: i64) -> &str {
        self.band.iter().rev().map(Spanned::get_ref).find(|b| score >= b.from).map_or("", |b| b.name.as_str())
    }

    /// Points between the lowest and the highest score.
    #[must_use]
    pub const fn range(&self) -> i64 {
        self.scale.high - self.scale.low
    }
}
