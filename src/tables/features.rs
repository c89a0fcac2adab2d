//! `features/<category>.parquet`: two columns for each feature, its value and whether there was no opportunity for one.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field};

use super::columns::{column, doubles, flags, given_doubles};

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

/// The same of some features of a table that is given up for them, whose memory their values take over.
///
/// # Errors
/// When the table does not have one.
pub fn all_values<'a>(batch: RecordBatch, features: impl Iterator<Item = &'a str>) -> Result<Vec<(Vec<f64>, Vec<u8>)>> {
    let of = |feature: &str| -> Result<(ArrayRef, Vec<u8>)> {
        let values = Arc::clone(column(&batch, feature, &DataType::Float64)?);
        Ok((values, flags(&batch, &none_column(feature))?))
    };
    let columns = features.map(of).collect::<Result<Vec<_>>>()?;
    drop(batch);
    Ok(columns.into_iter().map(|(values, nones)| (given_doubles(values), nones)).collect())
}
