//! Columns of a batch by name, as plain values.

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int16Type, Int32Type, Int64Type, UInt8Type};

use crate::NULL;

/// A column of any type.
///
/// # Errors
/// When there is none of the name.
pub fn named<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("the table has no column {name}"))
}

/// A column by name.
///
/// # Errors
/// When there is none of the type.
pub fn column<'a>(batch: &'a RecordBatch, name: &str, kind: &DataType) -> Result<&'a ArrayRef> {
    let column = named(batch, name)?;
    anyhow::ensure!(column.data_type() == kind, "the column {name} is {}, not {kind}", column.data_type());
    Ok(column)
}

/// A column of integers, [`NULL`] where null.
///
/// # Errors
/// When there is none of the name.
pub fn longs(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let column = column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>();
    Ok(match column.nulls().filter(|n| n.null_count() > 0) {
        None => column.values().to_vec(),
        Some(nulls) => column.values().iter().zip(nulls).map(|(v, ok)| if ok { *v } else { NULL }).collect(),
    })
}

/// A column of counts without nulls.
///
/// # Errors
/// When there is none of the name.
pub fn ints(batch: &RecordBatch, name: &str) -> Result<Vec<i32>> {
    Ok(column(batch, name, &DataType::Int32)?.as_primitive::<Int32Type>().values().to_vec())
}

/// A column of codes, some of which may be null.
///
/// # Errors
/// When there is none of the name.
pub fn codes(batch: &RecordBatch, name: &str) -> Result<Vec<Option<u8>>> {
    Ok(column(batch, name, &DataType::UInt8)?.as_primitive::<UInt8Type>().iter().collect())
}

/// A column of doubles, NaN where null.
///
/// # Errors
/// When there is none of the name.
pub fn doubles(batch: &RecordBatch, name: &str) -> Result<Vec<f64>> {
    let column = column(batch, name, &DataType::Float64)?.as_primitive::<Float64Type>();
    Ok(match column.nulls().filter(|n| n.null_count() > 0) {
        None => column.values().to_vec(),
        Some(nulls) => column.values().iter().zip(nulls).map(|(v, ok)| if ok { *v } else { f64::NAN }).collect(),
    })
}

/// A column of flags as 0 and 1.
///
/// # Errors
/// When there is none of the name.
pub fn flags(batch: &RecordBatch, name: &str) -> Result<Vec<u8>> {
    Ok(column(batch, name, &DataType::Boolean)?.as_boolean().values().iter().map(u8::from).collect())
}

/// A column of words, however it is encoded.
///
/// # Errors
/// When there is none of the name.
pub fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(cast(named(batch, name)?, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// A column of small integers, some of which may be null.
///
/// # Errors
/// When there is none of the name.
pub fn shorts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i16>>> {
    Ok(column(batch, name, &DataType::Int16)?.as_primitive::<Int16Type>().iter().collect())
}
