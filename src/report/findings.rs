//! What a person should see first: whether the table is good, what changed, and what needs a look.

use serde::Serialize;

use crate::audit::Audit;
use crate::audit::drift::Drift;
use crate::audit::features::FeatureBins;
use crate::gates::loss::TableChange;
use crate::gates::verdicts::Verdict;
use crate::output::thousands;
use crate::pipeline::marks::Marks;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Nothing to do.
    Good,
    /// Worth a look.
    Look,
    /// It stopped the publication, or would have.
    Bad,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub text: String,
    /// The section that tells more.
    pub section: &'static str,
}

/// The first screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct First {
    /// How it stands.
    pub level: Level,
    /// In one line.
    pub headline: String,
    /// What needs a look, the worst first.
    pub findings: Vec<Finding>,
    /// What changed since the earlier run.
    pub changes: Vec<String>,
}

/// How far a distribution moved: what chance alone does is no movement.
#[must_use]
pub(super) fn moved(marks: &Marks, index: f64, by_chance: f64) -> Level {
    if index > marks.moved_far.max(by_chance) {
        Level::Bad
    } else if index > marks.moved.max(by_chance) {
        Level::Look
    } else {
        Level::Good
    }
}

/// Adds a finding: how much it matters, its section, and what it is.
type Find<'a> = dyn FnMut(Level, &'static str, String) + 'a;

