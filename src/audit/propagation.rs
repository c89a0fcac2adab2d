//! What propagation did: its rounds against their bounds, and what friends moved.

use serde_json::{Value, json};

use super::Facts;
use super::facts::hundredths;
use crate::disclosure::DECIMALS;
use crate::disclosure::neighbours::{merged, sum};
use crate::graph::parameters::SHARE_ONE;
use crate::statistics::proportion::rounded;

/// The section of the audit; null when propagation did not run.
pub fn propagation(facts: &Facts) -> Value {
    let Some(friends) = facts.friends else { return Value::Null };
    let (p, settings, card) = (&friends.propagated, &facts.job.model.card.propagation, &facts.job.card);
    let share = |units: f64| units / SHARE_ONE as f64;
    // A residual is one subject's move.
    let coarse = |units: f64| step_up(share(units));
    let rounds: Vec<Value> = p
        .residuals
        .iter()
        .zip(&p.bounds)
        .enumerate()
        .map(|(n, (residual, bound))| {
            json!({ "round": n + 1, "residual": coarse(f64::from(*residual)), "bound": coarse(*bound) })
        })
        .collect();
    let (rows, width) = (&facts.population.rows, card.features.len());
    let told = facts.scored().map(|(s, _)| s).filter(|s| friends.enough(*s));
    let mut lifts: Vec<i64> =
        told.map(|s| card.lift(usize::from(rows.segment[s]), &rows.bins[s * width..(s + 1) * width])).collect();
    lifts.sort_unstable();
    let told = lifts.len() as u64;
    let cells: Vec<&[i64]> = lifts.chunk_by(|a, b| a == b).collect();
    let counts: Vec<[u64; 1]> = cells.iter().map(|c| [c.len() as u64]).collect();
    let both = facts.of_scored(&[facts.population.scored - told, told], &[]);
    let (neutral, shown) = (both[0], both[1].is_some() && told >= facts.least().max(1));
    let histogram: Vec<Value> = merged(&counts, facts.least())
        .into_iter()
        .filter(|run| shown && !run.is_empty())
        .map(
            |run| json!({ "from": cells[run.start][0], "to": cells[run.end - 1][0], "subjects": sum(&counts, run)[0] }),
        )
        .collect();
    let mean = lifts.iter().sum::<i64>() as f64 / lifts.len().max(1) as f64;
    // Who is scored and not counted has too little confidence; they may be few as well.
    let counted = facts.part_of_all(friends.counted).and(facts.part_of_scored(friends.counted));
    json!({
        "counted_subjects": counted,
        "links": friends.links,
        "beyond_max_ties": friends.beyond,
        "mean_links": counted.map(|c| hundredths(friends.links as f64 / c.max(1) as f64)),
        "population_mean": rounded(share(f64::from(p.mean)), DECIMALS),
        "population_mean_points": hundredths(card.low as f64 + card.range as f64 * share(f64::from(p.mean))),
        "rounds": rounds,
        "converged": p.converged(),
        // The bound is that of the subject with least confidence.
        "contraction_bound": (p.contraction * 100.0).ceil() / 100.0,
        "contraction_observed": observed(&p.residuals).map(hundredths),
        "error_bound": settings.precision,
        "trust_gate": settings.trust.enabled,
        "neutral": neutral,
        "neutral_share": neutral
            .filter(|_| facts.scored_shown())
            .map(|n| rounded(n as f64 / facts.population.scored.max(1) as f64, DECIMALS)),
        "lift": {
            "subjects": shown.then_some(told),
            "mean": if shown { facts.of_many(told, json!(hundredths(mean))) } else { Value::Null },
            "quantiles": facts.quantiles(&lifts),
            "histogram": histogram,
        },
    })
}

/// The next of the steps 1, 2, 5, 10, … of any size.
fn step_up(figure: f64) -> f64 {
    if figure <= 0.0 {
        return 0.0;
    }
    #[allow(clippy::cast_possible_truncation, reason = "the exponent of a double")]
    let exponent = figure.log10().floor() as i32;
    // A power below 1 is divided by, so that the step is the double that is written so.
    let of = |digit: f64| if exponent < 0 { digit / 10_f64.powi(-exponent) } else { digit * 10_f64.powi(exponent) };
    [1.0, 2.0, 5.0, 10.0].into_iter().map(of).find(|step| *step >= figure).unwrap_or(figure)
}

/// The mean factor from one residual to the next while they are well above the rounding.
fn observed(residuals: &[u32]) -> Option<f64> {
    let last = residuals.iter().rposition(|r| *r > 20)?;
    let (first, end) = (f64::from(*residuals.first()?), f64::from(residuals[last]));
    (last > 0).then(|| (end / first).powf(1.0 / last as f64))
}

#[cfg(test)]
mod tests {
    use super::step_up;

    #[test]
    fn figures_are_shown_as_the_next_step() {
        let steps = [
            (0.0, 0.0),
            (0.071_087, 0.1),
            (0.05, 0.05),
            (0.000_013, 0.000_02),
            (1e-6, 1e-6),
            (3.0, 5.0),
            (51.0, 100.0),
        ];
        for (figure, step) in steps {
            assert_eq!(step_up(figure), step);
        }
    }
}
