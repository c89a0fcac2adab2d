//! Writing Parquet: row groups of a fixed size, columns encoded in parallel, the same bytes for any number of threads.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

use crate::storage::encryption::{self, FileKey};
use crate::storage::hashes::Hash;

/// Rows of a row group, and so the most that finding one row has to look at.
pub const GROUP_ROWS: usize = 131_072;

/// Rows of a page, at most.
pub(super) const PAGE_ROWS: usize = 8_192;

/// Properties every file of a run is written with.
///
/// # Errors
/// When the compression level is not known, which it is.
pub fn properties() -> Result<WriterPropertiesBuilder> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_row_count(Some(GROUP_ROWS)))
}

/// A Parquet file under way. What is not finished is no Parquet file. Where a key is named to write with, it is encrypted.
pub struct ParquetFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    groups: usize,
    plain: Option<Plain>,
}

/// An encrypted file as it would be without a key, of which only the hash is kept: encrypted bytes differ each time.
struct Plain {
    writer: SerializedFileWriter<blake3::Hasher>,
    factory: ArrowRowGroupWriterFactory,
}

impl ParquetFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made; the error names the path. When the key to write with is not to be had.
    pub fn create(path: &Path, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        Self::create_for(path, schema, properties, encryption::writes()?.as_deref(), false)
    }

    /// The same; [`ParquetFile::finish_hashed`] then tells the hash that it would have if it were not encrypted.
    ///
    /// # Errors
    /// As [`ParquetFile::create`].
    pub fn create_hashed(path: &Path, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        Self::create_for(path, schema, properties, encryption::writes()?.as_deref(), true)
    }

    /// Begins a file that is encrypted with a certain key, or with none.
    ///
    /// # Errors
    /// When it cannot be made; the error names the path.
    pub fn create_for(
        path: &Path,
        schema: SchemaRef,
        properties: WriterProperties,
        key: Option<&FileKey>,
        hashed: bool,
    ) -> Result<Self> {
        let (mut properties, mut plain) = (properties, None);
        if let Some(key) = key {
            if hashed {
                let writer = ArrowWriter::try_new(blake3::Hasher::new(), schema.clone(), Some(properties.clone()))?;
                let (writer, factory) = writer.into_serialized_writer()?;
                plain = Some(Plain { writer, factory });
            }
            properties = key.seal(properties, schema.fields().iter().map(|field| field.name().as_str()))?;
        }
        let file = fs_err::File::create(path)?.into_parts().0;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
        let (writer, factory) = writer.into_serialized_writer()?;
        Ok(Self { path: path.to_owned(), writer, factory, schema, groups: 0, plain })
    }

    /// Writes one row group.
    ///
    /// # Errors
    /// When the disk is full or the columns do not fit the schema.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.write_coded(batch.columns())
    }

    /// Writes one row group, whose columns of text may be dictionaries of it; see [`words`](super::words).
    ///
    /// # Errors
    /// When the disk is full or the columns do not fit the schema.
    pub fn write_coded(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let rows = columns.first().map_or(0, |column| column.len());
        let alike = columns.len() == self.schema.fields().len() && columns.iter().all(|column| column.len() == rows);
        ensure!(alike, "defect: {} columns of {rows} rows", columns.len());
        if rows == 0 {
            return Ok(());
        }
        let group = self.groups;
        self.groups += 1;
        let chunks = self.encoded(&self.factory, group, columns)?;
        append(&mut self.writer, chunks)
            .with_context(|| format!("writing {}; is the disk full?", self.path.display()))?;
        if let Some(mut plain) = self.plain.take() {
            append(&mut plain.writer, self.encoded(&plain.factory, group, columns)?)?;
            self.plain = Some(plain);
        }
        Ok(())
    }

    /// The columns of a row group, encoded.
    fn encoded(
        &self,
        factory: &ArrowRowGroupWriterFactory,
        group: usize,
        columns: &[ArrayRef],
    ) -> Result<Vec<ArrowColumnChunk>> {
        let writers = factory.create_column_writers(group)?;
        let work: Vec<_> = writers.into_iter().zip(self.schema.fields().iter().zip(columns)).collect();
        let encode = |(mut writer, (field, column)): (ArrowColumnWriter, (&Arc<Field>, &ArrayRef))| {
            let leaves = compute_leaves(field, column)?;
            let [leaf] = leaves.as_slice() else { return Err(anyhow!("the column {} is nested", field.name())) };
            writer.write(leaf)?;
            Ok(writer.close()?)
        };
        work.into_par_iter().map(encode).collect()
    }

    /// Ends the file and makes it durable.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        let path = self.path.clone();
        self.ended()?.inner().sync_all().with_context(|| format!("making {} durable", path.display()))
    }

    /// Ends the file and makes it durable; the hash that it would have if it were not encrypted, if it is and was asked for.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish_hashed(mut self) -> Result<Option<Hash>> {
        let plain = self.plain.take();
        self.finish()?;
        let hash = |plain: Plain| -> Result<Hash> { Ok(plain.writer.into_inner()?.finalize().to_hex().to_string()) };
        plain.map(hash).transpose()
    }

    /// Ends the file; a crash of the machine may lose what it holds.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn end(self) -> Result<()> {
        self.ended().map(drop)
    }

    /// The writer, which has nothing left to write. Who takes the file out of it instead has the last bytes written on the way, and is
    /// told of a full disk by a text alone: [`is_full`](crate::machine::disk::is_full) could not tell what it was.
    fn ended(self) -> Result<SerializedFileWriter<File>> {
        let Self { path, mut writer, .. } = self;
        writer.finish().with_context(|| format!("writing {}; is the disk full?", path.display()))?;
        Ok(writer)
    }
}

/// Adds a row group to a file.
fn append<W: Write + Send>(writer: &mut SerializedFileWriter<W>, chunks: Vec<ArrowColumnChunk>) -> Result<()> {
    let mut group = writer.next_row_group()?;
    for chunk in chunks {
        chunk.append_to_row_group(&mut group)?;
    }
    group.close()?;
    Ok(())
}
