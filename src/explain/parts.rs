//! What an explanation consists of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tables::evidence::Record;
use jiff::civil::Date;

/// A feature with what it gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureLine {
    /// Its name.
    pub feature: String,
    /// What it is.
    pub about: String,
    /// What its numbers are.
    pub unit: &'static str,
    /// Its value; nothing where there was nothing to judge or it was not told.
    pub value: Option<f64>,
    /// The value for people.
    pub shown: String,
    /// Its bin.
    pub bin: String,
    /// Its points; those of a category's features add up to the category's.
    pub points: i64,
    /// The points of the bin before rounding.
    pub exact: f64,
    /// The points of the best bin before rounding.
    pub best: f64,
    /// How many points less than the reasons' baseline it gives, before rounding; less than 0 when it gives more.
    pub short: f64,
    /// The next better bin.
    pub next: Option<NextBin>,
    /// Its reason code.
    pub reason: Option<String>,
}

/// What a better bin would give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextBin {
    /// The bin.
    pub bin: String,
    /// Points more than now, before the one rounding of the score.
    pub points: f64,
}

/// A category with its features.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CategoryLine {
    /// Its name.
    pub category: &'static str,
    /// What reports call it.
    pub title: String,
    /// Its weight in the subject's segment.
    pub weight: f64,
    /// Its points.
    pub points: i64,
    /// The most it can give.
    pub max: i64,
    /// Its features; none for relationships, of which only [`Relationships`] is told.
    pub features: Vec<FeatureLine>,
}

/// What may be said of friends: coarse, and of no single one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relationships {
    /// How many friends count, in steps.
    pub friends: String,
    /// What they move the score by, in points.
    pub lift_points: i64,
    /// How much of their mean is the population's, in tenths.
    pub anchor_tenths: i64,
}

/// A reason in the model's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonLine {
    /// The code.
    pub code: String,
    /// Whether it cost points only because nothing is on record.
    pub missing: bool,
    /// The text, by language.
    pub text: BTreeMap<String, String>,
    /// What the person can do, by language.
    pub advice: BTreeMap<String, String>,
}

/// A policy rule that lowered the score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// The rule.
    pub code: String,
    /// What it does.
    pub about: String,
    /// The score before.
    pub before: i64,
}

/// A subject with a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// The score.
    pub score: i64,
    /// Its band.
    pub band: String,
    /// What people call the band, by language.
    pub band_title: BTreeMap<String, String>,
    /// The next better band and how many points away it is.
    pub next_band: Option<(String, i64)>,
    /// One more than the number of subjects with a higher score.
    pub rank: u64,
    /// Of a hundred scored subjects, how many have a lower score.
    pub percentile: i64,
    /// The categories; their points and the lowest score add up to the score, or to what it was before an override.
    pub categories: Vec<CategoryLine>,
    /// What is said of friends; nothing when they are few.
    pub relationships: Option<Relationships>,
    /// The lowest score and all points.
    pub sum: i64,
    /// What lowered the score.
    pub policy: Option<Override>,
    /// What the score would be with disputed records.
    pub with_disputed: Option<i64>,
    /// The probability of going bad, of a calibrated model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pd: Option<Probability>,
}

/// How probable it is that a subject goes bad.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Probability {
    /// The probability.
    pub pd: f64,
    /// Within so many days.
    pub horizon_days: i64,
}

/// Why a subject has the score it has, or none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The run.
    pub run: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its as-of date.
    pub as_of: Date,
    /// Its knowledge cut-off.
    pub known_by: String,
    /// Its model.
    pub model: String,
    /// The currency of amounts.
    pub currency: String,
    /// The subject.
    pub subject: String,
    /// Its segment.
    pub segment: String,
    /// Its status.
    pub status: String,
    /// How sure the score is, 0 to 1.
    pub confidence: f64,
    /// The lowest score.
    pub low: i64,
    /// The highest score.
    pub high: i64,
    /// What features are short of, which is where reasons come from.
    pub baseline: &'static str,
    /// The score, unless the status has none.
    pub scored: Option<Scored>,
    /// The reasons, the costliest first.
    pub reasons: Vec<ReasonLine>,
    /// Records taken out because they are disputed.
    pub disputed_records: i64,
    /// The records that hurt, the latest first.
    pub records: Vec<Record>,
}
