//! `sesame check`.

use std::fmt::Write;

use anyhow::Result;

use super::flags::{AsOfArgs, PipelineArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::ingest::sample::{Sampled, Shown};
use crate::job::Job;
use crate::job::load::load;
use crate::machine::memory::LEAST;
use crate::machine::resources::Resources;
use crate::output::{Output, printable, text_width, thousands, wrapped};
use crate::runs::output_folder;

/// Flags of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The as-of date.
    #[command(flatten)]
    pub as_of: AsOfArgs,
    /// Also read so many rows of each input: show some before and after its `select`, and count what would be quarantined.
    #[arg(long, value_name = "ROWS", num_args = 0..=1, default_missing_value = "1000")]
    pub sample: Option<usize>,
}

/// Checks configuration, model and inputs.
///
/// # Errors
/// All findings at once.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let job = load(&args.pipeline.load()?, &args.pipeline.request(Some(&args.as_of)), output)?;
    for export in job.exports.iter() {
        let rows: u64 = export.files.iter().map(|f| f.rows).sum();
        output.line(&format!(
            "{:<18} {:>13} rows in {} file(s)",
            export.table.name,
            thousands(rows),
            export.files.len()
        ));
        let mut ignored: Vec<&str> = export.files.iter().flat_map(|f| &f.ignored).map(String::as_str).collect();
        ignored.sort_unstable();
        ignored.dedup();
        ignored.retain(|c| !export.extra.iter().any(|e| e == c));
        if !ignored.is_empty() {
            output.line(&format!("{:<18} ignored columns: {}", "", ignored.join(", ")));
        }
    }
    let card = &job.card;
    output.line(&format!(
        "model {}: {} features in {} segments; as of {}",
        job.model.label(),
        card.features.len(),
        card.weights.len(),
        job.snapshot.calendar.as_of()
    ));
    let used = |name: &String| card.features.iter().any(|f| f.name == *name) || job.rules.features.contains(name);
    let names = job.model.catalogue.features.iter().map(|f| &f.declared.name);
    let unused: Vec<&str> = names.filter(|name| !used(name)).map(String::as_str).collect();
    if !unused.is_empty() {
        output.warn(&format!(
            "features that are computed and published, and that the model neither scores nor reads in a rule: {}",
            unused.join(", ")
        ));
    }
    output_folder::key_of(&job.pipeline)?;
    if let Some(rows) = args.sample {
        sample(&job, rows.max(1), output)?;
    }
    output.line("no findings: configuration, model and inputs fit the contract");
    Ok(ExitStatus::Success)
}

/// Tries out the first rows of each input.
fn sample(job: &Job, rows: usize, output: &Output) -> Result<()> {
    let stop = stop_on_signals()?;
    let resources = Resources { memory: LEAST, scratch: std::env::temp_dir(), stop: &stop, log: output };
    let budget = resources.budget();
    let snapshots = [job.snapshot.clone()];
    let pass = job.pass(&snapshots, &budget, &resources);
    let width = text_width();
    for export in job.exports.iter() {
        let sampled = pass.sample(export, rows)?;
        output.data(&printable(&text(&export.table.name, &sampled, job, width)))?;
    }
    Ok(())
}

fn text(table: &str, of: &Sampled, job: &Job, width: usize) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "\n{table}: {} rows read", thousands(of.rows));
    let counts = [
        (of.left_out, "left out by the select"),
        (of.multiplied, "more made by the select"),
        (of.not_visible, "not visible at the as-of date"),
    ];
    for (rows, what) in counts.into_iter().filter(|(rows, _)| *rows > 0) {
        let _ = writeln!(t, "  {} {what}", thousands(rows));
    }
    if let Some((first, last)) = &of.days {
        let _ = writeln!(t, "  from {first} to {last}");
    }
    for (what, columns) in [("null in every row", &of.empty), ("not given", &of.absent)] {
        if !columns.is_empty() {
            paragraph(&mut t, &format!("  {what}: {}", columns.join(", ")), 4, width);
        }
    }
    for ((rule, column), rows) in &of.broken {
        let _ = writeln!(t, "  {} would be quarantined: {} in {column}", thousands(*rows), rule.name());
        if let Some(rule) = job.contract.rules.iter().find(|r| r.name == rule.name()) {
            paragraph(&mut t, &format!("    {} {}", rule.about, rule.remedy), 4, width);
        }
    }
    for (column, words) in &of.words {
        let words: Vec<String> = words.iter().map(|(word, rows)| format!("'{word}' ({})", thousands(*rows))).collect();
        paragraph(&mut t, &format!("    unknown words of {column}: {}", words.join(", ")), 6, width);
    }
    of.shown.iter().for_each(|row| show(&mut t, row, width));
    t
}

fn show(t: &mut String, row: &Shown, width: usize) {
    let broken =
        row.breaks.as_ref().map_or_else(String::new, |(rule, column)| format!(", breaks {} in {column}", rule.name()));
    paragraph(t, &format!("  {} row {}{broken}", row.file, row.row), 4, width);
    let before: Vec<String> = row.before.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    paragraph(t, &format!("    {}", before.join("; ")), 4, width);
    let widest = row.after.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &row.after {
        let _ = writeln!(t, "      {name:<widest$}  {value}");
    }
}

/// Adds text broken at blanks to lines of a width, those after the first indented.
fn paragraph(t: &mut String, text: &str, indent: usize, width: usize) {
    let _ = writeln!(t, "{}", wrapped(text, indent, width));
}
