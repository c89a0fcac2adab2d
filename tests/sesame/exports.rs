//! Small exports made by hand.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sesame::contract::{day_number, parse_day};

/// Columns of a table under way.
#[derive(Default, Clone)]
pub struct Export {
    columns: Vec<(String, ArrayRef)>,
}

/// The day number of a date.
pub fn day(text: &str) -> i32 {
    i32::try_from(day_number(parse_day(text).unwrap()).unwrap()).unwrap()
}

/// The microseconds of an instant, or of midnight UTC of a date.
pub fn instant(text: &str) -> i64 {
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.as_microsecond(),
        Err(_) => i64::from(day(text)) * 86_400_000_000,
    }
}

impl Export {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn column(mut self, name: &str, array: ArrayRef) -> Self {
        self.columns.retain(|(n, _)| n != name);
        self.columns.push((name.to_owned(), array));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.columns.retain(|(n, _)| n != name);
        self
    }

    pub fn text<'a>(self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        self.column(name, Arc::new(StringArray::from_iter_values(values)))
    }

    pub fn text_or_null(self, name: &str, values: &[Option<&str>]) -> Self {
        self.column(name, Arc::new(StringArray::from(values.to_vec())))
    }

    pub fn long(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        self.column(name, Arc::new(Int64Array::from_iter_values(values)))
    }

    pub fn int(self, name: &str, values: impl IntoIterator<Item = i32>) -> Self {
        self.column(name, Arc::new(Int32Array::from_iter_values(values)))
    }

    pub fn double(self, name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        self.column(name, Arc::new(Float64Array::from_iter_values(values)))
    }

    pub fn date(self, name: &str, values: &[Option<&str>]) -> Self {
        self.column(name, Arc::new(values.iter().map(|d| d.map(day)).collect::<Date32Array>()))
    }

    pub fn instants(self, name: &str, values: &[Option<&str>]) -> Self {
        let array: TimestampMicrosecondArray = values.iter().map(|d| d.map(instant)).collect();
        self.column(name, Arc::new(array.with_timezone("UTC")))
    }

    pub fn batch(&self) -> RecordBatch {
        let fields: Vec<Field> = self.columns.iter().map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect();
        let arrays = self.columns.iter().map(|(_, a)| a.clone()).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    pub fn write(&self, path: &Path) {
        write(path, &self.batch());
    }
}

/// Writes a batch as a Parquet file.
pub fn write(path: &Path, batch: &RecordBatch) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Writes a batch in row groups of so many rows.
pub fn in_groups(path: &Path, batch: &RecordBatch, rows: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// All rows of a Parquet file as one batch.
pub fn read(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// Two consumers.
pub fn subjects() -> Export {
    Export::new().text("subject_id", ["s1", "s2"]).text("kind", ["consumer", "consumer"])
}

/// One repayment of `s1`, and one of `s2`.
pub fn repayments() -> Export {
    Export::new()
        .text("record_id", ["r1", "r2"])
        .text("subject_id", ["s1", "s2"])
        .text("account_id", ["a1", "a2"])
        .text("product", ["instalment", "revolving"])
        .date("due_on", &[Some("2025-01-05"), Some("2025-01-06")])
        .long("amount_due_minor", [10_000, 20_000])
        .long("amount_paid_minor", [10_000, 20_000])
        .date("paid_on", &[Some("2025-01-05"), Some("2025-01-05")])
        .text("currency", ["CNY", "CNY"])
}
