//! `relationships.parquet`: what `explain` may say of a subject's friends, in coarse steps and never of a single one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int16Type, Schema};

use super::columns::{column, texts};
use super::ids::{self, SubjectIds};
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::scores::SUBJECT_ID;
use super::words::{Words, numbers};

/// Its name in a run's folder.
pub const FILE: &str = "relationships.parquet";

const FRIENDS: &str = "friends";
const LIFT_POINTS: &str = "lift_points";
const ANCHOR_TENTHS: &str = "anchor_tenths";

/// A row to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Whose it is, by place.
    pub subject: usize,
    /// How many friends, by position in the list of steps.
    pub friends: u32,
    /// What they move the score by, in points.
    pub lift_points: i16,
    /// How much of their mean is the anchor, in tenths.
    pub anchor_tenths: i16,
}

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

/// Writes rows as they come, in order of subject.
pub struct RelationshipsFile<'a> {
    file: ParquetFile,
    subjects: &'a SubjectIds,
    /// What steps of numbers of friends are called.
    steps: Words,
    held: Vec<Line>,
}

impl<'a> RelationshipsFile<'a> {
    /// Begins the file; `steps` is what steps of numbers of friends are called.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, subjects: &'a SubjectIds, steps: Words) -> Result<Self> {
        let schema = Schema::new(vec![
            Field::new(SUBJECT_ID, ids::data_type(subjects)?, false),
            Field::new(FRIENDS, DataType::Utf8, false),
            Field::new(LIFT_POINTS, DataType::Int16, false),
            Field::new(ANCHOR_TENTHS, DataType::Int16, false),
        ]);
        let file = ParquetFile::create(path, Arc::new(schema), properties()?.build())?;
        Ok(Self { file, subjects, steps, held: Vec::new() })
    }

    /// Adds the rows of some subjects.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, rows: Vec<Line>) -> Result<()> {
        self.held.extend(rows);
        while self.held.len() >= GROUP_ROWS {
            let rest = self.held.split_off(GROUP_ROWS);
            self.write()?;
            self.held = rest;
        }
        Ok(())
    }

    /// Writes what is held, a row group.
    fn write(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let columns: Vec<ArrayRef> = vec![
            ids::column(self.subjects, held.iter().map(|line| line.subject))?,
            self.steps.column(held.iter().map(|line| line.friends).collect())?,
            numbers::<Int16Type>(held.iter().map(|line| line.lift_points).collect(), None)?,
            numbers::<Int16Type>(held.iter().map(|line| line.anchor_tenths).collect(), None)?,
        ];
        self.file.write_coded(&columns)
    }

    /// Ends the file and makes it durable.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        self.write()?;
        self.file.finish()
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
