//! Decoding: every row group of an export once, in parallel.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use super::export::{Export, OpenFile};
use crate::contract::{Column, ColumnType, parse_day};
use crate::output::Progress;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 65_536;

/// Rows of one file in the contract's columns.
pub struct Batch {
    /// The file, by its position in the export.
    pub file: u32,
    /// The number of each row in the file, from 0.
    pub rows: RowNumbers,
    /// The columns by their position in the contract's table; `None` where the export has none.
    pub columns: Vec<Option<ArrayRef>>,
    /// Columns beside the contract's, for `groups`.
    pub extra: Vec<ArrayRef>,
    /// Rows of the export that the input's `select` leaves out.
    pub left_out: u64,
    /// Number of rows.
    pub len: usize,
}

/// Row numbers of a batch.
pub enum RowNumbers {
    /// Consecutive from a first one.
    From(i64),
    /// As a `select` left them.
    Listed(Vec<i64>),
}

impl RowNumbers {
    /// The number of a row.
    #[must_use]
    #[allow(clippy::cast_possible_wrap, reason = "a position within one batch")]
    pub fn get(&self, at: usize) -> i64 {
        match self {
            Self::From(first) => first + at as i64,
            Self::Listed(rows) => rows[at],
        }
    }

    /// How many of the so many rows of the export are not among them.
    fn left_out(&self, rows: usize) -> u64 {
        match self {
            Self::From(_) => 0,
            Self::Listed(listed) => {
                let mut different = listed.clone();
                different.sort_unstable();
                different.dedup();
                rows.saturating_sub(different.len()) as u64
            }
        }
    }
}

/// What the rows of a row group may be told by its statistics, before they are decoded.
pub type Skip<'a> = dyn Fn(&RowGroupMetaData, u32) -> bool + Sync + 'a;

/// Reads the contract's columns of an export, row groups in parallel, and hands each batch to `work`.
///
/// # Errors
/// The first error, with the file and the row group; a corrupt page is one. Also when the run is interrupted.
pub fn read(
    export: &Export,
    skip: &Skip,
    progress: &Progress,
    stop: &AtomicBool,
    work: &(dyn Fn(Batch) -> Result<()> + Sync),
) -> Result<()> {
    let tasks: Vec<(usize, usize)> = (0..export.files.len())
        .flat_map(|f| (0..export.files[f].metadata().num_row_groups()).map(move |g| (f, g)))
        .collect();
    tasks.into_par_iter().try_for_each(|(f, group)| {
        let file = &export.files[f];
        let number = u32::try_from(f)?;
        let meta = file.metadata().row_group(group);
        if skip(meta, number) {
            progress.add(u64::try_from(meta.num_rows())?);
            return Ok(());
        }
        read_group(export, file, number, group, progress, stop, work).with_context(|| {
            format!("{} (row group {group} of {})", file.file.path.display(), file.metadata().num_row_groups())
        })
    })
}

#[allow(clippy::too_many_arguments, reason = "one call, from `read`, which documents them")]
fn read_group(
    export: &Export,
    file: &OpenFile,
    number: u32,
    group: usize,
    progress: &Progress,
    stop: &AtomicBool,
    work: &(dyn Fn(Batch) -> Result<()> + Sync),
) -> Result<()> {
    let groups = file.metadata().row_groups();
    let mut first: i64 = groups[..group].iter().map(RowGroupMetaData::num_rows).sum();
    let handle = fs_err::File::open(&file.file.path)?.into_parts().0;
    let mut reader = super::shield(|| {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, file.footer.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS);
        let wanted = |field: &Field| match &export.select {
            Some(select) => select.reads(field),
            None => export.table.position(field.name()).is_some() || export.extra.contains(field.name()),
        };
        let fields = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> = fields.filter(|(_, f)| wanted(f)).map(|(n, _)| n).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        builder = builder.with_projection(mask);
        Ok(builder.build()?)
    })?;
    loop {
        crate::exit::check(stop)?;
        let Some(batch) = super::shield(|| Ok(reader.next().transpose()?))? else { return Ok(()) };
        let rows = batch.num_rows();
        let (batch, numbers) = match &export.select {
            Some(select) => {
                let (batch, numbers) = super::shield(|| select.run(&batch, first)).context("the input's `select`")?;
                (batch, RowNumbers::Listed(numbers))
            }
            None => (batch, RowNumbers::From(first)),
        };
        let left_out = numbers.left_out(rows);
        first += i64::try_from(rows)?;
        let columns = export.table.columns.iter().map(|c| column(c, &batch, file)).collect::<Result<_>>()?;
        let extra = export.extra.iter().filter_map(|n| batch.column_by_name(n).cloned()).collect();
        work(Batch { file: number, rows: numbers, columns, extra, left_out, len: batch.num_rows() })?;
        progress.add(u64::try_from(rows)?);
    }
}

/// A contract column of a batch: from the file, or from the file's path.
fn column(column: &Column, batch: &RecordBatch, file: &OpenFile) -> Result<Option<ArrayRef>> {
    if let Some(array) = batch.column_by_name(&column.name) {
        return Ok(Some(array.clone()));
    }
    let Some(text) = file.file.partitions.get(&column.name) else { return Ok(None) };
    let Some(one) = partition_value(column, text)? else { return Ok(None) };
    let repeat = UInt32Array::from(vec![0; batch.num_rows()]);
    Ok(Some(arrow::compute::take(&one, &repeat, None)?))
}

/// What Hive writes where a partition's value is null.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A partition's value as an array of one; nothing for null.
///
/// # Errors
/// When the text is no value of the column, or the column's type cannot stand in a path.
pub fn partition_value(column: &Column, text: &str) -> Result<Option<ArrayRef>> {
    if text == NULL_PARTITION {
        return Ok(None);
    }
    let one: ArrayRef = match column.kind {
        ColumnType::Money | ColumnType::Count => {
            Arc::new(Int64Array::from(vec![text.parse::<i64>().context("no integer")?]))
        }
        ColumnType::Date => {
            let day = crate::contract::day_number(parse_day(text)?)?;
            cast(&Int64Array::from(vec![day]), &DataType::Int32).and_then(|d| cast(&d, &DataType::Date32))?
        }
        ColumnType::Id | ColumnType::Choice | ColumnType::Currency | ColumnType::Text => {
            Arc::new(StringArray::from(vec![text]))
        }
        ColumnType::Flag => Arc::new(BooleanArray::from(vec![text.parse::<bool>().context("neither true nor false")?])),
        ColumnType::Instant | ColumnType::Share => bail!("a path cannot give {}", column.expected()),
    };
    Ok(Some(one))
}

/// The smallest integer of a column in a row group, when the statistics vouch for it and no row is null.
#[must_use]
pub fn smallest(meta: &RowGroupMetaData, column: &str) -> Option<i64> {
    let chunk = meta.columns().iter().find(|c| c.column_path().string() == column)?;
    let statistics = chunk.statistics()?;
    if statistics.null_count_opt() != Some(0) {
        return None;
    }
    match statistics {
        Statistics::Int32(s) => s.min_opt().map(|v| i64::from(*v)),
        Statistics::Int64(s) => s.min_opt().copied(),
        _ => None,
    }
}
