//! What a calibrated model says of its calibration, and the probability it gives a score.

use std::f64::consts::LN_2;
use std::fmt::Write;

use anyhow::Result;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fitted::Validated;
use crate::storage::hashes::Hash;

/// The line from a finished score to the log-odds of staying good, what it was fitted to, and what rows say that were not. It holds for
/// the points it was fitted to and for no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Log-odds of staying good at the neutral score.
    pub intercept: f64,
    /// Points that double the odds of staying good.
    pub points_to_double: f64,
    /// Days within which a subject goes bad, or does not.
    pub horizon_days: i64,
    /// The hash of everything the points depend on.
    pub points_hash: Hash,
    /// The hash of the training set.
    pub data_hash: Hash,
    /// The version of the program.
    pub program: String,
    /// Rows that were fitted to.
    pub rows: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Their first as-of date.
    #[schemars(with = "String")]
    pub from: Date,
    /// Their last.
    #[schemars(with = "String")]
    pub to: Date,
    /// How the figures below were measured: `cross-validation`, which is not out of time, or `out of time`.
    pub validated: Validated,
    /// What the log-odds would have to be multiplied by to fit what happened; 1 is right.
    pub slope: f64,
    /// Lower end of its 95 % interval.
    pub slope_low: f64,
    /// Upper end.
    pub slope_high: f64,
    /// Those that went bad over those that the probabilities said would.
    pub observed_expected: f64,
    /// The segments in which enough went bad to be judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<CalibratedSegment>,
}

/// What rows of a segment say of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibratedSegment {
    /// Its name.
    pub name: String,
    /// Rows that went bad, of those it was measured on; not told where it would tell a small number of another segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<u64>,
    /// Lower end of the slope's 95 % interval.
    pub slope_low: f64,
    /// Upper end.
    pub slope_high: f64,
    /// Those that went bad over those that the probabilities said would.
    pub observed_expected: f64,
}

impl Calibrated {
    /// The probability that a subject of a score goes bad, to six decimals, so that it is the same everywhere.
    #[must_use]
    pub fn pd(&self, score: f64, neutral: f64) -> f64 {
        let log_odds = self.intercept + LN_2 / self.points_to_double * (score - neutral);
        let pd = 1.0 / (1.0 + libm::exp(log_odds));
        (pd * 1e6).round_ties_even() / 1e6
    }

    /// Its keys as TOML, a segment on one line.
    ///
    /// # Errors
    /// When a figure is none.
    pub fn toml(&self) -> Result<String> {
        let mut text = toml::to_string(&Self { segments: Vec::new(), ..self.clone() })?;
        if self.segments.is_empty() {
            return Ok(text);
        }
        text.push_str("segments = [\n");
        for s in &self.segments {
            let bad = s.bad.map_or_else(String::new, |bad| format!("bad = {bad}, "));
            writeln!(
                text,
                "  {{ name = {}, {bad}slope_low = {:?}, slope_high = {:?}, observed_expected = {:?} }},",
                toml::Value::String(s.name.clone()),
                s.slope_low,
                s.slope_high,
                s.observed_expected
            )?;
        }
        text.push_str("]\n");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibrated() -> Calibrated {
        let segment = |name: &str, bad| CalibratedSegment {
            name: name.to_owned(),
            bad,
            slope_low: 0.9,
            slope_high: 1.0,
            observed_expected: 1.02,
        };
        Calibrated {
            intercept: libm::log(19.0),
            points_to_double: 50.0,
            horizon_days: 365,
            points_hash: "a".into(),
            data_hash: "b".into(),
            program: "sesame".into(),
            rows: 10_000,
            bad: 500,
            from: Date::constant(2024, 10, 31),
            to: Date::constant(2024, 10, 31),
            validated: Validated::OutOfTime,
            slope: 1.0,
            slope_low: 0.95,
            slope_high: 1.05,
            observed_expected: 1.0,
            segments: vec![segment("one", Some(70)), segment("the \"other\"", None)],
        }
    }

    #[test]
    fn odds_double_with_so_many_points() {
        let it = calibrated();
        let odds = |score: f64| 1.0 / it.pd(score, 600.0) - 1.0;
        for (score, expected) in [(600.0, 19.0), (650.0, 38.0), (550.0, 9.5), (500.0, 4.75)] {
            assert!((odds(score) - expected).abs() < 2e-3 * expected, "{score}: {}", odds(score));
        }
        // 1 / 20 in six decimals, and nothing beyond 0 and 1.
        assert_eq!(it.pd(600.0, 600.0), 0.05);
        assert_eq!((it.pd(1e9, 600.0), it.pd(-1e9, 600.0)), (0.0, 1.0));
    }

    #[test]
    fn its_text_is_read_as_what_it_was() {
        let it = calibrated();
        let text = format!("[calibration]\n{}", it.toml().unwrap());
        let read: std::collections::BTreeMap<String, Calibrated> = toml::from_str(&text).unwrap();
        assert_eq!(read["calibration"], it, "{text}");
        let none = Calibrated { segments: Vec::new(), ..it };
        assert_eq!(toml::from_str::<Calibrated>(&none.toml().unwrap()).unwrap(), none);
    }
}
