//! Whether a calibration is earned: what rows that a line was not fitted to say of its probabilities, on the whole and in every segment
//! in which enough went bad.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::calibrate::{Calibration, Predicted};
use super::scored::Scored;
use crate::disclosure::neighbours::{large, merged, sum};
use crate::disclosure::{DECIMALS, cells};
use crate::statistics::clustered::{Outcomes, line, ratio};
use crate::statistics::proportion::{Z95, rounded, wilson};

/// Where the whole 95 % interval of the slope must lie.
pub const SLOPE: RangeInclusive<f64> = 0.8..=1.25;

/// Where those that went bad over those that were expected to must lie.
pub const OBSERVED_EXPECTED: RangeInclusive<f64> = 0.9..=1.1;

/// A segment is judged when so many subjects went bad in it.
pub const LEAST_BAD: usize = 50;

/// Into so many parts the scores are divided.
const PARTS: u64 = 10;

/// What rows say of the probabilities that a line gives them.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// The segment; nothing for all rows.
    pub segment: Option<String>,
    /// Whether enough went bad for it to be judged; without that nothing more is told.
    pub judged: bool,
    /// Rows; nothing where they would tell a small number.
    pub rows: Option<u64>,
    /// Those that went bad, likewise.
    pub bad: Option<u64>,
    /// The share that went bad, likewise; rows of one subject weigh 1 in sum.
    pub observed: Option<f64>,
    /// The share that the probabilities said would, likewise.
    pub expected: Option<f64>,
    /// The one over the other.
    pub observed_expected: Option<f64>,
    /// Lower end of its 95 % interval.
    pub observed_expected_low: Option<f64>,
    /// Upper end.
    pub observed_expected_high: Option<f64>,
    /// What the log-odds would have to be multiplied by; 1 is right.
    pub slope: Option<f64>,
    /// Lower end of its 95 % interval.
    pub slope_low: Option<f64>,
    /// Upper end.
    pub slope_high: Option<f64>,
    /// What does not hold.
    pub failures: Vec<Failure>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Failure {
    /// Which.
    pub condition: Condition,
    /// What was found; nothing when it could not be worked out.
    pub found: Option<f64>,
    /// What it may be at the least, or at the most.
    pub limit: f64,
}

/// What must hold of the rows of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Where the slope's interval begins.
    SlopeLow,
    /// Where it ends.
    SlopeHigh,
    /// Observed over expected bad.
    ObservedExpected,
}

/// About a tenth of the rows, those of neighbouring scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tenth {
    /// Their lowest score.
    pub from: i16,
    /// Rows.
    pub rows: u64,
    /// The share that went bad.
    pub observed: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The mean of the probabilities.
    pub expected: f64,
}

impl Failure {
    /// What it is, and by how much it fails.
    #[must_use]
    pub fn told(&self) -> String {
        let what = match self.condition {
            Condition::SlopeLow => "the slope's 95 % interval begins at",
            Condition::SlopeHigh => "the slope's 95 % interval ends at",
            Condition::ObservedExpected => "observed over expected bad is",
        };
        match self.found {
            Some(found) => {
                let side = if found < self.limit { "below" } else { "above" };
                format!("{what} {found:.4}, {:.4} {side} {}", (found - self.limit).abs(), self.limit)
            }
            None => match self.condition {
                Condition::ObservedExpected => {
                    "too little is expected to go bad to compare it with what did".to_owned()
                }
                Condition::SlopeLow | Condition::SlopeHigh => {
                    "no slope can be found: the outcomes are all alike, or the scores are".to_owned()
                }
            },
        }
    }
}

/// A calibration with its rows.
pub struct Judged<'a> {
    /// The rows.
    pub rows: &'a Scored,
    /// The calibration.
    pub calibration: &'a Calibration,
    /// The segments, in order of the model file.
    pub segments: &'a [&'a str],
    /// Fewer subjects than this are not told.
    pub min_cell: u64,
}

