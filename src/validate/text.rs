//! Validations for people.

use std::fmt::Write;

use super::comparison::{Areas, Comparison};
use super::outcomes::Rows;
use super::validation::Validation;
use crate::audit::quality::Quality;
use crate::output::thousands;
use crate::statistics::ranking::Ranking;

fn interval(r: &Ranking) -> String {
    match (r.auc_low, r.auc_high) {
        (Some(low), Some(high)) => format!("{:.4} ({low:.4} to {high:.4})", r.auc),
        _ => format!("{:.4}", r.auc),
    }
}

fn some(r: Option<&Ranking>) -> String {
    r.map_or_else(|| "–".to_owned(), interval)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "hidden".to_owned(), |s| format!("{:.2} %", 100.0 * s))
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "hidden".to_owned(), thousands)
}

fn rows(t: &mut String, rows: &Rows) {
    let _ = write!(t, "outcomes  {} rows, {} used", thousands(rows.rows), thousands(rows.used));
    for (n, what) in [(rows.duplicate, "repeated"), (rows.other_dates, "of other as-of dates")] {
        if n > 0 {
            let _ = write!(t, ", {} {what}", thousands(n));
        }
    }
    for (rule, n) in &rows.quarantined {
        let _ = write!(t, ", {} {rule}", thousands(*n));
    }
    t.push('\n');
}

/// One run.
#[must_use]
pub fn validation(v: &Validation) -> String {
    let mut t = format!("run       {}  as of {}, model {}\n", v.run, v.as_of, v.model);
    rows(&mut t, &v.outcomes);
    if v.horizons.is_empty() {
        t += "too few scored subjects with an outcome went bad or stayed good to measure anything\n";
    }
    v.horizons.iter().for_each(|q| of_horizon(&mut t, q));
    t
}

fn of_horizon(t: &mut String, q: &Quality) {
    let _ = writeln!(
        t,
        "\n{} days: {} subjects, {} bad ({})",
        q.horizon_days,
        count(q.subjects),
        count(q.bad),
        percent(q.bad_rate)
    );
    let _ = writeln!(
        t,
        "  AUC {}, 95 % by DeLong; Gini {:.4}, KS {:.4}",
        interval(&q.ranking),
        q.ranking.gini,
        q.ranking.ks
    );
    if let Some(c) = &q.calibration {
        let fit = c.intercept.zip(c.slope);
        let fit = fit
            .map_or_else(String::new, |(a, b)| format!("; intercept {a:.3}, slope {b:.3} (0 and 1 when calibrated)"));
        let _ = writeln!(t, "  nominal odds would mean {:.2} % bad{fit}", 100.0 * c.mean_pd);
    }
    let _ = writeln!(t, "\n  {:<28} {:>10} {:>8} {:>9}   95 %", "band", "subjects", "bad", "share bad");
    for b in &q.bands {
        let range =
            b.low.zip(b.high).map_or_else(String::new, |(l, h)| format!("{:.2} to {:.2} %", 100.0 * l, 100.0 * h));
        let (subjects, bad, rate) = (thousands(b.subjects), thousands(b.bad), percent(b.bad_rate));
        let _ = writeln!(t, "  {:<28} {subjects:>10} {bad:>8} {rate:>9}   {range}", b.bands.join(", "));
    }
    let _ = writeln!(t, "\n  {:<28} {:<28} {:<28} it adds", "category", "AUC alone", "AUC of the score without it");
    for c in &q.categories {
        let adds =
            c.adds.map_or_else(String::new, |d| format!("{:+.4} ({:+.4} to {:+.4})", d.difference, d.low, d.high));
        let (alone, without) = (some(c.alone.as_ref()), some(c.without.as_ref()));
        let _ = writeln!(t, "  {:<28} {alone:<28} {without:<28} {adds}", c.category);
    }
    let _ = writeln!(t, "\n  {:<28} {:>10} {:>8} {:>9}   AUC", "segment", "subjects", "bad", "share bad");
    for s in &q.segments {
        let (subjects, bad, rate) = (count(s.subjects), count(s.bad), percent(s.bad_rate));
        let auc = some(s.ranking.as_ref());
        let _ = writeln!(t, "  {:<28} {subjects:>10} {bad:>8} {rate:>9}   {auc}", s.segment);
    }
}

/// Two runs.
#[must_use]
pub fn comparison(c: &Comparison) -> String {
    let mut t = String::new();
    for (name, run, model) in [("A", &c.runs[0], &c.models[0]), ("B", &c.runs[1], &c.models[1])] {
        let _ = writeln!(t, "{name}         {run}  as of {}, model {model}", c.as_of);
    }
    rows(&mut t, &c.outcomes);
    if c.horizons.is_empty() {
        t += "too few subjects that both score went bad or stayed good to measure anything\n";
    }
    for h in &c.horizons {
        let _ = writeln!(
            t,
            "\n{} days: {} subjects scored by both, {} bad",
            h.horizon_days,
            count(h.subjects),
            count(h.bad)
        );
        let _ = writeln!(t, "  {:<28} {:<28} {:<28} {:<32} p", "", "AUC of A", "AUC of B", "B less A, 95 % by DeLong");
        line(&mut t, &h.scores);
        h.segments.iter().for_each(|s| line(&mut t, s));
        let _ = writeln!(t, "  points of each category alone");
        h.categories.iter().for_each(|s| line(&mut t, s));
    }
    t
}

fn line(t: &mut String, a: &Areas) {
    let difference = a.difference.map_or_else(
        || format!("{:<32}", "–"),
        |d| {
            let range = format!("{:+.4} ({:+.4} to {:+.4})", d.difference, d.low, d.high);
            let p = d
                .p_value
                .map_or_else(|| "–".to_owned(), |p| if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") });
            format!("{range:<32} {p}")
        },
    );
    let _ = writeln!(t, "  {:<28} {:<28} {:<28} {difference}", a.of, some(a.a.as_ref()), some(a.b.as_ref()));
}
