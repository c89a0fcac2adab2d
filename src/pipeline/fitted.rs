//! What a fitted model says of its fit.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::storage::hashes::Hash;

/// What the parts of a model with `basis = "fitted"` were fitted to, and what rows say that were not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FittedFrom {
    /// The start model, `name-version`.
    pub start: String,
    /// The hash of the start model and its catalogue.
    pub start_hash: Hash,
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
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// Which bins could be used: `given` or `new`.
    pub bins: String,
    /// Whether categories kept their weights: `keep` or `free`.
    pub weights: String,
    /// Whether what is missing was fitted: `neutral` or `free`.
    pub missing: String,
    /// Days after which an older row weighed half as much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life_days: Option<f64>,
    /// How the figures below were measured: `cross-validation`, which is not out of time, or `out of time`.
    pub validated: Validated,
    /// Area under the ROC curve of the start model.
    pub auc_start: f64,
    /// Area under that of this one.
    pub auc: f64,
    /// Lower end of its 95 % interval.
    pub auc_low: f64,
    /// Upper end.
    pub auc_high: f64,
    /// Features that were accepted although each tells the outcome nearly alone, with why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted_leaks: BTreeMap<String, String>,
}

/// How a fit was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Validated {
    /// On each fifth of the subjects by the fit to the others.
    #[serde(rename = "cross-validation")]
    CrossValidation,
    /// On later dates.
    #[serde(rename = "out of time")]
    OutOfTime,
}

impl FittedFrom {
    /// Its keys as TOML, a line each: a table of its own would stand beside `[fitted]` and not in it.
    ///
    /// # Errors
    /// When a figure is none.
    pub fn toml(&self) -> Result<String> {
        let mut text = toml::to_string(&Self { accepted_leaks: BTreeMap::new(), ..self.clone() })?;
        if !self.accepted_leaks.is_empty() {
            writeln!(text, "accepted_leaks = {}", toml::Value::try_from(&self.accepted_leaks)?)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_as_what_it_was() {
        let it = FittedFrom {
            start: "standard-1".into(),
            start_hash: "a".into(),
            data_hash: "b".into(),
            program: "sesame".into(),
            rows: 1_000,
            bad: 100,
            from: Date::constant(2024, 10, 31),
            to: Date::constant(2024, 10, 31),
            horizon_days: 365,
            bins: "given".into(),
            weights: "keep".into(),
            missing: "neutral".into(),
            half_life_days: None,
            validated: Validated::OutOfTime,
            auc_start: 0.7,
            auc: 0.75,
            auc_low: 0.73,
            auc_high: 0.77,
            accepted_leaks: BTreeMap::from([("one".into(), "because".into()), ("other".into(), "of \"it\"".into())]),
        };
        // In a file what follows belongs to the section.
        let text = format!("[fitted]\n{}", it.toml().unwrap());
        let read: BTreeMap<String, FittedFrom> = toml::from_str(&text).unwrap();
        assert_eq!(read["fitted"], it, "{text}");
    }
}
