//! The rows of a file that are not settled, as the file has them: in the columns of the contract, with their numbers. Each night they go
//! the way of every row, and come to what they come to then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::REST;
use crate::contract::Table;
use crate::ingest::read::batches::{Batch, RowNumbers};
use crate::storage::aside::Aside;
use crate::tables::blocks::{BlockWriter, Blocks};
use crate::tables::columns::column;

/// The column of row numbers; no column of a contract has a space.
const NUMBER: &str = "row number";
/// Rows that are read at a time.
const BATCH_ROWS: usize = 65_536;

/// Takes such rows of one file, batch by batch, in any order, and writes them in their own.
pub(super) struct RestWriter<'a> {
    table: &'a Table,
    path: PathBuf,
    /// Batches in Arrow's format of streams, by the number of their first row.
    aside: Aside<i64>,
}

impl<'a> RestWriter<'a> {
    /// Writes to a folder, if there are any.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn new(folder: &Path, table: &'a Table) -> Result<Self> {
        Ok(Self { table, path: folder.join(REST), aside: Aside::below(folder)? })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn add(&self, batch: &Batch) -> Result<()> {
        if batch.len == 0 {
            return Ok(());
        }
        let numbers: Int64Array = (0..batch.len).map(|row| Some(batch.rows.get(row))).collect();
        let mut fields = vec![Field::new(NUMBER, DataType::Int64, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
        for (column, array) in self.table.columns.iter().zip(&batch.columns) {
            if let Some(array) = array {
                fields.push(Field::new(&column.name, array.data_type().clone(), true));
                columns.push(alone(array));
            }
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let mut stream = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
        stream.write(&rows)?;
        let put = self.aside.put(batch.rows.get(0), &stream.into_inner()?);
        put.with_context(|| format!("putting rows aside for {}; is the disk full?", self.path.display()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When the disk is full, a column is not of one type, or would not come back as it is.
    pub(super) fn finish(self) -> Result<()> {
        let Self { path, aside, .. } = self;
        // Begun with the first rows, which tell the types of columns.
        let mut file: Option<(BlockWriter, Vec<Field>)> = None;
        aside.in_order(&mut |_, bytes| {
            for rows in StreamReader::try_new(bytes, None)? {
                let rows = rows?;
                let fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
                let (writer, known) = match &mut file {
                    Some(begun) => begun,
                    none => none.insert((BlockWriter::create(&path, fields.clone())?, fields.clone())),
                };
                ensure!(*known == fields, "a column is of another type than before");
                writer.add(rows.columns().to_vec())?;
            }
            Ok(())
        })?;
        let Some((writer, fields)) = file else { return Ok(()) };
        writer.finish()?;
        let back = Blocks::open(&path)?;
        let same = back.schema().fields().len() == fields.len()
            && back
                .schema()
                .fields()
                .iter()
                .zip(&fields)
                .all(|(back, field)| back.name() == field.name() && back.data_type() == field.data_type());
        ensure!(same, "Parquet has no such columns");
        Ok(())
    }
}

/// A column without what its views show nothing of, which may be all other rows of what it was picked from.
fn alone(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

/// Reads such rows of a file of a table, if there are any: the number of the export's file is the batches' own.
///
/// # Errors
/// When they are damaged, or the first error of `work`.
pub(super) fn read(folder: &Path, table: &Table, file: u32, work: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
    let path = folder.join(REST);
    if !path.exists() {
        return Ok(());
    }
    for batch in Blocks::open(&path)?.stream(BATCH_ROWS)? {
        let batch = batch.with_context(|| path.display().to_string())?;
        let numbers = column(&batch, NUMBER, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec();
        work(Batch {
            file,
            from: numbers.first().copied().unwrap_or_default(),
            len: numbers.len(),
            rows: RowNumbers::Listed(numbers),
            columns: table.columns.iter().map(|column| batch.column_by_name(&column.name).cloned()).collect(),
            extra: Vec::new(),
            left_out: 0,
            multiplied: 0,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int32Array, StringViewArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    };
    use arrow::datatypes::TimeUnit;

    use crate::contract::Contract;

    /// Rows of a table whose columns are of the types that are given, one after another.
    fn batch(table: &Table, arrays: &[Option<ArrayRef>], numbers: Vec<i64>) -> Batch {
        let mut columns = arrays.to_vec();
        columns.resize(table.columns.len(), None);
        Batch {
            file: 3,
            from: numbers.first().copied().unwrap_or_default(),
            len: numbers.len(),
            rows: RowNumbers::Listed(numbers),
            columns,
            extra: Vec::new(),
            left_out: 0,
            multiplied: 0,
        }
    }

    #[test]
    fn rows_come_back_in_the_types_that_they_have() {
        let contract = Contract::load().unwrap();
        let table = contract.table("repayments").unwrap();
        let types: [ArrayRef; 9] = [
            Arc::new(StringViewArray::from(vec![Some("a longer text than fits into a view"), None])),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [3, 4]].into_iter()).unwrap()),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
            Arc::new(Int32Array::from(vec![Some(-7), None])),
            Arc::new(Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(20, 2).unwrap()),
            Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
            Arc::new(TimestampSecondArray::from(vec![Some(-1), None])),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ];
        for array in types {
            let folder = tempfile::tempdir().unwrap();
            let writer = RestWriter::new(folder.path(), table).unwrap();
            // In the order of their rows, whatever order they come in.
            for numbers in [vec![50, 60], vec![7, 40]] {
                writer.add(&batch(table, &[None, Some(Arc::clone(&array))], numbers)).unwrap();
            }
            let kind = array.data_type().clone();
            // What Parquet has no type for is not kept, and nothing else.
            let kept = writer.finish();
            assert!(kept.is_ok() || matches!(kind, DataType::Timestamp(TimeUnit::Second, _)), "{kind}");
            if kept.is_err() {
                continue;
            }
            let mut rows = 0;
            read(folder.path(), table, 5, &mut |back| {
                assert_eq!(back.file, 5);
                for row in 0..back.len {
                    assert_eq!(back.rows.get(row), [7, 40, 50, 60][rows]);
                    let value = back.columns[1].as_ref().unwrap().slice(row, 1);
                    assert_eq!(value.to_data(), array.slice(rows % 2, 1).to_data(), "{kind}");
                    rows += 1;
                }
                assert!(back.columns[0].is_none() && back.columns[2].is_none());
                Ok(())
            })
            .unwrap();
            assert_eq!(rows, 4, "{kind}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_other_types_are_refused() {
        let contract = Contract::load().unwrap();
        let table = contract.table("repayments").unwrap();
        let folder = tempfile::tempdir().unwrap();
        RestWriter::new(folder.path(), table).unwrap().finish().unwrap();
        read(folder.path(), table, 0, &mut |_| panic!("there are no rows")).unwrap();
        let writer = RestWriter::new(folder.path(), table).unwrap();
        writer.add(&batch(table, &[Some(Arc::new(Int64Array::from(vec![1])))], vec![0])).unwrap();
        writer.add(&batch(table, &[Some(Arc::new(Int32Array::from(vec![1])))], vec![1])).unwrap();
        assert!(format!("{:#}", writer.finish().unwrap_err()).contains("another type"));
    }
}
