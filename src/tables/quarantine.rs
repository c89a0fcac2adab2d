//! `quarantine/<table>.parquet`: the rows that were left out and the rule each breaks.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};

/// A row that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The file it stands in.
    pub file: &'a str,
    /// Its number there, from 0.
    pub row: i64,
    /// The rule it breaks.
    pub rule: &'a str,
    /// The column that breaks it; empty when the row as a whole does.
    pub column: &'a str,
}

/// The file of a table, in a run's folder.
#[must_use]
pub fn file(table: &str) -> String {
    format!("quarantine/{table}.parquet")
}

/// Writes rows in the order they come.
///
/// # Errors
/// When the disk is full.
pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema =
        Schema::new(vec![text("file"), Field::new("row", DataType::Int64, false), text("rule"), text("column")]);
    let mut file = ParquetFile::create(path, Arc::new(schema), properties()?.build())?;
    for group in rows.chunks(GROUP_ROWS) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(group.iter().map(|r| Some(r.file)).collect::<StringArray>()),
            Arc::new(group.iter().map(|r| r.row).map(Some).collect::<Int64Array>()),
            Arc::new(group.iter().map(|r| Some(r.rule)).collect::<StringArray>()),
            Arc::new(group.iter().map(|r| Some(r.column)).collect::<StringArray>()),
        ];
        file.write(columns)?;
    }
    file.finish()
}
