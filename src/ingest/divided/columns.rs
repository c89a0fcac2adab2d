//! Columns of blocks, put together again as the arrays that they were cut of: every value, null and type of them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, BooleanArray, FixedSizeBinaryArray, NullArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::DAMAGED;
use super::room::room;
use super::texts::Texts;
use crate::NULL;
use crate::ingest::rows::pack::Unpacker;

/// A column of several blocks, one after another.
pub(super) enum Joined {
    /// Of the type that has nothing but nulls.
    Nulls(usize),
    /// Numbers of any type.
    Numbers(Vec<i64>, NullBufferBuilder),
    /// Decimals.
    Wide(Vec<i128>, NullBufferBuilder),
    /// Bytes of one width, and how many rows they are of.
    Bytes(Vec<u8>, usize, NullBufferBuilder),
    /// Texts.
    Texts(Texts),
}

impl Joined {
    /// Nothing yet of a type.
    pub(super) fn of(kind: &DataType) -> Self {
        let nulls = NullBufferBuilder::new(0);
        match kind {
            DataType::Null => Self::Nulls(0),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Texts(Texts::new()),
            DataType::FixedSizeBinary(_) => Self::Bytes(Vec::new(), 0, nulls),
            DataType::Decimal128(_, _) => Self::Wide(Vec::new(), nulls),
            _ => Self::Numbers(Vec::new(), nulls),
        }
    }

    /// Bytes of texts that it has so far.
    pub(super) const fn text_bytes(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.bytes(),
            _ => 0,
        }
    }

    /// Makes room for so many times what it has and some more, and for no more bytes of texts than so many.
    pub(super) fn make_room(&mut self, times: usize, most_text: usize) {
        match self {
            Self::Nulls(_) => {}
            Self::Numbers(values, _) => values.reserve(room(values.len(), times)),
            Self::Wide(values, _) => values.reserve(room(values.len(), times)),
            Self::Bytes(bytes, ..) => bytes.reserve(room(bytes.len(), times)),
            Self::Texts(texts) => texts.make_room(times, most_text),
        }
    }

    /// Adds the column of a block of so many rows; `width` is that of binary values.
    ///
    /// # Errors
    /// When the block is damaged.
    pub(super) fn add(&mut self, kind: &DataType, block: &mut Unpacker, rows: usize) -> Result<()> {
        let says_valid = block.take(1)?[0] != 0;
        let mut valid: Vec<bool> = Vec::new();
        if says_valid {
            valid.reserve(rows);
            block.column(|_, v| valid.push(v == 1))?;
        }
        match self {
            Self::Nulls(len) => *len += rows,
            Self::Numbers(values, nulls) => {
                let from = values.len();
                block.append(values)?;
                let added = values.get(from..).context(DAMAGED)?;
                if says_valid {
                    nulls.append_slice(&valid);
                } else if added.contains(&NULL) {
                    added.iter().for_each(|v| nulls.append(*v != NULL));
                } else {
                    nulls.append_n_non_nulls(rows);
                }
            }
            Self::Wide(values, nulls) => {
                let (mut low, mut high) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
                block.append(&mut low)?;
                block.append(&mut high)?;
                values.extend(low.iter().zip(&high).map(|(l, h)| bytemuck::cast::<[i64; 2], i128>([*l, *h])));
                nulls.append_slice(&valid);
            }
            Self::Bytes(bytes, len, nulls) => {
                let DataType::FixedSizeBinary(width) = kind else { anyhow::bail!(DAMAGED) };
                bytes.extend_from_slice(block.take(rows * usize::try_from(*width)?)?);
                *len += rows;
                nulls.append_slice(&valid);
            }
            Self::Texts(texts) => texts.add(block)?,
        }
        Ok(())
    }

    /// The array of all of it.
    ///
    /// # Errors
    /// When a block was damaged.
    pub(super) fn array(self, kind: &DataType) -> Result<ArrayRef> {
        let array: ArrayRef = match self {
            Self::Nulls(len) => Arc::new(NullArray::new(len)),
            Self::Numbers(values, nulls) => narrow(values, nulls.build(), kind)?,
            Self::Wide(values, nulls) => {
                let array = PrimitiveArray::<Decimal128Type>::try_new(values.into(), nulls.build())?;
                Arc::new(array.with_data_type(kind.clone()))
            }
            Self::Bytes(bytes, len, nulls) => {
                let DataType::FixedSizeBinary(width) = kind else { anyhow::bail!(DAMAGED) };
                let bytes = Buffer::from(bytes);
                Arc::new(FixedSizeBinaryArray::try_new_with_len(*width, bytes, nulls.build(), len)?)
            }
            Self::Texts(texts) => {
                let texts: ArrayRef = Arc::new(texts.array()?);
                if *kind == DataType::Utf8View { texts } else { cast(&texts, kind)? }
            }
        };
        Ok(array)
    }
}

