//! From an Arrow column to integers: ids become equality keys, words codes, times day numbers or microseconds.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use super::recent::Recent;
use crate::NULL;
use crate::contract::{Column, ColumnType};
use crate::ingest::check::rule::{Fault, Rule};
use crate::ingest::spine::Spine;
use crate::ingest::spine::hashes::hash_bytes;
use crate::tables::ids::{IdForm, to_ordered};

/// One column as integers, [`NULL`] where null.
///
/// # Errors
/// When the array is of a type the structural check should have refused.
pub fn decode(
    column: &Column,
    position: usize,
    array: &ArrayRef,
    currency: &str,
    faults: &mut Vec<Fault>,
) -> Result<Vec<i64>> {
    let mut fault = |row, rule| faults.push(Fault { row, column: position, rule });
    if *array.data_type() == DataType::Null {
        return Ok(vec![NULL; array.len()]);
    }
    match column.kind {
        ColumnType::Id => id_keys(array),
        ColumnType::Count => integers(array, |row| fault(row, Rule::OutOfRange)),
        ColumnType::Money if matches!(array.data_type(), DataType::Decimal128(_, _)) => decimals(array, fault),
        ColumnType::Money => integers(array, |row| fault(row, Rule::AmountTooLarge)),
        ColumnType::Date => Ok(primitive::<Date32Type>(array, i64::from)),
        ColumnType::Instant => instants(array, column.name == "known_at"),
        ColumnType::Flag => Ok(flags(array.as_boolean())),
        ColumnType::Share => shares(array, fault),
        ColumnType::Choice => {
            let code = |word: &[u8]| i64::try_from(column.values.iter().position(|v| v.as_bytes() == word)?).ok();
            words(array, code, |row| fault(row, Rule::UnknownChoice))
        }
        ColumnType::Currency => {
            words(array, |word| (word == currency.as_bytes()).then_some(0), |row| fault(row, Rule::ForeignCurrency))
        }
        ColumnType::Text => words(array, |word| Some(text_key(word)), |_| ()),
    }
}

/// The integer that stands for a hash; never the one that stands for null.
const fn key(hash: u64) -> i64 {
    let key = hash.cast_signed();
    if key == NULL { NULL + 1 } else { key }
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, convert: impl Fn(T::Native) -> i64) -> Vec<i64> {
    let array = array.as_primitive::<T>();
    match array.nulls().filter(|n| n.null_count() > 0) {
        None => array.values().iter().map(|v| convert(*v)).collect(),
        Some(nulls) => array.values().iter().zip(nulls).map(|(v, ok)| if ok { convert(*v) } else { NULL }).collect(),
    }
}

/// Any integer type; the value that stands for null is out of range.
fn integers(array: &ArrayRef, mut too_large: impl FnMut(usize)) -> Result<Vec<i64>> {
    if *array.data_type() == DataType::UInt64 {
        let mut values = primitive::<UInt64Type>(array, u64::cast_signed);
        let valid = array.nulls().cloned();
        for (row, value) in values.iter_mut().enumerate() {
            if *value < 0 && valid.as_ref().is_none_or(|n| n.is_valid(row)) {
                too_large(row);
                *value = 0;
            }
        }
        return Ok(values);
    }
    if *array.data_type() != DataType::Int64 {
        let wide = cast(array, &DataType::Int64)?;
        return Ok(primitive::<Int64Type>(&wide, |v| v));
    }
    let mut values = primitive::<Int64Type>(array, |v| v);
    let smallest = array.as_primitive::<Int64Type>();
    if smallest.values().contains(&NULL) {
        for row in (0..values.len()).filter(|row| smallest.is_valid(*row) && smallest.value(*row) == NULL) {
            too_large(row);
            values[row] = 0;
        }
    }
    Ok(values)
}

