//! Where tables are published.

use anyhow::{Result, ensure};
use jiff::civil::Date;

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
