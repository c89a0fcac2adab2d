//! Decoding: every row group of an export once, in parallel.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, RecordBatch};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use super::ahead::Ahead;
use super::export::{Export, OpenFile};
use super::{CORRUPT, GIVEN_UP, needed, pages};
use crate::contract::Column;
use crate::machine::shield::shield;
use crate::output::Progress;
use crate::storage::content::Content;
use crate::storage::objects;

/// Rows decoded at a time.
pub(in crate::ingest) const BATCH_ROWS: usize = 65_536;

/// Rows of one file in the contract's columns.
pub struct Batch {
    /// The file, by its position in the export.
    pub file: u32,
    /// The number in the file of the first row that was read for it, also where nothing is left of that: it tells the row group.
    pub from: i64,
    /// The number of each row in the file, from 0.
    pub rows: RowNumbers,
    /// The columns by their position in the contract's table; `None` where the export has none.
    pub columns: Vec<Option<ArrayRef>>,
    /// Columns beside the contract's, for `groups`.
    pub extra: Vec<ArrayRef>,
    /// Rows of the export that the input's `select` leaves out.
    pub left_out: u64,
    /// Rows that it makes of one row of the export, beyond the first.
    pub multiplied: u64,
    /// Number of rows.
    pub len: usize,
}

impl Batch {
    /// The number in the file of each row.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        match &self.rows {
            RowNumbers::From(first) => (*first..).take(self.len).collect(),
            RowNumbers::Listed(rows) => rows[..self.len].to_vec(),
        }
    }
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
                // In order but where branches follow each other.
                different.sort_unstable();
                different.dedup();
                rows.saturating_sub(different.len()) as u64
            }
        }
    }
}

/// What the rows of a row group may be told by its statistics, before they are decoded.
pub type Skip<'a> = dyn Fn(&RowGroupMetaData, u32) -> Result<bool> + Sync + 'a;

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
    if export.files.iter().any(|file| file.state.object().is_some()) {
        return read_objects(export, tasks, skip, progress, stop, work);
    }
    tasks.into_par_iter().try_for_each(|(f, group)| {
        let file = &export.files[f];
        let number = u32::try_from(f)?;
        let meta = file.metadata().row_group(group);
        if skip(meta, number)? {
            progress.add(u64::try_from(meta.num_rows())?);
            return Ok(());
        }
        file.reopen()
            .and_then(|handle| read_group(export, file, number, group, handle, progress, stop, work))
            .with_context(|| place(file, group))
    })
}

/// Bytes of the columns of an export that are read, not compressed.
pub(in crate::ingest) fn bytes(export: &Export) -> u64 {
    let of_file = |file: &OpenFile| -> u64 {
        let mask = needed::columns(export, file);
        let columns = file.metadata().row_groups().iter().flat_map(|group| group.columns().iter().enumerate());
        let read = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
        read.map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or(0)).fold(0, u64::saturating_add)
    };
    export.files.iter().map(of_file).fold(0, u64::saturating_add)
}

/// A row group, for messages.
pub(in crate::ingest) fn place(file: &OpenFile, group: usize) -> String {
    format!("{} (row group {group} of {})", file.file.path.display(), file.metadata().num_row_groups())
}

/// The same for objects, whose row groups are fetched in order, ahead of those who decode them.
fn read_objects(
    export: &Export,
    tasks: Vec<(usize, usize)>,
    skip: &Skip,
    progress: &Progress,
    stop: &AtomicBool,
    work: &(dyn Fn(Batch) -> Result<()> + Sync),
) -> Result<()> {
    progress.watch(objects::traffic);
    let mut wanted = Vec::with_capacity(tasks.len());
    for (f, group) in tasks {
        let meta = export.files[f].metadata().row_group(group);
        match skip(meta, u32::try_from(f)?)? {
            true => progress.add(u64::try_from(meta.num_rows())?),
            false => wanted.push((f, group)),
        }
    }
    let ahead = Ahead::new(export, &wanted)?;
    // Whoever is free takes the next one in order, whichever number it was given.
    (0..wanted.len()).into_par_iter().with_max_len(1).try_for_each(|_| {
        let (f, group, fetched) = ahead.take();
        let (number, file) = (u32::try_from(f)?, &export.files[f]);
        let fetched = fetched.with_context(|| place(file, group))?;
        read_group(export, file, number, group, fetched.content.clone(), progress, stop, work)
            .with_context(|| place(file, group))
    })
}