fn decimals(array: &ArrayRef, mut fault: impl FnMut(usize, Rule)) -> Result<Vec<i64>> {
    let DataType::Decimal128(_, scale) = *array.data_type() else { bail!("not a decimal") };
    let array = array.as_primitive::<Decimal128Type>();
    let unit = 10_i128.checked_pow(u32::from(scale.unsigned_abs())).context("a decimal of such a scale")?;
    Ok((0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return NULL;
            }
            let value = array.value(row);
            let whole = if scale >= 0 { (value % unit == 0).then_some(value / unit) } else { value.checked_mul(unit) };
            match whole.map(i64::try_from) {
                Some(Ok(whole)) if whole != NULL => whole,
                Some(_) => {
                    fault(row, Rule::AmountTooLarge);
                    0
                }
                None => {
                    fault(row, Rule::FractionalAmount);
                    0
                }
            }
        })
        .collect())
}

/// Microseconds since 1970. A part of a microsecond is cut off, which changes nothing for what must lie before a cut-off; what
/// must not lie after one, when a row became known, is rounded up. An instant before all that 64 bits hold is kept as the first
/// one, which the contract's dates exclude.
fn instants(array: &ArrayRef, up: bool) -> Result<Vec<i64>> {
    let DataType::Timestamp(unit, _) = array.data_type() else { bail!("not a timestamp") };
    Ok(match unit {
        TimeUnit::Second => primitive::<TimestampSecondType>(array, |v| v.saturating_mul(1_000_000).max(NULL + 1)),
        TimeUnit::Millisecond => {
            primitive::<TimestampMillisecondType>(array, |v| v.saturating_mul(1_000).max(NULL + 1))
        }
        TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(array, |v| v.max(NULL + 1)),
        TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(array, |v| {
            v.div_euclid(1_000) + i64::from(up && v.rem_euclid(1_000) > 0)
        }),
    })
}

fn flags(array: &BooleanArray) -> Vec<i64> {
    match array.nulls().filter(|n| n.null_count() > 0) {
        None => array.values().iter().map(i64::from).collect(),
        Some(nulls) => array.values().iter().zip(nulls).map(|(v, ok)| if ok { i64::from(v) } else { NULL }).collect(),
    }
}

/// A share in thousandths, half to even.
fn shares(array: &ArrayRef, mut fault: impl FnMut(usize, Rule)) -> Result<Vec<i64>> {
    let wide = cast(array, &DataType::Float64)?;
    let array = wide.as_primitive::<Float64Type>();
    Ok((0..array.len())
        .map(|row| {
            if array.is_null(row) {
                return NULL;
            }
            let value = array.value(row);
            if !(0.0..=1.0).contains(&value) {
                fault(row, Rule::OutOfRange);
                return 0;
            }
            #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1000")]
            let thousandths = (value * 1000.0).round_ties_even() as i64;
            thousandths
        })
        .collect())
}

/// Text through a look-up, done once for a text that a page repeats; a text without a value is a fault.
fn words(array: &ArrayRef, lookup: impl Fn(&[u8]) -> Option<i64>, mut fault: impl FnMut(usize)) -> Result<Vec<i64>> {
    let views = text(array)?;
    let some_null = views.null_count() > 0;
    let mut seen = Recent::<u128, i64>::default();
    let value = |(row, view): (usize, &u128)| {
        if some_null && views.is_null(row) {
            return NULL;
        }
        if let Some(value) = seen.get(*view) {
            return value;
        }
        let Some(value) = lookup(views.value(row).as_bytes()) else {
            fault(row);
            return 0;
        };
        seen.put(*view, value);
        value
    };
    Ok(views.views().iter().enumerate().map(value).collect())
}

fn text(array: &ArrayRef) -> Result<StringViewArray> {
    let views =
        if *array.data_type() == DataType::Utf8View { array.clone() } else { cast(array, &DataType::Utf8View)? };
    Ok(views.as_string_view().clone())
}

