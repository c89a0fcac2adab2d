//! `sesame history`: what a pipeline has published, date by date, on one page.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::flags::Format;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::report::history::History;
use crate::report::page;
use crate::runs::output_folder::{HISTORY, is_within, keep_private, looked_at};
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::storage::durable;

/// Flags of `history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Set a key of the pipeline file to a TOML value; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where to write the page; history.html in the output folder when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the page, or print the figures and write nothing.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Writes the page, or prints what is on it.
///
/// # Errors
/// When nothing is published by the pipeline, the ledger does not hold, or the page cannot be written.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let settings = &pipeline.settings;
    let folder = looked_at(&pipeline, Need::Small)?;
    if !folder.is_dir() {
        bail!("there is no folder {}; `sesame run {}` makes it", folder.display(), args.pipeline.display());
    }
    let history = History::of(&folder, &settings.name, settings.privacy.min_cell)?;
    if args.format == Format::Json {
        if args.out.is_some() {
            bail!("--out names the page and --format json prints figures; give one of them");
        }
        output.data(&(serde_json::to_string_pretty(&history)? + "\n"))?;
        return Ok(ExitStatus::Success);
    }
    let page = page::history(&history).with_context(|| format!("the history of {}", settings.name))?;
    let target = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => folder.join(HISTORY),
    };
    if args.out.is_some() && is_within(&target, &folder)? {
        bail!("--out {}: lies in the output folder; without --out the page is {HISTORY} there", target.display());
    }
    if args.out.is_none() {
        keep_private(settings.output_mode);
    }
    durable::replace(&target, page.as_bytes())?;
    remote::push(&target)?;
    output.line(&format!("wrote {}", remote::shown(&target)));
    Ok(ExitStatus::Success)
}
