//! `sesame diff`: two runs, or two models, side by side.

use std::fmt::Write;

use anyhow::Result;

use crate::cli::{DiffArgs, DiffFormat};
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::runs::compare::{Comparison, Contribution, compare};
use crate::runs::kept::{KeptRun, find};

/// Features and reasons shown to people; the JSON has all.
const SHOWN: usize = 12;
/// Characters of the longest bar.
const BAR: u64 = 40;

/// Compares two kept runs.
///
/// # Errors
/// When a run is not there or lacks a part.
pub fn run(args: &DiffArgs, output: &Output) -> Result<ExitStatus> {
    let open = |name: &str| KeptRun::open(find(name, &args.output)?);
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let comparison = compare(&a, &b)?;
    output.data(&match args.format {
        DiffFormat::Text => text(&a, &b, &comparison),
        DiffFormat::Json => serde_json::to_string_pretty(&comparison)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "few".to_owned(), thousands)
}

fn text(a: &KeptRun, b: &KeptRun, c: &Comparison) -> String {
    let mut t = String::new();
    for (name, run) in [("A", a), ("B", b)] {
        let p = run.manifest.parameters();
        let _ = writeln!(t, "{name}  {}  as of {}, model {}", run.run.id, p.as_of, p.model);
    }
    for change in &c.schema {
        let kind = |k: &Option<String>| k.clone().unwrap_or_else(|| "not there".to_owned());
        let _ = writeln!(t, "column {}: {} in A, {} in B", change.column, kind(&change.a), kind(&change.b));
    }
    let _ = writeln!(
        t,
        "\nsubjects  {} in both, {} only in A, {} only in B",
        thousands(c.both),
        count(c.only_a),
        count(c.only_b)
    );
    for (from, to) in &c.statuses {
        for (to, n) in to {
            let _ = writeln!(t, "status    {from} → {to}: {}", count(*n));
        }
    }
    let _ = writeln!(t, "scored    {} in both, {} of them unmoved", thousands(c.scored), count(c.unmoved));
    if let (Some(mean), Some(size)) = (c.mean, c.mean_size) {
        let _ = writeln!(t, "moves     mean {mean:+.2} points, mean size {size:.2}");
        let quantiles: Vec<String> = c.quantiles.iter().map(|(q, v)| format!("{q} {v:+}")).collect();
        let _ = writeln!(t, "          {}", quantiles.join("  "));
    }
    histogram(&mut t, c);
    bands(&mut t, a, b, c);
    contributions(&mut t, "what moved scores, by category", &c.categories);
    contributions(&mut t, "by feature", &c.features[..c.features.len().min(SHOWN)]);
    if !c.reasons.is_empty() {
        let _ = writeln!(t, "\nreasons                     gained         lost");
        for r in c.reasons.iter().take(SHOWN) {
            let _ = writeln!(t, "  {:<18} {:>13} {:>12}", r.reason, count(r.gained), count(r.lost));
        }
    }
    t
}

fn histogram(t: &mut String, c: &Comparison) {
    let most = c.histogram.iter().filter_map(|(_, n)| *n).max().unwrap_or(0).max(1);
    if c.histogram.len() < 2 {
        return;
    }
    let _ = writeln!(t, "\nmove in points       subjects");
    for (from, n) in &c.histogram {
        let bar = usize::try_from(n.unwrap_or(0) * BAR / most).unwrap_or(0);
        let _ = writeln!(t, "  {from:>+5} to {:>+5} {:>12} {}", from + 9, count(*n), "█".repeat(bar));
    }
}

fn bands(t: &mut String, a: &KeptRun, b: &KeptRun, c: &Comparison) {
    let names =
        |run: &KeptRun| -> Vec<String> { run.model.card.band.iter().map(|band| band.get_ref().name.clone()).collect() };
    let (rows, columns) = (names(a), names(b));
    let _ = write!(t, "\n{:<14}", "band A → B");
    columns.iter().for_each(|name| {
        let _ = write!(t, "{name:>13}");
    });
    t.push('\n');
    for row in rows {
        let _ = write!(t, "  {row:<12}");
        for column in &columns {
            let n = c.bands.get(&row).and_then(|r| r.get(column)).copied().unwrap_or(Some(0));
            let _ = write!(t, "{:>13}", count(n));
        }
        t.push('\n');
    }
}

fn contributions(t: &mut String, title: &str, all: &[Contribution]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(t, "\n{title:<34} {:>10} {:>10} {:>12}", "mean", "mean size", "subjects");
    for c in all {
        let _ = writeln!(t, "  {:<32} {:>+10.3} {:>10.3} {:>12}", c.name, c.mean, c.mean_size, count(c.subjects));
    }
}
