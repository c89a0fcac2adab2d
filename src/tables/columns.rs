//! Columns of a batch by name, as plain values.

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
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
    Ok(of_doubles(column(batch, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone()))
}

/// The same of a column of doubles alone: where nobody else holds it, its memory is taken over and nothing copied.
pub(super) fn given_doubles(column: ArrayRef) -> Vec<f64> {
    let doubles = column.as_primitive::<Float64Type>().clone();
    drop(column);
    of_doubles(doubles)
}

fn of_doubles(column: Float64Array) -> Vec<f64> {
    let (_, values, nulls) = column.into_parts();
    let mut values: Vec<f64> = values.into();
    if let Some(nulls) = nulls.filter(|n| n.null_count() > 0) {
        let told = nulls.inner().bit_chunks();
        for (values, told) in values.chunks_mut(64).zip(told.iter_padded()) {
            if told != u64::MAX {
                let blank =
                    |(bit, value): (usize, &mut f64)| *value = if told >> bit & 1 == 1 { *value } else { f64::NAN };
                values.iter_mut().enumerate().for_each(blank);
            }
        }
    }
    values
}

/// A column of flags as 0 and 1.
///
/// # Errors
/// When there is none of the name.
pub fn flags(batch: &RecordBatch, name: &str) -> Result<Vec<u8>> {
    let column = column(batch, name, &DataType::Boolean)?.as_boolean().values();
    let mut flags = vec![0; column.len()];
    for (flags, set) in flags.chunks_mut(64).zip(column.bit_chunks().iter_padded()) {
        if set != 0 {
            flags.iter_mut().enumerate().for_each(|(bit, flag)| *flag = u8::from(set >> bit & 1 == 1));
        }
    }
    Ok(flags)
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::BooleanArray;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn doubles_and_flags_are_those_of_each_row_wherever_a_slice_begins(
            rows in proptest::collection::vec((any::<Option<i32>>(), any::<bool>()), 0..400), from in 0_usize..130,
        ) {
            let doubles_of: Vec<Option<f64>> = rows.iter().map(|(value, _)| value.map(f64::from)).collect();
            let flags_of: Vec<bool> = rows.iter().map(|(_, flag)| *flag).collect();
            let columns: [(&str, ArrayRef); 2] = [
                ("double", Arc::new(Float64Array::from(doubles_of.clone()))),
                ("flag", Arc::new(BooleanArray::from(flags_of.clone()))),
            ];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let from = from.min(rows.len());
            let batch = batch.slice(from, rows.len() - from);
            let told = |doubles: Vec<f64>| -> Vec<Option<f64>> {
                doubles.into_iter().map(|v| (!v.is_nan()).then_some(v)).collect()
            };
            prop_assert_eq!(told(doubles(&batch, "double").unwrap()), &doubles_of[from..]);
            // Held by others, and by nobody else.
            let shared = Arc::clone(batch.column(0));
            prop_assert_eq!(told(given_doubles(shared)), &doubles_of[from..]);
            let alone: ArrayRef = Arc::new(Float64Array::from(doubles_of.clone()));
            prop_assert_eq!(told(given_doubles(alone)), &doubles_of[..]);
            prop_assert_eq!(told(doubles(&batch, "double").unwrap()), &doubles_of[from..]);
            let set: Vec<bool> = flags(&batch, "flag").unwrap().into_iter().map(|flag| flag == 1).collect();
            prop_assert_eq!(set, &flags_of[from..]);
        }
    }
}