/// Equality keys of ids: an integer is itself, anything else its hash.
fn id_keys(array: &ArrayRef) -> Result<Vec<i64>> {
    match array.data_type() {
        DataType::UInt64 => Ok(primitive::<UInt64Type>(array, key)),
        t if t.is_integer() => {
            let wide = cast(array, &DataType::Int64)?;
            Ok(primitive::<Int64Type>(&wide, |v| v))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Ok((0..array.len())
                .map(|r| if array.is_null(r) { NULL } else { key(hash_bytes(array.value(r))) })
                .collect())
        }
        _ => {
            let views = text(array)?;
            // As of words, equal views are equal texts; ids of accounts and sources often come in runs.
            let mut last: (u128, i64) = (u128::MAX, NULL);
            let mut key_of = |row: usize, view: u128| {
                if views.is_null(row) {
                    return NULL;
                }
                if view != last.0 {
                    last = (view, key(hash_bytes(views.value(row).as_bytes())));
                }
                last.1
            };
            Ok(views.views().iter().enumerate().map(|(row, view)| key_of(row, *view)).collect())
        }
    }
}

/// The longest id: pseudonyms are far shorter.
const MOST_ID_BYTES: u32 = 1_024;

/// Ids that no integer of ours can stand for, that are longer than any pseudonym, and empty texts where an id is required.
///
/// # Errors
/// When the array holds no ids.
pub fn faulty_ids(array: &ArrayRef, required: bool) -> Result<Vec<(usize, Rule)>> {
    let rows = |wrong: &dyn Fn(usize) -> bool, rule| {
        Ok((0..array.len()).filter(|r| array.is_valid(*r) && wrong(*r)).map(|r| (r, rule)).collect())
    };
    match array.data_type() {
        DataType::UInt64 => {
            let ids = array.as_primitive::<UInt64Type>();
            if ids.values().iter().all(|v| i64::try_from(*v).is_ok()) {
                return Ok(Vec::new());
            }
            rows(&|r| i64::try_from(ids.value(r)).is_err(), Rule::OutOfRange)
        }
        DataType::Int64 => {
            let ids = array.as_primitive::<Int64Type>();
            if !ids.values().contains(&NULL) {
                return Ok(Vec::new());
            }
            rows(&|r| ids.value(r) == NULL, Rule::OutOfRange)
        }
        t if t.is_integer() || matches!(t, DataType::FixedSizeBinary(_) | DataType::Null) => Ok(Vec::new()),
        _ => {
            let ids = text(array)?;
            // All are looked at without a branch: from 1 on, one below is less than the most. That of none is the largest number.
            if ids.lengths().fold(true, |all, l| all & (l.wrapping_sub(1) < MOST_ID_BYTES)) {
                return Ok(Vec::new());
            }
            let empty: Vec<(usize, Rule)> = rows(&|r| required && ids.value(r).is_empty(), Rule::NullValue)?;
            let long = rows(&|r| ids.value(r).len() > MOST_ID_BYTES as usize, Rule::OutOfRange)?;
            Ok(empty.into_iter().chain(long).collect())
        }
    }
}

/// A column of ids with their bytes.
#[derive(Clone)]
pub enum IdColumn {
    /// Text.
    Text(StringViewArray),
    /// Fixed-size binary.
    Binary(FixedSizeBinaryArray),
    /// Integers as eight ordered bytes, and which are not null.
    Integer(Vec<[u8; 8]>, Option<NullBuffer>),
}

