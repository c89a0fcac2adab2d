//! One table, streamed: read batch by batch in the order of its files and rows, and written in row groups of a fixed size.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::file::metadata::KeyValue;

use super::ids;
use super::plan::{Place, Planned, Treatment};
use crate::exit;
use crate::ingest::read::batches::{Batch, read_first};
use crate::ingest::read::decode::faulty_ids;
use crate::ingest::read::export::Export;
use crate::output::Progress;
use crate::pipeline::Finding;
use crate::storage::pseudonym::Pseudonyms;
use crate::tables::parquet_file::{GROUP_ROWS, ParquetFile, properties};

/// A table under way.
pub(super) struct Streaming<'a> {
    pub export: &'a Export,
    pub names: &'a Pseudonyms,
    pub columns: Vec<Planned>,
    pub progress: &'a Progress<'a>,
    pub stop: &'a AtomicBool,
    pub findings: &'a mut Vec<Finding>,
    /// Columns of files that are known to break a rule; the first row is told.
    pub faulty: BTreeSet<(u32, usize)>,
}

impl Streaming<'_> {
    /// Writes the table and returns its rows. What a value breaks goes to the findings; after one nothing more is written.
    ///
    /// # Errors
    /// When a file turns out corrupt or was replaced, the disk is full, or the work is interrupted.
    pub(super) fn write(mut self, path: &Path, facts: Vec<KeyValue>) -> Result<u64> {
        let fields: Vec<Field> = self.columns.iter().map(|c| Field::new(&c.name, c.kind.clone(), true)).collect();
        let mut file = Groups::create(path, Arc::new(Schema::new(fields)), facts)?;
        let export = self.export;
        for (number, of) in (0_u32..).zip(&export.files) {
            let mut read = 0;
            let work = &mut |_: i64, before: &RecordBatch, batch: Batch| {
                exit::check(self.stop)?;
                let columns = self.convert(&batch)?;
                if self.findings.is_empty() {
                    file.add(columns)?;
                }
                let rows = u64::try_from(before.num_rows())?;
                read += rows;
                self.progress.add(rows);
                Ok(())
            };
            read_first(export, number, usize::try_from(of.rows)?, work)
                .with_context(|| of.file.path.display().to_string())?;
            ensure!(
                read == of.rows,
                "{}: corrupt data: it holds {read} rows, and its footer says {}",
                of.file.path.display(),
                of.rows
            );
            // Nobody changed it meanwhile.
            of.reopen()?;
        }
        file.finish()
    }

    /// The columns of a batch as they are written.
    fn convert(&mut self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for at in 0..self.columns.len() {
            arrays.push(self.column(at, batch).with_context(|| format!("the column `{}`", self.columns[at].name))?);
        }
        Ok(arrays)
    }

    fn column(&mut self, at: usize, batch: &Batch) -> Result<ArrayRef> {
        let Planned { place, treatment, kind, .. } = &mut self.columns[at];
        let array = match *place {
            Place::Contract(of) => batch.columns.get(of).and_then(Option::as_ref),
            Place::Group(of) => batch.extra.get(of),
        };
        let Some(array) = array else { return Ok(new_null_array(kind, batch.len)) };
        let known = self.faulty.contains(&(batch.file, at));
        let (written, fault) = match treatment {
            Treatment::Pseudonyms(domain) => {
                let wrong = if known { None } else { faulty_ids(array, false)?.into_iter().next() };
                let names = ids::pseudonyms(array, domain, &batch.columns, self.names)?;
                (Arc::new(names) as ArrayRef, wrong.map(|(row, _)| (row, NO_ID.to_owned())))
            }
            Treatment::Words(words) => {
                let wrong = if known { None } else { words.fault(array)? };
                (as_type(array, kind)?, wrong)
            }
            Treatment::Kept => (as_type(array, kind)?, None),
        };
        if let Some((row, why)) = fault {
            self.faulty.insert((batch.file, at));
            let of = self.export.files.get(batch.file as usize).context("no such file")?;
            self.findings.push(Finding {
                file: of.file.path.clone(),
                line: 0,
                message: format!(
                    "{}: the column `{}`, row {} (from 0): {why}",
                    self.export.table.name,
                    self.columns[at].name,
                    batch.rows.get(row)
                ),
            });
        }
        Ok(written)
    }
}

