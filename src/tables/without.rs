//! A table written anew without some of its rows: as its writer would have written the others, so that nothing of those that are gone is
//! left in a page, a dictionary, a statistic, an index or a Bloom filter.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::blocks::{PACKED_BY, of_blocks};
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use crate::storage::{opening, read};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 65_536;

/// Says which rows of a batch go, given the number of its first row in the whole table.
pub type Gone<'a> = dyn FnMut(usize, &RecordBatch) -> Result<Vec<bool>> + 'a;

/// The names of a table's columns, and its number of rows.
///
/// # Errors
/// When it is no table.
pub fn outline(path: &Path) -> Result<(Vec<String>, usize)> {
    let builder = opened(path)?;
    let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    Ok((names, usize::try_from(builder.metadata().file_metadata().num_rows())?))
}

/// What a table's metadata says under a name.
///
/// # Errors
/// When it is no table.
pub fn fact(path: &Path, name: &str) -> Result<Option<String>> {
    let builder = opened(path)?;
    let facts = builder.metadata().file_metadata().key_value_metadata();
    Ok(facts.and_then(|all| all.iter().find(|fact| fact.key == name)).and_then(|fact| fact.value.clone()))
}

/// Writes a table anew, durably, without some rows; returns how many those are.
///
/// # Errors
/// When the table is damaged, or the disk is full.
pub fn write(from: &Path, to: &Path, gone: &mut Gone) -> Result<u64> {
    let damaged = || format!("{} is damaged", from.display());
    let builder = opened(from)?;
    let metadata = Arc::clone(builder.metadata());
    // What the metadata says is no part of the schema when a table is written first.
    let schema: SchemaRef = Arc::new(Schema::new(builder.schema().fields().clone()));
    let group = metadata.row_groups().iter().map(|group| group.num_rows()).max().map(usize::try_from).transpose()?;
    let group = group.unwrap_or(GROUP_ROWS).max(1);
    let key = opening::key_of(from)?;
    let mut file = Regrouped {
        file: ParquetFile::create_for(to, Arc::clone(&schema), properties_of(&metadata)?, key.as_deref(), false)?,
        schema: Arc::clone(&schema),
        group,
        held: Vec::new(),
        rows: 0,
    };
    let (mut first, mut removed) = (0, 0);
    for batch in builder.with_batch_size(BATCH_ROWS).build().with_context(damaged)? {
        let batch = batch.with_context(damaged)?;
        let going = gone(first, &batch)?;
        ensure!(going.len() == batch.num_rows(), "defect: not every row was asked about");
        removed += going.iter().filter(|gone| **gone).count() as u64;
        let keep: BooleanArray = going.into_iter().map(|gone| Some(!gone)).collect();
        first += batch.num_rows();
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?;
        file.add(filter_record_batch(&batch, &keep)?)?;
    }
    file.finish()?;
    Ok(removed)
}

fn opened(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>> {
    let file = read::open(path)?;
    let footer = opening::footer(&file, &ArrowReaderOptions::new()).map_err(|e| opening::of_table(e, path))?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer))
}

/// A table under way whose row groups have a fixed number of rows.
struct Regrouped {
    file: ParquetFile,
    schema: SchemaRef,
    group: usize,
    held: Vec<RecordBatch>,
    rows: usize,
}

impl Regrouped {
    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.held.push(batch);
        if self.rows >= self.group { self.write(self.group) } else { Ok(()) }
    }

    /// Writes what is held in groups of at least `least` rows.
    fn write(&mut self, least: usize) -> Result<()> {
        let all = concat_batches(&self.schema, &self.held)?;
        let mut from = 0;
        while all.num_rows() - from >= least.max(1) {
            let rows = self.group.min(all.num_rows() - from);
            self.file.write(all.slice(from, rows).columns().to_vec())?;
            from += rows;
        }
        self.rows = all.num_rows() - from;
        self.held = vec![concat_batches(&self.schema, &[all.slice(from, self.rows)])?];
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.write(1)?;
        self.file.finish()
    }
}

