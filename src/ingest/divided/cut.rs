//! Columns of a batch, cut into the pieces of its portions: every value, null and type of them.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::sorted::{Pieces, Sorted};
use super::texts;
use crate::NULL;

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

    /// Appends it to the pieces of its portions.
    ///
    /// # Errors
    /// When a text is longer than numbers count.
    pub(super) fn append(&self, sorted: &Sorted, pieces: &mut Pieces) -> Result<()> {
        pieces.each(sorted, |_, _, out| {
            out.push(u8::from(self.says_valid));
            Ok(())
        })?;
        for numbers in &self.numbers {
            pieces.numbers(sorted, numbers)?;
        }
        match &self.beside {
            Beside::Nothing => {}
            Beside::Bytes(array) => pieces.fixed(sorted, array.value_size(), |row| array.value(row)),
            Beside::Texts(array) => texts::append(array, sorted, pieces)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::ListArray;
    use arrow::datatypes::Field;

    #[test]
    fn a_column_of_lists_is_not_cut() {
        let field = Arc::new(Field::new("item", DataType::Int64, true));
        let array: ArrayRef = Arc::new(ListArray::new_null(field, 2));
        let refused = Cut::of(&array).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("are not divided"), "{refused}");
    }
}