/// Numbers as values of a type again.
fn narrow(mut values: Vec<i64>, nulls: Option<NullBuffer>, kind: &DataType) -> Result<ArrayRef> {
    if let Some(nulls) = &nulls {
        values.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(value, _)| *value = 0);
    }
    match kind {
        DataType::Boolean => {
            let bits: BooleanBuffer = values.iter().map(|v| *v == 1).collect();
            Ok(Arc::new(BooleanArray::new(bits, nulls)))
        }
        DataType::Int8 => typed::<Int8Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::Int16 => typed::<Int16Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::Int32 => typed::<Int32Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::Int64 => same::<Int64Type>(values, nulls, kind),
        DataType::UInt8 => typed::<UInt8Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::UInt16 => typed::<UInt16Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::UInt32 => typed::<UInt32Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::UInt64 => typed::<UInt64Type>(&values, nulls, kind, |v| Some(v.cast_unsigned())),
        DataType::Float32 => {
            typed::<Float32Type>(&values, nulls, kind, |v| Some(f32::from_bits(u32::try_from(v).ok()?)))
        }
        DataType::Float64 => typed::<Float64Type>(&values, nulls, kind, |v| Some(f64::from_bits(v.cast_unsigned()))),
        DataType::Date32 => typed::<Date32Type>(&values, nulls, kind, |v| v.try_into().ok()),
        DataType::Timestamp(TimeUnit::Second, _) => same::<TimestampSecondType>(values, nulls, kind),
        DataType::Timestamp(TimeUnit::Millisecond, _) => same::<TimestampMillisecondType>(values, nulls, kind),
        DataType::Timestamp(TimeUnit::Microsecond, _) => same::<TimestampMicrosecondType>(values, nulls, kind),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => same::<TimestampNanosecondType>(values, nulls, kind),
        _ => anyhow::bail!(DAMAGED),
    }
}

/// An array of numbers that need not be narrowed, which are not copied.
fn same<T: ArrowPrimitiveType<Native = i64>>(
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    kind: &DataType,
) -> Result<ArrayRef> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?.with_data_type(kind.clone())))
}

fn typed<T: ArrowPrimitiveType>(
    values: &[i64],
    nulls: Option<NullBuffer>,
    kind: &DataType,
    narrow: impl Fn(i64) -> Option<T::Native>,
) -> Result<ArrayRef> {
    // Whether all of them fit is asked at the end: what need not stop at every value takes many at once.
    let mut fits = true;
    let values: Vec<T::Native> = values
        .iter()
        .map(|v| {
            let value = narrow(*v);
            fits &= value.is_some();
            value.unwrap_or_default()
        })
        .collect();
    ensure!(fits, DAMAGED);
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?.with_data_type(kind.clone())))
}

#[cfg(test)]
mod tests {
    use super::super::cut::Cut;
    use super::super::sorted::{Pieces, Sorted};
    use super::*;
    use arrow::array::{
        Array, AsArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array,
        LargeStringArray, StringArray, StringViewArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
    };
    use arrow::compute::take;
    use proptest::prelude::*;

