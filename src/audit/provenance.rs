//! Where a result comes from, and what it cost.

use serde_json::{Value, json};

use super::Facts;

/// Run, pipeline, dates, model and program.
pub fn provenance(facts: &Facts) -> Value {
    json!({
        "run": facts.run,
        "pipeline": facts.job.pipeline.settings.name,
        "as_of": facts.label.as_of,
        "known_by": facts.label.known_by,
        "model": facts.label.model,
        "model_hash": facts.label.model_hash,
        "program": facts.label.program,
        "currency": facts.job.pipeline.settings.currency,
    })
}

/// Seconds by stage, and memory.
pub fn timings(facts: &Facts) -> Value {
    let stages: Vec<Value> = facts.timings.iter().map(|(name, s)| json!({ "stage": name, "seconds": s })).collect();
    json!({ "stages": stages, "seconds": facts.seconds, "peak_memory_bytes": peak_memory() })
}

/// The largest resident memory of the process so far, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
