//! The stage of a category: its features for every subject, and for those with disputed records once more with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, UInt32Type};

use super::merged::{Order, files, one_each};
use super::named::of_some;
use super::store::{NewStage, Stage};
use crate::features::compute::FeatureRows;
use crate::measure::bucket::WithDisputed;
use crate::tables::blocks::{BlockWriter, Blocks};
use crate::tables::columns::column;
use crate::tables::features::{all_values, fields, values};

const FEATURES: &str = "features.parquet";
const WITH_DISPUTED: &str = "with_disputed.parquet";
/// The column of `with_disputed.parquet` that says whose features they are.
const SUBJECT: &str = "subject";

/// Writes the stage bucket by bucket.
pub struct Writer {
    features: BlockWriter,
    with_disputed: BlockWriter,
    /// The category's features, by their position in the plan that is measured.
    positions: Vec<usize>,
    next: usize,
}

impl Writer {
    /// Begins the stage: the features of those names, which stand at those positions of the plan.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(stage: &NewStage, features: &[(usize, &str)]) -> Result<Self> {
        let fields = fields(features.iter().map(|(_, name)| *name));
        let mut with = vec![Field::new(SUBJECT, DataType::UInt32, false)];
        with.extend(fields.iter().cloned());
        Ok(Self {
            features: BlockWriter::create(&stage.path(FEATURES), fields)?,
            with_disputed: BlockWriter::create(&stage.path(WITH_DISPUTED), with)?,
            positions: features.iter().map(|(at, _)| *at).collect(),
            next: 0,
        })
    }

    /// Adds a bucket's subjects, whose features of the category are taken out.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, subjects: usize, features: &mut FeatureRows, with: &mut WithDisputed) -> Result<()> {
        self.features.add(self.columns(features))?;
        if !with.subjects.is_empty() {
            let subject = with.subjects.iter().map(|s| u32::try_from(self.next + s)).collect::<Result<Vec<_>, _>>()?;
            let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(subject))];
            columns.extend(self.columns(&mut with.features));
            self.with_disputed.add(columns)?;
        }
        self.next += subjects;
        Ok(())
    }

    /// The category's columns; each feature is of one category, and nobody asks for it again.
    fn columns(&self, features: &mut FeatureRows) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(2 * self.positions.len());
        for at in &self.positions {
            let (values, nones) = (std::mem::take(&mut features.values[*at]), &features.nones[*at]);
            let told = values.iter().any(|v| v.is_nan());
            let told =
                told.then(|| NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |n| !values[n].is_nan())));
            columns.push(Arc::new(Float64Array::new(values.into(), told)));
            let none = BooleanBuffer::collect_bool(nones.len(), |n| nones[n] == 1);
            columns.push(Arc::new(BooleanArray::new(none, None)));
        }
        columns
    }

    /// Ends the stage's files.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        self.features.finish()?;
        self.with_disputed.finish()
    }
}

/// Puts the stages of shards together.
///
/// # Errors
/// When one is damaged, or the disk is full.
pub(super) fn merge(shards: &[&Stage], order: &Order, to: &NewStage) -> Result<()> {
    one_each(&files(shards, FEATURES), order, &to.path(FEATURES))?;
    of_some(&files(shards, WITH_DISPUTED), order, (None, SUBJECT), &to.path(WITH_DISPUTED))
}

/// The stage, opened.
#[derive(Debug)]
pub struct Features {
    blocks: Blocks,
    /// The features, with their positions in the job's plan.
    positions: Vec<(usize, String)>,
    with_disputed: RecordBatch,
    /// Where each subject stands in `with_disputed`.
    places: BTreeMap<u32, usize>,
}

impl Features {
    /// Opens the stage; `positions` says where its features stand in the job's plan.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(stage: &Stage, positions: Vec<(usize, String)>) -> Result<Self> {
        let with_disputed = Blocks::open(&stage.path(WITH_DISPUTED))?.all()?;
        let subjects = column(&with_disputed, SUBJECT, &DataType::UInt32)?.as_primitive::<UInt32Type>();
        let places = subjects.values().iter().copied().zip(0..).collect();
        Ok(Self { blocks: Blocks::open(&stage.path(FEATURES))?, positions, with_disputed, places })
    }

    /// Puts a block's features where the job's plan has them.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn fill(&self, at: usize, rows: &mut FeatureRows) -> Result<()> {
        let names = self.positions.iter().map(|(_, name)| name.as_str());
        for ((position, _), of) in self.positions.iter().zip(all_values(self.blocks.block(at)?, names)?) {
            (rows.values[*position], rows.nones[*position]) = of;
        }
        Ok(())
    }

    /// Puts the features that some subjects have with their disputed records in place of those they have without.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn replace(&self, subjects: &[u32], rows: &mut FeatureRows) -> Result<()> {
        for (position, name) in &self.positions {
            let (values, nones) = values(&self.with_disputed, name)?;
            for (n, place) in subjects.iter().enumerate().filter_map(|(n, s)| Some((n, *self.places.get(s)?))) {
                rows.values[*position][n] = values[place];
                rows.nones[*position][n] = nones[place];
            }
        }
        Ok(())
    }
}

/// The features, as every run that uses the stage keeps them.
#[must_use]
pub fn table(stage: &Stage) -> PathBuf {
    stage.path(FEATURES)
}