/// What is wrong with an id that a run would quarantine, and that a pseudonym would hide.
const NO_ID: &str = "the id is a text of more than 1,024 bytes, or an integer that 64 bits do not hold; leave the row out or cast the column in the input's `select`";

/// A column in the type it is written in; a value that the type does not hold is an error.
fn as_type(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if array.data_type() == kind {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(kind, array.len()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // What the library says of a failure repeats the value.
    cast_with_options(array, kind, &options).map_err(|_| {
        anyhow::anyhow!("a value of {} does not fit {kind}, in which other files need it written", array.data_type())
    })
}

/// A file under way, and the rows that do not fill a row group yet.
struct Groups {
    file: ParquetFile,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    rows: usize,
    written: u64,
}

impl Groups {
    fn create(path: &Path, schema: SchemaRef, facts: Vec<KeyValue>) -> Result<Self> {
        let properties = properties()?.set_key_value_metadata(Some(facts)).build();
        let file = ParquetFile::create(path, Arc::clone(&schema), properties)?;
        Ok(Self { file, schema, held: Vec::new(), rows: 0, written: 0 })
    }

    /// Adds rows, and writes the row groups that they fill: how the batches were cut does not show.
    fn add(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.rows += batch.num_rows();
        self.held.push(batch);
        if self.rows < GROUP_ROWS {
            return Ok(());
        }
        let whole = concat_batches(&self.schema, &std::mem::take(&mut self.held))?;
        let full = self.rows - self.rows % GROUP_ROWS;
        for from in (0..full).step_by(GROUP_ROWS) {
            self.group(&whole.slice(from, GROUP_ROWS))?;
        }
        self.rows -= full;
        self.held.push(whole.slice(full, self.rows));
        Ok(())
    }

    fn group(&mut self, batch: &RecordBatch) -> Result<()> {
        self.written += u64::try_from(batch.num_rows())?;
        self.file.write(batch.columns().to_vec())
    }

    /// Writes what is left and makes the file durable; returns its rows.
    fn finish(mut self) -> Result<u64> {
        let rest = concat_batches(&self.schema, &self.held)?;
        self.group(&rest)?;
        self.file.finish()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray, StringViewArray};
    use arrow::datatypes::Int64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn a_value_is_written_as_it_is_or_not_at_all() {
        let small: ArrayRef = Arc::new(Int32Array::from(vec![Some(-7), None]));
        let wide = as_type(&small, &DataType::Int64).unwrap();
        assert_eq!(wide.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(-7), None]);
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["CNY"]));
        assert_eq!(as_type(&views, &DataType::Utf8).unwrap().as_string::<i32>().value(0), "CNY");
        let text: ArrayRef = Arc::new(StringArray::from(vec!["secret"]));
        let error = as_type(&text, &DataType::Int64).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn row_groups_are_full_however_rows_come() {
        let folder = tempfile::tempdir().unwrap();
        let total = 2 * GROUP_ROWS + 17;
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let write = |name: &str, step: usize| {
            let path = folder.path().join(name);
            let mut file = Groups::create(&path, Arc::clone(&schema), Vec::new()).unwrap();
            for from in (0..total).step_by(step) {
                let values = (from..total.min(from + step)).map(|n| i64::try_from(n).unwrap());
                file.add(vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap();
            }
            assert_eq!(file.finish().unwrap(), total as u64);
            std::fs::read(&path).unwrap()
        };
        let bytes = write("one.parquet", total);
        assert!(bytes == write("many.parquet", 10_007));
        let file = std::fs::File::open(folder.path().join("many.parquet")).unwrap();
        let footer = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let groups: Vec<i64> = footer.metadata().row_groups().iter().map(|g| g.num_rows()).collect();
        let full = i64::try_from(GROUP_ROWS).unwrap();
        assert_eq!(groups, [full, full, 17]);
    }
}
