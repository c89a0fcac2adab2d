//! The structural check: every file's footer and schema against the contract, before any work.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::ParquetMetaData;

use super::files::{ExportFile, resolve};
use super::id_forms;
use super::pages;
use super::partition::{PathValue, path_value};
use super::select::{Bound, Select};
use super::{CORRUPT, GIVEN_UP};
use crate::contract::{Column, ColumnType, Contract, Table};
use crate::pipeline::{Finding, Pipeline};
use crate::shield::shield;
use crate::storage::file_state::FileState;

/// An input whose files were opened and found to fit the contract.
#[derive(Debug, Clone)]
pub struct Export {
    /// The table it holds.
    pub table: Table,
    /// Its files, in order.
    pub files: Vec<OpenFile>,
    /// SQL over each batch, if the pipeline gives some.
    pub select: Option<Arc<Select>>,
    /// For `groups`: the columns that hold groups.
    pub extra: Vec<String>,
}

/// A file with its footer.
#[derive(Debug, Clone)]
pub struct OpenFile {
    /// Where it is and what it is called.
    pub file: ExportFile,
    /// Its footer, with the types it is read in.
    pub footer: ArrowReaderMetadata,
    /// The columns it yields, after the input's `select`.
    pub yields: SchemaRef,
    /// Columns the contract does not know.
    pub ignored: Vec<String>,
    /// The input's `select`, laid over its columns.
    pub select: Option<Arc<Bound>>,
    /// The contract's columns that its path gives.
    pub given: BTreeMap<String, PathValue>,
    /// Whether its pages have checksums; without them a flipped bit may go unnoticed.
    pub checksums: bool,
    /// Its size, times and place when it was opened.
    pub state: FileState,
}

impl OpenFile {
    /// The footer's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
    }

    /// The contract's columns that it yields, its path's included.
    #[must_use]
    pub fn columns(&self, table: &Table) -> Vec<String> {
        let yielded = |name: &String| self.yields.column_with_name(name).is_some() || self.given.contains_key(name);
        table.columns.iter().map(|c| &c.name).filter(|name| yielded(name)).cloned().collect()
    }

    /// Size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// Opens the file once more, to read what was checked.
    ///
    /// # Errors
    /// When it was changed or replaced since.
    pub fn reopen(&self) -> Result<File> {
        self.state.open(&self.file.path)
    }

    /// Number of rows, as the footer says.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata().file_metadata().num_rows()).unwrap_or(0)
    }
}

/// Opens every input of a pipeline and checks it against the contract.
///
/// # Errors
/// Only the exports that fit are returned; everything else is in the findings.
pub fn open(pipeline: &Pipeline, contract: &Contract) -> Result<(Vec<Export>, Vec<Finding>)> {
    let base = pipeline.path.parent().unwrap_or_else(|| std::path::Path::new(".")).to_owned();
    let (mut exports, mut findings) = (Vec::new(), Vec::new());
    for table in &contract.tables {
        let Some(input) = pipeline.settings.inputs.get(&table.name) else { continue };
        let whole = |message: String| pipeline.finding(&table.name, format!("inputs.{}: {message}", table.name));
        let select = match input.select.as_deref().map(Select::parse).transpose() {
            Ok(Some(select)) if select.multiplies() && table.name == "subjects" => {
                findings
                    .push(whole("select: UNION ALL makes several subjects of one row; write one SELECT".to_owned()));
                continue;
            }
            Ok(select) => select.map(Arc::new),
            Err(e) => {
                findings.push(whole(format!("select: {e:#}")));
                continue;
            }
        };
        let files = match resolve(&input.path, &base) {
            Ok(files) => files,
            Err(e) => {
                findings.push(whole(format!("{e:#}")));
                continue;
            }
        };
        let mut export = Export { table: table.clone(), files: Vec::new(), select, extra: Vec::new() };
        let mut bound = Vec::new();
        for file in files {
            match open_file(&file, &export, &mut bound) {
                Ok((open, found)) => {
                    findings.extend(found.into_iter().map(|message| Finding {
                        file: file.path.clone(),
                        line: 0,
                        message,
                    }));
                    export.files.push(open);
                }
                Err(e) => findings.push(Finding {
                    file: file.path.clone(),
                    line: 0,
                    message: format!("{}: {e:#}", table.name),
                }),
            }
        }
        if table.name == "groups" {
            export.extra = group_columns(&export);
        }
        exports.push(export);
    }
    id_forms::settle(&mut exports, &mut findings)?;
    Ok((exports, findings))
}

