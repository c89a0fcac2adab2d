//! The columns of a file against those of the contract.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema, TimeUnit};

use super::partition::PathValue;
use crate::contract::{Column, ColumnType, Table};
use crate::expression::did_you_mean;

/// Columns that are missing or of the wrong type, and those the contract does not know.
pub(super) fn check_columns(
    table: &Table,
    schema: &Schema,
    given: &BTreeMap<String, PathValue>,
) -> (Vec<String>, Vec<String>) {
    let mut found = Vec::new();
    for column in &table.columns {
        match schema.column_with_name(&column.name) {
            Some((_, field)) if !accepts(column, field.data_type()) => {
                found.push(wrong_type(column, field.data_type()))
            }
            None if given.contains_key(&column.name) => {}
            None if alike(schema, &column.name).is_some() => found.push(format!(
                "the column `{}` differs from the contract's `{}` in case only, and would be ignored; rename it in the input's `select`",
                alike(schema, &column.name).unwrap_or_default(),
                column.name
            )),
            None if column.required => {
                let hint =
                    did_you_mean(&column.name, schema.fields().iter().map(|f| f.name().as_str()));
                found.push(format!(
                    "the required column `{}` is missing{hint}; it holds {}; rename it in the input's `select`",
                    column.name,
                    column.expected()
                ));
            }
            _ => {}
        }
    }
    let ignored = schema.fields().iter().map(|f| f.name().clone()).filter(|n| table.position(n).is_none()).collect();
    (found, ignored)
}

/// A column whose name differs from another in case only.
fn alike<'a>(schema: &'a Schema, name: &str) -> Option<&'a str> {
    schema.fields().iter().map(|f| f.name().as_str()).find(|n| n.eq_ignore_ascii_case(name))
}

/// The message for a column of a type the contract does not accept.
#[must_use]
pub(super) fn wrong_type(column: &Column, found: &DataType) -> String {
    let hint = match (column.kind, found) {
        (ColumnType::Money, DataType::Float16 | DataType::Float32 | DataType::Float64) => {
            "; money is never floating point: select CAST(ROUND(x * 100) AS BIGINT)"
        }
        (ColumnType::Instant, DataType::Timestamp(_, None)) => {
            "; a timestamp without a zone is a local time: select x AT TIME ZONE 'Asia/Shanghai', or export it in UTC"
        }
        (ColumnType::Date, DataType::Timestamp(_, _)) => "; select CAST(x AS DATE)",
        _ => "; cast it in the input's `select`",
    };
    format!("the column `{}` is {found}, expected {}{hint}", column.name, column.expected())
}

/// Whether a column of the contract can be read from an Arrow type.
#[must_use]
pub(super) fn accepts(column: &Column, found: &DataType) -> bool {
    let text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if *found == DataType::Null {
        return !column.required;
    }
    match column.kind {
        ColumnType::Id => text || found.is_integer() || matches!(found, DataType::FixedSizeBinary(_)),
        ColumnType::Money => found.is_integer() || matches!(found, DataType::Decimal128(_, _)),
        ColumnType::Date => *found == DataType::Date32,
        ColumnType::Instant => matches!(found, DataType::Timestamp(unit, Some(_)) if known_unit(*unit)),
        ColumnType::Count => found.is_integer(),
        ColumnType::Flag => *found == DataType::Boolean,
        ColumnType::Share => matches!(found, DataType::Float32 | DataType::Float64),
        ColumnType::Choice | ColumnType::Currency | ColumnType::Text => text,
    }
}

const fn known_unit(unit: TimeUnit) -> bool {
    matches!(unit, TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond)
}
