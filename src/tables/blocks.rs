//! Columns of many subjects in blocks of a fixed number of rows, so that files of one date can be read side by side.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::parquet_file::{ParquetFile, properties};
use super::window::Window;
use crate::storage::{opening, read};

/// Rows of a block; the last one of a file may have fewer.
pub const BLOCK_ROWS: usize = 16_384;

/// Rows of the first block by which a column is judged.
const JUDGED_ROWS: usize = 1_024;

/// Writes rows as they come, block by block.
pub struct BlockWriter {
    path: PathBuf,
    /// Made with the first block, which says how columns are encoded.
    file: Option<ParquetFile>,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    rows: usize,
}

impl BlockWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, fields: Vec<Field>) -> Result<Self> {
        let schema = Arc::new(Schema::new(fields));
        // A file that is no table yet: what stands in the way is told before any work.
        fs_err::File::create(path)?;
        Ok(Self { path: path.to_owned(), file: None, schema, held: Vec::new(), rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When the disk is full or the columns do not fit.
    pub fn add(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.rows += batch.num_rows();
        self.held.push(batch);
        if self.rows >= BLOCK_ROWS { self.write(BLOCK_ROWS) } else { Ok(()) }
    }

    /// Writes what is held in blocks of at least `least` rows.
    fn write(&mut self, least: usize) -> Result<()> {
        let all = concat_batches(&self.schema, &self.held)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(begin(&self.path, &all)?),
        };
        let mut from = 0;
        while all.num_rows() - from >= least.max(1) {
            let rows = BLOCK_ROWS.min(all.num_rows() - from);
            file.write(all.slice(from, rows).columns().to_vec())?;
            from += rows;
        }
        self.rows = all.num_rows() - from;
        self.held.clear();
        if self.rows > 0 {
            // What is left is copied, or the whole would be held with it.
            self.held.push(concat_batches(&self.schema, &[all.slice(from, self.rows)])?);
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        self.write(1)?;
        self.file.context("defect: a file that was not begun")?.end()?;
        Ok(())
    }
}

/// How blocks are packed, by which their files are known.
pub(super) const PACKED_BY: Compression = Compression::LZ4_RAW;

/// Properties of a file of blocks. They are small and read back soon: a page each, and what packs and unpacks it has no context of its own to
/// clear.
///
/// # Errors
/// As [`properties`].
pub(super) fn of_blocks() -> Result<WriterPropertiesBuilder> {
    let properties = properties()?.set_compression(PACKED_BY).set_data_page_row_count_limit(BLOCK_ROWS);
    Ok(properties.set_statistics_enabled(EnabledStatistics::None))
}

/// Begins a file whose first rows are given. A dictionary of values that hardly repeat, such as ids and shares of money, costs more than all
/// else and saves nothing.
fn begin(path: &Path, first: &RecordBatch) -> Result<ParquetFile> {
    let mut properties = of_blocks()?;
    let some = first.slice(0, first.num_rows().min(JUDGED_ROWS));
    for (field, column) in first.schema().fields().iter().zip(some.columns()) {
        if !repeats(column)? {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
        }
    }
    ParquetFile::create(path, first.schema(), properties.build())
}

/// Whether at most half of a column's values are other ones than before.
fn repeats(column: &ArrayRef) -> Result<bool> {
    let rows = RowConverter::new(vec![SortField::new(column.data_type().clone())])?
        .convert_columns(std::slice::from_ref(column))?;
    let different: BTreeSet<&[u8]> = (0..rows.num_rows()).map(|at| rows.row(at).data()).collect();
    Ok(2 * different.len() <= rows.num_rows())
}

/// A file of blocks.
#[derive(Debug, Clone)]
pub struct Blocks {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    rows: usize,
}

impl Blocks {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is no Parquet file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = read::open(path)?;
        let footer = opening::footer(&file, &ArrowReaderOptions::new()).map_err(|e| opening::of_table(e, path))?;
        let rows = usize::try_from(footer.metadata().file_metadata().num_rows())?;
        Ok(Self { path: path.to_owned(), footer, rows })
    }

    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    /// All rows one after another, at most so many at a time.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn stream(&self, rows: usize) -> Result<ParquetRecordBatchReader> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(read::open(&self.path)?, self.footer.clone());
        builder.with_batch_size(rows).build().with_context(|| self.path.display().to_string())
    }

    /// One block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn block(&self, at: usize) -> Result<RecordBatch> {
        self.chosen(at, ProjectionMask::all())
    }

    /// Some columns of one block, by name; one that is not there is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn columns(&self, at: usize, names: &[&str]) -> Result<RecordBatch> {
        let schema = self.footer.metadata().file_metadata().schema_descr();
        self.chosen(at, ProjectionMask::columns(schema, names.iter().copied()))
    }

    fn chosen(&self, at: usize, columns: ProjectionMask) -> Result<RecordBatch> {
        let read = || -> Result<RecordBatch> {
            let group = self.footer.metadata().row_group(at);
            let rows = usize::try_from(group.num_rows())?;
            let file = Window::of(read::open(&self.path)?, group, &columns);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone())
                .with_row_groups(vec![at])
                .with_projection(columns)
                .with_batch_size(rows)
                .build()?;
            let schema = reader.schema();
            let mut batches = reader.collect::<Result<Vec<_>, _>>()?;
            match batches.pop() {
                // As it is for all blocks that this program wrote: nothing is copied.
                Some(whole) if batches.is_empty() => Ok(whole),
                last => {
                    batches.extend(last);
                    Ok(concat_batches(&schema, &batches)?)
                }
            }
        };
        read().with_context(|| format!("block {at} of {}", self.path.display()))
    }

    /// All rows.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn all(&self) -> Result<RecordBatch> {
        let blocks = (0..self.len()).map(|at| self.block(at)).collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(self.footer.schema(), &blocks)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use crate::tables::columns::ints;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_is_full_when_the_last_bytes_are_written_is_known_to_be() {
        // All of so small a file is written when it ends.
        let fields = vec![Field::new("n", DataType::Int32, false)];
        let mut writer = BlockWriter::create(Path::new("/dev/full"), fields).unwrap();
        writer.add(vec![Arc::new(Int32Array::from(vec![1, 2, 3]))]).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(crate::machine::disk::is_full(&error), "{error:#}");
    }

    proptest! {
        #[test]
        fn rows_come_back_in_order_in_blocks_of_equal_size(parts in proptest::collection::vec(0_usize..40_000, 0..6)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("blocks.parquet");
            let mut writer = BlockWriter::create(&path, vec![Field::new("n", DataType::Int32, false)]).unwrap();
            let mut next = 0;
            for rows in &parts {
                let last = next + i32::try_from(*rows).unwrap();
                writer.add(vec![Arc::new((next..last).map(Some).collect::<Int32Array>())]).unwrap();
                next = last;
            }
            writer.finish().unwrap();
            let blocks = Blocks::open(&path).unwrap();
            prop_assert_eq!(blocks.rows(), parts.iter().sum::<usize>());
            prop_assert_eq!(blocks.len(), blocks.rows().div_ceil(BLOCK_ROWS));
            prop_assert_eq!(ints(&blocks.all().unwrap(), "n").unwrap(), (0..next).collect::<Vec<_>>());
            for at in 0..blocks.len() {
                prop_assert!(at + 1 == blocks.len() || blocks.block(at).unwrap().num_rows() == BLOCK_ROWS);
            }
        }
    }
}
