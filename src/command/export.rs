//! `sesame export`: one segment's card for another engine.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::exit::ExitStatus;
use crate::export::sql::Table;
use crate::export::{SegmentCard, csv, pmml, sql};
use crate::output::Output;
use crate::pipeline::Model;
use crate::storage::durable;

/// What a card is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A PMML 4.4 Scorecard: the score before it is rounded, and reason codes.
    Pmml,
    /// A row for each bin, with its points.
    Csv,
    /// One statement for DuckDB: the score and the points by category, as a run gives them.
    Sql,
}

/// Flags of `export`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The model file.
    pub model: PathBuf,
    /// The segment whose card it is.
    #[arg(long, value_name = "NAME")]
    pub segment: String,
    /// What to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// The currency whose minor units the amounts will be in; the model's own when not given.
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// For SQL: the table or view with `subject_id` and the features.
    #[arg(long, value_name = "NAME", default_value = "features", value_parser = Table::parse)]
    pub table: Table,
    /// The file to write, which must not be there; standard output when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Writes a segment's card.
///
/// # Errors
/// All findings about the model; when it has no such segment, or the file is there.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    if let Some(out) = &args.out {
        ensure!(!out.exists(), "{} is there already; name a file that is not", out.display());
    }
    let model = Model::load(&args.model)?;
    let card = SegmentCard::of(&model, &args.segment, args.currency.as_deref())?;
    let text = match args.format {
        ExportFormat::Pmml => pmml::pmml(&card),
        ExportFormat::Csv => csv::csv(&card),
        ExportFormat::Sql => sql::sql(&card, &args.table),
    };
    card.left_out().iter().for_each(|friends| output.line(friends));
    match &args.out {
        Some(out) => {
            durable::replace(out, text.as_bytes())?;
            output.line(&format!("wrote {}", out.display()));
        }
        None => output.data(&text)?,
    }
    Ok(ExitStatus::Success)
}
