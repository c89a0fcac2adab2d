//! What a calibration came to.

use jiff::civil::Date;
use serde::Serialize;

use super::earned::{Part, Tenth};
use crate::pipeline::calibrated::CalibratedSegment;
use crate::pipeline::fitted::Validated;

/// What came of a calibration.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model whose scores were calibrated, `name-version`.
    pub start: String,
    /// The calibrated one.
    pub name: String,
    /// Whether it was written: whether nothing failed.
    pub earned: bool,
    /// What was fitted to.
    pub data: Data,
    /// How the figures were measured.
    pub validated: Validated,
    /// The score of what is not known.
    pub neutral: f64,
    /// Log-odds of staying good there.
    pub intercept: f64,
    /// Points that double the odds.
    pub points_to_double: f64,
    /// All rows.
    pub all: Part,
    /// Those of each segment, in order of the model file.
    pub segments: Vec<Part>,
    /// Those of about ten parts of the scores, from the lowest.
    pub tenths: Vec<Tenth>,
}

/// What was fitted to.
#[derive(Debug, Clone, Serialize)]
pub struct Data {
    /// The hash of the training set.
    pub hash: String,
    /// Its dates that have outcomes, and whether each was trained on.
    pub dates: Vec<(Date, bool)>,
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// Rows that were trained on.
    pub rows: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Subjects they are of.
    pub subjects: u64,
    /// Rows, of all dates, whose score a policy rule lowered; they are in it as they are.
    pub lowered: u64,
    /// Scored subjects without an outcome, at all dates; what they would have done is not inferred.
    pub without_outcome: u64,
}

impl Report {
    /// What does not hold, with the segment that it does not hold of.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let of = |part: &Part| {
            let whose = part.segment.clone().unwrap_or_else(|| "all rows".to_owned());
            part.failures.iter().map(|f| format!("{whose}: {}", f.told())).collect::<Vec<_>>()
        };
        std::iter::once(&self.all).chain(&self.segments).flat_map(of)
    }

    /// The segments that were judged, as a model file has them.
    #[must_use]
    pub fn judged(&self) -> Vec<CalibratedSegment> {
        let segment = |part: &Part| {
            Some(CalibratedSegment {
                name: part.segment.clone()?,
                bad: part.bad,
                slope_low: part.slope_low?,
                slope_high: part.slope_high?,
                observed_expected: part.observed_expected?,
            })
        };
        self.segments.iter().filter(|part| part.judged).filter_map(segment).collect()
    }
}
