//! The first rows of a Parquet file, whatever it holds.

use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{CORRUPT, footer};
use crate::machine::shield::shield;
use crate::storage::read;

/// The first rows of a file, and how many it has.
pub struct Peek {
    /// The rows.
    pub rows: RecordBatch,
    /// How many the file has.
    pub of: u64,
}

/// Reads so many rows at most.
///
/// # Errors
/// When it is no readable Parquet file.
pub fn peek(path: &Path, rows: usize) -> Result<Peek> {
    let read = || {
        let file = read::open(path)?;
        let footer = footer::read(&file)?;
        let of = u64::try_from(footer.metadata().file_metadata().num_rows())?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer).with_limit(rows).build()?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(Peek { rows: concat_batches(&schema, &batches)?, of })
    };
    shield(CORRUPT, read).with_context(|| path.display().to_string())
}
