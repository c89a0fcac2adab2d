//! An answer for a terminal or a letter.

use std::fmt::Write;

use super::parts::{Answer, Links, Named, OfRelease, OfRun, OwnRow};
use super::words::{Words, word};
use crate::explain::notice::in_language;
use crate::output::wrapped;

/// What is said of ties.
#[must_use]
pub fn links(links: &Links, words: &Words) -> String {
    let say = |name| word(&words.say, name);
    match links.count {
        Some(count) => say("links").replace("{count}", &count.to_string()),
        None => say("few_links").replace("{at_least}", &links.at_least.to_string()),
    }
}

/// What rows are held against.
#[must_use]
pub fn held_against(answer: &Answer, words: &Words) -> String {
    let text = word(&words.say, "held_against").replace("{as_of}", &answer.as_of.to_string());
    text.replace("{known_by}", &answer.known_by)
}

/// Writes it in a language for lines of a width.
#[must_use]
pub fn text(answer: &Answer, words: &Words, language: &str, width: usize) -> String {
    let say = |name| word(&words.say, name);
    let mut t = String::new();
    line(&mut t, 0, width, say("title"));
    line(&mut t, 0, width, &format!("{}: {}", say("subject"), answer.subject));
    line(&mut t, 0, width, &format!("{}: {}", say("asked"), answer.at));
    line(&mut t, 0, width, &held_against(answer, words));
    heading(&mut t, say("records"));
    line(&mut t, 0, width, say("records_about"));
    for table in &answer.tables {
        let _ = writeln!(t, "\n{} ({})", word(&words.table, &table.table), table.table);
        table.rows.iter().for_each(|row| own(&mut t, row, words, width));
    }
    heading(&mut t, say("links_title"));
    line(&mut t, 0, width, &links(&answer.links, words));
    heading(&mut t, say("runs"));
    line(&mut t, 0, width, say(if answer.runs.is_empty() { "none" } else { "runs_about" }));
    answer.runs.iter().for_each(|run| of_run(&mut t, run, words, language, width));
    heading(&mut t, say("releases"));
    if answer.releases.is_empty() {
        line(&mut t, 0, width, say("releases_none"));
    }
    answer.releases.iter().for_each(|release| of_release(&mut t, release, words, width));
    t
}

fn heading(t: &mut String, text: &str) {
    let _ = writeln!(t, "\n{text}\n{}", "=".repeat(text.chars().count()));
}

fn line(t: &mut String, indent: usize, width: usize, text: &str) {
    let _ = writeln!(t, "{}", wrapped(&format!("{}{text}", " ".repeat(indent)), indent, width));
}

fn all(values: &[Named]) -> String {
    values.iter().map(|v| format!("{} {}", v.name, v.value)).collect::<Vec<_>>().join("; ")
}

fn own(t: &mut String, row: &OwnRow, words: &Words, width: usize) {
    let say = |name| word(&words.say, name);
    let rule = row.rule.map_or_else(String::new, |rule| {
        let column = row.column.as_deref().unwrap_or_default();
        format!("; {}: {} ({column})", say("breaks"), word(&words.rule, rule))
    });
    let standing = word(&words.standing, row.standing.name());
    line(t, 2, width, &format!("{}, {} {}: {standing}{rule}", row.file, say("row"), row.row));
    line(t, 6, width, &all(&row.values));
}

fn of_run(t: &mut String, run: &OfRun, words: &Words, language: &str, width: usize) {
    let say = |name| word(&words.say, name);
    let state = word(&words.state, run.state);
    let _ = writeln!(t);
    line(t, 0, width, &format!("{}  {}  {}  {state}", run.as_of, run.model, run.run));
    line(t, 2, width, &format!("{}: {}", say("score"), all(&run.score)));
    if !run.kept {
        line(t, 2, width, say("run_removed"));
    }
    for (category, features) in &run.features {
        line(t, 2, width, &format!("{} {category}: {}", say("features"), all(features)));
    }
    for reason in &run.reasons {
        let text = in_language(&reason.text, language).map_or("", String::as_str);
        line(t, 2, width, &format!("{} {}: {text}", say("reasons"), reason.code));
    }
    for r in &run.records {
        let number = |of: Option<i64>| of.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (late, amount) = (number(r.days_past_due.map(i64::from)), number(r.amount_minor));
        let policy = r.policy.as_deref().unwrap_or("-");
        let record = format!(
            "{} {} {} days_past_due {late} amount_minor {amount} policy {policy}",
            r.happened_on, r.table, r.record_id
        );
        line(t, 2, width, &format!("{}: {record}", say("against")));
    }
    if !run.friends.is_empty() {
        line(t, 2, width, &format!("{}: {}", say("friends"), all(&run.friends)));
    }
}

fn of_release(t: &mut String, release: &OfRelease, words: &Words, width: usize) {
    let say = |name| word(&words.say, name);
    let _ = writeln!(t);
    line(t, 0, width, &format!("{}  {}  {} {}", release.partner, release.as_of, say("given_at"), release.at));
    if let Some(why) = release.unknown {
        let columns = release.columns.join(", ");
        line(t, 2, width, &format!("{} {columns}", word(&words.unknown, why.name())));
        return;
    }
    line(t, 2, width, &format!("{}: {}", say("told"), all(&release.values)));
    line(t, 2, width, &format!("{}: {}", say("pseudonym"), release.pseudonym.as_deref().unwrap_or_default()));
    if release.withdrawn {
        line(t, 2, width, say("forget"));
    }
}
