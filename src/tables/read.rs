//! Reading a table of ours: chosen columns, batch by batch or all at once.

use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::compute::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::storage::{opening, read};

/// The rows of a table in batches, with all columns or those of some names.
///
/// # Errors
/// When it is no table.
pub fn batches(path: &Path, columns: Option<&[&str]>) -> Result<ParquetRecordBatchReader> {
    let damaged = || format!("{} is damaged", path.display());
    let file = read::open(path)?;
    let footer = opening::footer(&file, &ArrowReaderOptions::new()).map_err(|e| opening::of_table(e, path))?;
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer);
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    builder.build().with_context(damaged)
}

/// All rows of a table.
///
/// # Errors
/// When it is damaged.
pub fn all(path: &Path, columns: Option<&[&str]>) -> Result<RecordBatch> {
    let reader = batches(path, columns)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().with_context(|| format!("{} is damaged", path.display()))?;
    Ok(concat_batches(&schema, &batches)?)
}
