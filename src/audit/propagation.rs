//! What propagation did: its rounds against their bounds, and what friends moved.

use serde_json::{Value, json};

use super::summary::{Facts, cell, of_many, scored};
use crate::graph::parameters::SHARE_ONE;

/// The section of the audit; null when propagation did not run.
pub fn propagation(facts: &Facts) -> Value {
    let Some(friends) = facts.friends else { return Value::Null };
    let (p, settings, card) = (&friends.propagated, &facts.job.model.card.propagation, &facts.job.card);
    let share = |units: f64| units / SHARE_ONE as f64;
    let rounds: Vec<Value> = p
        .residuals
        .iter()
        .zip(&p.bounds)
        .enumerate()
        .map(|(n, (residual, bound))| {
            json!({ "round": n + 1, "residual": share(f64::from(*residual)), "bound": share(*bound) })
        })
        .collect();
    let (rows, width) = (&facts.population.rows, card.features.len());
    let told = scored(facts.population).map(|(s, _)| s).filter(|s| friends.enough(*s));
    let mut lifts: Vec<i64> =
        told.map(|s| card.lift(usize::from(rows.segment[s]), &rows.bins[s * width..(s + 1) * width])).collect();
    lifts.sort_unstable();
    let quantile = |q: usize| lifts.get(lifts.len().saturating_sub(1) * q / 100);
    let quantiles = json!({ "p01": quantile(1), "p05": quantile(5), "p25": quantile(25), "p50": quantile(50), "p75": quantile(75), "p95": quantile(95), "p99": quantile(99) });
    let mut histogram: Vec<Value> = Vec::new();
    for group in lifts.chunk_by(|a, b| a == b) {
        histogram.push(json!({ "points": group[0], "subjects": cell(facts, group.len() as u64) }));
    }
    let mean = lifts.iter().sum::<i64>() as f64 / lifts.len().max(1) as f64;
    let neutral = facts.population.scored - lifts.len() as u64;
    json!({
        "counted_subjects": friends.counted,
        "links": friends.links,
        "beyond_max_ties": friends.beyond,
        "mean_links": friends.links as f64 / friends.counted.max(1) as f64,
        "population_mean": share(f64::from(p.mean)),
        "population_mean_points": card.low as f64 + card.range as f64 * share(f64::from(p.mean)),
        "rounds": rounds,
        "converged": p.converged(),
        "contraction_bound": p.contraction,
        "contraction_observed": observed(&p.residuals),
        "error_bound": settings.precision,
        "trust_gate": settings.trust.enabled,
        "neutral": cell(facts, neutral),
        "neutral_share": of_many(facts, lifts.len(), json!(neutral as f64 / facts.population.scored.max(1) as f64)),
        "lift": {
            "subjects": cell(facts, lifts.len() as u64),
            "mean": of_many(facts, lifts.len(), json!(mean)),
            "quantiles": of_many(facts, lifts.len(), quantiles),
            "histogram": histogram,
        },
    })
}

/// The mean factor from one residual to the next while they are well above the rounding.
fn observed(residuals: &[u32]) -> Option<f64> {
    let last = residuals.iter().rposition(|r| *r > 20)?;
    let (first, end) = (f64::from(*residuals.first()?), f64::from(residuals[last]));
    (last > 0).then(|| (end / first).powf(1.0 / last as f64))
}
