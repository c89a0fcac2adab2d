//! `release.parquet` and `withdrawn.parquet`: what a partner is given, by pseudonym.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray, Int16Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;

use super::columns::texts;
use super::find::SubjectTable;
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::read;
use crate::storage::encryption::FileKey;
use crate::storage::hashes::Hash;

/// The column that both tables are sorted by.
pub const PSEUDONYM: &str = "pseudonym";
const KEY_ID: &str = "key_id";
const KEY_PERIOD: &str = "key_period";

/// What is told of a subject; nothing where the partner is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The subject, under the partner's key.
    pub pseudonym: String,
    /// Whether the score reaches the cut-off.
    pub above: Option<bool>,
    /// The band.
    pub band: Option<String>,
    /// The score.
    pub score: Option<i16>,
    /// The percentile.
    pub percentile: Option<i16>,
}

/// Who has withdrawn, under which key the partner knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawn {
    /// The pseudonym that was given.
    pub pseudonym: String,
    /// The key.
    pub key_id: String,
    /// The period.
    pub key_period: Option<String>,
}

/// Facts for the metadata of a table.
pub type Facts<'a> = [(&'a str, &'a str)];

/// What a table is written with besides its rows.
pub struct Seal<'a> {
    /// The key that it is encrypted with; nothing when it stays plain.
    pub key: Option<Arc<FileKey>>,
    /// What its metadata says.
    pub facts: &'a Facts<'a>,
}

fn labelled(facts: &Facts) -> Result<WriterProperties> {
    let metadata = facts.iter().map(|(key, value)| KeyValue::new(format!("sesame.{key}"), (*value).to_owned()));
    Ok(properties()?
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
        .set_key_value_metadata(Some(metadata.collect()))
        .build())
}

/// Begins a table. It goes to a partner: no key of the pipeline's own encrypts it.
fn begin(path: &Path, fields: Vec<Field>, seal: &Seal) -> Result<ParquetFile> {
    let schema = Arc::new(Schema::new(fields));
    ParquetFile::create_for(path, schema, labelled(seal.facts)?, seal.key.as_deref(), true)
}

/// Writes what a partner is given, sorted by pseudonym, with the columns of some names; returns the hash that an encrypted table has where
/// it is written plain.
///
/// # Errors
/// When the disk is full.
pub fn write(path: &Path, rows: &[Row], columns: &[&str], seal: &Seal) -> Result<Option<Hash>> {
    let mut fields = vec![Field::new(PSEUDONYM, DataType::Utf8, false)];
    let told = |name: &str| columns.contains(&name);
    let all = [
        ("above", DataType::Boolean),
        ("band", DataType::Utf8),
        ("score", DataType::Int16),
        ("percentile", DataType::Int16),
    ];
    fields.extend(all.into_iter().filter(|(name, _)| told(name)).map(|(name, kind)| Field::new(name, kind, true)));
    let mut file = begin(path, fields, seal)?;
    for group in rows.chunks(GROUP_ROWS) {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(group.iter().map(|r| Some(r.pseudonym.as_str())).collect::<StringArray>())];
        if told("above") {
            arrays.push(Arc::new(group.iter().map(|r| r.above).collect::<BooleanArray>()));
        }
        if told("band") {
            arrays.push(Arc::new(group.iter().map(|r| r.band.as_deref()).collect::<StringArray>()));
        }
        if told("score") {
            arrays.push(Arc::new(group.iter().map(|r| r.score).collect::<Int16Array>()));
        }
        if told("percentile") {
            arrays.push(Arc::new(group.iter().map(|r| r.percentile).collect::<Int16Array>()));
        }
        file.write(arrays)?;
    }
    file.finish_hashed()
}

/// Writes who has withdrawn, in order; returns what [`write`] returns.
///
/// # Errors
/// When the disk is full.
pub fn write_withdrawn(path: &Path, rows: &[Withdrawn], seal: &Seal) -> Result<Option<Hash>> {
    let fields = vec![
        Field::new(PSEUDONYM, DataType::Utf8, false),
        Field::new(KEY_ID, DataType::Utf8, false),
        Field::new(KEY_PERIOD, DataType::Utf8, true),
    ];
    let mut file = begin(path, fields, seal)?;
    for group in rows.chunks(GROUP_ROWS) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(group.iter().map(|r| Some(r.pseudonym.as_str())).collect::<StringArray>()),
            Arc::new(group.iter().map(|r| Some(r.key_id.as_str())).collect::<StringArray>()),
            Arc::new(group.iter().map(|r| r.key_period.as_deref()).collect::<StringArray>()),
        ];
        file.write(columns)?;
    }
    file.finish_hashed()
}

/// The pseudonyms of either table, in order.
///
/// # Errors
/// When it is damaged.
pub fn pseudonyms(path: &Path) -> Result<StringArray> {
    texts(&read::all(path, Some(&[PSEUDONYM]))?, PSEUDONYM)
}

/// The row of a pseudonym in a table of them; nothing when it is not there.
///
/// # Errors
/// When the table is damaged.
pub fn find(path: &Path, pseudonym: &str) -> Result<Option<RecordBatch>> {
    let all = pseudonyms(path)?;
    let at = all.iter().position(|name| name == Some(pseudonym));
    at.map_or(Ok(None), |at| SubjectTable::open(path)?.row(at, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn a_row_comes_back_with_the_columns_that_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.parquet");
        let row = |name: &str, score: i16| Row {
            pseudonym: name.to_owned(),
            above: Some(score > 600),
            band: Some("good".to_owned()),
            score: Some(score),
            percentile: None,
        };
        let seal = Seal { key: None, facts: &[("partner", "p")] };
        write(&path, &[row("a", 500), row("b", 700)], &["band", "score"], &seal).unwrap();
        let found = find(&path, "b").unwrap().unwrap();
        let schema = found.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["pseudonym", "band", "score"]);
        assert_eq!(super::super::columns::shorts(&found, "score").unwrap(), [Some(700)]);
        assert!(find(&path, "c").unwrap().is_none());
        // A table of nobody is a table.
        write_withdrawn(&path, &[], &seal).unwrap();
        assert_eq!(pseudonyms(&path).unwrap().len(), 0);
    }
}
