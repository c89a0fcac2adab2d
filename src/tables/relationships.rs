//! `relationships.parquet`: what `explain` may say of a subject's friends, in coarse steps and never of a single one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, AsArray, Int16Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int16Type, Schema};
use rayon::prelude::*;

use super::columns::{column, texts};
use super::ids::{self, SubjectIds};
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::scores::SUBJECT_ID;

/// Its name in a run's folder.
pub const FILE: &str = "relationships.parquet";

const FRIENDS: &str = "friends";
const LIFT_POINTS: &str = "lift_points";
const ANCHOR_TENTHS: &str = "anchor_tenths";

/// What a row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How many friends, in steps.
    pub friends: String,
    /// What they move the score by, in points.
    pub lift_points: i16,
    /// How much of their mean is the anchor, in tenths.
    pub anchor_tenths: i16,
}

/// Writes a row for each of some subjects, which are given by place, in order.
///
/// # Errors
/// When the disk is full.
pub fn write(
    path: &Path,
    subjects: &SubjectIds,
    told: impl Iterator<Item = usize>,
    row: &(dyn Fn(usize) -> Result<Row> + Sync),
) -> Result<()> {
    let schema = Schema::new(vec![
        Field::new(SUBJECT_ID, ids::data_type(subjects)?, false),
        Field::new(FRIENDS, DataType::Utf8, false),
        Field::new(LIFT_POINTS, DataType::Int16, false),
        Field::new(ANCHOR_TENTHS, DataType::Int16, false),
    ]);
    let mut file = ParquetFile::create(path, Arc::new(schema), properties()?.build())?;
    let mut told = told;
    loop {
        let group: Vec<usize> = told.by_ref().take(GROUP_ROWS).collect();
        if group.is_empty() {
            return file.finish();
        }
        let rows = group.par_iter().map(|s| row(*s)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<ArrayRef> = vec![
            ids::column(subjects, group.iter().copied())?,
            Arc::new(rows.iter().map(|r| Some(r.friends.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| Some(r.lift_points)).collect::<Int16Array>()),
            Arc::new(rows.iter().map(|r| Some(r.anchor_tenths)).collect::<Int16Array>()),
        ];
        file.write(columns)?;
    }
}

/// What the first of some rows tells.
///
/// # Errors
/// When they are rows of another table.
pub fn first(batch: &RecordBatch) -> Result<Row> {
    let short = |name: &str| anyhow::Ok(column(batch, name, &DataType::Int16)?.as_primitive::<Int16Type>().value(0));
    Ok(Row {
        friends: texts(batch, FRIENDS)?.value(0).to_owned(),
        lift_points: short(LIFT_POINTS)?,
        anchor_tenths: short(ANCHOR_TENTHS)?,
    })
}
