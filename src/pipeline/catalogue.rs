//! The feature catalogue: what each feature is, as an analyst writes it.
//!
//! A feature is declared, never programmed: a source table, a condition, a value and an aggregate over a window.
//! `features::compile` turns the declarations into exact integer accumulators.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::finding::{Finding, Findings, Source};

/// The features of every file a model names, in order.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The features.
    pub features: Vec<Feature>,
    /// The files they came from, for hashing and for messages.
    pub sources: Vec<Source>,
}

/// A feature and the file it stands in.
#[derive(Debug, Clone)]
pub struct Feature {
    /// The category it counts for; `evidence` features are not scored.
    pub category: String,
    /// Which of the catalogue's files declares it.
    pub source: usize,
    /// The declaration.
    pub declared: Declaration,
    /// Where the declaration starts in its file.
    pub span: std::ops::Range<usize>,
}

/// A file of the catalogue.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueFile {
    /// The category all of its features count for, or `evidence`.
    category: String,
    /// The features.
    #[schemars(with = "Vec<Declaration>")]
    feature: Vec<Spanned<Declaration>>,
}

/// A feature as written in the catalogue.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Its name, in lower case with underscores.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// What its numbers are.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// The reason code it counts under; its text is in the model file. Evidence has none.
    pub reason: Option<String>,
    /// How rows become a number.
    pub aggregate: Aggregate,
    /// The table it reads.
    #[serde(rename = "source")]
    pub table: Option<String>,
    /// Which rows count: the opportunities.
    #[serde(rename = "where")]
    #[schemars(with = "Option<String>")]
    pub condition: Option<Spanned<String>>,
    /// The value of a row; for `share` the condition that makes a row count as good (or late).
    #[schemars(with = "Option<String>")]
    pub of: Option<Spanned<String>>,
    /// How far back: "12 months", "90 days", "26 weeks".
    #[schemars(with = "Option<String>")]
    pub window: Option<Spanned<String>>,
    /// After how many months a row weighs half: "6 months".
    #[schemars(with = "Option<String>")]
    pub half_life: Option<Spanned<String>>,
    /// What a rate is shrunk towards.
    pub prior: Option<f64>,
    /// How many rows the prior weighs.
    pub prior_strength: Option<f64>,
    /// What rows are grouped by first: "month", "week", or a column holding an id.
    #[schemars(with = "Option<String>")]
    pub per: Option<Spanned<String>>,
    /// Whether months or weeks without a row count as 0.
    #[serde(default)]
    pub empty_periods: bool,
    /// For `months_since_last` and `_first`: the value when there were rows but never the event.
    pub never: Option<i64>,
    /// For `overlap`: the condition that splits rows into two halves.
    #[schemars(with = "Option<String>")]
    pub split: Option<Spanned<String>>,
    /// For `ratio`: parts that are added up above the line.
    #[serde(default)]
    pub numerator: Vec<Part>,
    /// For `ratio`: parts that are added up below the line.
    #[serde(default)]
    pub denominator: Vec<Part>,
    /// For `ratio`: a factor, such as the months of a window; "rows" for the number of rows below the line, which
    /// makes the ratio one over their mean.
    pub scale: Option<Scale>,
    /// A condition on the subject; where it fails the feature is `none`.
    #[schemars(with = "Option<String>")]
    pub applies: Option<Spanned<String>>,
    /// Why this feature may compare merchant or category codes with literals; it is copied to the audit.
    pub names_codes: Option<String>,
    /// For aggregates of groups: with fewer groups than this the feature is `none`.
    pub at_least: Option<i64>,
}

/// One sum of a ratio.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The table it reads.
    #[serde(rename = "source")]
    pub table: String,
    /// Which rows count.
    #[serde(rename = "where")]
    #[schemars(with = "Option<String>")]
    pub condition: Option<Spanned<String>>,
    /// The value of a row.
    #[schemars(with = "String")]
    pub of: Spanned<String>,
    /// How far back.
    #[schemars(with = "Option<String>")]
    pub window: Option<Spanned<String>>,
}

/// The factor of a ratio.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scale {
    /// A number.
    Number(f64),
    /// The rows below the line.
    Rows(Rowwise),
}

/// The word for the rows below the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rowwise {
    /// Their number.
    Rows,
}

/// What a feature's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 0 to 1.
    Share,
    /// Days.
    Days,
    /// Months.
    Months,
    /// A number of things.
    Count,
    /// A quotient.
    Ratio,
    /// Minor units of the model's currency.
    Money,
    /// A step of a scale.
    Level,
    /// A weighted score without a unit.
    Index,
    /// Points of the score.
    Points,
}

