//! `sesame runs`: the runs of an output folder, and why some of them published nothing.

use std::fmt::Write;

use anyhow::{Result, bail};

use super::flags::{Format, RunsArgs};
use crate::exit::ExitStatus;
use crate::output::{Output, printable, terminal_width, thousands};
use crate::runs::overview::{Overview, Standing, overview};

/// Flags of `runs`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only the run that ended last.
    #[arg(long)]
    pub last: bool,
    /// Also what every gate found.
    #[arg(long)]
    pub why: bool,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Columns that a line with the run's id takes.
const WIDE: usize = 104;

/// Lists the runs.
///
/// # Errors
/// When the ledger does not hold, or a folder cannot be read.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let folder = args.runs.folder()?;
    if !folder.is_dir() {
        bail!("there is no folder {}; --output names the output folder", folder.display());
    }
    let mut runs = overview(&folder)?;
    if args.last {
        let last = runs.iter().enumerate().max_by(|(_, a), (_, b)| a.ended.cmp(&b.ended)).map(|(at, _)| at);
        runs = last.map(|at| runs.swap_remove(at)).into_iter().collect();
    }
    if runs.is_empty() && args.format == Format::Text {
        output.line(&format!("no run is in {} yet", args.runs.output.display()));
    }
    output.data(&match args.format {
        Format::Json => serde_json::to_string_pretty(&runs)? + "\n",
        Format::Text if runs.is_empty() => String::new(),
        Format::Text => printable(&text(&runs, args.why, terminal_width().is_none_or(|width| width >= WIDE))),
    })?;
    Ok(ExitStatus::Success)
}

fn text(runs: &[Overview], why: bool, wide: bool) -> String {
    let mut t = String::new();
    let columns = ["scored", "mean", "PSI", "AUC", "seconds"].map(ToOwned::to_owned);
    row(&mut t, "as of", "state", &columns, if wide { "run" } else { "" });
    for run in runs {
        let figure = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let figures = [
            run.scored.map_or_else(|| "-".to_owned(), thousands),
            figure(run.mean, 1),
            figure(run.psi, 3),
            figure(run.auc, 3),
            figure(run.seconds, 1),
        ];
        let as_of = run.as_of.map_or_else(|| "-".to_owned(), |day| day.to_string());
        row(&mut t, &as_of, run.state.text(), &figures, if wide { &run.run } else { "" });
        if !wide {
            let _ = writeln!(t, "            {}", run.run);
        }
        let removed = (!run.kept).then(|| "its folder was removed".to_owned());
        let unreadable = run.unreadable.as_ref().map(|error| format!("its audit cannot be read: {error}"));
        let under_way = (run.state == Standing::Unfinished && run.because.is_none())
            .then(|| "under way, or killed; the next run goes on from what is kept".to_owned());
        for line in run.because.iter().cloned().chain(under_way).chain(removed).chain(unreadable) {
            let _ = writeln!(t, "            {}", line.replace('\n', "\n            "));
        }
        for gate in run.gates.iter().filter(|_| why) {
            let found = if gate.passed { "passed" } else { "failed" };
            let _ = writeln!(t, "            gate {} {found}: {} (limit {})", gate.gate, gate.message, gate.limit);
        }
    }
    t
}

fn row(t: &mut String, as_of: &str, state: &str, [scored, mean, psi, auc, seconds]: &[String; 5], run: &str) {
    let line = format!("{as_of:<10}  {state:<11} {scored:>10} {mean:>5} {psi:>5} {auc:>5} {seconds:>7}  {run}");
    let _ = writeln!(t, "{}", line.trim_end());
}
