//! `quarantine/<table>.parquet`: every row that breaks a rule, by place; the offending value is never copied.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use crate::ingest::export::Export;
use crate::ingest::rule::Quarantined;

/// Writes the quarantined rows of one table, sorted by file and row.
///
/// # Errors
/// When the disk is full.
pub fn write(folder: &Path, export: &Export, rows: &[Quarantined]) -> Result<()> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema =
        Schema::new(vec![text("file"), Field::new("row", DataType::Int64, false), text("rule"), text("column")]);
    let path = folder.join(format!("{}.parquet", export.table.name));
    let mut file = ParquetFile::create(&path, Arc::new(schema), properties()?.build())?;
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let column = |q: &Quarantined| export.table.columns.get(usize::from(q.column)).map_or("", |c| c.name.as_str());
    for group in rows.chunks(GROUP_ROWS) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                group.iter().map(|q| Some(export.files[q.file as usize].file.label.as_str())).collect::<StringArray>(),
            ),
            Arc::new(group.iter().map(|q| q.row).collect::<Vec<_>>().into_iter().map(Some).collect::<Int64Array>()),
            Arc::new(group.iter().map(|q| Some(q.rule.name())).collect::<StringArray>()),
            Arc::new(group.iter().map(|q| Some(column(q))).collect::<StringArray>()),
        ];
        file.write(columns)?;
    }
    file.finish()
}
