//! How scores, categories and reasons are distributed.

use std::ops::Range;

use serde_json::{Value, json};

use super::Facts;
use super::facts::hundredths;
use super::scale::ScoreScale;
use crate::disclosure::neighbours::{merged, sum};
use crate::disclosure::small;
use crate::pipeline::model::CATEGORIES;
use crate::statistics::proportion::rounded;

/// About so many cells are in a category's histogram.
const CELLS: usize = 30;

/// Bands, histogram, quantiles, categories and reasons.
pub fn scores(facts: &Facts, scale: &ScoreScale) -> Value {
    let card = &facts.job.model.card;
    let mut all: Vec<i64> = facts.scored().map(|(_, s)| s).collect();
    all.sort_unstable();
    let mean = all.iter().sum::<i64>() as f64 / all.len().max(1) as f64;
    json!({
        "low": card.scale.low,
        "high": card.scale.high,
        "mean": facts.of_many(all.len() as u64, json!(hundredths(mean))),
        "quantiles": facts.quantiles(&all),
        "bands": scale.bands(),
        "histogram": scale.histogram(),
        "categories": categories(facts),
        "reasons": reasons(facts),
        "nominal": card.scale.nominal,
        "pd_calibrated": false,
    })
}

fn categories(facts: &Facts) -> Value {
    let card = &facts.job.model.card;
    let categories = CATEGORIES.iter().enumerate().map(|(n, name)| {
        let by_points = &facts.told.categories[n];
        let width = by_points.len().div_ceil(CELLS).max(1);
        let cells: Vec<[u64; 1]> = by_points.chunks(width).map(|c| [c.iter().sum()]).collect();
        let scored: u64 = by_points.iter().sum();
        let points: u64 = (0_u64..).zip(by_points).map(|(points, subjects)| points * subjects).sum();
        let title = card.category.iter().find(|c| c.get_ref().name == *name).map(|c| c.get_ref().title.as_str());
        let cell = |run: &Range<usize>, subjects: Option<u64>| {
            json!({ "from": run.start * width, "below": run.end * width, "subjects": subjects })
        };
        let runs = merged(&cells, facts.least());
        // One run hides how few have no score.
        let count = |run: &Range<usize>| sum(&cells, run.clone())[0];
        let shown = facts.of_scored(&runs.iter().map(count).collect::<Vec<_>>(), &[]);
        let histogram: Vec<Value> = runs.iter().zip(shown).map(|(run, subjects)| cell(run, subjects)).collect();
        let weights: Vec<Value> = card
            .segment
            .iter()
            .zip(&facts.job.card.weights)
            .map(|(s, w)| json!({ "segment": s.get_ref().name, "weight": w[n] as f64 / 10_000.0 }))
            .collect();
        json!({
            "category": name,
            "title": title,
            "mean": facts.of_many(scored, json!(hundredths(points as f64 / scored.max(1) as f64))),
            "weights": weights,
            "histogram": histogram,
        })
    });
    Value::Array(categories.collect())
}

/// How many scored subjects are given each reason, the commonest first.
fn reasons(facts: &Facts) -> Value {
    let scored = facts.population.scored;
    let mut reasons: Vec<(u64, &crate::pipeline::model::Reason)> = facts
        .told
        .reasons
        .iter()
        .copied()
        .zip(facts.job.model.card.reason.iter().map(toml::Spanned::get_ref))
        .filter(|(count, _)| *count > 0)
        .collect();
    reasons.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.code.cmp(&b.1.code)));
    // The order of those that are not shown must not tell either.
    let hidden = |count: u64| small(count, facts.least());
    let (shown, mut few): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|(count, _)| !hidden(*count));
    few.sort_by(|a, b| a.1.code.cmp(&b.1.code));
    let row = |(count, reason): (u64, &crate::pipeline::model::Reason)| {
        let subjects = facts.part_of_scored(count);
        let share = subjects.filter(|_| facts.scored_shown()).map(|s| rounded(s as f64 / scored.max(1) as f64, 4));
        json!({ "code": reason.code, "text": reason.text, "subjects": subjects, "share": share })
    };
    Value::Array(shown.into_iter().chain(few).map(row).collect())
}
