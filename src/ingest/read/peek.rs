//! The first rows of a Parquet file, whatever it holds.

use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::{CORRUPT, footer, pages};
use crate::machine::shield::shield;
use crate::storage::content::Content;

/// The first rows of a file, and how many it has.
pub struct Peek {
    /// The rows.
    pub rows: RecordBatch,
    /// How many the file has.
    pub of: u64,
}

/// An object with the row groups at hand that hold so many rows; a file as it is.
fn at_hand(file: Content, footer: &ParquetMetaData, rows: usize) -> Result<Content> {
    if matches!(file, Content::File(_)) {
        return Ok(file);
    }
    let (mut parts, mut held) = (Vec::new(), 0);
    for group in footer.row_groups() {
        if held < rows {
            parts.extend(pages::ranges(group, &|_| true, file.size()?)?);
            held = held.saturating_add(usize::try_from(group.num_rows())?);
        }
    }
    file.with(&parts)
}

/// Reads so many rows at most.
///
/// # Errors
/// When it is no readable Parquet file.
pub fn peek(path: &Path, rows: usize) -> Result<Peek> {
    let read = || {
        let file = Content::open(path)?;
        let footer = footer::read(&file)?;
        let of = u64::try_from(footer.metadata().file_metadata().num_rows())?;
        let file = at_hand(file, footer.metadata(), rows)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer).with_limit(rows).build()?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(Peek { rows: concat_batches(&schema, &batches)?, of })
    };
    shield(CORRUPT, read).with_context(|| path.display().to_string())
}
