//! Figures over rows of which several may be of one subject: such rows tell less than as many subjects would, so errors are worked
//! out by subject.

use super::proportion::{Z95, normal_cdf};
use super::ranking::{Difference, Levels, Placements, Ranking};

/// Two scores over the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// How well the first ranks.
    pub first: Ranking,
    /// How well the second does.
    pub second: Ranking,
    /// The second less the first.
    pub difference: Difference,
}

/// Rows with their outcomes and subjects, which are numbers from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes<'a> {
    /// Whether the row went bad.
    pub bad: &'a [bool],
    /// Its subject.
    pub subject: &'a [u32],
}

/// How well two scores rank; the intervals are those of Obuchowski (Nonparametric analysis of clustered ROC curve data, 1997), which
/// are DeLong's when every subject has one row. Nothing with fewer than two good or bad subjects.
#[must_use]
pub fn paired(first: &[i64], second: &[i64], of: &Outcomes) -> Option<Paired> {
    let levels = |scores: &[i64]| Levels::of(scores.iter().copied().zip(of.bad.iter().copied()));
    let (a, b) = (levels(first), levels(second));
    let (pa, pb) = (a.by_row(first), b.by_row(second));
    let placed = |p: &Placements, n: usize| if of.bad[n] { p.bad(n) } else { p.good(n) };
    let interval = |ranking: Ranking, error: f64| Ranking {
        auc_low: Some((ranking.auc - Z95 * error).max(0.0)),
        auc_high: Some((ranking.auc + Z95 * error).min(1.0)),
        ..ranking
    };
    let ((_, of_first), (_, of_second)) = (of.mean(&|n| placed(&pa, n))?, of.mean(&|n| placed(&pb, n))?);
    let (mean, error) = of.mean(&|n| placed(&pb, n) - placed(&pa, n))?;
    Some(Paired {
        first: interval(a.ranking()?, of_first),
        second: interval(b.ranking()?, of_second),
        difference: Difference {
            difference: mean,
            low: Z95.mul_add(-error, mean),
            high: Z95.mul_add(error, mean),
            p_value: (error > 0.0).then(|| 2.0 * normal_cdf(-(mean / error).abs())),
        },
    })
}

impl Outcomes<'_> {
    /// The mean of what rows are placed at, and its standard error.
    fn mean(&self, placed: &dyn Fn(usize) -> f64) -> Option<(f64, f64)> {
        let rows = || 0..self.bad.len();
        let bads = rows().filter(|n| self.bad[*n]).count() as f64;
        let goods = self.bad.len() as f64 - bads;
        let mean = rows().filter(|n| !self.bad[*n]).map(placed).sum::<f64>() / goods;
        let mut of_subject = vec![[(0.0, 0_u32); 2]; rows().map(|n| self.subject[n] as usize + 1).max()?];
        for n in rows() {
            let (sum, count) = &mut of_subject[self.subject[n] as usize][usize::from(self.bad[n])];
            *sum += placed(n) - mean;
            *count += 1;
        }
        let with = |class: usize| of_subject.iter().filter(|s| s[class].1 > 0).count() as f64;
        let (of_goods, of_bads) = (with(0), with(1));
        if of_goods < 2.0 || of_bads < 2.0 {
            return None;
        }
        let all = of_subject.iter().filter(|s| s[0].1 + s[1].1 > 0).count() as f64;
        let square = |a: usize, b: usize| of_subject.iter().map(|s| s[a].0 * s[b].0).sum::<f64>();
        let spread = of_goods / (of_goods - 1.0) * square(0, 0) / (goods * goods)
            + of_bads / (of_bads - 1.0) * square(1, 1) / (bads * bads)
            + 2.0 * all / (all - 1.0) * square(0, 1) / (goods * bads);
        Some((mean, spread.max(0.0).sqrt()))
    }
}

/// The line that outcomes follow: the log-odds of staying good are `intercept` + `slope` · what was predicted of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// 0 when the prediction is right on the whole.
    pub intercept: f64,
    /// 1 when it is right everywhere.
    pub slope: f64,
    /// The slope's standard error, by subject.
    pub slope_error: f64,
}

/// Logistic regression of staying good on predicted log-odds; nothing when the classes are separated or alike.
#[must_use]
pub fn line(predicted: &[f64], of: &Outcomes) -> Option<Line> {
    let count = predicted.len() as f64;
    let mean = predicted.iter().sum::<f64>() / count;
    let rows = || predicted.iter().map(|x| x - mean).zip(of.bad.iter().map(|bad| if *bad { 0.0 } else { 1.0 }));
    let good = rows().map(|r| r.1).sum::<f64>();
    let (mut a, mut b) = (libm::log(good / (count - good)), 1.0);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for (x, good) in rows() {
            let p = 1.0 / (1.0 + libm::exp(-(a + b * x)));
            let (error, weight) = (good - p, p * (1.0 - p));
            g = [g[0] + error, g[1] + error * x];
            h = [h[0] + weight, h[1] + weight * x, h[2] + weight * x * x];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        (a, b) = (a + step[0], b + step[1]);
        if !a.is_finite() || !b.is_finite() || b.abs() > 1e3 {
            return None;
        }
        if step[0].abs().max(step[1].abs()) < 1e-10 {
            // Slopes of each subject's rows, by the curvature of all (Huber's sandwich).
            let mut scores = vec![[0.0; 2]; of.subject.iter().map(|s| *s as usize + 1).max()?];
            for ((x, good), subject) in rows().zip(of.subject) {
                let error = good - 1.0 / (1.0 + libm::exp(-(a + b * x)));
                scores[*subject as usize][0] += error;
                scores[*subject as usize][1] += error * x;
            }
            let of_slope = |s: &[f64; 2]| (h[0] * s[1] - h[1] * s[0]) / determinant;
            let variance = scores.iter().map(|s| of_slope(s) * of_slope(s)).sum::<f64>();
            return Some(Line { intercept: a - b * mean, slope: b, slope_error: variance.sqrt() });
        }
    }
    None
}

