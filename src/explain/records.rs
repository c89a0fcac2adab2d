//! The records that hurt, so that a subject can dispute them.

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Int32Type, Int64Type};
use serde::Serialize;

use super::locate::{SubjectId, Table};
use crate::contract::day_text;
use crate::runs::kept::KeptRun;

/// A record that counts against a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// When it happened.
    pub happened_on: String,
    /// The table it stands in.
    pub table: String,
    /// Its id there, as a dispute names it.
    pub record_id: String,
    /// How late it was, or is.
    pub days_past_due: Option<i32>,
    /// Its amount in minor units.
    pub amount_minor: Option<i64>,
    /// The policy rule it triggers.
    pub policy: Option<String>,
}

/// The adverse records of a subject, the latest first.
///
/// # Errors
/// When a table is damaged.
pub fn of(run: &KeptRun, subject: &SubjectId) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let folder = run.run.path("evidence");
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs_err::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();
    for path in files {
        let table = Table::open(&path)?;
        for rows in table.find(subject)? {
            let batch = table.read(rows, None)?;
            let column =
                |name: &str| batch.column_by_name(name).with_context(|| format!("{} has no {name}", path.display()));
            let (tables, ids, policies) = (column("table")?, column("record_id")?, column("policy")?);
            let (tables, ids, policies) =
                (tables.as_string::<i32>(), ids.as_string::<i32>(), policies.as_string::<i32>());
            let days = column("happened_on")?.as_primitive::<Date32Type>().clone();
            let late = column("days_past_due")?.as_primitive::<Int32Type>().clone();
            let amounts = column("amount_minor")?.as_primitive::<Int64Type>().clone();
            for row in 0..batch.num_rows() {
                records.push(Record {
                    happened_on: day_text(i64::from(days.value(row))),
                    table: tables.value(row).to_owned(),
                    record_id: ids.value(row).to_owned(),
                    days_past_due: late.is_valid(row).then(|| late.value(row)),
                    amount_minor: amounts.is_valid(row).then(|| amounts.value(row)),
                    policy: policies.is_valid(row).then(|| policies.value(row).to_owned()),
                });
            }
        }
    }
    records.sort_by(|a, b| b.cmp(a));
    Ok(records)
}
