//! `features/<category>.parquet`: two columns for each feature, its value and whether there was no opportunity for one.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};

use super::columns::{doubles, flags};

/// The column that tells whether a feature had no opportunity for a value.
#[must_use]
pub fn none_column(feature: &str) -> String {
    format!("{feature}__none")
}

/// The columns of some features.
#[must_use]
pub fn fields<'a>(features: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let of = |name: &str| {
        [Field::new(name, DataType::Float64, true), Field::new(none_column(name), DataType::Boolean, false)]
    };
    features.flat_map(of).collect()
}

/// A feature of every row: its value, NaN where there is none, and 1 where there was no opportunity for one.
///
/// # Errors
/// When the table does not have it.
pub fn values(batch: &RecordBatch, feature: &str) -> Result<(Vec<f64>, Vec<u8>)> {
    Ok((doubles(batch, feature)?, flags(batch, &none_column(feature))?))
}
