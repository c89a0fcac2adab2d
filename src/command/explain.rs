//! `sesame explain`: why one subject's score is what it is.

use anyhow::Result;

use crate::cli::{ExplainArgs, ExplainFormat};
use crate::exit::ExitStatus;
use crate::explain::explanation::explain;
use crate::explain::notice::notice;
use crate::explain::text::text;
use crate::output::{Output, printable};
use crate::report::page;
use crate::runs::kept::{KeptRun, find};

/// Explains a subject's score in a kept run.
///
/// # Errors
/// When the run or the subject is not there, or the run's parts do not fit together.
pub fn run(args: &ExplainArgs, output: &Output) -> Result<ExitStatus> {
    let run = KeptRun::open(find(&args.run, &args.runs.output)?)?;
    let explanation = explain(&run, &args.subject)?;
    output.data(&match args.format {
        ExplainFormat::Text => printable(&text(&explanation, &args.language)),
        ExplainFormat::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        ExplainFormat::Html => page::explanation(&explanation, &args.language)?,
        ExplainFormat::Notice => printable(&notice(&run.model, &explanation, &args.language)?),
    })?;
    Ok(ExitStatus::Success)
}
