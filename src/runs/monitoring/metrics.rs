//! `metrics.prom`: how the last run went, for the text-file collector of Prometheus. Counts of subjects are those of the
//! audit, which leaves out what is small enough to point at someone.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::audit::{AUDIT, Audit};
use crate::runs::folder::RunFolder;
use crate::runs::ledger::{Event, Ledger};
use crate::storage::durable;

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
fn audit(run: &RunFolder) -> Option<Audit> {
    Audit::read(&run.path(AUDIT)).ok()
}

/// The audit of the run whose table was published last; nothing when the ledger does not hold, which is another's to report.
fn published(output: &Path, pipeline: &str) -> Option<Audit> {
    // Which one it is does not depend on the key; `verify` asks for it.
    let ledger = Ledger::open(output, None).ok()?;
    let mut lines =
        ledger.lines.iter().rev().filter(|l| l.entry.event == Event::Published && l.entry.pipeline == pipeline);
    lines.find_map(|line| audit(&RunFolder::of(output, &line.entry.run)))
}

fn of_audit(text: &mut Text, audit: &Audit) {
    text.family("last_run_info", "gauge", "Run, as-of date, model and program of the last run that was scored.");
    let of = &audit.provenance;
    let as_of = of.as_of.to_string();
    let labels = [("run", &of.run), ("as_of", &as_of), ("model", &of.model), ("program", &of.program)];
    text.sample("last_run_info", &labels.map(|(label, of)| (label, of.as_str())), 1);
    let coverage = &audit.coverage;
    text.gauge("subjects", "Subjects in the table.", coverage.subjects);
    if let Some(scored) = coverage.scored {
        text.gauge("subjects_scored", "Subjects with a score.", scored);
    }
    let statuses = coverage.statuses.iter().map(|s| (s.status.as_str(), s.subjects));
    counts(text, "subjects_by_status", "status", "Subjects by status; small counts are left out.", statuses);
    // Bands that are shown together have no number of their own.
    let bands = audit.scores.bands.iter().filter(|b| b.bands.len() == 1).map(|b| (b.bands[0].as_str(), b.subjects));
    counts(text, "subjects_by_band", "band", "Scored subjects by band; small counts are left out.", bands);
    if let Some(mean) = audit.scores.mean {
        text.gauge("score_mean", "Mean score.", mean);
    }
    if let Some(score) = audit.drift.as_ref().and_then(|d| d.score) {
        let help = "Population stability index of the score against the earlier published run.";
        text.gauge("score_psi", help, score.psi);
    }
    text.family("rows", "gauge", "Rows of the exports by table and class.");
    for (name, rows) in &audit.conservation {
        for (class, rows) in &rows.counts.classes {
            text.sample("rows", &[("table", name), ("class", class)], rows);
        }
        if rows.counts.multiplied > 0 {
            text.sample("rows", &[("table", name), ("class", "multiplied")], rows.counts.multiplied);
        }
    }
    text.family("newest_row_age_days", "gauge", "Days from the newest visible row of a table to the as-of date.");
    for (name, newest) in &audit.newest {
        if let Some(days) = newest.days_before {
            text.sample("newest_row_age_days", &[("table", name)], days);
        }
    }
    text.family("gate_passed", "gauge", "1 where a gate passed, 0 where it failed, accepted or not.");
    for verdict in &audit.gates {
        text.sample("gate_passed", &[("gate", &verdict.gate)], u8::from(verdict.passed));
    }
    text.family("stage_duration_seconds", "gauge", "How long each stage of the last run took.");
    for step in &audit.timings.stages {
        text.sample("stage_duration_seconds", &[("stage", &step.stage)], format!("{:.3}", step.seconds));
    }
    if let Some(bytes) = audit.timings.peak_memory_bytes {
        text.gauge("peak_memory_bytes", "Largest resident memory of the process.", bytes);
    }
}

/// Counts that are shown, by what they are of.
fn counts<'a>(
    text: &mut Text,
    name: &str,
    label: &str,
    help: &str,
    counts: impl Iterator<Item = (&'a str, Option<u64>)>,
) {
    text.family(name, "gauge", help);
    for (of, count) in counts {
        if let Some(count) = count {
            text.sample(name, &[(label, of)], count);
        }
    }
}
