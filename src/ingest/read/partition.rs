//! Values that the path of a file gives: `product=revolving/…`, as Hive lays files out.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, Scalar, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::DataType;

use crate::contract::{Column, ColumnType, parse_day};
use crate::tables::ids::IdForm;

/// What Hive writes where a partition's value is null.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A value that a path gives.
#[derive(Debug, Clone)]
pub struct PathValue {
    /// As the path writes it.
    pub text: String,
    /// As the column holds it, in an array of one; nothing for null.
    one: Option<ArrayRef>,
}

/// Reads a partition's value.
///
/// # Errors
/// When the text is no value of the column, or the column's type cannot stand in a path.
pub fn path_value(column: &Column, text: &str) -> Result<PathValue> {
    let one: ArrayRef = match column.kind {
        _ if text == NULL_PARTITION => return Ok(PathValue { text: text.to_owned(), one: None }),
        ColumnType::Money | ColumnType::Count => {
            Arc::new(Int64Array::from(vec![text.parse::<i64>().context("no integer")?]))
        }
        ColumnType::Date => {
            let day = crate::contract::day_number(parse_day(text)?)?;
            cast(&Int64Array::from(vec![day]), &DataType::Int32).and_then(|d| cast(&d, &DataType::Date32))?
        }
        ColumnType::Id | ColumnType::Choice | ColumnType::Currency | ColumnType::Text => {
            Arc::new(StringArray::from(vec![text]))
        }
        ColumnType::Flag => Arc::new(BooleanArray::from(vec![text.parse::<bool>().context("neither true nor false")?])),
        ColumnType::Instant | ColumnType::Share => bail!("a path cannot give {}", column.expected()),
    };
    Ok(PathValue { text: text.to_owned(), one: Some(one) })
}

impl PathValue {
    /// What it stands for, with its type: a 7 among integers is not the text "7".
    #[must_use]
    pub fn meaning(&self) -> String {
        match &self.one {
            None => "null".to_owned(),
            Some(one) => format!("{} {}", one.data_type(), self.text),
        }
    }

    /// How the id it gives is written; nothing for null or what is no id.
    #[must_use]
    pub fn id_form(&self) -> Option<IdForm> {
        self.one.as_ref().map(|one| if one.data_type().is_integer() { IdForm::Integer } else { IdForm::Text })
    }

    /// Writes the id it gives as the other ids are: a path has no types of its own.
    ///
    /// # Errors
    /// When it cannot be written so.
    pub fn write_as(&mut self, form: IdForm) -> Result<()> {
        if self.one.is_none() {
            return Ok(());
        }
        match form {
            IdForm::Text => {}
            IdForm::Integer => {
                self.one = Some(Arc::new(Int64Array::from(vec![self.text.parse::<i64>().context("no integer")?])))
            }
            IdForm::Binary => bail!("a path cannot give binary ids"),
        }
        Ok(())
    }

    /// The value for so many rows; nothing for null.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn column(&self, rows: usize) -> Result<Option<ArrayRef>> {
        let Some(one) = &self.one else { return Ok(None) };
        Ok(Some(arrow::compute::take(one, &UInt32Array::from(vec![0; rows]), None)?))
    }

    /// Checks that the file's own column says the same.
    ///
    /// # Errors
    /// When a row says otherwise.
    pub fn agrees(&self, name: &str, array: &ArrayRef) -> Result<()> {
        let differs = match &self.one {
            None => (array.null_count() < array.len()).then_some(0),
            Some(one) => {
                let same = not_distinct(array, &Scalar::new(cast(one, array.data_type())?))?;
                same.values().iter().position(|same| !same)
            }
        };
        ensure!(
            differs.is_none(),
            "the path says `{name}={}`, and the file's own column `{name}` says otherwise; take one of them out",
            self.text
        );
        Ok(())
    }
}