/// One sum over rows by another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// Its standard error, by subject.
    pub error: f64,
}

/// What was observed of rows over what was expected of them, with the linearised error of a ratio (Cochran, Sampling Techniques, 1977,
/// chapter 6). Nothing when nothing was expected, or of fewer than two subjects.
#[must_use]
pub fn ratio(observed: &[f64], expected: &[f64], subject: &[u32]) -> Option<Ratio> {
    let (all_observed, all_expected) = (observed.iter().sum::<f64>(), expected.iter().sum::<f64>());
    let ratio = Some(all_observed / all_expected).filter(|r| r.is_finite())?;
    let mut of_subject = vec![None; subject.iter().map(|s| *s as usize + 1).max()?];
    for ((observed, expected), subject) in observed.iter().zip(expected).zip(subject) {
        *of_subject[*subject as usize].get_or_insert(0.0) += observed - ratio * expected;
    }
    let of_subject: Vec<f64> = of_subject.into_iter().flatten().collect();
    let count = of_subject.len() as f64;
    if count < 2.0 {
        return None;
    }
    let square = of_subject.iter().map(|s| s * s).sum::<f64>();
    Some(Ratio { ratio, error: (square * count / (count - 1.0)).sqrt() / all_expected })
}

#[cfg(test)]
mod tests {
    use super::super::ranking::difference;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One row each is DeLong; every row twice tells what it tells once.
        #[test]
        fn subjects_count_and_not_rows(rows in proptest::collection::vec((0_i64..20, 0_i64..20, any::<bool>()), 8..60)) {
            let column = |of: &dyn Fn(&(i64, i64, bool)) -> i64| rows.iter().map(of).collect::<Vec<_>>();
            let (first, second) = (column(&|r| r.0), column(&|r| r.1));
            let bad: Vec<bool> = rows.iter().map(|r| r.2).collect();
            let subject: Vec<u32> = (0..u32::try_from(rows.len()).unwrap()).collect();
            let Some(once) = paired(&first, &second, &Outcomes { bad: &bad, subject: &subject }) else { return Ok(()) };
            let delong = difference(&second, &first, &bad).unwrap();
            prop_assert!((once.difference.difference - delong.difference).abs() < 1e-12);
            prop_assert!((once.difference.low - delong.low).abs() < 1e-9 && (once.difference.high - delong.high).abs() < 1e-9);
            let double = |v: &Vec<i64>| [v.clone(), v.clone()].concat();
            let of = Outcomes { bad: &[bad.clone(), bad].concat(), subject: &[subject.clone(), subject].concat() };
            let twice = paired(&double(&first), &double(&second), &of).unwrap();
            prop_assert!((twice.difference.low - once.difference.low).abs() < 1e-9);
            prop_assert!((twice.first.auc_low.unwrap() - once.first.auc_low.unwrap()).abs() < 1e-9);
        }
    }

    #[test]
    fn a_ratio_errs_by_what_subjects_differ() {
        // Four subjects that are off by a half each, of two: √(4 · ¼ · 4/3) / 2.
        let (observed, expected) = ([1.0, 0.0, 0.0, 1.0], [0.5; 4]);
        let once = ratio(&observed, &expected, &[0, 1, 2, 3]).unwrap();
        assert!((once.ratio - 1.0).abs() < 1e-12 && (once.error - 0.577_350_269).abs() < 1e-9, "{once:?}");
        // Every row twice tells what it tells once.
        let twice = ratio(&[observed, observed].concat(), &[expected, expected].concat(), &[0, 1, 2, 3, 0, 1, 2, 3]);
        assert!((twice.unwrap().error - once.error).abs() < 1e-12);
        assert_eq!(ratio(&[], &[], &[]), None);
        assert_eq!(ratio(&[1.0], &[0.5], &[0]), None);
    }

    #[test]
    fn a_prediction_that_is_too_bold_has_a_slope_below_one() {
        // Of a hundred rows each, by predicted log-odds −2, 0 and 2: as many good as half of these say.
        let rows = [(-2.0, 27), (0.0, 50), (2.0, 73)];
        let predicted: Vec<f64> = rows.iter().flat_map(|r| vec![r.0; 100]).collect();
        let bad: Vec<bool> = rows.iter().flat_map(|r| (0..100).map(|n| n >= r.1)).collect();
        let subject: Vec<u32> = (0..300).collect();
        let line = line(&predicted, &Outcomes { bad: &bad, subject: &subject }).unwrap();
        assert!((line.slope - 0.4973).abs() < 1e-3 && line.intercept.abs() < 1e-9, "{line:?}");
        // 1 over the root of Σ p·(1−p)·x², with x of −2 and 2 alone: 800 · 0.1971.
        assert!((line.slope_error - 0.0796).abs() < 1e-3, "{line:?}");
    }
}