/// Reads the first screen off an audit.
#[must_use]
pub(super) fn first(audit: &Audit) -> First {
    let mut findings = Vec::new();
    let mut find = |level, section, text: String| findings.push(Finding { level, text, section });
    let (failed, accepted) = gates(audit, &mut find);
    moves(audit, &mut find);
    for (table, rules) in &audit.quarantine {
        let count: u64 = rules.values().map(|broken| broken.rows).sum();
        let rules: Vec<&str> = rules.keys().map(String::as_str).collect();
        let text = format!("{} rows of {table} are quarantined: {}.", thousands(count), rules.join(", "));
        find(Level::Look, "quarantine", text);
    }
    if audit.propagation.as_ref().is_some_and(|p| !p.converged) {
        find(Level::Bad, "propagation", "A round of propagation changed more than its bound allows.".to_owned());
    }
    let columns = audit.fairness.iter().flat_map(|f| &f.columns);
    let signals: Vec<String> = columns
        .flat_map(|column| {
            let signal = column.groups.iter().filter(|group| group.approvals.iter().any(|a| a.signal));
            signal.map(|group| format!("{} {}", column.column, group.group))
        })
        .collect();
    if !signals.is_empty() {
        let text = format!("Shares above a cut-off are too far below the best group's for {}.", signals.join(", "));
        find(Level::Look, "fairness", text);
    }
    for (table, count) in audit.disputes.by_table.iter().filter(|(_, count)| count.without_record > 0) {
        let text = format!("{} about {table} match no visible record.", plural(count.without_record, "dispute"));
        find(Level::Look, "disputes", text);
    }
    if audit.coverage.scored == Some(0) {
        find(Level::Look, "coverage", "Nobody has a score.".to_owned());
    }
    let changes = audit.drift.as_ref().map_or_else(Vec::new, |drift| changes(audit, drift, &mut find));
    findings.sort_by_key(|f| std::cmp::Reverse(f.level));
    let looks = findings.iter().filter(|f| f.level == Level::Look).count() as u64;
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

/// Gates that failed, and those of them that were overridden.
fn gates(audit: &Audit, find: &mut Find) -> (u64, u64) {
    let (mut failed, mut accepted) = (0, 0);
    for Verdict { gate, message, accepted: because, .. } in audit.gates.iter().filter(|g| !g.passed) {
        match because {
            Some(because) => {
                accepted += 1;
                let text =
                    format!("The gate {gate} failed and was overridden because: {because}. It found: {message}.");
                find(Level::Look, "gates", text);
            }
            None => {
                failed += 1;
                find(Level::Bad, "gates", format!("The gate {gate} failed: {message}."));
            }
        }
    }
    (failed, accepted)
}

/// What moved by more than chance.
fn moves(audit: &Audit, find: &mut Find) {
    let marks = &audit.marks;
    if let Some(score) = audit.drift.as_ref().and_then(|d| d.score)
        && moved(marks, score.psi, score.by_chance) > Level::Good
    {
        let (psi, chance) = (score.psi, score.by_chance);
        let text = format!("Scores moved since the earlier run: PSI {psi:.3}, where chance stays below {chance:.3}.");
        find(Level::Look, "drift", text);
    }
    let is_far = |f: &&FeatureBins| f.drift.as_ref().is_some_and(|d| moved(marks, d.csi, d.by_chance) > Level::Good);
    let far: Vec<&str> = audit.features.iter().filter(is_far).map(|f| f.feature.as_str()).collect();
    if !far.is_empty() {
        let named = far.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = if far.len() > 5 { format!(" and {} more", far.len() - 5) } else { String::new() };
        let text = format!("{} moved by more than chance: {named}{more}.", plural(far.len() as u64, "feature"));
        find(Level::Look, "features", text);
    }
}

fn plural(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn plural_verb(n: u64, what: &str, one: &str, many: &str) -> String {
    format!("{} {}", plural(n, what), if n == 1 { one } else { many })
}

/// What changed since the earlier run, a sentence each.
fn changes(audit: &Audit, drift: &Drift, find: &mut Find) -> Vec<String> {
    let (marks, before, min_cell) = (&audit.marks, &drift.before, audit.privacy.min_cell);
    let count = |now: u64, before: u64, what: &str| {
        let by = now.abs_diff(before);
        let sign = if now >= before { "+" } else { "−" };
        match by {
            0 => format!("{what}: {} as before", thousands(now)),
            by if by < min_cell => format!("{what}: {} (fewer than {min_cell} more or less)", thousands(now)),
            by => format!("{what}: {} ({sign}{})", thousands(now), thousands(by)),
        }
    };
    let mut changes = Vec::new();
    changes.extend(before.subjects.map(|before| count(audit.coverage.subjects, before, "subjects")));
    changes.extend(audit.coverage.scored.zip(before.scored).map(|(now, before)| count(now, before, "scored")));
    if let (Some(now), Some(then)) = (audit.scores.mean, before.mean) {
        changes.push(format!("mean score: {now:.1} ({:+.1})", now - then).replace('-', "−"));
    }
    if let Some(score) = drift.score {
        let verdict = match moved(marks, score.psi, score.by_chance) {
            Level::Good if score.psi <= score.by_chance => "no more than chance",
            Level::Good => "stable",
            Level::Look => "moved",
            Level::Bad => "moved far",
        };
        changes.push(format!("PSI of the score: {:.4}, {verdict}", score.psi));
    }
    for table in &drift.inputs {
        changes.push(of_table(table));
        let (name, [then, now]) = (&table.table, table.rows);
        let change = if then > 0 { now as f64 / then as f64 - 1.0 } else { f64::from(u8::from(now > 0)) };
        if change.abs() >= marks.rows_changed {
            let text = format!("{name} has {:+.0} % rows compared with the earlier run.", 100.0 * change);
            find(Level::Look, "conservation", text.replace('-', "−"));
        }
    }
    changes
}

/// What changed of a table's rows, files and columns.
fn of_table(table: &TableChange) -> String {
    let [then, now] = table.rows;
    let sign = if now >= then { "+" } else { "−" };
    let mut text = format!("{}: {} rows ({sign}{})", table.table, thousands(now), thousands(now.abs_diff(then)));
    let [old, new] = table.files;
    if old != new {
        text += &format!(", {new} files instead of {old}");
    }
    for (names, what) in [(&table.gone, "gone"), (&table.new, "new"), (&table.columns_gone, "columns gone")] {
        if !names.is_empty() {
            text += &format!("; {what}: {}", names.join(", "));
        }
    }
    text
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
        let gate = |passed: bool, accepted: Option<&str>| json!({ "gate": "max_psi", "passed": passed, "measured": null, "limit": 0.25, "accepted": accepted, "message": "m" });
        let mut audit: Audit = serde_json::from_str(include_str!("../../tests/files/audit_of_nobody.json")).unwrap();
        assert_eq!(first(&audit).level, Level::Good);
        audit.gates =
            serde_json::from_value(json!([gate(true, None), gate(false, Some("known")), gate(false, None)])).unwrap();
        audit.disputes.by_table.entry("repayments".to_owned()).or_default().without_record = 2;
        let first = first(&audit);
        assert_eq!((first.level, first.findings.len()), (Level::Bad, 3));
        assert!(first.headline.contains("1 gate failed") && first.findings[0].level == Level::Bad);
    }
}
