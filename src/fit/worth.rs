//! What a point is worth: the line from a score to the log-odds of staying good.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The log-odds of staying good: `intercept` + `beta` · (score − `zero`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// At the score of what is not known.
    pub intercept: f64,
    /// Of a point.
    pub beta: f64,
}

/// Subjects of one score, in what their rows weigh.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighed {
    /// Those that stayed good.
    pub good: f64,
    /// Those that went bad.
    pub bad: f64,
}

/// Rows by score, in what they weigh. Weights are added up as integers, so that the order of rows tells nothing.
#[derive(Debug, Clone, Default)]
pub struct ByScore(BTreeMap<i16, [i128; 2]>);

impl ByScore {
    /// Adds a row.
    pub fn add(&mut self, score: i16, bad: bool, weight: f64) {
        self.0.entry(score).or_default()[usize::from(bad)] += quantised(weight);
    }

    /// What weighs how much, by the difference of the score from that of what is not known.
    #[must_use]
    pub fn weighed(&self, zero: f64) -> Vec<(f64, Weighed)> {
        let of = |count: i128| count as f64 / ONE;
        let weighed = |(score, [good, bad]): (&i16, &[i128; 2])| {
            (f64::from(*score) - zero, Weighed { good: of(*good), bad: of(*bad) })
        };
        self.0.iter().map(weighed).collect()
    }
}

/// One, as weights are counted.
const ONE: f64 = (1_u64 << 40) as f64;

#[allow(clippy::cast_possible_truncation, reason = "a weight is at most 1")]
fn quantised(weight: f64) -> i128 {
    (weight * ONE).round_ties_even() as i128
}

/// Fits the line by logistic regression. β is drawn towards what a point is nominally worth, with half of that as its standard
/// deviation, so that a few outcomes do not turn a card around. `scores` are differences from the score of what is not known.
///
/// # Errors
/// When all outcomes are alike, or Newton's method does not settle.
pub fn line(scores: &[(f64, Weighed)], nominal: f64) -> Result<Line> {
    fitted(scores, nominal, 1.0 / (0.5 * nominal * 0.5 * nominal))
}

/// The line of maximum likelihood, which is drawn towards nothing.
///
/// # Errors
/// As [`line()`].
pub fn likeliest(scores: &[(f64, Weighed)]) -> Result<Line> {
    fitted(scores, 0.0, 0.0)
}

/// The line whose β is drawn towards a value with a precision, from which Newton's method starts.
fn fitted(scores: &[(f64, Weighed)], towards: f64, precision: f64) -> Result<Line> {
    let of = |pick: &dyn Fn(&Weighed) -> f64| scores.iter().map(|(_, w)| pick(w)).sum::<f64>();
    let (good, bad) = (of(&|w| w.good), of(&|w| w.bad));
    let mean = scores.iter().map(|(x, w)| x * (w.good + w.bad)).sum::<f64>() / (good + bad);
    let (mut a, mut beta) = (libm::log(good / bad), towards);
    for _ in 0..50 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, -precision * (beta - towards), 0.0, 0.0, precision);
        for (score, weighed) in scores {
            let (x, n) = (score - mean, weighed.good + weighed.bad);
            let p = 1.0 / (1.0 + libm::exp(-(a + beta * x)));
            let (error, weight) = (weighed.good - n * p, n * p * (1.0 - p));
            g0 += error;
            g1 += error * x;
            h00 += weight;
            h01 += weight * x;
            h11 += weight * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        let (da, db) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        (a, beta) = (a + da, beta + db);
        if da.abs().max(db.abs()) < 1e-12 {
            return Some(Line { intercept: a - beta * mean, beta })
                .filter(|line| line.intercept.is_finite() && line.beta.is_finite())
                .context("the outcomes are all alike, so nothing can be fitted to them");
        }
    }
    anyhow::bail!("what a point of the model is worth cannot be found: Newton's method does not settle")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two scores and a count of each outcome: the line goes through both of their log-odds.
    #[test]
    fn a_line_through_two_scores_is_that_of_their_odds() {
        let mut rows = ByScore::default();
        for (score, good, bad) in [(550, 90, 10), (650, 97, 3)] {
            (0..good).for_each(|_| rows.add(score, false, 1.0));
            (0..bad).for_each(|_| rows.add(score, true, 1.0));
        }
        let line = likeliest(&rows.weighed(600.0)).unwrap();
        let (low, high) = (9_f64.ln(), (97.0_f64 / 3.0).ln());
        assert!((line.beta - (high - low) / 100.0).abs() < 1e-9, "{line:?}");
        assert!((line.intercept - (low + high) / 2.0).abs() < 1e-9, "{line:?}");
    }

    #[test]
    fn rows_of_one_outcome_have_no_line() {
        let mut rows = ByScore::default();
        [500, 600, 700].iter().for_each(|score| rows.add(*score, false, 1.0));
        assert!(likeliest(&rows.weighed(600.0)).is_err());
    }
}
