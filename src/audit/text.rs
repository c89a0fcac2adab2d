//! The summary that a person reads when the run ends.

use std::fmt::Write;

use serde_json::Value;

use super::Facts;
use crate::output::thousands;

/// A few lines.
pub fn text(facts: &Facts, json: &Value) -> String {
    let mut text = String::new();
    let subjects = facts.subjects();
    let _ = writeln!(
        text,
        "\n{} as of {}, model {}",
        facts.job.pipeline.settings.name, facts.label.as_of, facts.label.model
    );
    let _ = match json["coverage"]["scored"].as_u64() {
        Some(scored) => {
            let share = 100.0 * scored as f64 / subjects.max(1) as f64;
            writeln!(text, "  {} subjects, {} scored ({share:.1} %)", thousands(subjects), thousands(scored))
        }
        None => writeln!(text, "  {} subjects, too few of them scored or not scored to tell", thousands(subjects)),
    };
    text += &line("statuses", &json["coverage"]["statuses"], "status");
    text += &line("segments", &json["coverage"]["segments"], "segment");
    text += &line("bands", &json["scores"]["bands"], "bands");
    for (table, rules) in json["quarantine"].as_object().into_iter().flatten() {
        let parts = rules.as_object().into_iter().flatten().map(|(rule, v)| format!("{rule} {}", v["rows"]));
        let _ = writeln!(text, "  quarantined {table}: {}", parts.collect::<Vec<_>>().join(", "));
    }
    for (table, count) in &facts.data.disputes {
        if count.without_record > 0 || count.of_several_subjects > 0 {
            let _ = writeln!(
                text,
                "  disputes about {table}: {} of {} match no visible record, {} match records of several subjects",
                count.without_record, count.disputes, count.of_several_subjects
            );
        }
    }
    if let Some(friends) = facts.friends {
        let propagation = &json["propagation"];
        let _ = write!(text, "  friends    {} links", thousands(friends.links));
        if let Some(counted) = propagation["counted_subjects"].as_u64() {
            let _ = write!(text, " between {} subjects", thousands(counted));
        }
        if let Some(neutral) = propagation["neutral_share"].as_f64() {
            let _ = write!(text, "; {:.1} % neutral", 100.0 * neutral);
        }
        let quantiles = &propagation["lift"]["quantiles"];
        if let (Some(low), Some(high)) = (quantiles["p05"].as_i64(), quantiles["p95"].as_i64()) {
            let _ = write!(text, ", the others moved by {low} to {high} points (5 % to 95 %)");
        }
        text.push('\n');
    }
    if let Some(auc) = json["quality"]["auc"].as_f64() {
        let number = |key: &str| json["quality"][key].as_f64().unwrap_or(auc);
        let _ = writeln!(
            text,
            "  against outcomes: AUC {auc:.4} ({:.4} to {:.4}), KS {:.4}",
            number("auc_low"),
            number("auc_high"),
            number("ks")
        );
    }
    for verdict in facts.verdicts {
        let mark = match (verdict.passed, &verdict.accepted) {
            (true, _) => "passed",
            (false, Some(_)) => "FAILED, accepted",
            (false, None) => "FAILED",
        };
        let found = verdict.measured.map_or_else(|| verdict.message.clone(), |m| format!("{m:.4}"));
        let _ = writeln!(text, "  gate {} {mark}: {found} (limit {})", verdict.gate, verdict.limit);
    }
    let _ = write!(text, "  {:.1} s, run {}", facts.seconds, facts.run);
    text
}

/// The same for programs that read the log: a message with its facts for the result, each quarantine and each gate.
#[must_use]
pub fn events(audit: &Value) -> Vec<(String, Vec<(&'static str, Value)>)> {
    let (coverage, drift) = (&audit["coverage"], &audit["drift"]["score"]);
    let mut events = vec![(
        "scored".to_owned(),
        vec![
            ("event", Value::from("scored")),
            ("as_of", audit["provenance"]["as_of"].clone()),
            ("model", audit["provenance"]["model"].clone()),
            ("subjects", coverage["subjects"].clone()),
            ("scored", coverage["scored"].clone()),
            ("mean", audit["scores"]["mean"].clone()),
            ("psi", drift["psi"].clone()),
        ],
    )];
    for (table, rules) in audit["quarantine"].as_object().into_iter().flatten() {
        for (rule, of) in rules.as_object().into_iter().flatten() {
            let facts = vec![
                ("event", Value::from("quarantined")),
                ("table", Value::from(table.as_str())),
                ("rule", Value::from(rule.as_str())),
                ("rows", of["rows"].clone()),
            ];
            events.push(("quarantined".to_owned(), facts));
        }
    }
    for gate in audit["gates"].as_array().into_iter().flatten() {
        let keys = ["gate", "passed", "measured", "limit", "accepted"];
        let facts = keys.map(|key| (key, gate[key].clone()));
        let message = gate["message"].as_str().unwrap_or_default().to_owned();
        events.push((message, std::iter::once(("event", Value::from("gate"))).chain(facts).collect()));
    }
    events
}

/// Rows of names with their counts; what is hidden is said to be.
fn line(title: &str, rows: &Value, key: &str) -> String {
    let name = |row: &Value| match &row[key] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" to "),
        name => name.as_str().unwrap_or_default().to_owned(),
    };
    let rows = rows.as_array().into_iter().flatten().filter(|row| row["subjects"].as_u64() != Some(0));
    let shown = rows
        .map(|row| format!("{} {}", name(row), row["subjects"].as_u64().map_or_else(|| "hidden".into(), thousands)));
    format!("  {title:<10} {}\n", shown.collect::<Vec<_>>().join(", "))
}
