//! Writing Parquet: row groups of a fixed size, columns encoded in parallel, the same bytes for any number of threads.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
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
        Ok(Self { path: path.to_owned(), writer, factory, schema, groups: 0 })
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
        let chunks: Vec<ArrowColumnChunk> = work
            .into_par_iter()
            .map(|(mut writer, (field, column))| {
                let leaves = compute_leaves(field, column)?;
                let [leaf] = leaves.as_slice() else { return Err(anyhow!("the column {} is nested", field.name())) };
                writer.write(leaf)?;
                Ok(writer.close()?)
            })
            .collect::<Result<_>>()?;
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
        let path = self.path;
        let file =
            self.writer.into_inner().with_context(|| format!("writing {}; is the disk full?", path.display()))?;
        file.sync_all().with_context(|| format!("making {} durable", path.display()))
    }
}
