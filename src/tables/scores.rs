//! `scores.parquet`: one row per subject, sorted by id.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::schema::types::ColumnPath;

use super::ids::{self, SubjectIds};
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use crate::pipeline::model::CATEGORIES;
use crate::storage::hashes::Hash;
use jiff::civil::Date;

/// The subject's id, as its exports write it.
pub const SUBJECT_ID: &str = "subject_id";
/// The segment, by name.
pub const SEGMENT: &str = "segment";
/// The status, by name.
pub const STATUS: &str = "status";
/// The score; null without one.
pub const SCORE: &str = "score";
/// The band, by name.
pub const BAND: &str = "band";
/// 1 + the number of subjects with a higher score.
pub const RANK: &str = "rank";
/// Of a hundred scored subjects, how many have a lower score.
pub const PERCENTILE: &str = "percentile";
/// How much is known of the subject, 0 to 1.
pub const CONFIDENCE: &str = "confidence";
/// The reason code about friends.
pub const REASON_RELATIONSHIP: &str = "reason_relationship";
/// The policy rule that lowered the score.
pub const OVERRIDE: &str = "override";
/// The score before a policy rule lowered it.
pub const SCORE_BEFORE_OVERRIDE: &str = "score_before_override";
/// Records left out because they are disputed.
pub const DISPUTED_RECORDS: &str = "disputed_records";
/// What the score would be with them.
pub const SCORE_WITH_DISPUTED: &str = "score_with_disputed";
/// The probability of going bad, of a calibrated model; null without a score.
pub const PD: &str = "pd";
/// How many reasons a row gives at most, besides the one about friends.
pub const REASONS: usize = 4;

/// The points of a category.
#[must_use]
pub fn points(category: &str) -> String {
    format!("points_{category}")
}

/// The most points that the subject's segment can have in a category.
#[must_use]
pub fn most(category: &str) -> String {
    format!("max_{category}")
}

/// The reason code of a place, from 1.
#[must_use]
pub fn reason(place: usize) -> String {
    format!("reason_{place}")
}

fn schema(subjects: &SubjectIds, calibrated: bool) -> Result<SchemaRef> {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let told = |name: &str, kind: DataType| Field::new(name, kind, false);
    let mut fields = vec![
        told(SUBJECT_ID, ids::data_type(subjects)?),
        told(SEGMENT, DataType::Utf8),
        told(STATUS, DataType::Utf8),
        field(SCORE, DataType::Int16),
        field(BAND, DataType::Utf8),
        field(RANK, DataType::Int64),
        field(PERCENTILE, DataType::Int16),
        told(CONFIDENCE, DataType::Float64),
    ];
    fields.extend(CATEGORIES.iter().map(|c| field(&points(c), DataType::Int16)));
    fields.extend(CATEGORIES.iter().map(|c| field(&most(c), DataType::Int16)));
    fields.extend((1..=REASONS).map(|n| field(&reason(n), DataType::Utf8)));
    fields.extend([
        field(REASON_RELATIONSHIP, DataType::Utf8),
        field(OVERRIDE, DataType::Utf8),
        field(SCORE_BEFORE_OVERRIDE, DataType::Int16),
        told(DISPUTED_RECORDS, DataType::Int32),
        field(SCORE_WITH_DISPUTED, DataType::Int16),
    ]);
    fields.extend(calibrated.then(|| field(PD, DataType::Float64)));
    Ok(Arc::new(Schema::new(fields)))
}

/// Consecutive rows of the table, column by column.
pub struct Rows {
    /// Segments.
    pub segment: ArrayRef,
    /// Statuses.
    pub status: ArrayRef,
    /// Scores.
    pub score: ArrayRef,
    /// Bands.
    pub band: ArrayRef,
    /// Ranks.
    pub rank: ArrayRef,
    /// Percentiles.
    pub percentile: ArrayRef,
    /// Confidence, 0 to 1.
    pub confidence: ArrayRef,
    /// Points by category.
    pub points: Vec<ArrayRef>,
    /// The most points by category.
    pub most: Vec<ArrayRef>,
    /// Reason codes by place, at last the one about friends.
    pub reasons: Vec<ArrayRef>,
    /// Policy rules that lowered the score.
    pub overridden: ArrayRef,
    /// Scores before that.
    pub before: ArrayRef,
    /// Records left out because they are disputed.
    pub disputed: ArrayRef,
    /// Scores with them.
    pub with_disputed: ArrayRef,
    /// Probabilities of going bad, of a calibrated model.
    pub pd: Option<ArrayRef>,
}

impl Rows {
    /// The columns in the order of the schema.
    fn columns(self, ids: ArrayRef) -> Vec<ArrayRef> {
        let (score, rank) = (self.score, self.rank);
        let mut columns =
            vec![ids, self.segment, self.status, score, self.band, rank, self.percentile, self.confidence];
        columns.extend(self.points);
        columns.extend(self.most);
        columns.extend(self.reasons);
        columns.extend([self.overridden, self.before, self.disputed, self.with_disputed]);
        columns.extend(self.pd);
        columns
    }
}

/// What the table's metadata says, so that equal scores are equal bytes wherever and whenever they were made.
#[derive(Debug, Clone)]
pub struct Label {
    /// The as-of date.
    pub as_of: Date,
    /// The knowledge cut-off.
    pub known_by: String,
    /// `name-version` of the model.
    pub model: String,
    /// Hash of the model and catalogue files.
    pub model_hash: String,
    /// Version of the program.
    pub program: String,
}

/// The table under way.
pub struct ScoresFile<'a> {
    file: ParquetFile,
    subjects: &'a SubjectIds,
}

impl<'a> ScoresFile<'a> {
    /// Begins the table, of a calibrated model or not.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, subjects: &'a SubjectIds, label: &Label, calibrated: bool) -> Result<Self> {
        let id = ColumnPath::from(SUBJECT_ID);
        let metadata = [
            ("sesame.as_of", &label.as_of.to_string()),
            ("sesame.known_by", &label.known_by),
            ("sesame.model", &label.model),
            ("sesame.model_hash", &label.model_hash),
            ("sesame.program", &label.program),
        ];
        let metadata = metadata.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v.clone())).collect();
        let properties = properties()?
            .set_column_bloom_filter_enabled(id.clone(), true)
            .set_column_bloom_filter_max_ndv(id.clone(), GROUP_ROWS as u64)
            .set_column_dictionary_enabled(id, false)
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
            .set_key_value_metadata(Some(metadata))
            .build();
        Ok(Self { file: ParquetFile::create_hashed(path, schema(subjects, calibrated)?, properties)?, subjects })
    }

    /// Writes the rows of the subjects from one place on, a row group.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, from: usize, rows: Rows) -> Result<()> {
        let ids = ids::column(self.subjects, from..from + rows.score.len())?;
        self.file.write_coded(&rows.columns(ids))
    }

    /// Ends the table and makes it durable; tells the hash that it would have if it were not encrypted, if it is.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<Option<Hash>> {
        self.file.finish_hashed()
    }
}
