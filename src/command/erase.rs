//! `sesame erase`: takes subjects out of everything that is kept, after showing of what.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::flags::Format;
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::pipeline::Pipeline;
use crate::runs::erasure::receipt_path;
use crate::session::erasing::{Done, Plan, Request};

/// Flags of `erase`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Whom: a text with one id a line, or Parquet with a column subject_id, and merged_into where a subject has several ids.
    #[arg(long, value_name = "FILE")]
    pub ids: PathBuf,
    /// Do it; without this flag it is only said what would be done.
    #[arg(long)]
    pub yes: bool,
    /// Where the notices go that tell partners whom to forget; a folder outside the output folder.
    #[arg(long, value_name = "DIR")]
    pub notices: Option<PathBuf>,
    /// Erase although a key is not at hand: what cannot be opened, and releases whose pseudonyms cannot be worked out, stay as they are.
    #[arg(long)]
    pub leave_unsearched: bool,
    /// Erase although ids are met nowhere: later runs then leave them out.
    #[arg(long)]
    pub allow_unknown: bool,
    /// Set a key of the pipeline file to a TOML value; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Says what an erasure changes, and with `--yes` does it.
///
/// # Errors
/// When the output is locked, the ledger does not hold, an id is none, or a file cannot be read or written.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let request = Request {
        pipeline: &pipeline,
        ids: &args.ids,
        notices: args.notices.as_deref(),
        yes: args.yes,
        leave_unsearched: args.leave_unsearched,
        allow_unknown: args.allow_unknown,
    };
    let Done { plan, receipt } = request.run(output)?;
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&json!({ "plan": plan, "receipt": receipt }))?;
            output.data(&(text + "\n"))?;
        }
        Format::Text => output.data(&text(&plan))?,
    }
    for name in &plan.releases_not_searched {
        output.warn(&format!("releases to {name} cannot be searched: the key is not at hand"));
    }
    for name in &plan.files_not_searched {
        output.warn(&format!(
            "{name} cannot be searched, and stays as it is: the key that it is encrypted with is not at hand"
        ));
    }
    for name in &plan.strangers {
        output.warn(&format!("{name} is none of the output's own, and is not searched"));
    }
    if plan.ids_not_found > 0 {
        output.warn(&format!("{} of {} id(s) are met nowhere", plan.ids_not_found, plan.ids));
    }
    if let Some(why) = &plan.inputs_not_searched {
        output.warn(&format!("the inputs were not looked at, and quarantined rows of these subjects stay: {why}"));
    }
    if plan.ledger_lines > 0 {
        output.warn(&format!(
            "{} line(s) of the ledger hold an id in a text that somebody gave; they stay",
            plan.ledger_lines
        ));
    }
    match receipt {
        Some(receipt) => output.line(&format!(
            "{} id(s) erased from {} file(s); {} tells of it; {}",
            receipt.ids,
            receipt.files.len(),
            receipt_path(receipt.erasure),
            receipt.guard
        )),
        None => output.line(&format!("nothing was changed: --yes erases; {}", plan.guard)),
    }
    Ok(ExitStatus::Success)
}

/// The plan for people.
fn text(plan: &Plan) -> String {
    let mut lines = vec![format!("ids       {}", thousands(plan.ids))];
    lines.extend(plan.not_found.iter().map(|id| format!("unknown   {id}")));
    match plan.ids_not_found.saturating_sub(plan.not_found.len() as u64) {
        0 => {}
        more => lines.push(format!("unknown   and {} more", thousands(more))),
    }
    for (id, others) in &plan.merged {
        let others = others.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        lines.push(format!("merged    {id} is also {others}"));
    }
    lines.extend(plan.runs.iter().map(|run| format!("run       {run}")));
    lines.extend(plan.files.iter().map(|(path, rows)| format!("file      {path:<80} {:>10}", thousands(*rows))));
    lines.push(format!(
        "stages    {} removed, all that there are: they number subjects together, and are made again when they are needed",
        thousands(plan.stages)
    ));
    for carrier in &plan.inputs {
        lines.push(format!("carries   {:<80} {:>10}", carrier.name, thousands(carrier.rows)));
    }
    for (partner, names) in &plan.releases {
        lines.push(format!("partner   {partner} must forget {} pseudonym(s)", thousands(*names)));
    }
    lines.join("\n") + "\n"
}
