//! `as_of=…/dataset.parquet`: what became of subjects, with all that was known of them at the date.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int16Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::file::metadata::{KeyValue, SortingColumn};

use super::features;
use super::ids::{self, SubjectIds};
use super::parquet_file::{ParquetFile, properties};
use super::scores::{OVERRIDE, SCORE, SCORE_BEFORE_OVERRIDE, SEGMENT, STATUS, SUBJECT_ID, points};
use crate::pipeline::model::CATEGORIES;
use crate::storage::hashes::Hash;

/// The name of a date's file.
pub const FILE: &str = "dataset.parquet";
/// Days over which the outcome was observed.
pub const HORIZON: &str = "horizon_days";
/// Whether the subject went bad.
pub const BAD: &str = "bad";
/// What the row weighs: a subject's rows of one horizon weigh 1 in sum.
pub const WEIGHT: &str = "weight";

/// Consecutive rows of a date, column by column.
#[derive(Default)]
pub struct Rows<'a> {
    /// Positions of the subjects.
    pub subject: Vec<usize>,
    /// Horizons.
    pub horizon: Vec<i64>,
    /// Outcomes.
    pub bad: Vec<bool>,
    /// Weights.
    pub weight: Vec<f64>,
    /// Segments.
    pub segment: Vec<&'a str>,
    /// Statuses.
    pub status: Vec<&'a str>,
    /// Scores.
    pub score: Vec<Option<i16>>,
    /// Policy rules that lowered scores.
    pub overridden: Vec<Option<&'a str>>,
    /// Scores before that.
    pub before: Vec<Option<i16>>,
    /// Points by category.
    pub points: [Vec<Option<i16>>; 5],
    /// By feature: values, and whether there was no opportunity for one.
    pub features: Vec<(Vec<Option<f64>>, Vec<bool>)>,
}

/// A date's file under way.
pub struct Writer<'a> {
    file: ParquetFile,
    subjects: &'a SubjectIds,
}

impl<'a> Writer<'a> {
    /// Begins a file; `facts` are said in its metadata.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, subjects: &'a SubjectIds, names: &[&str], facts: Vec<KeyValue>) -> Result<Self> {
        let told = |name: &str, kind: DataType| Field::new(name, kind, false);
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let mut fields = vec![
            told(SUBJECT_ID, ids::data_type(subjects)?),
            told(HORIZON, DataType::Int64),
            told(BAD, DataType::Boolean),
            told(WEIGHT, DataType::Float64),
            told(SEGMENT, DataType::Utf8),
            told(STATUS, DataType::Utf8),
            field(SCORE, DataType::Int16),
            field(OVERRIDE, DataType::Utf8),
            field(SCORE_BEFORE_OVERRIDE, DataType::Int16),
        ];
        fields.extend(CATEGORIES.iter().map(|c| field(&points(c), DataType::Int16)));
        fields.extend(features::fields(names.iter().copied()));
        let sorted = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
        let properties =
            properties()?.set_sorting_columns(Some(vec![sorted])).set_key_value_metadata(Some(facts)).build();
        let file = ParquetFile::create_hashed(path, Arc::new(Schema::new(fields)), properties)?;
        Ok(Self { file, subjects })
    }

    /// Adds rows, which become a row group.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, rows: Rows) -> Result<()> {
        let mut columns: Vec<ArrayRef> = vec![
            ids::column(self.subjects, rows.subject.into_iter())?,
            Arc::new(Int64Array::from(rows.horizon)),
            Arc::new(BooleanArray::from(rows.bad)),
            Arc::new(Float64Array::from(rows.weight)),
            Arc::new(StringArray::from(rows.segment)),
            Arc::new(StringArray::from(rows.status)),
            Arc::new(Int16Array::from(rows.score)),
            Arc::new(StringArray::from(rows.overridden)),
            Arc::new(Int16Array::from(rows.before)),
        ];
        columns.extend(rows.points.into_iter().map(|p| Arc::new(Int16Array::from(p)) as ArrayRef));
        for (values, nones) in rows.features {
            columns.push(Arc::new(Float64Array::from(values)));
            columns.push(Arc::new(BooleanArray::from(nones)));
        }
        self.file.write(columns)
    }

    /// Ends the file and makes it durable; tells the hash that it would have if it were not encrypted, if it is.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<Option<Hash>> {
        self.file.finish_hashed()
    }
}
