//! The footer of a Parquet file.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::ParquetMetaData;

use super::{CORRUPT, pages};
use crate::machine::shield::shield;
use crate::storage::content::Content;
use crate::storage::encryption::KeyError;
use crate::storage::objects::Unfetched;
use crate::storage::opening;

/// Reads a footer and settles in which Arrow types the columns are read.
///
/// # Errors
/// When it is none, or contradicts itself.
pub(super) fn read(file: &Content) -> Result<ArrowReaderMetadata> {
    shield(CORRUPT, || {
        // Before the library makes room for what a footer says it lists. One that is encrypted says what who holds the key wrote.
        if let Some(footer) = raw_footer(file)? {
            pages::types_agree(&footer)?;
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = opening::footer(file, &options)?;
        consistent(footer.metadata())?;
        let columns = footer.metadata().file_metadata().schema_descr().columns();
        let old: Vec<&str> =
            columns.iter().filter(|c| c.physical_type() == PhysicalType::INT96).map(|c| c.name()).collect();
        let fields: Vec<Field> =
            footer.schema().fields().iter().map(|f| reading_field(f, old.contains(&f.name().as_str()))).collect();
        let options = options.with_schema(Arc::new(Schema::new(fields)));
        Ok(ArrowReaderMetadata::try_new(footer.metadata().clone(), options)?)
    })
    .map_err(|e| match e.downcast::<KeyError>() {
        Ok(key) => key.into(),
        // It could not be asked for, and nothing is known of what is in it.
        Err(e) if e.is::<Unfetched>() => e,
        Err(e) => anyhow!("not a readable Parquet file: {e}; was it written completely?"),
    })
}

/// The bytes of a file's footer, which its last eight bytes tell the length of; nothing when it is encrypted.
fn raw_footer(file: &Content) -> Result<Option<Vec<u8>>> {
    let bytes = file.size()?;
    let mut tail = [0; 8];
    file.read_exact_at(&mut tail, bytes.checked_sub(8).context("it is shorter than any")?)?;
    let encrypted = tail[4..] == *b"PARE";
    ensure!(encrypted || tail[4..] == *b"PAR1", "it does not end as one does");
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    let from = (bytes - 8).checked_sub(u64::from(length)).context("its footer is longer than the file")?;
    if encrypted {
        return Ok(None);
    }
    let mut footer = vec![0; usize::try_from(length)?];
    file.read_exact_at(&mut footer, from)?;
    Ok(Some(footer))
}

/// Refuses a footer that contradicts itself.
fn consistent(footer: &ParquetMetaData) -> Result<()> {
    let rows = footer.file_metadata().num_rows();
    let groups: i64 = footer.row_groups().iter().map(|g| g.num_rows()).sum();
    ensure!(rows >= 0 && rows == groups, "the footer says {rows} rows, and its row groups {groups}");
    Ok(())
}

/// Text is read as views, which copies nothing; the old 96-bit timestamps are instants in UTC, to the microsecond.
fn reading_field(field: &Field, old_timestamp: bool) -> Field {
    match field.data_type() {
        DataType::Utf8 => field.clone().with_data_type(DataType::Utf8View),
        DataType::Timestamp(_, None) if old_timestamp => {
            field.clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        }
        _ => field.clone(),
    }
}