impl Judged<'_> {
    /// All rows, and those of every segment.
    #[must_use]
    pub fn parts(&self) -> (Part, Vec<Part>) {
        let all: Vec<Predicted> = self.calibration.predicted.clone();
        let of_segment = |at: usize| -> Vec<Predicted> {
            all.iter().copied().filter(|p| usize::from(self.rows.segment[p.row]) == at).collect()
        };
        let by_segment: Vec<Vec<Predicted>> = (0..self.segments.len()).map(of_segment).collect();
        let counts: Vec<[u64; 2]> = by_segment.iter().map(|of| self.subjects(of)).collect();
        // The numbers of segments that are not judged are not told, and must not follow from the others'.
        let shown =
            |class: usize| cells::shown(&counts.iter().map(|c| c[class]).collect::<Vec<_>>(), &[], self.min_cell);
        let told = shown(0).into_iter().zip(shown(1)).map(|(good, bad)| good.is_some() && bad.is_some());
        let parts = by_segment.iter().zip(&counts).zip(told).zip(self.segments).map(|(((of, counts), told), name)| {
            let judged = counts[1] >= LEAST_BAD as u64;
            self.part(of, Some((*name).to_owned()), judged, told)
        });
        (self.part(&all, None, true, true), parts.collect())
    }

    /// Subjects that stayed good, and that went bad, at some date.
    fn subjects(&self, of: &[Predicted]) -> [u64; 2] {
        [false, true].map(|class| {
            let with = of.iter().filter(|p| self.rows.bad[p.row] == class);
            let mut subjects: Vec<u32> = with.map(|p| self.rows.subject[p.row]).collect();
            subjects.sort_unstable();
            subjects.dedup();
            subjects.len() as u64
        })
    }

    fn part(&self, of: &[Predicted], segment: Option<String>, judged: bool, told: bool) -> Part {
        let bad: Vec<bool> = of.iter().map(|p| self.rows.bad[p.row]).collect();
        let subject: Vec<u32> = of.iter().map(|p| self.rows.subject[p.row]).collect();
        let weight = |p: &Predicted| self.rows.weight[p.row];
        let observed: Vec<f64> = of.iter().map(|p| if self.rows.bad[p.row] { weight(p) } else { 0.0 }).collect();
        let expected: Vec<f64> = of.iter().map(|p| weight(p) * p.pd()).collect();
        let weights: f64 = of.iter().map(weight).sum();
        let log_odds: Vec<f64> = of.iter().map(|p| p.log_odds).collect();
        let figure = |f: f64| rounded(f, DECIMALS);
        let slope = line(&log_odds, &Outcomes { bad: &bad, subject: &subject }).filter(|_| judged);
        let ratio = ratio(&observed, &expected, &subject).filter(|_| judged);
        let share = |of: &[f64]| (judged && told && weights > 0.0).then(|| figure(of.iter().sum::<f64>() / weights));
        let count = |count: usize| (judged && told).then_some(count as u64);
        let end = |sign: f64| slope.map(|l| figure(l.slope + sign * Z95 * l.slope_error));
        let end_of_ratio = |sign: f64| ratio.map(|r| figure(r.ratio + sign * Z95 * r.error));
        let mut part = Part {
            segment,
            judged,
            rows: count(of.len()),
            bad: count(bad.iter().filter(|bad| **bad).count()),
            observed: share(&observed),
            expected: share(&expected),
            observed_expected: ratio.map(|r| figure(r.ratio)),
            observed_expected_low: end_of_ratio(-1.0),
            observed_expected_high: end_of_ratio(1.0),
            slope: slope.map(|l| figure(l.slope)),
            slope_low: end(-1.0),
            slope_high: end(1.0),
            failures: Vec::new(),
        };
        if judged {
            part.failures = part.failures();
        }
        part
    }

    /// The rows in about ten parts, each of scores side by side and with enough of both outcomes to be told.
    #[must_use]
    pub fn tenths(&self) -> Vec<Tenth> {
        let mut sorted = self.calibration.predicted.clone();
        sorted.sort_by_key(|p| self.rows.score[p.row]);
        let same = |a: &Predicted, b: &Predicted| self.rows.score[a.row] == self.rows.score[b.row];
        let levels: Vec<&[Predicted]> = sorted.chunk_by(same).collect();
        let bad = |of: &[Predicted]| of.iter().filter(|p| self.rows.bad[p.row]).count() as u64;
        let counts: Vec<[u64; 2]> = levels.iter().map(|of| [of.len() as u64 - bad(of), bad(of)]).collect();
        let runs = merged(&counts, self.min_cell);
        let (mut tenths, mut from, all) = (Vec::new(), 0, sorted.len() as u64);
        for (n, run) in runs.iter().enumerate() {
            let counted = sum(&counts, from..run.end);
            let rows: u64 = counted.iter().sum();
            if !large(&counted, self.min_cell) || (rows * PARTS < all && n + 1 < runs.len()) {
                continue;
            }
            let held = levels[from..run.end].iter().copied().flatten();
            let bad = counted.get(1).copied().unwrap_or(0);
            let (low, high) = wilson(bad, rows);
            let share = |sum: f64| rounded(sum / (rows as f64).max(1.0), DECIMALS);
            tenths.extend(levels.get(from).and_then(|of| of.first()).map(|lowest| Tenth {
                from: self.rows.score[lowest.row],
                rows,
                observed: share(bad as f64),
                low: rounded(low, DECIMALS),
                high: rounded(high, DECIMALS),
                expected: share(held.map(Predicted::pd).sum()),
            }));
            from = run.end;
        }
        tenths
    }
}