#[allow(clippy::too_many_arguments, reason = "called from `read` alone, which documents them")]
fn read_group(
    export: &Export,
    file: &OpenFile,
    number: u32,
    group: usize,
    handle: Content,
    progress: &Progress,
    stop: &AtomicBool,
    work: &(dyn Fn(Batch) -> Result<()> + Sync),
) -> Result<()> {
    let groups = file.metadata().row_groups();
    let from: i64 = groups[..group].iter().map(RowGroupMetaData::num_rows).sum();
    let mut first = from;
    let same = handle.clone();
    if groups[group].num_rows() == 0 {
        // Writers of no rows leave out the pages that a reader would look for.
        let values: i64 = groups[group].columns().iter().map(|c| c.num_values()).sum();
        ensure!(values == 0, "corrupt data: it holds {values} values, and its footer says that it has no rows");
        return file.state.holds(&same, &file.file.path);
    }
    let mut reader = reader(export, file, handle, &[group], None)?;
    loop {
        crate::exit::check(stop)?;
        let Some(batch) = shield(CORRUPT, || Ok(reader.next().transpose()?))? else {
            let said = groups[group].num_rows();
            ensure!(first - from == said, "corrupt data: it holds {} rows, and its footer says {said}", first - from);
            return file.state.holds(&same, &file.file.path);
        };
        let rows = batch.num_rows();
        work(mapped(export, file, number, batch, first)?)?;
        first += i64::try_from(rows)?;
        progress.add(u64::try_from(rows)?);
    }
}

/// Reads so many of a file's first rows at most, and hands them to `work` batch by batch: the number of the first one, the rows as
/// the file has them, as far as they are read, and in the contract's columns.
///
/// # Errors
/// When a page is corrupt, or the input's `select` fails; or the first error of `work`.
pub fn read_first(
    export: &Export,
    number: u32,
    rows: usize,
    work: &mut dyn FnMut(i64, &RecordBatch, Batch) -> Result<()>,
) -> Result<()> {
    let file = export.files.get(number as usize).context("no such file")?;
    let (mut groups, mut held) = (Vec::new(), 0);
    for (group, meta) in file.metadata().row_groups().iter().enumerate().filter(|(_, meta)| meta.num_rows() > 0) {
        if held < rows {
            groups.push(group);
            held += usize::try_from(meta.num_rows())?;
        }
    }
    if groups.is_empty() {
        return Ok(());
    }
    let handle = match file.reopen()? {
        file @ Content::File(_) => file,
        object => object.with(&needed::ranges(export, file, &groups)?)?,
    };
    let mut reader = reader(export, file, handle, &groups, Some(rows))?;
    let mut first = 0;
    while let Some(batch) = shield(CORRUPT, || Ok(reader.next().transpose()?))? {
        let rows = i64::try_from(batch.num_rows())?;
        work(first, &batch, mapped(export, file, number, batch.clone(), first)?)?;
        first += rows;
    }
    Ok(())
}

/// A reader of the columns that are wanted of some row groups, whose pages are looked at before.
fn reader(
    export: &Export,
    file: &OpenFile,
    handle: Content,
    groups: &[usize],
    rows: Option<usize>,
) -> Result<ParquetRecordBatchReader> {
    let mask = needed::columns(export, file);
    for group in groups {
        let columns = file.metadata().row_group(*group).columns().iter().enumerate();
        let mut chunks = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
        chunks.try_for_each(|(_, chunk)| pages::check(&handle, file.bytes(), chunk))?;
    }
    shield(CORRUPT, || {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, file.footer.clone())
            .with_row_groups(groups.to_vec())
            .with_batch_size(BATCH_ROWS)
            .with_projection(mask);
        Ok(rows.into_iter().fold(builder, ParquetRecordBatchReaderBuilder::with_limit).build()?)
    })
}

/// A file's rows, from its so manieth on, in the contract's columns.
fn mapped(export: &Export, file: &OpenFile, number: u32, batch: RecordBatch, first: i64) -> Result<Batch> {
    let rows = batch.num_rows();
    let (batch, numbers) = match &file.select {
        Some(select) => {
            let (batch, numbers) = shield(GIVEN_UP, || select.run(&batch, first)).context("the input's `select`")?;
            (batch, RowNumbers::Listed(numbers))
        }
        None => (batch, RowNumbers::From(first)),
    };
    let left_out = numbers.left_out(rows);
    let multiplied = (batch.num_rows() as u64 + left_out).saturating_sub(rows as u64);
    let columns = export.table.columns.iter().map(|c| column(c, &batch, file)).collect::<Result<_>>()?;
    let extra = export.extra.iter().filter_map(|n| batch.column_by_name(n).cloned()).collect();
    let len = batch.num_rows();
    Ok(Batch { file: number, from: first, rows: numbers, columns, extra, left_out, multiplied, len })
}

/// A contract column of a batch: from the file, or from the file's path.
fn column(column: &Column, batch: &RecordBatch, file: &OpenFile) -> Result<Option<ArrayRef>> {
    let given = file.given.get(&column.name);
    match batch.column_by_name(&column.name) {
        Some(array) => {
            given.map_or(Ok(()), |given| given.agrees(&column.name, array))?;
            Ok(Some(array.clone()))
        }
        None => given.map_or(Ok(None), |given| given.column(batch.num_rows())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_batch_are_those_of_each_row() {
        for rows in [RowNumbers::From(70), RowNumbers::Listed(vec![9, 4, 70])] {
            let (columns, extra) = (Vec::new(), Vec::new());
            let batch = Batch { file: 0, from: 0, rows, columns, extra, left_out: 0, multiplied: 0, len: 3 };
            let each: Vec<i64> = (0..3).map(|row| batch.rows.get(row)).collect();
            assert_eq!(batch.numbers(), each);
        }
    }
}
