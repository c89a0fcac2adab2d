//! `sesame check`.

use anyhow::Result;

use super::flags::{AsOfArgs, PipelineArgs};
use crate::exit::ExitStatus;
use crate::job::load::load;
use crate::output::{Output, thousands};
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
    output.line("no findings: configuration, model and inputs fit the contract");
    Ok(ExitStatus::Success)
}
