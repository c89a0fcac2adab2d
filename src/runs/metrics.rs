//! `metrics.prom`: how the last run went, for the text-file collector of Prometheus. Counts of subjects are those of the
//! audit, which leaves out what is small enough to point at someone.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::folder::{AUDIT, RunFolder};
use super::ledger::{Event, Ledger};
use crate::storage::durable;
use crate::storage::read;

/// How a run went.
pub struct Outcome<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The process's exit status.
    pub exit: u8,
    /// Seconds it took.
    pub seconds: f64,
    /// The run, if there was one.
    pub of: Option<&'a RunFolder>,
}

struct Text<'a> {
    text: String,
    pipeline: &'a str,
}

impl Text<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP sesame_{name} {help}\n# TYPE sesame_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "sesame_{name}{{pipeline=\"{}\"", escaped(self.pipeline));
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.text, "}} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writes the metrics of a run into the output folder.
///
/// # Errors
/// When the disk is full.
pub fn write(output: &Path, outcome: &Outcome) -> Result<()> {
    let mut text = Text { text: String::new(), pipeline: outcome.pipeline };
    let now = jiff::Timestamp::now().as_second();
    text.gauge("last_run_end_timestamp_seconds", "When the last run ended.", now);
    text.gauge("last_run_exit_code", "Exit code of the last run; 0 is published or nothing to do.", outcome.exit);
    text.gauge("last_run_duration_seconds", "How long the last run took.", format!("{:.3}", outcome.seconds));
    // A run that did not come so far leaves what is published, and so what is said of it.
    let own = outcome.of.and_then(audit);
    if let Some(audit) = own.or_else(|| published(output, outcome.pipeline)) {
        of_audit(&mut text, &audit);
    }
    durable::replace(&output.join("metrics.prom"), text.text.as_bytes())
}

/// The audit of a run, when it came so far.
fn audit(run: &RunFolder) -> Option<Value> {
    serde_json::from_str(&read::text(&run.path(AUDIT)).ok()?).ok()
}

/// The audit of the run whose table was published last; nothing when the ledger does not hold, which is another's to report.
fn published(output: &Path, pipeline: &str) -> Option<Value> {
    // Which one it is does not depend on the key; `verify` asks for it.
    let ledger = Ledger::open(output, None).ok()?;
    let mut lines =
        ledger.lines.iter().rev().filter(|l| l.entry.event == Event::Published && l.entry.pipeline == pipeline);
    lines.find_map(|line| audit(&RunFolder::of(output, &line.entry.run)))
}

fn of_audit(text: &mut Text, audit: &Value) {
    let known = |v: &Value| v.as_f64();
    text.family("last_run_info", "gauge", "Run, as-of date, model and program of the last run that was scored.");
    let p = &audit["provenance"];
    let word = |key: &str| p[key].as_str().unwrap_or_default().to_owned();
    let (run, as_of, model, program) = (word("run"), word("as_of"), word("model"), word("program"));
    text.sample("last_run_info", &[("run", &run), ("as_of", &as_of), ("model", &model), ("program", &program)], 1);
    let coverage = &audit["coverage"];
    for (name, help) in [("subjects", "Subjects in the table."), ("scored", "Subjects with a score.")] {
        if let Some(value) = known(&coverage[name]) {
            text.gauge(if name == "subjects" { "subjects" } else { "subjects_scored" }, help, value);
        }
    }
    table(
        text,
        "subjects_by_status",
        "status",
        "Subjects by status; small counts are left out.",
        &coverage["statuses"],
    );
    table(
        text,
        "subjects_by_band",
        "bands",
        "Scored subjects by band; small counts are left out.",
        &audit["scores"]["bands"],
    );
    if let Some(mean) = known(&audit["scores"]["mean"]) {
        text.gauge("score_mean", "Mean score.", mean);
    }
    if let Some(psi) = known(&audit["drift"]["score"]["psi"]) {
        text.gauge("score_psi", "Population stability index of the score against the earlier published run.", psi);
    }
    text.family("rows", "gauge", "Rows of the exports by table and class.");
    for (name, classes) in audit["conservation"].as_object().into_iter().flatten() {
        for (class, rows) in classes.as_object().into_iter().flatten().filter(|(c, _)| c.as_str() != "rows") {
            if let Some(rows) = rows.as_u64() {
                text.sample("rows", &[("table", name), ("class", class)], rows);
            }
        }
    }
    text.family("newest_row_age_days", "gauge", "Days from the newest visible row of a table to the as-of date.");
    for (name, newest) in audit["newest"].as_object().into_iter().flatten() {
        if let Some(days) = newest["days_before"].as_i64() {
            text.sample("newest_row_age_days", &[("table", name)], days);
        }
    }
    text.family("gate_passed", "gauge", "1 where a gate passed, 0 where it failed, accepted or not.");
    for gate in audit["gates"].as_array().into_iter().flatten() {
        let passed = u8::from(gate["passed"].as_bool().unwrap_or(false));
        text.sample("gate_passed", &[("gate", gate["gate"].as_str().unwrap_or_default())], passed);
    }
    text.family("stage_duration_seconds", "gauge", "How long each stage of the last run took.");
    for stage in audit["timings"]["stages"].as_array().into_iter().flatten() {
        if let (Some(name), Some(seconds)) = (stage["stage"].as_str(), stage["seconds"].as_f64()) {
            text.sample("stage_duration_seconds", &[("stage", name)], format!("{seconds:.3}"));
        }
    }
    if let Some(bytes) = audit["timings"]["peak_memory_bytes"].as_u64() {
        text.gauge("peak_memory_bytes", "Largest resident memory of the process.", bytes);
    }
}

/// Counts by the value of a key of each row.
fn table(text: &mut Text, name: &str, label: &str, help: &str, counts: &Value) {
    text.family(name, "gauge", help);
    for row in counts.as_array().into_iter().flatten() {
        // Bands that are shown together have no number of their own.
        let of = match &row[label] {
            Value::Array(one) if one.len() == 1 => one[0].as_str(),
            of => of.as_str(),
        };
        if let (Some(of), Some(count)) = (of, row["subjects"].as_u64()) {
            text.sample(name, &[(if label == "bands" { "band" } else { label }, of)], count);
        }
    }
}
