//! Columns of a batch, cut into blocks and put together again as the arrays that they were: every value, null and type of them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, NullArray, NullBufferBuilder, PrimitiveArray,
    StringViewArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::DAMAGED;
use super::texts::{self, Texts};
use crate::NULL;
use crate::ingest::rows::pack::{Unpacker, pack};

/// A column of a batch that is to be cut.
pub(super) struct Cut<'a> {
    /// Columns of numbers that say all of it that is not beside them.
    numbers: Vec<Vec<i64>>,
    /// Whether the first of them says which rows are not null. Else those are whose number is [`NULL`].
    says_valid: bool,
    beside: Beside<'a>,
}

enum Beside<'a> {
    Nothing,
    Bytes(&'a FixedSizeBinaryArray),
    Texts(StringViewArray),
}

impl<'a> Cut<'a> {
    /// A column of numbers, none of which is null.
    pub(super) fn numbers(numbers: Vec<i64>) -> Self {
        Self { numbers: vec![numbers], says_valid: false, beside: Beside::Nothing }
    }

    /// An array.
    ///
    /// # Errors
    /// When it is of a type that cannot be cut.
    pub(super) fn of(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self { numbers: Vec::new(), says_valid: false, beside: Beside::Nothing },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let known = *array.data_type() == DataType::Utf8View;
                let views = if known { Arc::clone(array) } else { cast(array, &DataType::Utf8View)? };
                let texts = views.as_string_view().clone();
                Self { numbers: Vec::new(), says_valid: false, beside: Beside::Texts(texts) }
            }
            DataType::FixedSizeBinary(_) => {
                let beside = Beside::Bytes(array.as_fixed_size_binary());
                Self { numbers: vec![valid(array)], says_valid: true, beside }
            }
            DataType::Decimal128(_, _) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                let half = |at: usize| -> Vec<i64> {
                    values.iter().map(|v| bytemuck::cast::<i128, [i64; 2]>(*v)[at]).collect()
                };
                let numbers = vec![valid(array), half(0), half(1)];
                Self { numbers, says_valid: true, beside: Beside::Nothing }
            }
            kind => {
                let mut values =
                    wide(array).with_context(|| format!("rows with a column of the type {kind} are not divided"))?;
                // Of most columns the smallest number, which nobody writes, stands for null.
                let mut is_used = false;
                match array.nulls().filter(|nulls| nulls.null_count() > 0) {
                    None => is_used = values.contains(&NULL),
                    Some(nulls) => {
                        for (value, valid) in values.iter_mut().zip(nulls) {
                            match valid {
                                true => is_used |= *value == NULL,
                                false => *value = NULL,
                            }
                        }
                    }
                }
                let numbers = if is_used { vec![valid(array), values] } else { vec![values] };
                Self { numbers, says_valid: is_used, beside: Beside::Nothing }
            }
        })
    }

    /// Appends some rows to a block. `room` is used on the way.
    ///
    /// # Errors
    /// When a text is longer than numbers count.
    pub(super) fn append(&self, rows: &[u32], room: &mut Vec<i64>, out: &mut Vec<u8>) -> Result<()> {
        out.push(u8::from(self.says_valid));
        for numbers in &self.numbers {
            room.clear();
            room.extend(rows.iter().map(|row| numbers[*row as usize]));
            pack(room, out);
        }
        match &self.beside {
            Beside::Nothing => {}
            Beside::Bytes(array) => rows.iter().for_each(|row| out.extend_from_slice(array.value(*row as usize))),
            Beside::Texts(array) => texts::append(array, rows, room, out)?,
        }
        Ok(())
    }
}

/// Which rows are not null, as ones.
fn valid(array: &ArrayRef) -> Vec<i64> {
    (0..array.len()).map(|row| i64::from(array.is_valid(row))).collect()
}

/// The values of a column as integers that tell them apart; nothing for a type that has others.
fn wide(array: &ArrayRef) -> Option<Vec<i64>> {
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().values().iter().map(i64::from).collect(),
        DataType::Int8 => widened::<Int8Type>(array, i64::from),
        DataType::Int16 => widened::<Int16Type>(array, i64::from),
        DataType::Int32 => widened::<Int32Type>(array, i64::from),
        DataType::Int64 => widened::<Int64Type>(array, |v| v),
        DataType::UInt8 => widened::<UInt8Type>(array, i64::from),
        DataType::UInt16 => widened::<UInt16Type>(array, i64::from),
        DataType::UInt32 => widened::<UInt32Type>(array, i64::from),
        DataType::UInt64 => widened::<UInt64Type>(array, u64::cast_signed),
        DataType::Float32 => widened::<Float32Type>(array, |v| i64::from(v.to_bits())),
        DataType::Float64 => widened::<Float64Type>(array, |v| v.to_bits().cast_signed()),
        DataType::Date32 => widened::<Date32Type>(array, i64::from),
        DataType::Timestamp(TimeUnit::Second, _) => widened::<TimestampSecondType>(array, |v| v),
        DataType::Timestamp(TimeUnit::Millisecond, _) => widened::<TimestampMillisecondType>(array, |v| v),
        DataType::Timestamp(TimeUnit::Microsecond, _) => widened::<TimestampMicrosecondType>(array, |v| v),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => widened::<TimestampNanosecondType>(array, |v| v),
        _ => return None,
    })
}

fn widened<T: ArrowPrimitiveType>(array: &ArrayRef, widen: impl Fn(T::Native) -> i64) -> Vec<i64> {
    array.as_primitive::<T>().values().iter().map(|value| widen(*value)).collect()
}

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
    use super::*;
    use arrow::array::{
        Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray,
        ListArray, StringArray, TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    /// A column cut into blocks of so many rows, and put together again.
    fn again(array: &ArrayRef, rows: usize) -> ArrayRef {
        let (cut, kind) = (Cut::of(array).unwrap(), array.data_type());
        let mut joined = Joined::of(kind);
        let numbers: Vec<u32> = (0..u32::try_from(array.len()).unwrap()).collect();
        for some in numbers.chunks(rows) {
            let mut block = Vec::new();
            cut.append(some, &mut Vec::new(), &mut block).unwrap();
            let mut unpacker = Unpacker::new(&block, some.len());
            joined.add(kind, &mut unpacker, some.len()).unwrap();
            assert!(unpacker.rest().is_empty(), "{kind}");
        }
        joined.array(kind).unwrap()
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
                let found = again(&array, rows);
                prop_assert_eq!(found.data_type(), array.data_type());
                prop_assert_eq!(&found, &array);
            }
        }
    }

    #[test]
    fn the_smallest_number_is_not_null_and_minus_nothing_not_nothing() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(NULL), None, Some(3)]));
        let found = again(&array, 2);
        assert_eq!((found.null_count(), &found), (1, &array));
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(0.0)]));
        let found = again(&array, 3);
        let found = found.as_primitive::<Float64Type>();
        assert!(found.value(0).is_sign_negative() && found.is_null(1) && found.value(2).is_sign_positive());
    }

    #[test]
    fn a_column_of_lists_is_not_cut() {
        let field = Arc::new(Field::new("item", DataType::Int64, true));
        let array: ArrayRef = Arc::new(ListArray::new_null(field, 2));
        let refused = Cut::of(&array).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("are not divided"), "{refused}");
    }
}
