//! The structural check: every file's footer and schema against the contract, before any work.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::ParquetMetaData;

use super::batches::partition_value;
use super::files::{ExportFile, resolve};
use super::select::Select;
use super::spine::IdForm;
use crate::contract::{Column, ColumnType, Contract, Table};
use crate::pipeline::{Finding, Pipeline};

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
    /// Size in bytes.
    pub bytes: u64,
}

impl OpenFile {
    /// The footer's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
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
        for file in files {
            match open_file(&file, &export) {
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
    id_types_agree(&exports, &mut findings);
    Ok((exports, findings))
}

/// The group columns: whatever text, integer or Boolean column stands beside the subject in every file.
fn group_columns(export: &Export) -> Vec<String> {
    let Some(first) = export.files.first() else { return Vec::new() };
    first.ignored.iter().filter(|name| export.files.iter().all(|f| f.ignored.contains(name))).cloned().collect()
}

fn open_file(file: &ExportFile, export: &Export) -> Result<(OpenFile, Vec<String>)> {
    let handle = fs_err::File::open(&file.path)?;
    let bytes = handle.metadata()?.len();
    if bytes == 0 {
        return Err(anyhow!("the file is empty: 0 bytes are no Parquet file; was it written completely?"));
    }
    let footer = read_footer(handle.file())?;
    let yields = match &export.select {
        Some(select) => select.yields(footer.schema())?,
        None => footer.schema().clone(),
    };
    let (found, ignored) = check_columns(&export.table, &yields, file);
    let found = found.into_iter().map(|m| format!("{}: {m}", export.table.name)).collect();
    Ok((OpenFile { file: file.clone(), footer, yields, ignored, bytes }, found))
}

/// Reads a footer and settles in which Arrow types the columns are read.
fn read_footer(file: &File) -> Result<ArrowReaderMetadata> {
    super::shield(|| {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = ArrowReaderMetadata::load(file, options.clone())?;
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
fn check_columns(table: &Table, schema: &Schema, file: &ExportFile) -> (Vec<String>, Vec<String>) {
    let mut found = Vec::new();
    for column in &table.columns {
        match schema.column_with_name(&column.name) {
            Some((_, field)) if !accepts(column, field.data_type()) => {
                found.push(wrong_type(column, field.data_type()))
            }
            None if file.partitions.contains_key(&column.name) => {
                if let Err(e) = partition_value(column, &file.partitions[&column.name]) {
                    found.push(format!("the partition {}={}: {e:#}", column.name, file.partitions[&column.name]));
                }
            }
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

const fn word(form: IdForm) -> &'static str {
    match form {
        IdForm::Binary => "binary",
        IdForm::Integer => "an integer",
        IdForm::Text => "text",
    }
}

fn id_form(found: &DataType) -> IdForm {
    match found {
        DataType::FixedSizeBinary(_) => IdForm::Binary,
        t if t.is_integer() => IdForm::Integer,
        _ => IdForm::Text,
    }
}

/// Ids that are compared with each other must be written alike: subjects everywhere, sources everywhere, and the
/// records of every table that has disputes.
fn id_types_agree(exports: &[Export], findings: &mut Vec<Finding>) {
    let disputed = exports.iter().any(|e| e.table.name == "disputes");
    let kinds: [(&str, &[&str]); 3] = [
        ("subject ids", &["subject_id", "subject_a", "subject_b"]),
        ("source ids", &["source_id"]),
        ("record ids", if disputed { &["record_id"] } else { &[] }),
    ];
    for (what, columns) in kinds {
        let mut expected: Option<(IdForm, &str)> = None;
        for (export, column) in exports.iter().flat_map(|e| columns.iter().map(move |c| (e, *c))) {
            for (file, form) in forms(export, column) {
                let (first, table) = *expected.get_or_insert((form, &export.table.name));
                if form != first {
                    findings.push(Finding {
                        file,
                        line: 0,
                        message: format!(
                            "{}: the column `{column}` is {}, but {what} are {} in {table}; cast it in the input's `select`",
                            export.table.name,
                            word(form),
                            word(first)
                        ),
                    });
                }
            }
        }
    }
}

/// How the ids of a column are written, file by file; a column of nothing but nulls says nothing.
fn forms(export: &Export, column: &str) -> Vec<(std::path::PathBuf, IdForm)> {
    let in_file = |f: &OpenFile| {
        let found = f.yields.field_with_name(column).ok()?.data_type();
        (*found != DataType::Null).then(|| (f.file.path.clone(), id_form(found)))
    };
    export.files.iter().filter_map(in_file).collect()
}

impl Export {
    /// How the records' ids are written; text when files differ or the path gives them.
    #[must_use]
    pub fn record_form(&self) -> IdForm {
        let forms = forms(self, "record_id");
        match forms.first() {
            Some((_, first)) if forms.len() == self.files.len() && forms.iter().all(|(_, f)| f == first) => *first,
            _ => IdForm::Text,
        }
    }
}
