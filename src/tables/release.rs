//! `release.parquet` and `withdrawn.parquet`: what a partner is given, by pseudonym.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, BooleanArray, Int16Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;

use super::columns::texts;
use super::find::SubjectTable;
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::read;
use crate::storage::encryption::FileKey;
use crate::storage::hashes::Hash;
use crate::storage::pseudonym::{Name, parsed, written};

/// The column that both tables are sorted by.
pub const PSEUDONYM: &str = "pseudonym";
const KEY_ID: &str = "key_id";
const KEY_PERIOD: &str = "key_period";

/// What is told of a subject; nothing where the partner is not told. There are as many of them as subjects, so they are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The subject, under the partner's key.
    pub name: Name,
    /// Whether the score reaches the cut-off.
    pub above: Option<bool>,
    /// The band, by its position among the bands.
    pub band: Option<u16>,
    /// The score.
    pub score: Option<i16>,
    /// The percentile.
    pub percentile: Option<i16>,
}

/// Who has withdrawn, under which key the partner knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawn {
    /// The pseudonym that was given.
    pub name: Name,
    /// The key.
    pub key_id: Arc<str>,
    /// The period.
    pub key_period: Option<Arc<str>>,
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

/// Writes what a partner is given, sorted by pseudonym, with the columns of some names and the bands that rows number; returns the hash
/// that an encrypted table has where it is written plain.
///
/// # Errors
/// When the disk is full.
pub fn write(path: &Path, rows: &[Row], bands: &[String], columns: &[&str], seal: &Seal) -> Result<Option<Hash>> {
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
    let band = |row: &Row| bands.get(usize::from(row.band?)).map(String::as_str);
    for group in rows.chunks(GROUP_ROWS) {
        let mut arrays: Vec<ArrayRef> = vec![names(group.iter().map(|r| &r.name))];
        if told("above") {
            arrays.push(Arc::new(group.iter().map(|r| r.above).collect::<BooleanArray>()));
        }
        if told("band") {
            arrays.push(Arc::new(group.iter().map(band).collect::<StringArray>()));
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
            names(group.iter().map(|r| &r.name)),
            Arc::new(group.iter().map(|r| Some(&*r.key_id)).collect::<StringArray>()),
            Arc::new(group.iter().map(|r| r.key_period.as_deref()).collect::<StringArray>()),
        ];
        file.write(columns)?;
    }
    file.finish_hashed()
}

fn names<'a>(of: impl Iterator<Item = &'a Name>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(of.map(written)))
}

/// Calls `each` for the pseudonyms of either table, some at a time and in order.
fn pseudonyms(path: &Path, mut each: impl FnMut(&StringArray) -> Result<ControlFlow<()>>) -> Result<()> {
    for batch in read::batches(path, Some(&[PSEUDONYM]))? {
        let batch = batch.with_context(|| format!("{} is damaged", path.display()))?;
        if each(&texts(&batch, PSEUDONYM)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Calls `each` for every pseudonym of either table, in order.
///
/// # Errors
/// When it is damaged, or the first error of `each`.
pub fn each_name(path: &Path, each: &mut dyn FnMut(Name) -> Result<()>) -> Result<()> {
    pseudonyms(path, |some| {
        for text in some {
            let name = text.and_then(parsed);
            each(name.with_context(|| format!("{} is damaged: a pseudonym is none", path.display()))?)?;
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Whether two tables have the same columns and rows, whatever else is in the files.
///
/// # Errors
/// When one of them is damaged.
pub fn same_rows(a: &Path, b: &Path) -> Result<bool> {
    let (mut ours, mut theirs) = (read::batches(a, None)?, read::batches(b, None)?);
    loop {
        match (next(&mut ours, a)?, next(&mut theirs, b)?) {
            (None, None) => return Ok(true),
            (Some(a), Some(b)) if a.schema().fields() == b.schema().fields() && a.columns() == b.columns() => {}
            _ => return Ok(false),
        }
    }
}

fn next(of: &mut ParquetRecordBatchReader, path: &Path) -> Result<Option<RecordBatch>> {
    of.next().transpose().with_context(|| format!("{} is damaged", path.display()))
}

/// The row of a pseudonym in a table of them; nothing when it is not there.
///
/// # Errors
/// When the table is damaged.
pub fn find(path: &Path, pseudonym: &str) -> Result<Option<RecordBatch>> {
    let (mut before, mut found) = (0, None);
    pseudonyms(path, |some| {
        found = some.iter().position(|name| name == Some(pseudonym)).map(|at| before + at);
        before += some.len();
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    found.map_or(Ok(None), |at| SubjectTable::open(path)?.row(at, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_with_the_columns_that_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.parquet");
        let row = |name: u8, score: i16| Row {
            name: [name; 16],
            above: Some(score > 600),
            band: Some(u16::from(score > 600)),
            score: Some(score),
            percentile: None,
        };
        let seal = Seal { key: None, facts: &[("partner", "p")] };
        let (bands, told) = (["fair", "good"].map(str::to_owned), ["band", "score"]);
        write(&path, &[row(1, 500), row(2, 700)], &bands, &told, &seal).unwrap();
        let found = find(&path, &written(&[2; 16])).unwrap().unwrap();
        let schema = found.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["pseudonym", "band", "score"]);
        assert_eq!(super::super::columns::shorts(&found, "score").unwrap(), [Some(700)]);
        assert_eq!(texts(&found, "band").unwrap().value(0), "good");
        assert!(find(&path, &written(&[3; 16])).unwrap().is_none());
        let all = |path: &Path| {
            let mut all = Vec::new();
            let mut note = |name: Name| -> Result<()> {
                all.push(name[0]);
                Ok(())
            };
            each_name(path, &mut note).unwrap();
            all
        };
        assert_eq!(all(&path), [1, 2]);
        // What else the metadata says makes no other rows.
        let (same, other) = (folder.path().join("same"), folder.path().join("other"));
        let facts = Seal { key: None, facts: &[("partner", "q")] };
        write(&same, &[row(1, 500), row(2, 700)], &bands, &told, &facts).unwrap();
        assert!(same_rows(&path, &same).unwrap());
        let others: [(&[Row], &[&str]); 3] =
            [(&[row(1, 500)], &told), (&[row(1, 500), row(2, 701)], &told), (&[row(1, 500), row(2, 700)], &["score"])];
        for (rows, told) in others {
            write(&other, rows, &bands, told, &seal).unwrap();
            assert!(!same_rows(&path, &other).unwrap() && !same_rows(&other, &path).unwrap());
        }
        // A table of nobody is a table.
        write_withdrawn(&path, &[], &seal).unwrap();
        assert!(all(&path).is_empty());
    }
}