/// The group columns: whatever text, integer or Boolean column stands beside the subject in every file.
fn group_columns(export: &Export) -> Vec<String> {
    let Some(first) = export.files.first() else { return Vec::new() };
    first.ignored.iter().filter(|name| export.files.iter().all(|f| f.ignored.contains(name))).cloned().collect()
}

/// A `select` laid over schemas that were met.
type BoundTo = Vec<(SchemaRef, Arc<Bound>)>;

fn open_file(file: &ExportFile, export: &Export, bound: &mut BoundTo) -> Result<(OpenFile, Vec<String>)> {
    let handle = crate::storage::read::open(&file.path)?;
    let state = FileState::of(&handle)?;
    if state.bytes == 0 {
        return Err(anyhow!("the file is empty: 0 bytes are no Parquet file; was it written completely?"));
    }
    let footer = read_footer(&handle)?;
    once_each(footer.schema())?;
    let select = export.select.as_ref().map(|select| lay_over(select, footer.schema(), bound)).transpose()?;
    let yields = select.as_ref().map_or_else(|| footer.schema().clone(), |select| select.yields().clone());
    let (given, mut found) = given(&export.table, &yields, file, export.select.is_some());
    let (wrong, ignored) = check_columns(&export.table, &yields, &given);
    found.extend(wrong);
    let found = found.into_iter().map(|m| format!("{}: {m}", export.table.name)).collect();
    let first = footer.metadata().row_groups().iter().filter(|g| g.num_rows() > 0).find_map(|g| g.columns().first());
    let checksums = first.map_or(Ok(true), |chunk| pages::has_checksums(&handle, state.bytes, chunk))?;
    state.holds(&handle, &file.path)?;
    Ok((OpenFile { file: file.clone(), footer, yields, ignored, select, given, checksums, state }, found))
}

/// Refuses a file with two columns of one name, of which only one would be read.
fn once_each(schema: &Schema) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        Some(field) => Err(anyhow!("the column `{}` stands twice; rename one of them", field.name())),
        None => Ok(()),
    }
}

/// The contract's columns that a file's path gives, and what is wrong with them. What a `select` yields comes before the path.
fn given(
    table: &Table,
    yields: &Schema,
    file: &ExportFile,
    selected: bool,
) -> (BTreeMap<String, PathValue>, Vec<String>) {
    let (mut given, mut found) = (BTreeMap::new(), Vec::new());
    for (name, text) in &file.partitions {
        let Some(column) = table.columns.iter().find(|c| c.name == *name) else { continue };
        if selected && yields.column_with_name(name).is_some() {
            continue;
        }
        match path_value(column, text) {
            Ok(value) => drop(given.insert(name.clone(), value)),
            Err(e) => found.push(format!("the partition {name}={text}: {e:#}")),
        }
    }
    (given, found)
}

fn lay_over(select: &Select, schema: &SchemaRef, bound: &mut BoundTo) -> Result<Arc<Bound>> {
    if let Some((_, known)) = bound.iter().find(|(other, _)| other == schema) {
        return Ok(Arc::clone(known));
    }
    let new = Arc::new(shield(GIVEN_UP, || select.over(schema)).context("the input's `select`")?);
    bound.push((Arc::clone(schema), Arc::clone(&new)));
    Ok(new)
}

/// Reads a footer and settles in which Arrow types the columns are read.
fn read_footer(file: &File) -> Result<ArrowReaderMetadata> {
    shield(CORRUPT, || {
        // Before the library makes room for what a footer says it lists.
        pages::types_agree(&raw_footer(file)?)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = ArrowReaderMetadata::load(file, options.clone())?;
        consistent(footer.metadata())?;
        let columns = footer.metadata().file_metadata().schema_descr().columns();
        let old: Vec<&str> =
            columns.iter().filter(|c| c.physical_type() == PhysicalType::INT96).map(|c| c.name()).collect();
        let fields: Vec<Field> =
            footer.schema().fields().iter().map(|f| reading_field(f, old.contains(&f.name().as_str()))).collect();
        let options = options.with_schema(Arc::new(Schema::new(fields)));
        Ok(ArrowReaderMetadata::try_new(footer.metadata().clone(), options)?)
    })
    .map_err(|e| anyhow!("not a readable Parquet file: {e}; was it written completely?"))
}

