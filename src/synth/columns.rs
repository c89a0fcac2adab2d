//! Columns under way, and the Parquet file they go to.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Rows handed to the writer at a time.
const BATCH: usize = 16_384;
/// Rows of a row group.
const GROUP: usize = 262_144;

/// One column's values.
pub(super) enum Cells {
    /// Ids and words.
    Text(Vec<Option<String>>),
    /// Words out of a fixed list.
    Word(Vec<Option<&'static str>>),
    /// Amounts and ids.
    Long(Vec<Option<i64>>),
    /// Counts.
    Int(Vec<Option<i32>>),
    /// Day numbers.
    Date(Vec<Option<i64>>),
    /// Microseconds since 1970, UTC.
    Instant(Vec<Option<i64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
    /// Shares.
    Share(Vec<Option<f64>>),
}

impl Cells {
    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Text(v) => Arc::new(std::mem::take(v).into_iter().collect::<StringArray>()),
            Self::Word(v) => Arc::new(std::mem::take(v).into_iter().collect::<StringArray>()),
            Self::Long(v) => Arc::new(Int64Array::from(std::mem::take(v))),
            Self::Int(v) => Arc::new(Int32Array::from(std::mem::take(v))),
            Self::Date(v) => Arc::new(
                std::mem::take(v).into_iter().map(|d| d.and_then(|d| i32::try_from(d).ok())).collect::<Date32Array>(),
            ),
            Self::Instant(v) => Arc::new(TimestampMicrosecondArray::from(std::mem::take(v)).with_timezone("UTC")),
            Self::Flag(v) => Arc::new(BooleanArray::from(std::mem::take(v))),
            Self::Share(v) => Arc::new(Float64Array::from(std::mem::take(v))),
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Word(v) => v.len(),
            Self::Long(v) | Self::Date(v) | Self::Instant(v) => v.len(),
            Self::Int(v) => v.len(),
            Self::Flag(v) => v.len(),
            Self::Share(v) => v.len(),
        }
    }
}

/// A table's file under way.
pub(super) struct TableFile {
    writer: ArrowWriter<File>,
    /// The columns, in order of the file.
    pub cells: Vec<Cells>,
    schema: Arc<Schema>,
    rows: u64,
}

/// Columns of a table: name and an empty column. A `+` before the name marks a column that rises from row to row.
pub(super) type Shape = Vec<(&'static str, Cells)>;

impl TableFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(path: &Path, shape: Shape) -> Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP));
        let (mut fields, mut cells) = (Vec::new(), Vec::new());
        for (name, mut column) in shape {
            let plain = name.trim_start_matches('+');
            if plain != name {
                let path = ColumnPath::from(plain);
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            fields.push(Field::new(plain, column.take().data_type().clone(), true));
            cells.push(column);
        }
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let schema = Arc::new(Schema::new(fields));
        let file = fs_err::File::create(path)?.into_parts().0;
        Ok(Self {
            writer: ArrowWriter::try_new(file, schema.clone(), Some(properties.build()))?,
            cells,
            schema,
            rows: 0,
        })
    }

    /// Ends a row: every column must have one more cell.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn end_row(&mut self) -> Result<()> {
        if self.cells[0].len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.rows += self.cells[0].len() as u64;
        let columns = self.cells.iter_mut().map(Cells::take).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.writer.write(&batch).context("writing the population; is the disk full?")
    }

    /// Ends the file and returns its rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.writer.close().context("writing the population; is the disk full?")?;
        Ok(self.rows)
    }
}

/// Adds one row to a [`TableFile`]: each value goes to the next column, which must be of its kind.
#[macro_export]
macro_rules! row {
    ($file:expr, $($kind:ident $value:expr),+ $(,)?) => {{
        let mut column = 0;
        $(
            if let $crate::synth::columns::Cells::$kind(cells) = &mut $file.cells[column] {
                cells.push($value);
            }
            column += 1;
        )+
        debug_assert_eq!(column, $file.cells.len());
        $file.end_row()
    }};
}
