//! Rows of several arrays by where each of them lies: what [`interleave`] makes of them, for the columns that stages are full of in loops over
//! values and bits alone. Whoever has another type is left to it.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type,
};

/// Where a row lies: the array, and the row there.
pub(super) type At = (u32, u32);

/// The rows at some places, in the order of these.
///
/// # Errors
/// When arrays are of different types.
pub(super) fn gathered(arrays: &[&dyn Array], places: &[At]) -> Result<ArrayRef> {
    let kind = arrays.first().map(|array| array.data_type());
    let kind = kind.filter(|kind| arrays.iter().all(|array| array.data_type() == *kind));
    Ok(match kind {
        Some(DataType::Boolean) => {
            let bits: Vec<Bits> = arrays.iter().map(|array| Bits::of(array.as_boolean().values())).collect();
            let values = BooleanBuffer::collect_bool(places.len(), |at| {
                let (array, row) = places[at];
                bits[array as usize].get(row as usize)
            });
            Arc::new(BooleanArray::new(values, nulls(arrays, places)))
        }
        Some(DataType::UInt8) => primitive::<UInt8Type>(arrays, places)?,
        Some(DataType::UInt32) => primitive::<UInt32Type>(arrays, places)?,
        Some(DataType::Int32) => primitive::<Int32Type>(arrays, places)?,
        Some(DataType::Int64) => primitive::<Int64Type>(arrays, places)?,
        Some(DataType::Float64) => primitive::<Float64Type>(arrays, places)?,
        Some(DataType::Date32) => primitive::<Date32Type>(arrays, places)?,
        // It also says what is wrong.
        _ => {
            let wide: Vec<(usize, usize)> =
                places.iter().map(|(array, row)| (*array as usize, *row as usize)).collect();
            interleave(arrays, &wide)?
        }
    })
}

/// Values of a type that has no parameters.
fn primitive<T: ArrowPrimitiveType>(arrays: &[&dyn Array], places: &[At]) -> Result<ArrayRef> {
    let of: Vec<&[T::Native]> = arrays.iter().map(|array| &array.as_primitive::<T>().values()[..]).collect();
    let values: Vec<T::Native> = places.iter().map(|(array, row)| of[*array as usize][*row as usize]).collect();
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls(arrays, places))?))
}

/// Which rows are not null; nothing where no array has a null.
fn nulls(arrays: &[&dyn Array], places: &[At]) -> Option<NullBuffer> {
    let some = arrays.iter().map(|array| array.nulls().filter(|nulls| nulls.null_count() > 0));
    let valid: Vec<Option<Bits>> = some.map(|nulls| nulls.map(|nulls| Bits::of(nulls.inner()))).collect();
    valid.iter().any(Option::is_some).then(|| {
        NullBuffer::new(BooleanBuffer::collect_bool(places.len(), |at| {
            let (array, row) = places[at];
            valid[array as usize].as_ref().is_none_or(|valid| valid.get(row as usize))
        }))
    })
}

/// Bits of an array, which may begin within a byte.
struct Bits<'a> {
    bytes: &'a [u8],
    from: usize,
}

impl<'a> Bits<'a> {
    fn of(bits: &'a BooleanBuffer) -> Self {
        Self { bytes: bits.values(), from: bits.offset() }
    }

    fn get(&self, row: usize) -> bool {
        let at = self.from + row;
        (self.bytes[at / 8] >> (at % 8)) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Float64Array, Int32Array, Int64Array, StringArray, UInt8Array, UInt32Array};
    use proptest::prelude::*;

    /// A column of each type, some of them of the types that are left to others.
    fn columns(values: &[Option<u8>]) -> Vec<ArrayRef> {
        let some = || values.iter().copied();
        vec![
            Arc::new(some().map(|v| v.map(|v| v % 3 == 0)).collect::<BooleanArray>()),
            Arc::new(some().collect::<UInt8Array>()),
            Arc::new(some().map(|v| v.map(u32::from)).collect::<UInt32Array>()),
            Arc::new(some().map(|v| v.map(i32::from)).collect::<Int32Array>()),
            Arc::new(some().map(|v| v.map(i64::from)).collect::<Int64Array>()),
            Arc::new(some().map(|v| v.map(f64::from)).collect::<Float64Array>()),
            Arc::new(some().map(|v| v.map(i32::from)).collect::<Date32Array>()),
            Arc::new(some().map(|v| v.map(|v| "x".repeat(usize::from(v % 20)))).collect::<StringArray>()),
        ]
    }

    proptest! {
        #[test]
        fn rows_are_those_that_arrow_puts_together(
            with in proptest::collection::vec(proptest::option::of(any::<u8>()), 1..300), null in any::<bool>(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 1..4),
            drawn in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>()), 0..300),
        ) {
            // Without a null, and with nulls in some arrays or all of them.
            let values: Vec<Option<u8>> = with.iter().map(|v| v.or((!null).then_some(7))).collect();
            // Slices that begin anywhere, so also within a byte.
            let slices: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).collect();
            let places: Vec<(usize, usize)> = drawn.iter().map(|(array, row)| {
                let array = array.index(slices.len());
                (array, row.index(values.len() - slices[array]))
            }).collect();
            let narrow = |(array, row): &(usize, usize)| (u32::try_from(*array).unwrap(), u32::try_from(*row).unwrap());
            let narrow: Vec<At> = places.iter().map(narrow).collect();
            for column in columns(&values) {
                let arrays: Vec<ArrayRef> = slices.iter().map(|at| column.slice(*at, values.len() - at)).collect();
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                let (found, expected) = (gathered(&arrays, &narrow).unwrap(), interleave(&arrays, &places).unwrap());
                prop_assert_eq!(found.data_type(), expected.data_type());
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    #[test]
    fn arrays_of_different_types_are_refused() {
        let columns = columns(&[Some(1)]);
        let arrays: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        assert!(gathered(&arrays, &[(0, 0)]).unwrap_err().to_string().contains("different data types"));
        assert!(gathered(&[], &[]).is_err());
    }
}
