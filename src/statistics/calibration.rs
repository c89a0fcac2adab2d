//! How far a nominal probability is from what happened.
//!
//! A scale says nominal odds: `odds` good to one bad at `points`, twice as many every `points_to_double`. The regression of
//! outcomes on the nominal log-odds has intercept 0 and slope 1 when they are right (Cox, Two further applications of a model for
//! binary regression, 1958).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proportion::rounded;
use super::ranking::Levels;

/// What a score is nominally worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nominal {
    /// A score.
    pub points: f64,
    /// Good subjects for each bad one at that score.
    pub odds: f64,
    /// How many points above it the odds are twice as high.
    pub points_to_double: f64,
}

/// How the nominal probabilities fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Mean nominal probability of going bad.
    pub mean_pd: f64,
    /// Share that went bad.
    pub observed: f64,
    /// Mean squared error of the probabilities (Brier, 1950).
    pub brier: f64,
    /// Mean negative log-likelihood.
    pub log_loss: f64,
    /// What to add to the log-odds of going bad; 0 when calibrated. Nothing when the classes are separated.
    pub intercept: Option<f64>,
    /// What to multiply them by; 1 when calibrated.
    pub slope: Option<f64>,
}

impl Calibration {
    /// The same to so many decimals.
    #[must_use]
    pub fn rounded(self, decimals: i32) -> Self {
        let to = |v: f64| rounded(v, decimals);
        Self {
            mean_pd: to(self.mean_pd),
            observed: to(self.observed),
            brier: to(self.brier),
            log_loss: to(self.log_loss),
            intercept: self.intercept.map(to),
            slope: self.slope.map(to),
        }
    }
}

impl Nominal {
    /// The nominal probability that a subject of this score goes bad.
    #[must_use]
    pub fn pd(&self, score: f64) -> f64 {
        1.0 / (1.0 + self.odds * ((score - self.points) / self.points_to_double).exp2())
    }

    fn log_odds_of_bad(&self, score: f64) -> f64 {
        -(self.odds.ln() + (score - self.points) / self.points_to_double * std::f64::consts::LN_2)
    }

    /// How it fits outcomes; nothing when there are none.
    #[must_use]
    pub fn calibration(&self, levels: &Levels) -> Option<Calibration> {
        let all = levels.all();
        let n = (all.good + all.bad) as f64;
        if n == 0.0 {
            return None;
        }
        let (mut mean_pd, mut brier, mut log_loss) = (0.0, 0.0, 0.0);
        for (score, level) in levels.iter() {
            let (pd, good, bad) = (self.pd(score as f64), level.good as f64, level.bad as f64);
            mean_pd += (good + bad) * pd;
            brier += bad * (1.0 - pd).powi(2) + good * pd.powi(2);
            log_loss -= bad * pd.ln() + good * (-pd).ln_1p();
        }
        let fit = self.regression(levels);
        Some(Calibration {
            mean_pd: mean_pd / n,
            observed: all.bad as f64 / n,
            brier: brier / n,
            log_loss: log_loss / n,
            intercept: fit.map(|f| f.0),
            slope: fit.map(|f| f.1),
        })
    }

    /// Logistic regression of going bad on the nominal log-odds, by Newton's method with halved steps.
    fn regression(&self, levels: &Levels) -> Option<(f64, f64)> {
        let rows: Vec<(f64, f64, f64)> = levels
            .iter()
            .map(|(score, l)| (self.log_odds_of_bad(score as f64), l.bad as f64, (l.good + l.bad) as f64))
            .collect();
        let likelihood = |a: f64, b: f64| -> f64 {
            let of = |(x, bad, n): &(f64, f64, f64)| {
                let eta = b.mul_add(*x, a);
                // ln(1 + eᵉᵗᵃ), without overflow.
                bad * eta - n * (eta.max(0.0) + (-eta.abs()).exp().ln_1p())
            };
            rows.iter().map(of).sum()
        };
        let (mut a, mut b) = (0.0, 1.0);
        for _ in 0..100 {
            let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (x, bad, n) in &rows {
                let p = 1.0 / (1.0 + (-(b * x + a)).exp());
                let (error, weight) = (bad - n * p, n * p * (1.0 - p));
                g0 += error;
                g1 += error * x;
                h00 += weight;
                h01 += weight * x;
                h11 += weight * x * x;
            }
            let determinant = h00 * h11 - h01 * h01;
            if determinant <= 1e-12 * h00 * h11 {
                return None;
            }
            let (da, db) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
            let (mut step, now) = (1.0, likelihood(a, b));
            while step > 1e-6 && likelihood(a + step * da, b + step * db) < now {
                step /= 2.0;
            }
            (a, b) = (a + step * da, b + step * db);
            if b.abs() > 1e3 || a.abs() > 1e4 {
                // Separated classes have no finite fit.
                return None;
            }
            if da.abs() < 1e-12 && db.abs() < 1e-12 {
                return Some((a, b));
            }
        }
        // The last steps only moved the rounding.
        Some((a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Row by row; and at the fit the likelihood has no slope.
        #[test]
        fn every_row_gives_the_same(rows in proptest::collection::vec((400_i64..800, any::<bool>()), 20..200)) {
            let nominal = Nominal { points: 600.0, odds: 19.0, points_to_double: 50.0 };
            let found = nominal.calibration(&Levels::of(rows.iter().copied())).unwrap();
            let n = rows.len() as f64;
            let pd = |score: i64| 1.0 / (1.0 + 19.0 * 2_f64.powf((score as f64 - 600.0) / 50.0));
            let mean = |of: &dyn Fn(f64, f64) -> f64| rows.iter().map(|(s, b)| of(pd(*s), f64::from(u8::from(*b)))).sum::<f64>() / n;
            prop_assert!((found.mean_pd - mean(&|p, _| p)).abs() < 1e-12);
            prop_assert!((found.observed - mean(&|_, bad| bad)).abs() < 1e-12);
            prop_assert!((found.brier - mean(&|p, bad| (p - bad).powi(2))).abs() < 1e-12);
            prop_assert!((found.log_loss + mean(&|p, bad| bad * p.ln() + (1.0 - bad) * (1.0 - p).ln())).abs() < 1e-9);
            if let (Some(a), Some(b)) = (found.intercept, found.slope) {
                let x = |p: f64| (p / (1.0 - p)).ln();
                let error = |p: f64, bad: f64| bad - 1.0 / (1.0 + (-(a + b * x(p))).exp());
                prop_assert!(mean(&error).abs() < 1e-8 && mean(&|p, bad| error(p, bad) * x(p)).abs() < 1e-8);
            }
        }
    }
}