impl Unit {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Days => "days",
            Self::Months => "months",
            Self::Count => "count",
            Self::Ratio => "ratio",
            Self::Money => "money",
            Self::Level => "level",
            Self::Index => "index",
            Self::Points => "points",
        }
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better: shares must not fall from bin to bin.
    HigherIsBetter,
    /// Less is better: shares must not rise from bin to bin.
    LowerIsBetter,
    /// Not scored, or neither.
    Neither,
}

/// How rows become a number. `S` stands for the sum, `n` for the number of rows or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The subject's own value, from `subjects`.
    Value,
    /// Number of rows.
    Count,
    /// Rows weighted by recency and source reliability.
    WeightedCount,
    /// Sum of `of`.
    Sum,
    /// Smallest `of`.
    Min,
    /// Largest `of`.
    Max,
    /// Mean of `of`.
    Mean,
    /// Mean of `of`, weighted by recency and source reliability.
    WeightedMean,
    /// Weighted share of rows for which `of` holds, shrunk towards `prior`.
    Share,
    /// Sums over sums, times `scale`.
    Ratio,
    /// Months since the latest row for which `of` holds.
    MonthsSinceLast,
    /// Months since the earliest row for which `of` holds.
    MonthsSinceFirst,
    /// Number of different values of `per`.
    Distinct,
    /// Number of months or weeks with a row.
    ActivePeriods,
    /// Number of groups whose sum of `of` is 0.
    ZeroGroups,
    /// Mean absolute deviation over the mean of the groups' sums: Σ|n·x − S| / (n·S).
    Variation,
    /// The largest group's sum over the mean: max(x)·n / S.
    Peak,
    /// Mean over the groups of the largest less the smallest `of`.
    Span,
    /// How much two halves of the rows have the same mix of groups: Σ min(a/A, b/B).
    Overlap,
    /// Of the ties that count: the friends' mean score, anchored at the population's.
    FriendsScore,
    /// Of the ties that count: their number in full-strength friends.
    EffectiveFriends,
    /// Of the ties whose interactions are told: the share with one.
    InteractionShare,
    /// Of the ties that count: the middle age in months.
    MedianTieAge,
    /// Of the friends: the share whose identity is verified, shrunk towards `prior`.
    FriendsVerified,
    /// Of the friends: the share in default, shrunk towards `prior`.
    FriendsInDefault,
}

impl Aggregate {
    /// Whether it is worked out over the relationship graph and not over a table's rows.
    #[must_use]
    pub const fn of_friends(self) -> bool {
        matches!(
            self,
            Self::FriendsScore
                | Self::EffectiveFriends
                | Self::InteractionShare
                | Self::MedianTieAge
                | Self::FriendsVerified
                | Self::FriendsInDefault
        )
    }
}

impl Catalogue {
    /// The features of some categories.
    #[must_use]
    pub fn only(&self, categories: &BTreeSet<String>) -> Self {
        let features = self.features.iter().filter(|f| categories.contains(&f.category)).cloned().collect();
        Self { features, sources: self.sources.clone() }
    }

    /// Reads catalogue files.
    ///
    /// # Errors
    /// Every mistake of form, and every name declared twice.
    pub fn load(paths: &[impl AsRef<Path>]) -> Result<Self, Findings> {
        let mut catalogue = Self::default();
        let mut findings = Findings::default();
        let mut names = BTreeSet::new();
        for path in paths {
            let path = path.as_ref();
            let source = match Source::read(path) {
                Ok(source) => source,
                Err(e) => {
                    findings.0.push(Finding { file: path.to_owned(), line: 0, message: e.to_string() });
                    continue;
                }
            };
            match source.parse::<CatalogueFile>() {
                Err(finding) => findings.0.push(finding),
                Ok(file) => {
                    for feature in file.feature {
                        let span = feature.span();
                        let declared = feature.into_inner();
                        if !names.insert(declared.name.clone()) {
                            findings.0.push(
                                source.finding(&span, format!("the feature `{}` is declared twice", declared.name)),
                            );
                        }
                        let source = catalogue.sources.len();
                        catalogue.features.push(Feature { category: file.category.clone(), source, declared, span });
                    }
                }
            }
            catalogue.sources.push(source);
        }
        findings.or(catalogue)
    }

    /// The feature of that name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|f| f.declared.name == name)
    }
}
