//! How scores, categories and reasons are distributed.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::facts::hundredths;
use super::scale::{BandRow, Cell, ScoreScale};
use crate::disclosure::neighbours::{merged, sum};
use crate::disclosure::small;
use crate::pipeline::calibrated::Calibrated;
use crate::pipeline::model::{CATEGORIES, Reason};
use crate::statistics::calibration::Nominal;
use crate::statistics::proportion::rounded;

/// About so many cells are in a category's histogram.
const CELLS: usize = 30;

/// How scores are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// The lowest score of the scale.
    pub low: i64,
    /// The highest.
    pub high: i64,
    /// The mean.
    pub mean: Option<f64>,
    /// Quantiles by name; null where few are on either side.
    pub quantiles: BTreeMap<String, Option<i64>>,
    /// Subjects by band.
    pub bands: Vec<BandRow>,
    /// Subjects by points.
    pub histogram: Vec<Cell>,
    /// By category.
    pub categories: Vec<CategoryPoints>,
    /// By reason, the commonest first.
    pub reasons: Vec<ReasonCount>,
    /// What a score is nominally worth, if the model says.
    pub nominal: Option<Nominal>,
    /// Whether a probability may be read off a score.
    pub pd_calibrated: bool,
    /// What the probability was calibrated on, and what rows say that were not fitted to; nothing when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibrated>,
}

/// How the points of a category are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CategoryPoints {
    /// The category.
    pub category: String,
    /// What the model calls it.
    pub title: Option<String>,
    /// The mean of its points.
    pub mean: Option<f64>,
    /// What it weighs in each segment.
    pub weights: Vec<SegmentWeight>,
    /// Subjects by points.
    pub histogram: Vec<Cell>,
}

/// What a category weighs in a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentWeight {
    /// The segment.
    pub segment: String,
    /// The weight, 0 to 1.
    pub weight: f64,
}

/// How many are given a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReasonCount {
    /// The code.
    pub code: String,
    /// What it says, by language.
    pub text: BTreeMap<String, String>,
    /// Scored subjects.
    pub subjects: Option<u64>,
    /// Their share of all that are scored.
    pub share: Option<f64>,
}

/// Bands, histogram, quantiles, categories and reasons.
pub(super) fn scores(facts: &Facts, scale: &ScoreScale) -> Scores {
    let card = &facts.job.model.card;
    let mut all: Vec<i64> = facts.scored().map(|(_, s)| s).collect();
    all.sort_unstable();
    let mean = all.iter().sum::<i64>() as f64 / all.len().max(1) as f64;
    Scores {
        low: card.scale.low,
        high: card.scale.high,
        mean: facts.of_many(all.len() as u64, hundredths(mean)),
        quantiles: facts.quantiles(&all),
        bands: scale.bands(),
        histogram: scale.histogram(),
        categories: categories(facts),
        reasons: reasons(facts),
        nominal: card.scale.nominal,
        pd_calibrated: card.calibration.is_some(),
        calibration: card.calibration.as_ref().map(|c| c.get_ref().clone()),
    }
}

fn categories(facts: &Facts) -> Vec<CategoryPoints> {
    let card = &facts.job.model.card;
    let of = |(n, name): (usize, &&str)| {
        let by_points = &facts.told.categories[n];
        let width = by_points.len().div_ceil(CELLS).max(1);
        let cells: Vec<[u64; 1]> = by_points.chunks(width).map(|c| [c.iter().sum()]).collect();
        let scored: u64 = by_points.iter().sum();
        let points: u64 = (0_u64..).zip(by_points).map(|(points, subjects)| points * subjects).sum();
        let title = card.category.iter().find(|c| c.get_ref().name == *name).map(|c| c.get_ref().title.clone());
        let ends: Vec<i64> = (0..).step_by(width).take(cells.len() + 1).collect();
        let cell = |(run, subjects): (&Range<usize>, Option<u64>)| Cell {
            from: ends[run.start],
            below: ends[run.end],
            subjects,
        };
        let runs = merged(&cells, facts.min_cell());
        // One run hides how few have no score.
        let count = |run: &Range<usize>| sum(&cells, run.clone())[0];
        let shown = facts.of_scored(&runs.iter().map(count).collect::<Vec<_>>(), &[]);
        let weight = |(s, w): (&toml::Spanned<crate::pipeline::model::Segment>, &[i64; 5])| SegmentWeight {
            segment: s.get_ref().name.clone(),
            weight: w[n] as f64 / 10_000.0,
        };
        CategoryPoints {
            category: (*name).to_owned(),
            title,
            mean: facts.of_many(scored, hundredths(points as f64 / scored.max(1) as f64)),
            weights: card.segment.iter().zip(&facts.job.card.weights).map(weight).collect(),
            histogram: runs.iter().zip(shown).map(cell).collect(),
        }
    };
    CATEGORIES.iter().enumerate().map(of).collect()
}

/// How many scored subjects are given each reason, the commonest first.
fn reasons(facts: &Facts) -> Vec<ReasonCount> {
    let scored = facts.population.scored;
    let of_model = facts.job.model.card.reason.iter().map(toml::Spanned::get_ref);
    let mut reasons: Vec<(u64, &Reason)> =
        facts.told.reasons.iter().copied().zip(of_model).filter(|(count, _)| *count > 0).collect();
    reasons.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.code.cmp(&b.1.code)));
    // The order of those that are not shown must not tell either.
    let hidden = |count: u64| small(count, facts.min_cell());
    let (shown, mut few): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|(count, _)| !hidden(*count));
    few.sort_by(|a, b| a.1.code.cmp(&b.1.code));
    let row = |(count, reason): (u64, &Reason)| {
        let subjects = facts.part_of_scored(count);
        let share = subjects.filter(|_| facts.scored_shown()).map(|s| rounded(s as f64 / scored.max(1) as f64, 4));
        ReasonCount { code: reason.code.clone(), text: reason.text.clone(), subjects, share }
    };
    shown.into_iter().chain(few).map(row).collect()
}
