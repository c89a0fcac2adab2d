//! Where tables are published, and where the ledger is.

use anyhow::{Result, ensure};
use jiff::civil::Date;

/// The lines of the ledger, in an output folder.
pub const LINES: &str = "ledger.ndjson";
/// Their number and the hash of the last one.
pub const HEAD: &str = "ledger.head.json";
/// The staged table in a run's folder.
pub const SCORES: &str = "scores.parquet";

/// Where a table is published, below the output folder.
///
/// # Errors
/// When the model is not written as models are, and could lead elsewhere.
pub fn table_path(as_of: Date, model: &str) -> Result<String> {
    let lawful = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(!model.is_empty() && model.chars().all(lawful) && !model.contains(".."), "'{model}' names no model");
    Ok(format!("scores/as_of={as_of}/model={model}/{SCORES}"))
}
