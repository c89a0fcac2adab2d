//! What propagation did: its rounds against their bounds, and what friends moved.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::facts::hundredths;
use crate::disclosure::DECIMALS;
use crate::disclosure::neighbours::{merged, sum};
use crate::graph::parameters::SHARE_ONE;
use crate::score::worths::Worths;
use crate::statistics::proportion::rounded;

/// What propagation did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Propagation {
    /// Subjects who lend their score and get their friends'.
    pub counted_subjects: Option<u64>,
    /// Directed links between them.
    pub links: u64,
    /// Directed links left out because a subject has more than the model counts.
    pub beyond_max_ties: u64,
    /// Links of a subject on average.
    pub mean_links: Option<f64>,
    /// The mean of all counted subjects' shares, which the anchor is.
    pub population_mean: f64,
    /// The same in points.
    pub population_mean_points: f64,
    /// Round by round.
    pub rounds: Vec<Round>,
    /// Whether every round stayed within its bound.
    pub converged: bool,
    /// The largest factor from one residual to the next that the parameters allow.
    pub contraction_bound: f64,
    /// The mean factor that was observed; null when too little moved.
    pub contraction_observed: Option<f64>,
    /// How far the result may be from the limit.
    pub error_bound: f64,
    /// Whether untrusted subjects lend less.
    pub trust_gate: bool,
    /// Scored subjects with too few friends.
    pub neutral: Option<u64>,
    /// Their share of all that are scored.
    pub neutral_share: Option<f64>,
    /// What friends moved the scores of the others by.
    pub lift: Lift,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Its number, from 1.
    pub round: usize,
    /// The largest change of a share.
    pub residual: f64,
    /// The most that the change may be.
    pub bound: f64,
}

/// What friends moved scores by, in points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lift {
    /// Subjects with enough friends.
    pub subjects: Option<u64>,
    /// The mean.
    pub mean: Option<f64>,
    /// Quantiles by name.
    pub quantiles: BTreeMap<String, Option<i64>>,
    /// Subjects by points.
    pub histogram: Vec<Lifted>,
}

/// Subjects whose score friends moved by some points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lifted {
    /// The least.
    pub from: i64,
    /// The most.
    pub to: i64,
    /// Subjects.
    pub subjects: u64,
}

/// What propagation did; nothing when it did not run.
///
/// # Errors
/// When a figure is none of the scale, or bins cannot be read.
pub(super) fn propagation(facts: &Facts) -> Result<Option<Propagation>> {
    let Some(friends) = facts.friends else { return Ok(None) };
    let (p, settings, card) = (&friends.propagated, &facts.job.model.card.propagation, &facts.job.card);
    let share = |units: f64| units / SHARE_ONE as f64;
    // A residual is one subject's move.
    let coarse = |units: f64| step_up(share(units));
    let round = |(n, (residual, bound)): (usize, (&u32, &f64))| Round {
        round: n + 1,
        residual: coarse(f64::from(*residual)),
        bound: coarse(*bound),
    };
    let told = facts.scored().map(|(s, _)| s).filter(|s| friends.enough(*s));
    let mut bins = facts.population.subject_bins.reader();
    let (worths, segments) = (Worths::of(card), &facts.population.rows.segment);
    let lift_of = |s: usize| -> Result<i64> { Ok(worths.lift(usize::from(segments[s]), bins.of(s)?)?) };
    let mut lifts: Vec<i64> = told.map(lift_of).collect::<Result<_>>()?;
    lifts.sort_unstable();
    let told = lifts.len() as u64;
    let both = facts.of_scored(&[facts.population.scored - told, told], &[]);
    let (neutral, shown) = (both[0], both[1].is_some() && told >= facts.min_cell().max(1));
    // Who is scored and not counted has too little confidence; they may be few as well.
    let counted = facts.part_of_all(friends.summary.counted).and(facts.part_of_scored(friends.summary.counted));
    let mean = share(f64::from(p.mean));
    Ok(Some(Propagation {
        counted_subjects: counted,
        links: friends.summary.links,
        beyond_max_ties: friends.summary.beyond,
        mean_links: counted.map(|c| hundredths(friends.summary.links as f64 / c.max(1) as f64)),
        population_mean: rounded(mean, DECIMALS),
        population_mean_points: hundredths(card.low as f64 + card.range as f64 * mean),
        rounds: p.residuals.iter().zip(&p.bounds).enumerate().map(round).collect(),
        converged: p.converged(),
        // The bound is that of the subject with least confidence.
        contraction_bound: (p.contraction * 100.0).ceil() / 100.0,
        contraction_observed: observed(&p.residuals).map(hundredths),
        error_bound: settings.precision,
        trust_gate: settings.trust.enabled,
        neutral,
        neutral_share: neutral
            .filter(|_| facts.scored_shown())
            .map(|n| rounded(n as f64 / facts.population.scored.max(1) as f64, DECIMALS)),
        lift: lift(facts, &lifts, shown),
    }))
}

/// What friends moved scores by, from the sorted moves.
fn lift(facts: &Facts, lifts: &[i64], shown: bool) -> Lift {
    let told = lifts.len() as u64;
    let cells: Vec<&[i64]> = lifts.chunk_by(|a, b| a == b).collect();
    let counts: Vec<[u64; 1]> = cells.iter().map(|c| [c.len() as u64]).collect();
    let runs = merged(&counts, facts.min_cell()).into_iter().filter(|run| shown && !run.is_empty());
    let mean = lifts.iter().sum::<i64>() as f64 / lifts.len().max(1) as f64;
    let lifted = |run: std::ops::Range<usize>| Lifted {
        from: cells[run.start][0],
        to: cells[run.end - 1][0],
        subjects: sum(&counts, run)[0],
    };
    Lift {
        subjects: shown.then_some(told),
        mean: if shown { facts.of_many(told, hundredths(mean)) } else { None },
        quantiles: facts.quantiles(lifts),
        histogram: runs.map(lifted).collect(),
    }
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
