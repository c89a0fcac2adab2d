//! What a person should see first: whether the table is good, what changed, and what needs a look.

use serde::Serialize;
use serde_json::Value;

use crate::output::thousands;
use crate::pipeline::marks::Marks;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to do.
    Good,
    /// Worth a look.
    Look,
    /// It stopped the publication, or would have.
    Bad,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub text: String,
    /// The section that tells more.
    pub section: &'static str,
}

/// The first screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct First {
    /// How it stands.
    pub level: Level,
    /// In one line.
    pub headline: String,
    /// What needs a look, the worst first.
    pub findings: Vec<Finding>,
    /// What changed since the earlier run.
    pub changes: Vec<String>,
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// How far a distribution moved: what chance alone does is no movement.
#[must_use]
pub fn moved(marks: &Marks, index: f64, by_chance: f64) -> Level {
    if index > marks.moved_far.max(by_chance) {
        Level::Bad
    } else if index > marks.moved.max(by_chance) {
        Level::Look
    } else {
        Level::Good
    }
}

/// Reads the first screen off an audit.
#[must_use]
pub fn first(audit: &Value, marks: &Marks) -> First {
    let mut findings = Vec::new();
    let mut find = |level, section, text: String| findings.push(Finding { level, text, section });
    let (mut failed, mut accepted) = (0, 0);
    for gate in rows(&audit["gates"]).filter(|g| g["passed"] == false) {
        let (name, message) = (word(&gate["gate"]), word(&gate["message"]));
        match gate["accepted"].as_str() {
            Some(because) => {
                accepted += 1;
                find(
                    Level::Look,
                    "gates",
                    format!("The gate {name} failed and was overridden because: {because}. It found: {message}."),
                );
            }
            None => {
                failed += 1;
                find(Level::Bad, "gates", format!("The gate {name} failed: {message}."));
            }
        }
    }
    let drift = &audit["drift"];
    if let (Some(psi), Some(chance)) = (drift["score"]["psi"].as_f64(), drift["score"]["by_chance"].as_f64())
        && moved(marks, psi, chance) > Level::Good
    {
        find(
            Level::Look,
            "drift",
            format!("Scores moved since the earlier run: PSI {psi:.3}, where chance stays below {chance:.3}."),
        );
    }
    let far: Vec<&str> = rows(&audit["features"])
        .filter(|f| {
            let drift = &f["drift"];
            drift["csi"]
                .as_f64()
                .is_some_and(|csi| moved(marks, csi, drift["by_chance"].as_f64().unwrap_or(0.0)) > Level::Good)
        })
        .map(|f| word(&f["feature"]))
        .collect();
    if !far.is_empty() {
        let named = far.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = if far.len() > 5 { format!(" and {} more", far.len() - 5) } else { String::new() };
        let text = format!("{} moved by more than chance: {named}{more}.", plural(far.len(), "feature"));
        find(Level::Look, "features", text);
    }
    for (table, rules) in audit["quarantine"].as_object().into_iter().flatten() {
        let count: u64 = rules.as_object().into_iter().flatten().filter_map(|(_, r)| r["rows"].as_u64()).sum();
        let rules: Vec<&str> = rules.as_object().into_iter().flatten().map(|(rule, _)| rule.as_str()).collect();
        let text = format!("{} rows of {table} are quarantined: {}.", thousands(count), rules.join(", "));
        find(Level::Look, "quarantine", text);
    }
    if audit["propagation"]["converged"] == false {
        find(Level::Bad, "propagation", "A round of propagation changed more than its bound allows.".to_owned());
    }
    let signals: Vec<String> = rows(&audit["fairness"]["columns"])
        .flat_map(|column| {
            let signal = |g: &&Value| rows(&g["approvals"]).any(|a| a["signal"] == true);
            rows(&column["groups"]).filter(signal).map(|g| format!("{} {}", word(&column["column"]), word(&g["group"])))
        })
        .collect();
    if !signals.is_empty() {
        let text = format!("Shares above a cut-off are too far below the best group's for {}.", signals.join(", "));
        find(Level::Look, "fairness", text);
    }
    for (table, count) in audit["disputes"]["by_table"].as_object().into_iter().flatten() {
        let lost = count["without_record"].as_u64().unwrap_or(0);
        if lost > 0 {
            find(
                Level::Look,
                "disputes",
                format!(
                    "{} about {table} match no visible record.",
                    plural(usize::try_from(lost).unwrap_or(0), "dispute")
                ),
            );
        }
    }
    if audit["coverage"]["scored"] == 0 {
        find(Level::Look, "coverage", "Nobody has a score.".to_owned());
    }
    let changes = changes(audit, marks, &mut find);
    findings.sort_by_key(|f| std::cmp::Reverse(f.level));
    let looks = findings.iter().filter(|f| f.level == Level::Look).count();
    let (level, headline) = match (failed, accepted, looks) {
        (0, 0, 0) => (Level::Good, "Every gate passed; nothing needs a look.".to_owned()),
        (0, 0, n) => (Level::Good, format!("Every gate passed; {} a look.", plural_verb(n, "thing", "needs", "need"))),
        (0, n, _) => (Level::Look, format!("Published although {} failed; the reason is below.", plural(n, "gate"))),
        (n, _, _) => {
            (Level::Bad, format!("Not published: {} failed. What was published before stays.", plural(n, "gate")))
        }
    };
    First { level, headline, findings, changes }
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn plural_verb(n: usize, what: &str, one: &str, many: &str) -> String {
    format!("{} {}", plural(n, what), if n == 1 { one } else { many })
}

/// What changed since the earlier run, a sentence each.
fn changes(audit: &Value, marks: &Marks, find: &mut dyn FnMut(Level, &'static str, String)) -> Vec<String> {
    let drift = &audit["drift"];
    if drift.is_null() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let (before, least) = (&drift["before"], audit["privacy"]["min_cell"].as_u64().unwrap_or(0));
    let count = |now: &Value, before: &Value, what: &str| -> Option<String> {
        let (now, before) = (now.as_u64()?, before.as_u64()?);
        let by = now.abs_diff(before);
        if by > 0 && by < least {
            return Some(format!("{what}: {} (fewer than {least} more or less)", thousands(now)));
        }
        let sign = if now >= before { "+" } else { "−" };
        Some(if by == 0 {
            format!("{what}: {} as before", thousands(now))
        } else {
            format!("{what}: {} ({sign}{})", thousands(now), thousands(by))
        })
    };
    changes.extend(count(&audit["coverage"]["subjects"], &before["subjects"], "subjects"));
    changes.extend(count(&audit["coverage"]["scored"], &before["scored"], "scored"));
    if let (Some(now), Some(then)) = (audit["scores"]["mean"].as_f64(), before["mean"].as_f64()) {
        changes.push(format!("mean score: {now:.1} ({:+.1})", now - then).replace('-', "−"));
    }
    if let (Some(psi), Some(chance)) = (drift["score"]["psi"].as_f64(), drift["score"]["by_chance"].as_f64()) {
        let verdict = match moved(marks, psi, chance) {
            Level::Good if psi <= chance => "no more than chance",
            Level::Good => "stable",
            Level::Look => "moved",
            Level::Bad => "moved far",
        };
        changes.push(format!("PSI of the score: {psi:.4}, {verdict}"));
    }
    for table in rows(&drift["inputs"]) {
        let name = word(&table["table"]);
        let number = |key: &str, at: usize| table[key][at].as_u64().unwrap_or_default();
        let (then, now) = (number("rows", 0), number("rows", 1));
        let sign = if now >= then { "+" } else { "−" };
        let mut text = format!("{name}: {} rows ({sign}{})", thousands(now), thousands(now.abs_diff(then)));
        let (old, new) = (number("files", 0), number("files", 1));
        if old != new {
            text += &format!(", {new} files instead of {old}");
        }
        let named = |key: &str| rows(&table[key]).map(word).collect::<Vec<_>>().join(", ");
        for (key, what) in [("gone", "gone"), ("new", "new"), ("columns_gone", "columns gone")] {
            let names = named(key);
            if !names.is_empty() {
                text += &format!("; {what}: {names}");
            }
        }
        changes.push(text);
        let change = if then > 0 { now as f64 / then as f64 - 1.0 } else { f64::from(u8::from(now > 0)) };
        if change.abs() >= marks.rows_changed {
            let text = format!("{name} has {:+.0} % rows compared with the earlier run.", 100.0 * change);
            find(Level::Look, "conservation", text.replace('-', "−"));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_chance_does_is_no_movement() {
        let marks = Marks::default();
        assert_eq!(
            (moved(&marks, 0.3, 0.4), moved(&marks, 0.3, 0.01), moved(&marks, 0.12, 0.01), moved(&marks, 0.05, 0.01)),
            (Level::Good, Level::Bad, Level::Look, Level::Good)
        );
    }

    #[test]
    fn the_worst_stands_first() {
        let gate = |passed: bool, accepted: Option<&str>| json!({ "gate": "max_psi", "passed": passed, "accepted": accepted, "message": "m" });
        let audit = json!({ "gates": [gate(true, None), gate(false, Some("known")), gate(false, None)], "propagation": { "converged": false } });
        let first = first(&audit, &Marks::default());
        assert_eq!((first.level, first.findings.len()), (Level::Bad, 3));
        assert!(first.headline.contains("1 gate failed") && first.findings[0].level == Level::Bad);
        assert_eq!(super::first(&json!({}), &Marks::default()).level, Level::Good);
    }
}