/// The bytes of a file's footer, which its last eight bytes tell the length of.
fn raw_footer(file: &File) -> Result<Vec<u8>> {
    let bytes = file.metadata()?.len();
    let mut tail = [0; 8];
    file.read_exact_at(&mut tail, bytes.checked_sub(8).context("it is shorter than any")?)?;
    ensure!(tail[4..] == *b"PAR1", "it does not end as one does");
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    let from = (bytes - 8).checked_sub(u64::from(length)).context("its footer is longer than the file")?;
    let mut footer = vec![0; usize::try_from(length)?];
    file.read_exact_at(&mut footer, from)?;
    Ok(footer)
}

/// Refuses a footer that contradicts itself.
fn consistent(footer: &ParquetMetaData) -> Result<()> {
    let rows = footer.file_metadata().num_rows();
    let groups: i64 = footer.row_groups().iter().map(|g| g.num_rows()).sum();
    ensure!(rows >= 0 && rows == groups, "the footer says {rows} rows, and its row groups {groups}");
    Ok(())
}

/// Text is read as views, which copies nothing; the old 96-bit timestamps are instants in UTC, to the microsecond.
fn reading_field(field: &Field, old_timestamp: bool) -> Field {
    match field.data_type() {
        DataType::Utf8 => field.clone().with_data_type(DataType::Utf8View),
        DataType::Timestamp(_, None) if old_timestamp => {
            field.clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        }
        _ => field.clone(),
    }
}

/// Columns that are missing or of the wrong type, and those the contract does not know.
fn check_columns(table: &Table, schema: &Schema, given: &BTreeMap<String, PathValue>) -> (Vec<String>, Vec<String>) {
    let mut found = Vec::new();
    for column in &table.columns {
        match schema.column_with_name(&column.name) {
            Some((_, field)) if !accepts(column, field.data_type()) => {
                found.push(wrong_type(column, field.data_type()))
            }
            None if given.contains_key(&column.name) => {}
            None if alike(schema, &column.name).is_some() => found.push(format!(
                "the column `{}` differs from the contract's `{}` in case only, and would be ignored; rename it in the input's `select`",
                alike(schema, &column.name).unwrap_or_default(),
                column.name
            )),
            None if column.required => {
                let hint =
                    crate::expression::did_you_mean(&column.name, schema.fields().iter().map(|f| f.name().as_str()));
                found.push(format!(
                    "the required column `{}` is missing{hint}; it holds {}; rename it in the input's `select`",
                    column.name,
                    column.expected()
                ));
            }
            _ => {}
        }
    }
    let ignored = schema.fields().iter().map(|f| f.name().clone()).filter(|n| table.position(n).is_none()).collect();
    (found, ignored)
}

/// A column whose name differs from another in case only.
fn alike<'a>(schema: &'a Schema, name: &str) -> Option<&'a str> {
    schema.fields().iter().map(|f| f.name().as_str()).find(|n| n.eq_ignore_ascii_case(name))
}

/// The message for a column of a type the contract does not accept.
#[must_use]
pub fn wrong_type(column: &Column, found: &DataType) -> String {
    let hint = match (column.kind, found) {
        (ColumnType::Money, DataType::Float16 | DataType::Float32 | DataType::Float64) => {
            "; money is never floating point: select CAST(ROUND(x * 100) AS BIGINT)"
        }
        (ColumnType::Instant, DataType::Timestamp(_, None)) => {
            "; a timestamp without a zone is a local time: export it in UTC"
        }
        (ColumnType::Date, DataType::Timestamp(_, _)) => "; select CAST(x AS DATE)",
        _ => "; cast it in the input's `select`",
    };
    format!("the column `{}` is {found}, expected {}{hint}", column.name, column.expected())
}

/// Whether a column of the contract can be read from an Arrow type.
#[must_use]
pub fn accepts(column: &Column, found: &DataType) -> bool {
    let text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if *found == DataType::Null {
        return !column.required;
    }
    match column.kind {
        ColumnType::Id => text || found.is_integer() || matches!(found, DataType::FixedSizeBinary(_)),
        ColumnType::Money => found.is_integer() || matches!(found, DataType::Decimal128(_, _)),
        ColumnType::Date => *found == DataType::Date32,
        ColumnType::Instant => matches!(found, DataType::Timestamp(unit, Some(_)) if known_unit(*unit)),
        ColumnType::Count => found.is_integer(),
        ColumnType::Flag => *found == DataType::Boolean,
        ColumnType::Share => matches!(found, DataType::Float32 | DataType::Float64),
        ColumnType::Choice | ColumnType::Currency | ColumnType::Text => text,
    }
}

const fn known_unit(unit: TimeUnit) -> bool {
    matches!(unit, TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond)
}
