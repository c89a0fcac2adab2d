//! `relationships.parquet`: what `explain` may say of a subject's friends, in coarse steps and never of a single one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int16Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::scores::{Table, ids};
use crate::score::friends::Friends;
use crate::score::rows::NONE;

/// Writes a row for every scored subject with enough friends: how many in steps, what they move the score by in
/// points, and how much of their mean is the anchor, in tenths.
///
/// # Errors
/// When the disk is full.
pub fn write(path: &Path, table: &Table, friends: &Friends) -> Result<()> {
    let schema = Schema::new(vec![
        Field::new("subject_id", ids(table.subjects, 0..0).data_type().clone(), false),
        Field::new("friends", DataType::Utf8, false),
        Field::new("lift_points", DataType::Int16, false),
        Field::new("anchor_tenths", DataType::Int16, false),
    ]);
    let mut file = ParquetFile::create(path, Arc::new(schema), properties()?.build())?;
    let rows = &table.population.rows;
    let told: Vec<usize> = (0..rows.score.len()).filter(|s| rows.score[*s] != NONE && friends.enough(*s)).collect();
    for group in told.chunks(GROUP_ROWS) {
        let lift = |s: &usize| i16::try_from(table.lift(*s)).unwrap_or(i16::MAX);
        let columns: Vec<ArrayRef> = vec![
            ids(table.subjects, group.iter().copied()),
            Arc::new(group.iter().map(|s| Some(friends.step(*s))).collect::<StringArray>()),
            Arc::new(group.iter().map(|s| Some(lift(s))).collect::<Int16Array>()),
            Arc::new(group.iter().map(|s| Some(friends.anchor_tenths(*s))).collect::<Int16Array>()),
        ];
        file.write(columns)?;
    }
    file.finish()
}
