//! Rows that another engine divided into shards: one folder of Parquet files for each table, in the contract's columns, with the place of
//! each row in the exports beside them, so that what is quarantined and counted is told of the files that people know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::numbers::{self, Numbers, Sums, Whole};
use super::places::Places;
use super::read::batches::{Batch, RowNumbers};
use super::read::export::{Export, OpenFile};
use super::read::files::ExportFile;
use super::read::open::open;
use super::spine::strangers::Strangers;
use super::visibility::erased::picked;
use crate::contract::Contract;
use crate::pipeline::{Finding, Input, Pipeline};
use crate::storage::content::State;
use crate::storage::version::Version;

/// The column that names the file that a row was in, by its label, or by a path that ends in it.
const FILE: &str = "_file";
/// The column that holds the row's number in that file, from 0.
const ROW: &str = "_row";

/// The folder with the rows of `subjects`, of whatever shard, that disputes name.
pub const DISPUTED: &str = "disputed_subjects";

/// A table as it was before it was divided.
pub struct Original {
    /// Its name.
    pub table: String,
    /// The folder with its rows; nothing for a table that is not read.
    pub rows: Option<PathBuf>,
    /// For `groups`: the columns that hold groups; those that its rows have when it is not said.
    pub extra: Option<Vec<String>>,
    /// Its files, in order.
    pub files: Vec<OriginalFile>,
}

/// A file as it was before its rows were divided.
pub struct OriginalFile {
    /// What it is called in reports.
    pub label: String,
    /// Where it is.
    pub path: PathBuf,
    /// Rows.
    pub rows: u64,
    /// What their numbers add up to, where it is known.
    pub sums: Option<Sums>,
    /// What stands for its content, where this program does not read it.
    pub version: Option<Version>,
}

/// One shard's rows.
pub struct Shuffled {
    exports: Vec<Export>,
    disputed: Option<Export>,
    /// The original files of each table, by what they are called.
    places: BTreeMap<String, Places>,
    /// What is known of them.
    known: BTreeMap<String, Vec<(PathBuf, u64, Option<Sums>)>>,
    /// The numbers of the rows that came, by table and file.
    came: Mutex<BTreeMap<String, Vec<Numbers>>>,
    /// The ids that rows name and that are none of the shard's subjects.
    strangers: Strangers,
}

impl Shuffled {
    /// Opens the folders with a shard's rows, and the one with those of subjects that disputes name. Beside them, the exports as they were:
    /// what is counted is counted of their files, which are not read.
    ///
    /// # Errors
    /// When a table's folder is missing, or a file is none.
    pub fn open(
        originals: &[Original],
        disputed_rows: Option<&Path>,
        pipeline: &Pipeline,
        contract: &Contract,
    ) -> Result<(Self, Vec<Export>, Vec<Finding>)> {
        let given = originals.iter().filter_map(|original| Some((&original.table, original.rows.as_deref()?)));
        for (_, place) in given.clone() {
            ensure!(
                place.is_dir(),
                "{} is missing: a shard without rows of a table has a file without rows, so that all shards know the table",
                place.display()
            );
        }
        let at = |place: &Path| Input { path: absolute(place), select: None };
        let tables = given.map(|(table, place)| (table.clone(), at(place)));
        let (mut exports, mut findings) = opened(pipeline, contract, tables.collect())?;
        let mut disputed = None;
        if let Some(place) = disputed_rows.filter(|place| place.is_dir()) {
            let (mut named, found) = opened(pipeline, contract, BTreeMap::from([("subjects".to_owned(), at(place))]))?;
            findings.extend(found);
            disputed = named.pop();
        }
        let (mut as_they_were, mut places, mut known) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for original in originals {
            let table = contract.table(&original.table)?.clone();
            let extra = original.extra.clone().unwrap_or_default();
            let mut whole = Export { table, files: Vec::new(), select: None, extra };
            if let Some(export) = exports.iter_mut().find(|export| export.table.name == original.table) {
                for file in &export.files {
                    let lacks = |column: &&&str| file.yields.column_with_name(column).is_none();
                    if let Some(column) = [FILE, ROW].iter().find(lacks) {
                        bail!("{} has no column {column}", file.file.path.display());
                    }
                }
                if original.extra.is_none() {
                    whole.extra = export.extra.iter().filter(|column| !is_place(column)).cloned().collect();
                }
                export.extra = whole.extra.iter().cloned().chain([FILE, ROW].map(ToOwned::to_owned)).collect();
                // A file that cannot be opened is among the findings.
                whole.files = export.files.first().map_or_else(Vec::new, |like| original.opened(like));
            }
            let files = || original.files.iter();
            places.insert(original.table.clone(), Places::of(files().map(|of| (of.label.as_str(), of.path.as_path()))));
            known.insert(original.table.clone(), files().map(|of| (of.path.clone(), of.rows, of.sums)).collect());
            as_they_were.push(whole);
        }
        // Tables of which nothing comes are told as well.
        let of_rows = originals.iter().filter(|original| original.rows.is_some());
        let came = Mutex::new(of_rows.map(|original| (original.table.clone(), Vec::new())).collect());
        let strangers = Strangers::default();
        Ok((Self { exports, disputed, places, known, came, strangers }, as_they_were, findings))
    }

