//! `sesame access`: everything that is held about one subject, for the subject.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use crate::access::gather::gather;
use crate::access::text::text;
use crate::access::words::Words;
use crate::exit::{ExitStatus, stop_on_signals};
use crate::output::{Output, printable, text_width};
use crate::pipeline::Pipeline;
use crate::report::page;
use crate::runs::output_folder::{is_within, keep_private, output_of};
use crate::storage::durable;

/// How `access` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For a terminal or a letter.
    #[default]
    Text,
    /// For programs.
    Json,
    /// A page.
    Html,
}

/// Flags of `access`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The subject's id, as the exports write it.
    #[arg(allow_negative_numbers = true)]
    pub subject: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The language of the answer: en or zh.
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: String,
    /// Write it to this file, which only the user may read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Set a key of the pipeline file to a TOML value; repeatable. Paths are relative to the pipeline file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Answers a subject.
///
/// # Errors
/// When nothing is held about it; when the inputs or the output folder cannot be read.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let words = Words::of(&args.language)?;
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let stop = stop_on_signals()?;
    let answer = gather(&pipeline, &args.subject, Timestamp::now(), &stop, output)?;
    let width = if args.out.is_some() { usize::from(u8::MAX) } else { text_width() };
    let said = match args.format {
        Format::Text => printable(&text(&answer, &words, &args.language, width)),
        Format::Json => serde_json::to_string_pretty(&answer)? + "\n",
        Format::Html => page::access(&answer, &words, &args.language)?,
    };
    let Some(file) = &args.out else {
        output.data(&said)?;
        return Ok(ExitStatus::Success);
    };
    let file = std::path::absolute(file)?;
    let folder = output_of(&pipeline);
    ensure!(
        !folder.is_dir() || !is_within(&file, &folder)?,
        "--out {} lies in the output folder, which only runs write; name another place",
        file.display()
    );
    keep_private(pipeline.settings.output_mode);
    durable::replace(&file, said.as_bytes())?;
    Ok(ExitStatus::Success)
}