impl IdColumn {
    /// Reads a column of ids.
    ///
    /// # Errors
    /// When the array holds no ids.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::FixedSizeBinary(_) => Self::Binary(array.as_fixed_size_binary().clone()),
            DataType::Int64 => {
                let ids = array.as_primitive::<Int64Type>();
                // What stands where there is no id is nobody's, whatever it is.
                let nulls = ids.nulls().filter(|n| n.null_count() > 0).cloned();
                Self::Integer(ids.values().iter().map(|id| to_ordered(*id)).collect(), nulls)
            }
            t if t.is_integer() => {
                let keys = id_keys(array)?;
                let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
                Self::Integer(keys.into_iter().map(to_ordered).collect(), nulls)
            }
            _ => Self::Text(text(array)?),
        })
    }

    /// How the ids are written.
    #[must_use]
    pub const fn form(&self) -> IdForm {
        match self {
            Self::Text(_) => IdForm::Text,
            Self::Binary(_) => IdForm::Binary,
            Self::Integer(..) => IdForm::Integer,
        }
    }

    /// The bytes of a row's id.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Text(a) => a.is_valid(row).then(|| AsRef::<[u8]>::as_ref(a.value(row))),
            Self::Binary(a) => a.is_valid(row).then(|| a.value(row)),
            Self::Integer(bytes, nulls) => {
                nulls.as_ref().is_none_or(|n| n.is_valid(row)).then(|| bytes[row].as_slice())
            }
        }
    }

    /// The dense number of each id, [`crate::tables::ids::UNKNOWN`] for null and for who is not in the spine.
    #[must_use]
    pub fn numbers(&self, spine: &Spine, rows: usize) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(rows);
        match self {
            Self::Integer(bytes, None) => spine.find_words(bytes, |_| true, &mut numbers),
            Self::Integer(bytes, Some(nulls)) => spine.find_words(bytes, |n| nulls.is_valid(n), &mut numbers),
            // As `get`, of each row without asking what the column is.
            Self::Text(texts) => {
                let id = |row: usize| texts.is_valid(row).then(|| texts.value(row).as_bytes());
                spine.find_all((0..rows).map(id), &mut numbers);
            }
            Self::Binary(_) => spine.find_all((0..rows).map(|row| self.get(row)), &mut numbers),
        }
        numbers
    }
}

/// The equality key of an id's text, as [`decode`] makes it; used where ids are compared across tables.
#[must_use]
pub fn text_key(id: &[u8]) -> i64 {
    key(hash_bytes(id))
}

/// Values by equality key, for the small tables.
pub type KeyMap<T> = HashMap<i64, T, foldhash::fast::FixedState>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_that_repeat_are_told_as_each_by_itself(
            texts in proptest::collection::vec("[a-c]{0,3}|a word of more than twelve letters [a-j]{2}", 1..300),
            rows in proptest::collection::vec(proptest::option::of(0_usize..300), 0..900),
        ) {
            let of = |row: &Option<usize>| row.and_then(|row| texts.get(row % texts.len())).map(String::as_str);
            let array: ArrayRef = Arc::new(rows.iter().map(of).collect::<StringViewArray>());
            // A text with an `a` at its end is no word.
            let told = |text: &[u8]| (text.last() != Some(&b'a')).then(|| text_key(text));
            let mut faulty = Vec::new();
            let found = words(&array, told, |row| faulty.push(row)).unwrap();
            let alone = |row: &Option<usize>| of(row).map_or(NULL, |text| told(text.as_bytes()).unwrap_or(0));
            prop_assert_eq!(found, rows.iter().map(alone).collect::<Vec<_>>());
            let no_word = |row: &usize| of(&rows[*row]).is_some_and(|text| told(text.as_bytes()).is_none());
            prop_assert_eq!(faulty, (0..rows.len()).filter(no_word).collect::<Vec<_>>());
        }
    }

    #[test]
    fn integers_of_any_width_are_the_same_ids_wherever_they_begin() {
        let ids = [Some(7_i32), None, Some(-3), Some(0), None];
        let narrow: ArrayRef = Arc::new(ids.iter().copied().collect::<Int32Array>());
        let wide: ArrayRef = Arc::new(ids.iter().map(|id| id.map(i64::from)).collect::<Int64Array>());
        for from in [0, 2] {
            let [narrow, wide] = [&narrow, &wide].map(|array| IdColumn::new(&array.slice(from, 3)).unwrap());
            for (row, id) in ids[from..from + 3].iter().enumerate() {
                let id = id.map(|id| to_ordered(i64::from(id)));
                let expected = id.as_ref().map(|id| id.as_slice());
                assert_eq!((narrow.get(row), wide.get(row)), (expected, expected), "row {row} after {from}");
            }
        }
    }
}
