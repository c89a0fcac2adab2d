//! An explanation for a terminal.

use std::fmt::Write;

use super::notice::in_language;
use super::parts::{CategoryLine, Explanation, FeatureLine, Scored};
use crate::output::thousands;

/// Writes it; the texts of reasons in a language.
#[must_use]
pub fn text(it: &Explanation, language: &str) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "subject    {}", it.subject);
    let _ = writeln!(t, "run        {}  as of {}, model {}", it.run, it.as_of, it.model);
    let _ = writeln!(t, "segment    {}, status {}, confidence {:.3}", it.segment, it.status, it.confidence);
    match &it.scored {
        Some(scored) => of_scored(&mut t, it, scored),
        None => {
            let _ = writeln!(t, "score      none");
        }
    }
    if !it.reasons.is_empty() {
        let _ = writeln!(t, "\nreasons");
        for reason in &it.reasons {
            let said = |texts| in_language(texts, language).map_or("", String::as_str);
            let _ = writeln!(t, "  {:<4} {}\n       {}", reason.code, said(&reason.text), said(&reason.advice));
        }
    }
    if it.disputed_records > 0 {
        let with = it.scored.as_ref().and_then(|s| s.with_disputed);
        let with = with.map_or_else(String::new, |s| format!("; with them the score would be {s}"));
        let _ = writeln!(t, "\n{} disputed records do not count{with}", it.disputed_records);
    }
    records(&mut t, it);
    t
}

fn of_scored(t: &mut String, it: &Explanation, s: &Scored) {
    let next =
        s.next_band.as_ref().map_or_else(String::new, |(band, points)| format!(", {points} points below {band}"));
    let _ = writeln!(t, "score      {} of {} to {}: {}{next}", s.score, it.low, it.high, s.band);
    let _ = writeln!(t, "rank       {}, percentile {}", thousands(s.rank), s.percentile);
    let _ = writeln!(
        t,
        "\n{:<32} {:>22} {:>16} {:>7} {:>6} {:>8}  next better bin",
        "feature", "value", "bin", "points", "best", "short by"
    );
    for category in &s.categories {
        of_category(t, category);
        if let (true, Some(r)) = (category.features.is_empty(), &s.relationships) {
            let _ = writeln!(
                t,
                "  {} friends count; they move the score by {:+} points; {} tenths of their mean is everyone's",
                r.friends, r.lift_points, r.anchor_tenths
            );
        }
    }
    let _ = writeln!(t, "{:<32} {:>22} {:>16} {:>7}", "lowest score", "", "", it.low);
    let _ = writeln!(t, "{:<32} {:>22} {:>16} {:>7}", "sum", "", "", s.sum);
    let _ = writeln!(t, "(short by: points less than {}, where reasons come from; negative is more)", it.baseline);
    if let Some(policy) = &s.policy {
        let _ = writeln!(t, "{:<32} {:>22} {:>16} {:>7}  {}", policy.code, "", "", s.score, policy.about);
    }
}

fn of_category(t: &mut String, c: &CategoryLine) {
    let weight = format!("weight {:.0} %", 100.0 * c.weight);
    let _ = writeln!(t, "{:<32} {weight:>22} {:>16} {:>7} {:>6}", c.title.to_uppercase(), "", c.points, c.max);
    c.features.iter().for_each(|f| of_feature(t, f));
}

fn of_feature(t: &mut String, f: &FeatureLine) {
    let next = f.next.as_ref().map_or_else(String::new, |n| format!("  {} gives {:+.1}", n.bin, n.points));
    let _ = writeln!(
        t,
        "  {:<30} {:>22} {:>16} {:>7} {:>6.1} {:>8.1}{next}",
        f.feature, f.shown, f.bin, f.points, f.best, f.short
    );
}

fn records(t: &mut String, it: &Explanation) {
    if it.records.is_empty() {
        return;
    }
    let _ = writeln!(t, "\nrecords that count against the subject, which it can dispute");
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