impl Part {
    /// What does not hold of its figures.
    fn failures(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut check = |condition: Condition, found: Option<f64>, limit: f64, holds: bool| {
            if !holds {
                failures.push(Failure { condition, found, limit });
            }
        };
        let (low, high) = (*SLOPE.start(), *SLOPE.end());
        check(Condition::SlopeLow, self.slope_low, low, self.slope_low.is_some_and(|s| s >= low));
        if self.slope_high.is_some() {
            check(Condition::SlopeHigh, self.slope_high, high, self.slope_high.is_some_and(|s| s <= high));
        }
        let (least, most) = (*OBSERVED_EXPECTED.start(), *OBSERVED_EXPECTED.end());
        let limit = if self.observed_expected.is_some_and(|r| r > most) { most } else { least };
        let holds = self.observed_expected.is_some_and(|r| OBSERVED_EXPECTED.contains(&r));
        check(Condition::ObservedExpected, self.observed_expected, limit, holds);
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::super::worth::Line;
    use super::*;
    use crate::pipeline::fitted::Validated;

    /// By segment and score so many good and bad rows; the odds that are predicted are even at 600, and nine to one at 700.
    fn judged(of: &[(u8, i16, usize, usize)], min_cell: u64) -> (Part, Vec<Part>, Vec<Tenth>) {
        let mut rows = Scored::default();
        let mut predicted = Vec::new();
        for (segment, score, good, bad) in of {
            for n in 0..good + bad {
                let log_odds = 9_f64.ln() * f64::from(score - 600) / 100.0;
                predicted.push(Predicted { row: rows.len(), log_odds });
                rows.subject.push(u32::try_from(rows.len()).unwrap());
                rows.segment.push(*segment);
                rows.bad.push(n < *bad);
                rows.weight.push(1.0);
                rows.score.push(*score);
            }
        }
        let line = Line { intercept: 0.0, beta: 0.02 };
        let calibration =
            Calibration { line, points_to_double: 34.7, predicted, validated: Validated::CrossValidation };
        let of = Judged { rows: &rows, calibration: &calibration, segments: &["one", "other"], min_cell };
        let (all, segments) = of.parts();
        (all, segments, of.tenths())
    }

    #[test]
    fn what_happened_as_was_said_is_earned() {
        let of = [(0, 600, 2000, 2000), (0, 700, 3600, 400), (1, 600, 1000, 1000), (1, 700, 1800, 200)];
        let (all, segments, tenths) = judged(&of, 10);
        for part in segments.iter().chain([&all]) {
            assert!(part.judged && part.failures.is_empty(), "{part:?}");
            assert_eq!((part.slope, part.observed_expected), (Some(1.0), Some(1.0)));
        }
        assert_eq!((all.rows, all.bad, all.observed), (Some(12_000), Some(3_600), Some(0.3)));
        let told: Vec<_> = tenths.iter().map(|t| (t.from, t.rows, t.observed, t.expected)).collect();
        assert_eq!(told, [(600, 6_000, 0.5, 0.5), (700, 6_000, 0.1, 0.1)]);
    }

    #[test]
    fn a_segment_that_is_off_is_named_with_how_far() {
        // Of the other segment twice as many went bad as was said, whatever the score.
        let of = [(0, 600, 2000, 2000), (0, 700, 3600, 400), (1, 800, 9_800, 200), (1, 700, 800, 200)];
        let (_, segments, _) = judged(&of, 10);
        assert!(segments[0].failures.is_empty());
        let other = &segments[1];
        // 400 of 1/82 · 10,000 + 1/10 · 1,000.
        let ratio = 400.0 / (10_000.0 / 82.0 + 100.0);
        assert_eq!(other.observed_expected, Some(rounded(ratio, 4)));
        let failure = other.failures.iter().find(|f| f.condition == Condition::ObservedExpected).unwrap();
        assert_eq!((failure.found, failure.limit), (other.observed_expected, 1.1));
        assert_eq!(failure.told(), "observed over expected bad is 1.8022, 0.7022 above 1.1");
    }

    #[test]
    fn a_segment_with_few_bad_is_not_judged_and_its_numbers_follow_from_nothing() {
        let of = [(0, 600, 2000, 2000), (0, 700, 3600, 400), (1, 600, 500, 4)];
        let (_, segments, _) = judged(&of, 10);
        let (one, other) = (&segments[0], &segments[1]);
        assert!(!other.judged && other.failures.is_empty());
        assert_eq!((other.rows, other.bad, other.slope, other.observed_expected), (None, None, None, None));
        // All bad less those of the one would be the four.
        assert_eq!((one.judged, one.rows, one.bad, one.observed), (true, None, None, None));
        assert_eq!(one.slope, Some(1.0));
    }

    #[test]
    fn rows_that_say_nothing_earn_nothing() {
        let (all, ..) = judged(&[(0, 600, 100, 100)], 10);
        assert_eq!((all.slope, all.failures[0].condition), (None, Condition::SlopeLow));
        assert!(all.failures[0].told().contains("no slope can be found"));
    }
}
