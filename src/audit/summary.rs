//! `audit.json`: what went in, what became of it, and what came out.

use serde_json::{Value, json};

use super::quality::{Judged, Segments};
use super::scale::ScoreScale;
use super::{Facts, coverage, drift, fairness, features, inputs, propagation, provenance, scores, text};
use crate::ingest::outcomes::Outcome;
use crate::score::rows::NONE;

/// Version of the audit's shape; it grows when a key changes its meaning.
pub const SCHEMA: u32 = 2;

/// The audit for programs and its summary for people.
pub struct Summary {
    /// `audit.json`.
    pub json: Value,
    /// A few lines.
    pub text: String,
}

/// Sums up a run.
#[must_use]
pub fn summary(facts: &Facts) -> Summary {
    let scale = facts.scale();
    let json = json!({
        "schema": SCHEMA,
        "inputs": facts.inputs,
        "conservation": inputs::conservation(facts),
        "newest": inputs::newest(facts),
        "quarantine": inputs::quarantine(facts),
        "coverage": coverage::coverage(facts),
        "scores": scores::scores(facts, &scale),
        "features": features::features(facts),
        "drift": drift::drift(facts, &scale),
        "propagation": propagation::propagation(facts),
        "policy": coverage::policy(facts),
        "disputes": coverage::disputes(facts),
        "consents": coverage::consents(facts),
        "privileges": coverage::privileges(facts, &scale),
        "gates": facts.verdicts,
        "quality": quality(facts, &scale),
        "fairness": fairness::fairness(facts, &scale),
        "privacy": { "min_cell": facts.least() },
        "marks": facts.job.pipeline.settings.report,
        "provenance": provenance::provenance(facts),
        "timings": provenance::timings(facts),
    });
    let text = text::text(facts, &json);
    Summary { json, text }
}

/// Quality by horizon; the horizon with most outcomes, of several the longest, stands at the top.
fn quality(facts: &Facts, scale: &ScoreScale) -> Value {
    let (rows, card) = (&facts.population.rows, &facts.job.card);
    let width = card.features.len();
    let judged = |outcomes: &[Outcome]| {
        let mut judged = Judged::default();
        for outcome in outcomes {
            let s = outcome.subject as usize;
            if rows.score[s] != NONE {
                let segment = rows.segment[s];
                let points = card.points(usize::from(segment), &rows.bins[s * width..(s + 1) * width]).categories;
                judged.push(i64::from(rows.score[s]), segment, points, outcome.bad);
            }
        }
        judged
    };
    let horizons = facts.data.outcomes.chunk_by(|a, b| a.horizon_days == b.horizon_days);
    let mut horizons: Vec<(i64, Judged)> = horizons.map(|group| (group[0].horizon_days, judged(group))).collect();
    horizons.sort_by_key(|(days, judged)| (std::cmp::Reverse(judged.len()), std::cmp::Reverse(*days)));
    let model = &facts.job.model.card;
    let subjects = rows.segment.iter().copied().zip(rows.score.iter().map(|s| *s != NONE));
    let who = Segments::of(model.segment.len(), subjects);
    let mut all = horizons.iter().filter_map(|(days, j)| j.quality(*days, model, scale, &who, facts.least()));
    let Some(main) = all.next() else { return Value::Null };
    let mut value = json!(main);
    if let Some(object) = value.as_object_mut() {
        object.insert("other_horizons".into(), json!(all.collect::<Vec<_>>()));
    }
    value
}
