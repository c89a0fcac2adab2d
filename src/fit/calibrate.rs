//! Calibration: the line from a finished score to the log-odds of staying good, by maximum likelihood, and what it says of rows that
//! it was not fitted to.

use std::f64::consts::LN_2;

use anyhow::{Result, ensure};

use super::sample::FOLDS;
use super::scored::Scored;
use super::worth::{ByScore, Line, likeliest};
use crate::pipeline::fitted::Validated;
use crate::statistics::proportion::rounded;

/// Decimals of the line, as a model file has them.
const DECIMALS: i32 = 6;

/// What is calibrated.
#[derive(Debug, Clone, Copy)]
pub struct Calibrator<'a> {
    /// What was read.
    pub rows: &'a Scored,
    /// By date, whether it is trained on; those that are not are validated on.
    pub trained: &'a [bool],
    /// The score of what is not known.
    pub neutral: f64,
}

/// A row that a line was not fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// The row.
    pub row: usize,
    /// The log-odds of staying good that the line gives it.
    pub log_odds: f64,
}

impl Predicted {
    /// The probability of going bad.
    #[must_use]
    pub fn pd(&self) -> f64 {
        1.0 / (1.0 + libm::exp(self.log_odds))
    }
}

/// A line, and rows that it, or one like it, was not fitted to.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The line of all rows that are trained on, with the decimals of a model file.
    pub line: Line,
    /// Points that double the odds.
    pub points_to_double: f64,
    /// The rows of the later dates; without any, those that are trained on, by the line of the other folds.
    pub predicted: Vec<Predicted>,
    /// Which of the two.
    pub validated: Validated,
}

impl Calibrator<'_> {
    /// Fits the line, and predicts rows that it was not fitted to.
    ///
    /// # Errors
    /// When all outcomes are alike, or better scores go with more bad.
    pub fn calibrate(&self) -> Result<Calibration> {
        let on = |row: usize| self.trained[usize::from(self.rows.date[row])];
        let (line, points_to_double) = as_written(self.line(&on)?);
        ensure!(
            points_to_double > 0.0 && points_to_double.is_finite(),
            "by these outcomes a higher score goes with more bad, or says nothing of it; check what `bad` means, and the model's directions"
        );
        let mut predicted = Vec::new();
        let validated = match self.trained.contains(&false) {
            true => {
                self.predict(&line, &|row| !on(row), &mut predicted);
                Validated::OutOfTime
            }
            false => {
                for fold in 0..FOLDS {
                    let rest = self.line(&|row| self.rows.fold[row] != fold)?;
                    self.predict(&rest, &|row| self.rows.fold[row] == fold, &mut predicted);
                }
                predicted.sort_unstable_by_key(|p| p.row);
                Validated::CrossValidation
            }
        };
        Ok(Calibration { line, points_to_double, predicted, validated })
    }

    /// The line of some rows.
    fn line(&self, wanted: &dyn Fn(usize) -> bool) -> Result<Line> {
        let mut by_score = ByScore::default();
        for row in (0..self.rows.len()).filter(|row| wanted(*row)) {
            by_score.add(self.rows.score[row], self.rows.bad[row], self.rows.weight[row]);
        }
        likeliest(&by_score.weighed(self.neutral))
    }

    fn predict(&self, line: &Line, wanted: &dyn Fn(usize) -> bool, into: &mut Vec<Predicted>) {
        let log_odds = |row: usize| line.intercept + line.beta * (f64::from(self.rows.score[row]) - self.neutral);
        let rows = (0..self.rows.len()).filter(|row| wanted(*row));
        into.extend(rows.map(|row| Predicted { row, log_odds: log_odds(row) }));
    }
}

/// A line with the decimals of a model file, and its points that double the odds.
fn as_written(line: Line) -> (Line, f64) {
    let points_to_double = rounded(LN_2 / line.beta, DECIMALS);
    (Line { intercept: rounded(line.intercept, DECIMALS), beta: LN_2 / points_to_double }, points_to_double)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each score so many good and so many bad, over two dates and all folds.
    fn rows(of: &[(i16, usize, usize)]) -> Scored {
        let mut all = Scored::default();
        for (score, good, bad) in of {
            for n in 0..good + bad {
                all.score.push(*score);
                all.bad.push(n < *bad);
                all.weight.push(1.0);
                all.segment.push(0);
                all.date.push(u16::from(n % 2 == 1));
                all.fold.push(u8::try_from(n / 2 % 5).unwrap());
                all.subject.push(u32::try_from(all.subject.len()).unwrap());
            }
        }
        all
    }

    #[test]
    fn odds_that_double_with_fifty_points_are_found() {
        // 4, 8 and 16 good to each bad one.
        let rows = rows(&[(550, 800, 200), (600, 800, 100), (650, 1600, 100)]);
        let calibrator = Calibrator { rows: &rows, trained: &[true, true], neutral: 600.0 };
        let found = calibrator.calibrate().unwrap();
        assert_eq!(found.points_to_double, 50.0);
        assert!((found.line.intercept - 8_f64.ln()).abs() < 1e-6, "{found:?}");
        assert_eq!((found.validated, found.predicted.len()), (Validated::CrossValidation, rows.len()));
        assert!(found.predicted.iter().enumerate().all(|(n, p)| p.row == n));
        // A fifth of the bad ones of each score are left out with as many of the good ones, so every line is the same.
        for p in &found.predicted {
            let expected = [0.2, 1.0 / 9.0, 1.0 / 17.0][usize::try_from((rows.score[p.row] - 550) / 50).unwrap()];
            assert!((p.pd() - expected).abs() < 1e-6, "{p:?}");
        }
    }

    #[test]
    fn later_dates_are_predicted_by_the_line_of_the_earlier() {
        let rows = rows(&[(550, 800, 200), (650, 1600, 100)]);
        let found = Calibrator { rows: &rows, trained: &[true, false], neutral: 600.0 }.calibrate().unwrap();
        assert_eq!(found.validated, Validated::OutOfTime);
        assert_eq!(found.predicted.len(), rows.date.iter().filter(|d| **d == 1).count());
        assert!(found.predicted.iter().all(|p| rows.date[p.row] == 1));
    }

    #[test]
    fn scores_that_run_the_wrong_way_are_refused() {
        let rows = rows(&[(550, 1600, 100), (650, 800, 200)]);
        let calibrator = Calibrator { rows: &rows, trained: &[true, true], neutral: 600.0 };
        assert!(calibrator.calibrate().unwrap_err().to_string().contains("a higher score goes with more bad"));
    }
}
