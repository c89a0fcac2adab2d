//! What the first rows of a file tell of its columns.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use crate::ingest::check::pii::looks_personal;

/// Different words of a column that are kept; a column with more holds no words.
const WORDS: usize = 40;

/// What is known of a column.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
    /// How many rows were looked at.
    pub rows: usize,
    /// How many of them are null.
    pub nulls: usize,
    /// Its different texts with how often each stands, when they are few.
    pub words: Option<BTreeMap<String, usize>>,
    /// Some of its texts.
    pub texts: Vec<String>,
    /// The smallest and the largest number.
    pub range: Option<(f64, f64)>,
    /// Whether all its numbers are whole.
    pub whole: bool,
    /// Whether values stand more than once, more often than versions of a few would.
    pub repeats: bool,
}

impl Facts {
    /// Whether it holds text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self.kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    }

    /// Whether it holds doubles.
    #[must_use]
    pub const fn is_double(&self) -> bool {
        matches!(self.kind, DataType::Float16 | DataType::Float32 | DataType::Float64)
    }

    /// Whether it holds decimals.
    #[must_use]
    pub const fn is_decimal(&self) -> bool {
        matches!(self.kind, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..))
    }

    /// Whether its texts look like what tells who somebody is.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.texts.iter().any(|text| looks_personal(text.as_bytes()))
    }

    /// Whether all its numbers lie in a range.
    #[must_use]
    pub fn within(&self, low: f64, high: f64) -> bool {
        self.range.is_some_and(|(least, most)| least >= low && most <= high)
    }
}

/// The facts of every column.
///
/// # Errors
/// When a column cannot be read as what its type says.
pub fn facts(rows: &RecordBatch) -> Result<Vec<Facts>> {
    let schema = rows.schema();
    schema.fields().iter().zip(rows.columns()).map(|(field, array)| of(field.name(), array)).collect()
}

fn of(name: &str, array: &ArrayRef) -> Result<Facts> {
    let mut facts = Facts {
        name: name.to_owned(),
        kind: array.data_type().clone(),
        rows: array.len(),
        nulls: array.logical_nulls().map_or(0, |n| n.null_count()),
        words: None,
        texts: Vec::new(),
        range: None,
        whole: false,
        repeats: false,
    };
    if facts.is_text() {
        let views = cast(array, &DataType::Utf8View)?;
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        for text in views.as_string_view().iter().flatten() {
            if words.len() <= WORDS {
                *words.entry(text.to_owned()).or_default() += 1;
            }
        }
        facts.texts = views.as_string_view().iter().flatten().take(200).map(ToOwned::to_owned).collect();
        facts.words = Some(words).filter(|w| w.len() <= WORDS);
        facts.repeats = repeat(views.as_string_view().iter().flatten());
    } else if array.data_type().is_integer() {
        let numbers = cast(array, &DataType::Int64)?;
        let numbers: Vec<i64> = numbers.as_primitive::<Int64Type>().iter().flatten().collect();
        facts.whole = true;
        facts.repeats = repeat(numbers.iter());
        #[allow(clippy::cast_precision_loss, reason = "a range to guess by")]
        let bounds = |least: i64, most: i64| (least as f64, most as f64);
        facts.range = numbers.iter().min().zip(numbers.iter().max()).map(|(a, b)| bounds(*a, *b));
        if numbers.iter().all(|n| (0..10).contains(n)) {
            let mut words: BTreeMap<String, usize> = BTreeMap::new();
            numbers.iter().for_each(|n| *words.entry(n.to_string()).or_default() += 1);
            facts.words = Some(words);
        }
    } else if array.data_type().is_numeric() {
        let numbers = cast(array, &DataType::Float64)?;
        let numbers: Vec<f64> = numbers.as_primitive::<Float64Type>().iter().flatten().collect();
        facts.whole = numbers.iter().all(|n| n.fract() == 0.0);
        facts.range = numbers.iter().copied().fold(None, |range, n| match range {
            None => Some((n, n)),
            Some((least, most)) => Some((f64::min(least, n), f64::max(most, n))),
        });
    }
    Ok(facts)
}

/// Whether fewer than nine in ten values are different.
fn repeat<T: Hash + Eq>(values: impl Iterator<Item = T>) -> bool {
    let (mut different, mut all) = (HashSet::new(), 0);
    for value in values {
        different.insert(value);
        all += 1;
    }
    10 * different.len() < 9 * all
}
