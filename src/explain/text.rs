//! An explanation for a terminal.

use std::fmt::Write;

use super::notice::in_language;
use super::parts::{CategoryLine, Explanation, FeatureLine, Scored};
use crate::output::{thousands, wrapped};
use crate::tables::evidence::Record;

/// Columns that the table of features takes; on fewer, each feature has lines of its own.
const WIDE: usize = 112;

/// Writes it for a terminal of a width; the texts of reasons in a language.
#[must_use]
pub fn text(it: &Explanation, language: &str, width: usize) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "subject    {}", it.subject);
    let run = format!("run        {}  as of {}, model {}", it.run, it.as_of, it.model);
    let _ = writeln!(t, "{}", wrapped(&run, 11, width));
    let _ = writeln!(t, "segment    {}, status {}, confidence {:.3}", it.segment, it.status, it.confidence);
    match &it.scored {
        Some(scored) => of_scored(&mut t, it, scored, width),
        None => {
            let _ = writeln!(t, "score      none");
        }
    }
    if !it.reasons.is_empty() {
        let _ = writeln!(t, "\nreasons");
        for reason in &it.reasons {
            let said = |texts| in_language(texts, language).map_or("", String::as_str);
            let _ = writeln!(t, "{}", wrapped(&format!("  {:<4} {}", reason.code, said(&reason.text)), 7, width));
            let _ = writeln!(t, "{}", wrapped(&format!("       {}", said(&reason.advice)), 7, width));
        }
    }
    if it.disputed_records > 0 {
        let with = it.scored.as_ref().and_then(|s| s.with_disputed);
        let with = with.map_or_else(String::new, |s| format!("; with them the score would be {s}"));
        let _ = writeln!(t, "\n{} disputed records do not count{with}", it.disputed_records);
    }
    records(&mut t, it, width);
    t
}

fn of_scored(t: &mut String, it: &Explanation, s: &Scored, width: usize) {
    let next =
        s.next_band.as_ref().map_or_else(String::new, |(band, points)| format!(", {points} points below {band}"));
    let _ = writeln!(t, "score      {} of {} to {}: {}{next}", s.score, it.low, it.high, s.band);
    let _ = writeln!(t, "rank       {}, percentile {}", thousands(s.rank), s.percentile);
    if let Some(p) = &s.pd {
        let _ = writeln!(t, "pd         {:.2} % within {} days", 100.0 * p.pd, p.horizon_days);
    }
    let wide = width >= WIDE;
    match wide {
        true => {
            let _ = writeln!(
                t,
                "\n{:<32} {:>22} {:>16} {:>7} {:>6} {:>8}  next better bin",
                "feature", "value", "bin", "points", "best", "short by"
            );
        }
        false => drop(writeln!(t, "\n{:<42} {:>7} {:>6}", "feature", "points", "best")),
    }
    for category in &s.categories {
        of_category(t, category, wide);
        if let (true, Some(r)) = (category.features.is_empty(), &s.relationships) {
            let friends = format!(
                "  {} friends count; they move the score by {:+} points; {} tenths of their mean is everyone's",
                r.friends, r.lift_points, r.anchor_tenths
            );
            let _ = writeln!(t, "{}", wrapped(&friends, 2, width));
        }
    }
    // Up to the column of points.
    let before = if wide { 72 } else { 42 };
    let _ = writeln!(t, "{:<before$} {:>7}", "lowest score", it.low);
    let _ = writeln!(t, "{:<before$} {:>7}", "sum", s.sum);
    let short = format!("(short by: points less than {}, where reasons come from; negative is more)", it.baseline);
    let _ = writeln!(t, "{}", wrapped(&short, 1, width));
    if let Some(policy) = &s.policy {
        let _ = writeln!(t, "{:<before$} {:>7}", policy.code, s.score);
        let _ = writeln!(t, "{}", wrapped(&format!("  {}", policy.about), 2, width));
    }
}

fn of_category(t: &mut String, c: &CategoryLine, wide: bool) {
    let weight = format!("weight {:.0} %", 100.0 * c.weight);
    let title = c.title.to_uppercase();
    let _ = match wide {
        true => writeln!(t, "{title:<32} {weight:>22} {:>16} {:>7} {:>6}", "", c.points, c.max),
        false => writeln!(t, "{title:<30} {weight:>11} {:>7} {:>6}", c.points, c.max),
    };
    c.features.iter().for_each(|f| if wide { of_feature(t, f) } else { of_feature_in_lines(t, f) });
}

/// A feature on a narrow terminal.
fn of_feature_in_lines(t: &mut String, f: &FeatureLine) {
    let _ = writeln!(t, "  {:<40} {:>7} {:>6.1}", f.feature, f.points, f.best);
    let _ = writeln!(t, "      {} in {}, short by {:.1}", f.shown, f.bin, f.short);
    if let Some(next) = &f.next {
        let _ = writeln!(t, "      {} gives {:+.1}", next.bin, next.points);
    }
}

fn of_feature(t: &mut String, f: &FeatureLine) {
    let next = f.next.as_ref().map_or_else(String::new, |n| format!("  {} gives {:+.1}", n.bin, n.points));
    let _ = writeln!(
        t,
        "  {:<30} {:>22} {:>16} {:>7} {:>6.1} {:>8.1}{next}",
        f.feature, f.shown, f.bin, f.points, f.best, f.short
    );
}

fn records(t: &mut String, it: &Explanation, width: usize) {
    if it.records.is_empty() {
        return;
    }
    let _ = writeln!(t, "\nrecords that count against the subject, which it can dispute");
    if width < WIDE {
        return it.records.iter().for_each(|r| record_in_lines(t, r));
    }
    let _ = writeln!(
        t,
        "  {:<12} {:<18} {:<26} {:>9} {:>16}  policy",
        "happened on", "table", "record", "days late", "amount, minor"
    );
    for r in &it.records {
        let days = r.days_past_due.map_or_else(String::new, |d| d.to_string());
        let amount = r.amount_minor.map_or_else(String::new, |a| a.to_string());
        let policy = r.policy.clone().unwrap_or_default();
        let line =
            format!("  {:<12} {:<18} {:<26} {days:>9} {amount:>16}  {policy}", r.happened_on, r.table, r.record_id);
        let _ = writeln!(t, "{}", line.trim_end());
    }
}

/// A record on a narrow terminal.
fn record_in_lines(t: &mut String, r: &Record) {
    let _ = writeln!(t, "  {} {} {}", r.happened_on, r.table, r.record_id);
    let days = r.days_past_due.map(|d| format!("{d} days late"));
    let amount = r.amount_minor.map(|a| format!("{a} minor units"));
    let facts: Vec<String> = [days, amount, r.policy.clone()].into_iter().flatten().collect();
    if !facts.is_empty() {
        let _ = writeln!(t, "      {}", facts.join(", "));
    }
}
