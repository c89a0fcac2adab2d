//! `sesame release`: what a partner is given of a published run.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::flags::Format;
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::pipeline::Pipeline;
use crate::runs::releases::Receipt;
use crate::runs::remote;
use crate::session::releasing::{Released, Request};

/// Flags of `release`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The partner, as partners.toml and the consents name it.
    #[arg(long, value_name = "ID")]
    pub partner: String,
    /// The run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`; the newest as-of date when not given.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Leave out who agreed at this instant (RFC 3339) or later, or after this date; consents must be in force now all the same.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Release a run although another one replaced its table since.
    #[arg(long)]
    pub force_replaced: bool,
    /// Set a key of the pipeline file to a TOML value; repeatable. Paths are relative to the pipeline file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What was done, for programs.
#[derive(Serialize)]
struct Told<'a> {
    nothing_to_do: bool,
    folder: String,
    receipt: &'a Receipt,
}

/// Releases a run to a partner.
///
/// # Errors
/// When the run may not be released (status 1), something is not configured or a key is missing (2), or another process holds the lock (3).
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let request = Request {
        pipeline: &pipeline,
        partner: args.partner.clone(),
        run: args.run.clone(),
        at: args.at.clone(),
        replaced: args.force_replaced,
        command: format!("release {} --partner {}", args.pipeline.display(), args.partner),
    };
    let released = request.run(output)?;
    if args.format == Format::Json {
        let told = Told {
            nothing_to_do: released.nothing_to_do,
            folder: remote::shown(&released.folder),
            receipt: &released.receipt,
        };
        output.data(&(serde_json::to_string_pretty(&told)? + "\n"))?;
    }
    if !released.nothing_to_do {
        output.line(&text(&released));
    }
    Ok(ExitStatus::Success)
}

fn text(released: &Released) -> String {
    let receipt = &released.receipt;
    let count = |of: Option<u64>| of.map_or_else(|| "hidden".to_owned(), thousands);
    let columns: Vec<&str> = receipt.columns.iter().map(|column| column.name()).collect();
    let counts = &receipt.counts;
    format!(
        "released the run {} to {}: {}\n  subjects        {:>12}\n  told            {:>12}  {}\n  without a score {:>12}\n  \
         never agreed    {:>12}\n  consent ended   {:>12}\n  to be forgotten {:>12}  pseudonyms that it was given before",
        receipt.run,
        receipt.partner,
        remote::shown(&released.folder),
        count(counts.subjects),
        count(counts.released),
        columns.join(", "),
        count(counts.no_score),
        count(counts.no_consent),
        count(counts.consent_ended),
        count(counts.withdrawn),
    )
}
