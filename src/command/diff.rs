//! `sesame diff`: two runs, or two models, side by side.

use std::fmt::Write;

use anyhow::Result;

use super::flags::{Format, KeysArgs, RunsArgs};
use crate::diff::compare::{Comparison, Contribution, compare};
use crate::disclosure::crosstab::Crosstab;
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::runs::kept::KeptRun;
use crate::runs::named::find;

/// Flags of `diff`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The earlier run, or the one with the old model: its folder, its id or the beginning of it, its as-of date,
    /// `latest` or `last`.
    pub a: String,
    /// The other one.
    pub b: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Which keys open its files.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Features and reasons shown to people; the JSON has all.
const SHOWN: usize = 12;
/// Characters of the longest bar.
const BAR: u64 = 40;

/// Compares two kept runs.
///
/// # Errors
/// When a run is not there or lacks a part.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    args.keys.name()?;
    let folder = args.runs.folder()?;
    let open = |name: &str| KeptRun::open(find(name, &folder)?);
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let comparison = compare(&a, &b)?;
    output.data(&match args.format {
        Format::Text => text(&a, &b, &comparison),
        Format::Json => serde_json::to_string_pretty(&comparison)? + "\n",
    })?;
    Ok(ExitStatus::Success)
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "hidden".to_owned(), thousands)
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
        count(c.both),
        count(c.only_a),
        count(c.only_b)
    );
    let _ = writeln!(t, "scored    {} in both, {} of them unmoved", count(c.scored), count(c.unmoved));
    if let (Some(mean), Some(size)) = (c.mean, c.mean_size) {
        let _ = writeln!(t, "moves     mean {mean:+.2} points, mean size {size:.2}");
        let quantiles: Vec<String> = c.quantiles.iter().map(|(q, v)| format!("{q} {v:+}")).collect();
        let _ = writeln!(t, "          {}", quantiles.join("  "));
    }
    histogram(&mut t, c);
    table(&mut t, "status A → B", c.statuses.as_ref());
    table(&mut t, "band A → B", c.bands.as_ref());
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
    let most = c.histogram.iter().filter_map(|m| m.subjects).max().unwrap_or(0).max(1);
    if c.histogram.len() < 2 {
        return;
    }
    let _ = writeln!(t, "\nmove in points       subjects");
    for m in &c.histogram {
        let bar: String = (0..m.subjects.unwrap_or(0) * BAR / most).map(|_| '█').collect();
        let _ = writeln!(t, "  {:>+5} to {:>+5} {:>12} {bar}", m.from, m.to, count(m.subjects));
    }
}

/// Rows and columns that someone is in.
fn table(t: &mut String, title: &str, table: Option<&Crosstab>) {
    let Some(table) = table.filter(|t| t.subjects.iter().flatten().flatten().any(|n| *n > 0)) else {
        let _ = writeln!(t, "\n{title:<34} hidden: too few moved");
        return;
    };
    let empty = |counts: Vec<Option<u64>>| counts.iter().all(|n| *n == Some(0));
    let columns: Vec<usize> =
        (0..table.now.len()).filter(|c| !empty(table.subjects.iter().map(|row| row[*c]).collect())).collect();
    let name = |names: &[String]| match names {
        [first, .., last] => format!("{first} to {last}"),
        names => names.concat(),
    };
    let widths: Vec<usize> = columns.iter().map(|c| name(&table.now[*c]).len().max(9) + 2).collect();
    let _ = write!(t, "\n{title:<34}");
    for (c, width) in columns.iter().zip(&widths) {
        let _ = write!(t, "{:>width$}", name(&table.now[*c]));
    }
    t.push('\n');
    for (names, row) in table.before.iter().zip(&table.subjects).filter(|(_, row)| !empty(row.to_vec())) {
        let _ = write!(t, "  {:<32}", name(names));
        for (c, width) in columns.iter().zip(&widths) {
            let _ = write!(t, "{:>width$}", count(row[*c]));
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
        let hidden = || "hidden".to_owned();
        let mean = c.mean.map_or_else(hidden, |m| format!("{m:+.2}"));
        let size = c.mean_size.map_or_else(hidden, |s| format!("{s:.2}"));
        let _ = writeln!(t, "  {:<32} {mean:>10} {size:>10} {:>12}", c.name, count(c.subjects));
    }
}
