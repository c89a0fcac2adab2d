//! Columns whose arrays nobody asks for again: an array of integers as they are wanted becomes the column, and nothing is copied.

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::decode::decode;
use crate::NULL;
use crate::contract::{Column, ColumnType};
use crate::ingest::check::rule::Fault;

/// Values whose nulls one word tells of.
const WORD: usize = 64;

/// Whether an array may become a column as it is.
#[must_use]
pub(in crate::ingest) fn serves(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _))
}

/// As [`decode`] makes it, of an array that is given away: its memory is the column's, unless others have it, too.
///
/// # Errors
/// As [`decode`].
pub(in crate::ingest) fn decode_taken(
    column: &Column,
    position: usize,
    array: ArrayRef,
    currency: &str,
    faults: &mut Vec<Fault>,
) -> Result<Vec<i64>> {
    let (kind, is_integer) = (column.kind, *array.data_type() == DataType::Int64);
    // The number that stands for null is looked at by itself where it cannot be one of a column.
    if kind == ColumnType::Id && is_integer {
        return Ok(longs::<Int64Type>(array));
    }
    if matches!(kind, ColumnType::Count | ColumnType::Money) && is_integer && !holds_null::<Int64Type>(&array) {
        return Ok(longs::<Int64Type>(array));
    }
    let is_instant = matches!(array.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _));
    if kind == ColumnType::Instant && is_instant && !holds_null::<TimestampMicrosecondType>(&array) {
        return Ok(longs::<TimestampMicrosecondType>(array));
    }
    decode(column, position, &array, currency, faults)
}

/// Whether a value, or what stands where there is none, is the number that stands for null.
fn holds_null<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> bool {
    array.as_primitive::<T>().values().contains(&NULL)
}

/// The values of an array, [`NULL`] where null.
fn longs<T: ArrowPrimitiveType<Native = i64>>(array: ArrayRef) -> Vec<i64> {
    let own = array.as_primitive::<T>().clone();
    // It has the memory, too.
    drop(array);
    let (_, values, nulls) = own.into_parts();
    let mut values: Vec<i64> = Vec::from(values);
    if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
        put_nulls(&mut values, &nulls);
    }
    values
}

/// Puts [`NULL`] where there is no value: by words of bits, without a branch for each value.
fn put_nulls(values: &mut [i64], nulls: &NullBuffer) {
    let bits = nulls.inner().bit_chunks();
    let words = bits.iter().chain(std::iter::once(bits.remainder_bits()));
    for (values, word) in values.chunks_mut(WORD).zip(words) {
        for (value, place) in values.iter_mut().zip(0_u32..) {
            *value = if (word >> place) & 1 == 1 { *value } else { NULL };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use arrow::buffer::ScalarBuffer;
    use proptest::prelude::*;

    use crate::contract::Contract;

    /// A column of each kind that holds numbers of 64 bits.
    fn columns() -> Vec<Column> {
        let contract = Contract::load().unwrap();
        let kinds = [ColumnType::Id, ColumnType::Count, ColumnType::Money, ColumnType::Instant];
        let of_kind = |kind: &ColumnType| {
            let mut all = contract.tables.iter().flat_map(|table| &table.columns);
            all.find(|column| column.kind == *kind).unwrap().clone()
        };
        kinds.iter().map(of_kind).collect()
    }

    /// An array as a column of the kind has it, of values and whether each is there.
    fn array(kind: ColumnType, rows: &[(i64, bool)]) -> ArrayRef {
        let values: ScalarBuffer<i64> = rows.iter().map(|row| row.0).collect::<Vec<_>>().into();
        let nulls = NullBuffer::from(rows.iter().map(|row| row.1).collect::<Vec<_>>());
        match kind {
            ColumnType::Instant => Arc::new(TimestampMicrosecondArray::new(values, Some(nulls))),
            _ => Arc::new(Int64Array::new(values, Some(nulls))),
        }
    }

    proptest! {
        #[test]
        fn an_array_that_is_given_away_becomes_what_it_is_decoded_to(
            rows in proptest::collection::vec(
                (prop_oneof![300 => -5_i64..5, 99 => any::<i64>(), 1 => Just(NULL)], proptest::bool::weighted(0.8)), 0..300),
            (from, shared) in (0_usize..70, any::<bool>()),
        ) {
            let from = from.min(rows.len());
            for column in columns() {
                let make = || array(column.kind, &rows).slice(from, rows.len() - from);
                prop_assert!(serves(&make()));
                let (mut expected, mut found) = (Vec::new(), Vec::new());
                let decoded = decode(&column, 3, &make(), "CNY", &mut expected).unwrap();
                let given = make();
                let other = shared.then(|| given.clone());
                prop_assert_eq!(decode_taken(&column, 3, given, "CNY", &mut found).unwrap(), decoded);
                prop_assert_eq!(found, expected);
                // Whoever has the array as well has it as it was.
                if let Some(other) = other {
                    prop_assert_eq!(&other, &make());
                }
            }
        }
    }

    #[test]
    fn the_memory_of_an_array_is_the_columns() {
        for column in columns() {
            let array = array(column.kind, &[(7, true), (5, false), (9, true)]);
            let memory = array.to_data().buffers()[0].as_ptr();
            let found = decode_taken(&column, 0, array, "CNY", &mut Vec::new()).unwrap();
            assert_eq!((found.as_ptr().cast::<u8>(), found.as_slice()), (memory, &[7, NULL, 9][..]));
        }
    }
}
