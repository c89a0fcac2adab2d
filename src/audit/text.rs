//! What a run says when it ends: a few lines for a person, and facts for programs that read the log.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Audit;
use crate::output::thousands;

/// A few lines.
#[must_use]
pub fn text(audit: &Audit) -> String {
    let mut text = String::new();
    let (of, coverage) = (&audit.provenance, &audit.coverage);
    let _ = writeln!(text, "\n{} as of {}, model {}", of.pipeline, of.as_of, of.model);
    let subjects = coverage.subjects;
    let _ = match coverage.scored {
        Some(scored) => {
            let share = 100.0 * scored as f64 / subjects.max(1) as f64;
            writeln!(text, "  {} subjects, {} scored ({share:.1} %)", thousands(subjects), thousands(scored))
        }
        None => writeln!(text, "  {} subjects, too few of them scored or not scored to tell", thousands(subjects)),
    };
    text += &line("statuses", coverage.statuses.iter().map(|s| (s.status.clone(), s.subjects)));
    text += &line("segments", coverage.segments.iter().map(|s| (s.segment.clone(), s.subjects)));
    text += &line("bands", audit.scores.bands.iter().map(|b| (b.bands.join(" to "), b.subjects)));
    for (table, rules) in &audit.quarantine {
        let parts: Vec<String> = rules.iter().map(|(rule, broken)| format!("{rule} {}", broken.rows)).collect();
        let _ = writeln!(text, "  quarantined {table}: {}", parts.join(", "));
    }
    for (table, count) in &audit.disputes.by_table {
        if count.without_record > 0 || count.of_several_subjects > 0 {
            let _ = writeln!(
                text,
                "  disputes about {table}: {} of {} match no visible record, {} match records of several subjects",
                count.without_record, count.disputes, count.of_several_subjects
            );
        }
    }
    friends(&mut text, audit);
    if let Some(quality) = &audit.quality {
        let ranking = &quality.main.ranking;
        let auc = ranking.auc;
        let (low, high) = (ranking.auc_low.unwrap_or(auc), ranking.auc_high.unwrap_or(auc));
        let _ = writeln!(text, "  against outcomes: AUC {auc:.4} ({low:.4} to {high:.4}), KS {:.4}", ranking.ks);
    }
    for verdict in &audit.gates {
        let mark = match (verdict.passed, &verdict.accepted) {
            (true, _) => "passed",
            (false, Some(_)) => "FAILED, accepted",
            (false, None) => "FAILED",
        };
        let found = verdict.measured.map_or_else(|| verdict.message.clone(), |m| format!("{m:.4}"));
        let _ = writeln!(text, "  gate {} {mark}: {found} (limit {})", verdict.gate, verdict.limit);
    }
    let _ = write!(text, "  {:.1} s, run {}", audit.timings.seconds, of.run);
    text
}

fn friends(text: &mut String, audit: &Audit) {
    let Some(propagation) = &audit.propagation else { return };
    let _ = write!(text, "  friends    {} links", thousands(propagation.links));
    if let Some(counted) = propagation.counted_subjects {
        let _ = write!(text, " between {} subjects", thousands(counted));
    }
    if let Some(neutral) = propagation.neutral_share {
        let _ = write!(text, "; {:.1} % neutral", 100.0 * neutral);
    }
    let quantile = |name: &str| propagation.lift.quantiles.get(name).copied().flatten();
    if let (Some(low), Some(high)) = (quantile("p05"), quantile("p95")) {
        let _ = write!(text, ", the others moved by {low} to {high} points (5 % to 95 %)");
    }
    text.push('\n');
}

/// Names with their counts; what is hidden is said to be.
fn line(title: &str, rows: impl Iterator<Item = (String, Option<u64>)>) -> String {
    let shown = rows
        .filter(|(_, subjects)| *subjects != Some(0))
        .map(|(name, subjects)| format!("{name} {}", subjects.map_or_else(|| "hidden".into(), thousands)));
    format!("  {title:<10} {}\n", shown.collect::<Vec<_>>().join(", "))
}

/// A message with its facts for the result, each quarantine and each gate.
#[must_use]
pub fn events(audit: &Audit) -> Vec<(String, Vec<(&'static str, Value)>)> {
    let (of, coverage) = (&audit.provenance, &audit.coverage);
    let mut events = vec![(
        "scored".to_owned(),
        vec![
            ("event", json!("scored")),
            ("as_of", json!(of.as_of)),
            ("model", json!(of.model)),
            ("subjects", json!(coverage.subjects)),
            ("scored", json!(coverage.scored)),
            ("mean", json!(audit.scores.mean)),
            ("psi", json!(audit.drift.as_ref().and_then(|d| d.score).map(|s| s.psi))),
        ],
    )];
    for (table, rules) in &audit.quarantine {
        for (rule, broken) in rules {
            let facts = vec![
                ("event", json!("quarantined")),
                ("table", json!(table)),
                ("rule", json!(rule)),
                ("rows", json!(broken.rows)),
            ];
            events.push(("quarantined".to_owned(), facts));
        }
    }
    for verdict in &audit.gates {
        let facts = vec![
            ("event", json!("gate")),
            ("gate", json!(verdict.gate)),
            ("passed", json!(verdict.passed)),
            ("measured", json!(verdict.measured)),
            ("limit", json!(verdict.limit)),
            ("accepted", json!(verdict.accepted)),
        ];
        events.push((verdict.message.clone(), facts));
    }
    events
}
