//! `sesame explain`: why one subject's score is what it is.

use anyhow::Result;

use super::flags::{KeysArgs, RunsArgs};
use crate::exit::ExitStatus;
use crate::explain::explanation::explain;
use crate::explain::notice::notice;
use crate::explain::text::text;
use crate::output::{Output, printable, text_width};
use crate::report::page;
use crate::runs::kept::KeptRun;
use crate::runs::named::find;

/// How `explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For a terminal.
    #[default]
    Text,
    /// For programs.
    Json,
    /// A page.
    Html,
    /// What can be sent to the person, in the model's words.
    Notice,
}

/// Flags of `explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`.
    pub run: String,
    /// The subject's id, as the exports write it.
    #[arg(allow_negative_numbers = true)]
    pub subject: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Which keys open its files.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The language of reasons and notice, one of the model's.
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: String,
}

/// Explains a subject's score in a kept run.
///
/// # Errors
/// When the run or the subject is not there, or the run's parts do not fit together.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    args.keys.name()?;
    let run = KeptRun::open(find(&args.run, &args.runs.folder()?)?)?;
    let explanation = explain(&run, &args.subject)?;
    output.data(&match args.format {
        Format::Text => printable(&text(&explanation, &args.language, text_width())),
        Format::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        Format::Html => page::explanation(&explanation, &args.language)?,
        Format::Notice => printable(&notice(&run.model, &explanation, &args.language)?),
    })?;
    Ok(ExitStatus::Success)
}