    /// A column put together of the rows of two portions that `is_second` tells apart, from blocks of so many rows at most: a block of the one and
    /// one of the other in turn. And the same rows of the column as it is.
    fn again(array: &ArrayRef, rows: usize, is_second: impl Fn(usize) -> bool) -> (ArrayRef, ArrayRef) {
        let kind = array.data_type();
        let (mut joined, mut order) = (Joined::of(kind), Vec::new());
        for from in (0..array.len()).step_by(rows) {
            let some = array.slice(from, rows.min(array.len() - from));
            let sorted = Sorted::new(some.len(), 2, |row| Some(usize::from(is_second(from + row)))).unwrap();
            let mut pieces = Pieces::default();
            Cut::of(&some).unwrap().append(&sorted, &mut pieces).unwrap();
            let (all, ends) = pieces.blocks(&sorted).unwrap();
            for (portion, block) in [&all[..ends[0]], &all[ends[0]..]].into_iter().enumerate() {
                let own = (from..from + some.len()).filter(|row| usize::from(is_second(*row)) == portion);
                let before = order.len();
                order.extend(own.map(|row| u32::try_from(row).unwrap()));
                let Some((_, block)) = block.split_first_chunk::<4>() else { continue };
                let mut unpacker = Unpacker::new(block, order.len() - before);
                joined.add(kind, &mut unpacker, order.len() - before).unwrap();
                joined.make_room(2, 1_000);
                assert!(unpacker.rest().is_empty(), "{kind}");
            }
        }
        (joined.array(kind).unwrap(), take(array, &UInt32Array::from(order), None).unwrap())
    }

    /// Some values in every type that they can be of.
    fn arrays(values: &[Option<i64>]) -> Vec<ArrayRef> {
        let texts = || values.iter().map(|v| v.map(|v| format!("{v:x}")));
        let small = |v: i64| i8::try_from(v.rem_euclid(200) - 100).unwrap();
        let all = || values.iter().copied();
        let bytes = values.iter().map(|v| v.map(|v| v.to_le_bytes()));
        let binary = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 8).unwrap();
        let decimals: Decimal128Array = all().map(|v| v.map(|v| i128::from(v) * i128::from(v) - 7)).collect();
        let floats = |v: i64| f64::from_bits(v.cast_unsigned());
        vec![
            Arc::new(all().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(all().map(|v| v.map(small)).collect::<Int8Array>()),
            Arc::new(all().map(|v| v.map(|v| i32::from(small(v)) * 70_000)).collect::<Int32Array>()),
            Arc::new(all().collect::<Int64Array>()),
            Arc::new(all().map(|v| v.map(i64::cast_unsigned)).collect::<UInt64Array>()),
            Arc::new(all().map(|v| v.map(|v| i32::from(small(v)))).collect::<Date32Array>()),
            Arc::new(all().collect::<TimestampNanosecondArray>().with_timezone("Asia/Shanghai")),
            Arc::new(all().map(|v| v.map(|v| f32::from(small(v)) / 3.0)).collect::<Float32Array>()),
            // All bits of a number are kept, also those of what is none, which is not equal to itself.
            Arc::new(all().map(|v| v.map(floats).filter(|v| !v.is_nan())).collect::<Float64Array>()),
            Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
            Arc::new(binary),
            Arc::new(texts().collect::<StringArray>()),
            Arc::new(texts().collect::<LargeStringArray>()),
            Arc::new(texts().collect::<StringViewArray>()),
            Arc::new(NullArray::new(values.len())),
        ]
    }

    proptest! {
        #[test]
        fn columns_of_every_type_come_back(values in proptest::collection::vec(proptest::option::of(prop_oneof![
            Just(NULL), Just(NULL + 1), Just(i64::MAX), Just(0_i64), any::<i64>(), 0..10_i64, (0..1000_i64).prop_map(|d| d * 86_400_000_000),
        ]), 1..150), rows in 1_usize..80) {
            for array in arrays(&values) {
                let (found, array) = again(&array, rows, |row| row * row % 7 > 2);
                prop_assert_eq!(found.data_type(), array.data_type());
                prop_assert_eq!(&found, &array);
            }
        }
    }

    #[test]
    fn the_smallest_number_is_not_null_and_minus_nothing_not_nothing() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(NULL), None, Some(3)]));
        let (found, array) = again(&array, 2, |_| true);
        assert_eq!((found.null_count(), &found), (1, &array));
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(0.0)]));
        let found = again(&array, 3, |_| false).0;
        let found = found.as_primitive::<Float64Type>();
        assert!(found.value(0).is_sign_negative() && found.is_null(1) && found.value(2).is_sign_positive());
    }
}
