//! Where a result comes from, and what it cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::contract::Zone;
use jiff::civil::Date;

/// Where a result comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The run.
    pub run: String,
    /// The pipeline.
    pub pipeline: String,
    /// The as-of date.
    #[schemars(with = "String")]
    pub as_of: Date,
    /// The knowledge cut-off.
    pub known_by: String,
    /// The time zone in which days begin and end.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// `name-version` of the model.
    pub model: String,
    /// Hash of the model and its catalogue.
    pub model_hash: String,
    /// Version of the program.
    pub program: String,
    /// The currency.
    pub currency: String,
}

/// The zone of runs that name none.
fn utc() -> String {
    Zone::utc().to_string()
}

/// What a result cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Seconds of each step.
    pub stages: Vec<StepTime>,
    /// Seconds until the audit was made.
    pub seconds: f64,
    /// The most memory that the process held, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// Seconds of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepTime {
    /// The step.
    pub stage: String,
    /// Seconds.
    pub seconds: f64,
}

/// Run, pipeline, dates, model and program.
pub(super) fn provenance(facts: &Facts) -> Provenance {
    let (settings, label) = (&facts.job.pipeline.settings, facts.label);
    Provenance {
        run: facts.run.to_owned(),
        pipeline: settings.name.clone(),
        as_of: label.as_of,
        known_by: label.known_by.clone(),
        time_zone: settings.time_zone.to_string(),
        model: label.model.clone(),
        model_hash: label.model_hash.clone(),
        program: label.program.clone(),
        currency: settings.currency.clone(),
    }
}

/// Seconds by step, and memory.
pub(super) fn timings(facts: &Facts) -> Timings {
    let step = |(name, seconds): &(String, f64)| StepTime { stage: name.clone(), seconds: *seconds };
    Timings {
        stages: facts.timings.iter().map(step).collect(),
        seconds: facts.seconds,
        peak_memory_bytes: peak_memory(),
    }
}

/// The largest resident memory of the process so far, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