/// The properties that a table was written with, as far as it shows them.
fn properties_of(metadata: &ParquetMetaData) -> Result<WriterProperties> {
    let facts = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let facts: Vec<_> = facts.into_iter().filter(|fact| fact.key != ARROW_SCHEMA_META_KEY).collect();
    let groups = metadata.row_groups();
    let blocks = groups.iter().flat_map(|group| group.columns()).any(|chunk| chunk.compression() == PACKED_BY);
    let of = if blocks { of_blocks()? } else { properties()? };
    let mut of = of.set_key_value_metadata(Some(facts).filter(|facts| !facts.is_empty()));
    let Some(first) = groups.first() else { return Ok(of.build()) };
    of = of.set_sorting_columns(first.sorting_columns().cloned());
    if groups.iter().flat_map(|group| group.columns()).all(|chunk| chunk.statistics().is_none()) {
        of = of.set_statistics_enabled(EnabledStatistics::None);
    }
    for (at, column) in first.columns().iter().enumerate() {
        let (path, chunks) = (column.column_path().clone(), || groups.iter().filter_map(move |g| g.columns().get(at)));
        if chunks().any(|chunk| chunk.bloom_filter_offset().is_some()) {
            of = of
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path.clone(), GROUP_ROWS as u64);
        }
        if chunks().all(|chunk| chunk.dictionary_page_offset().is_none()) {
            of = of.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(of.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::{DataType, Field};

    use crate::tables::blocks::BlockWriter;
    use crate::tables::columns::{ints, texts};
    use crate::tables::evidence::{Evidence, EvidenceFile};
    use crate::tables::ids::{IdForm, Ids, SubjectIds};
    use crate::tables::read::all;

    fn subjects(ids: &[String]) -> SubjectIds {
        let mut all = Ids::default();
        ids.iter().for_each(|id| all.push(id.as_bytes()));
        SubjectIds { ids: all, form: IdForm::Text }
    }

    fn evidence(path: &Path, ids: &[String]) {
        let subjects = subjects(ids);
        let mut file = EvidenceFile::create(path, &subjects, vec!["repayments".into()], Vec::new()).unwrap();
        let record = |subject: u32| Evidence {
            subject,
            table: 0,
            record_text: format!("record of {}", ids[subject as usize]),
            record_number: 0,
            day: 20_000,
            days_past_due: None,
            amount: Some(5),
            policy: None,
        };
        file.add(&subjects, (0..u32::try_from(ids.len()).unwrap()).map(record)).unwrap();
        file.finish(&subjects).unwrap();
    }

    #[test]
    fn the_rows_that_stay_are_written_as_if_they_alone_had_been_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let ids: Vec<String> = (0..200_000).map(|n| format!("subject-{n:06}")).collect();
        evidence(&path("all"), &ids);
        let goes = |id: &str| id == "subject-000000" || id.ends_with("7777") || id == "subject-199999";
        let mut seen = 0;
        let removed = write(&path("all"), &path("without"), &mut |first, batch| {
            assert_eq!(first, seen);
            seen += batch.num_rows();
            Ok(texts(batch, "subject_id")?.iter().map(|id| id.is_some_and(goes)).collect())
        });
        assert_eq!((removed.unwrap(), seen), (22, ids.len()));
        let others: Vec<String> = ids.iter().filter(|id| !goes(id)).cloned().collect();
        evidence(&path("others"), &others);
        let read = |name: &str| std::fs::read(path(name)).unwrap();
        assert!(read("without") == read("others"), "another file than that of the others alone");
        assert_eq!(all(&path("without"), None).unwrap().num_rows(), others.len());
        assert_eq!(outline(&path("without")).unwrap().1, others.len());
        assert_eq!(outline(&path("without")).unwrap().0[..2], ["subject_id", "table"]);
        assert_eq!(fact(&path("without"), "none").unwrap(), None);
    }

    #[test]
    fn blocks_stay_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let blocks = |name: &str, rows: &[i32]| {
            let fields = ["same", "other"].map(|name| Field::new(name, DataType::Int32, false));
            let mut file = BlockWriter::create(&path(name), fields.to_vec()).unwrap();
            let columns = [rows.iter().map(|n| n % 7).collect::<Int32Array>(), rows.iter().copied().collect()];
            file.add(columns.map(|column| Arc::new(column) as ArrayRef).to_vec()).unwrap();
            file.finish().unwrap();
        };
        let all: Vec<i32> = (0..40_000).collect();
        let goes = |n: i32| n % 1_000 == 3;
        blocks("all", &all);
        let mut gone = |_: usize, batch: &RecordBatch| Ok(ints(batch, "other")?.into_iter().map(goes).collect());
        assert_eq!(write(&path("all"), &path("without"), &mut gone).unwrap(), 40);
        blocks("others", &all.into_iter().filter(|n| !goes(*n)).collect::<Vec<_>>());
        let read = |name: &str| std::fs::read(path(name)).unwrap();
        assert!(read("without") == read("others"), "another file than that of the others alone");
    }

    #[test]
    fn a_table_of_the_erased_alone_is_an_empty_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        evidence(&path("all"), &["a".to_owned(), "b".to_owned()]);
        let removed = write(&path("all"), &path("none"), &mut |_, batch| Ok(vec![true; batch.num_rows()])).unwrap();
        assert_eq!((removed, all(&path("none"), None).unwrap().num_rows()), (2, 0));
    }
}
