//! Writing Parquet: row groups of a fixed size, columns encoded in parallel, the same bytes for any number of threads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

/// Rows of a row group, and so the most that finding one row has to look at.
pub const GROUP_ROWS: usize = 131_072;

/// Properties every file of a run is written with.
///
/// # Errors
/// When the compression level is not known, which it is.
pub fn properties() -> Result<WriterPropertiesBuilder> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_data_page_row_count_limit(8_192)
        .set_max_row_group_row_count(Some(GROUP_ROWS)))
}

/// A Parquet file under way. What is not finished is no Parquet file.
pub struct ParquetFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    groups: usize,
    parallel: bool,
}

impl ParquetFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made; the error names the path.
    pub fn create(path: &Path, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        let file = fs_err::File::create(path)?.into_parts().0;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
        let (writer, factory) = writer.into_serialized_writer()?;
        Ok(Self { path: path.to_owned(), writer, factory, schema, groups: 0, parallel: true })
    }

    /// Encodes columns one after another: for a file that threads of the pool write to under a lock, where one that waits
    /// for others could take up work that wants the same lock.
    #[must_use]
    pub const fn one_by_one(mut self) -> Self {
        self.parallel = false;
        self
    }

    /// Writes one row group.
    ///
    /// # Errors
    /// When the disk is full or the columns do not fit the schema.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let writers = self.factory.create_column_writers(self.groups)?;
        self.groups += 1;
        let work: Vec<_> = writers.into_iter().zip(self.schema.fields().iter().zip(batch.columns())).collect();
        let encode = |(mut writer, (field, column)): (ArrowColumnWriter, (&Arc<Field>, &ArrayRef))| {
            let leaves = compute_leaves(field, column)?;
            let [leaf] = leaves.as_slice() else { return Err(anyhow!("the column {} is nested", field.name())) };
            writer.write(leaf)?;
            Ok(writer.close()?)
        };
        let chunks: Vec<ArrowColumnChunk> = match self.parallel {
            true => work.into_par_iter().map(encode).collect::<Result<_>>()?,
            false => work.into_iter().map(encode).collect::<Result<_>>()?,
        };
        let write = || -> Result<()> {
            let mut group = self.writer.next_row_group()?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut group)?;
            }
            group.close()?;
            Ok(())
        };
        write().with_context(|| format!("writing {}; is the disk full?", self.path.display()))
    }

    /// Ends the file and makes it durable.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        let path = self.path.clone();
        self.end()?.sync_all().with_context(|| format!("making {} durable", path.display()))
    }

    /// Ends the file; a crash of the machine may lose what it holds.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn end(self) -> Result<File> {
        let path = self.path;
        self.writer.into_inner().with_context(|| format!("writing {}; is the disk full?", path.display()))
    }
}