    /// The rows of a table.
    #[must_use]
    pub fn export(&self, table: &str) -> Option<&Export> {
        self.exports.iter().find(|export| export.table.name == table)
    }

    /// The rows of subjects, of whatever shard, that disputes name.
    #[must_use]
    pub const fn disputed(&self) -> Option<&Export> {
        self.disputed.as_ref()
    }

    /// The ids that rows name and that are none of the shard's subjects.
    #[must_use]
    pub const fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// The numbers of the rows that came so far, by table and file.
    ///
    /// # Errors
    /// When a thread failed while it held them.
    pub fn came(&self) -> Result<BTreeMap<String, Vec<Numbers>>> {
        Ok(self.held()?.clone())
    }

    fn held(&self) -> Result<MutexGuard<'_, BTreeMap<String, Vec<Numbers>>>> {
        self.came.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// Checks that all rows of a table came, each once.
    ///
    /// # Errors
    /// When rows of one of its files were lost or doubled.
    pub fn complete(&self, table: &str) -> Result<()> {
        let came = self.came()?;
        let of_table = came.get(table).map_or(&[][..], Vec::as_slice);
        let files = self.known.get(table).with_context(|| format!("{table} is no table of the plan"))?;
        for (n, (path, rows, sums)) in files.iter().enumerate() {
            let whole = Whole { path, rows: *rows, sums: *sums };
            if let Some(wrong) = whole.wrong(of_table.get(n).copied().unwrap_or_default()) {
                bail!("{table}: {wrong}");
            }
        }
        Ok(())
    }

    /// The rows of a batch by the file that they were in.
    ///
    /// # Errors
    /// When a row does not say where it was, or names a file that is none of the table's.
    pub fn placed(&self, table: &str, batch: &Batch) -> Result<Vec<Batch>> {
        let places = self.places.get(table).with_context(|| format!("{table} is no table of the plan"))?;
        let own = batch.extra.len().checked_sub(2).context("rows that do not say where they were")?;
        let (files, rows) =
            (column(&batch.extra[own], &DataType::Utf8)?, column(&batch.extra[own + 1], &DataType::Int64)?);
        let (files, rows) = (files.as_string::<i32>(), rows.as_primitive::<Int64Type>());
        let mut numbers: Vec<u32> = Vec::with_capacity(batch.len);
        let mut came: Vec<Numbers> = Vec::new();
        for row in 0..batch.len {
            ensure!(files.is_valid(row) && rows.is_valid(row), "a row of {table} without {FILE} or {ROW}");
            let again = row.checked_sub(1).filter(|before| files.value(*before) == files.value(row));
            let number = match again {
                Some(before) => numbers[before],
                None => places.find(files.value(row)).with_context(|| {
                    format!(
                        "{table}: {FILE} `{}` is no file that was planned with, or could be two; have it name the file's label or path",
                        files.value(row)
                    )
                })?,
            };
            numbers.push(number);
            let at = number as usize;
            came.resize(came.len().max(at + 1), Numbers::default());
            let of_row = u64::try_from(rows.value(row))
                .with_context(|| format!("{table}: {ROW} is {}, and rows are numbered from 0", rows.value(row)))?;
            came[at].add(of_row);
        }
        numbers::merge(self.held()?.entry(table.to_owned()).or_default(), &came);
        let of_file = |number: u32| -> Result<Batch> {
            let wanted: Vec<bool> = numbers.iter().map(|n| *n == number).collect();
            let places: Vec<i64> = (0..batch.len).filter(|row| wanted[*row]).map(|row| rows.value(row)).collect();
            let mut of_file = picked(batch, &wanted)?;
            of_file.extra.truncate(own);
            (of_file.file, of_file.from) = (number, places.first().copied().unwrap_or_default());
            of_file.rows = RowNumbers::Listed(places);
            Ok(of_file)
        };
        numbers.iter().copied().collect::<BTreeSet<u32>>().into_iter().map(of_file).collect()
    }
}

impl Original {
    /// Its files, as if they had been opened: with the types that the rows have now.
    fn opened(&self, like: &OpenFile) -> Vec<OpenFile> {
        let file = |of: &OriginalFile| OpenFile {
            file: ExportFile {
                path: of.path.clone(),
                label: of.label.clone(),
                partitions: BTreeMap::new(),
                object: None,
            },
            rows: of.rows,
            state: of.version.clone().map_or_else(|| like.state.clone(), State::Version),
            ignored: like.ignored.iter().filter(|column| !is_place(column)).cloned().collect(),
            ..like.clone()
        };
        self.files.iter().map(file).collect()
    }
}

/// Whether a column says where a row was.
fn is_place(column: &str) -> bool {
    [FILE, ROW].contains(&column)
}

fn opened(
    pipeline: &Pipeline,
    contract: &Contract,
    inputs: BTreeMap<String, Input>,
) -> Result<(Vec<Export>, Vec<Finding>)> {
    let mut pipeline = pipeline.clone();
    pipeline.settings.inputs = inputs;
    open(&pipeline, contract)
}

/// A pattern would be read as one; a path from the root is none of the pipeline file's.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// A column of places, which an engine may write in another type.
fn column(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    Ok(cast(array, kind)?)
}
