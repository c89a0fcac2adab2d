//! The structural check: every file's footer and schema against the contract, before any work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::file::metadata::ColumnChunkMetaData;

use super::columns::check_columns;
use super::export::{Export, OpenFile};
use super::files::{ExportFile, advice};
use super::listing::find;
use super::partition::{PathValue, path_value};
use super::select::{Bound, Select};
use super::{GIVEN_UP, footer, id_forms, key_ids, pages};
use crate::contract::{Contract, Table};
use crate::machine::shield::shield;
use crate::pipeline::{Finding, Pipeline};
use crate::storage::content::{Content, State};
use crate::storage::file_state::FileState;
use crate::storage::object::{Beginning, Found};
use crate::storage::{opening, read};

/// Opens every input of a pipeline and checks it against the contract.
///
/// # Errors
/// Only the exports that fit are returned; everything else is in the findings.
pub fn open(pipeline: &Pipeline, contract: &Contract) -> Result<(Vec<Export>, Vec<Finding>)> {
    pipeline.name_keys();
    let base = pipeline.path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
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
        let files = match find(&input.path, &base) {
            Ok(files) => files,
            Err(e) => {
                findings.push(whole(format!("{e:#}")));
                continue;
            }
        };
        let mut export = Export { table: table.clone(), files: Vec::new(), select, extra: Vec::new() };
        let mut bound = Vec::new();
        let mut beginnings = Beginnings::of(&files);
        for (number, file) in files.iter().enumerate() {
            match open_file(file, beginnings.next(number), &export, &mut bound) {
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
    findings.extend(key_ids::differing(&exports));
    Ok((exports, findings))
}

/// The group columns: whatever text, integer or Boolean column stands beside the subject in every file.
fn group_columns(export: &Export) -> Vec<String> {
    let Some(first) = export.files.first() else { return Vec::new() };
    first.ignored.iter().filter(|name| export.files.iter().all(|f| f.ignored.contains(name))).cloned().collect()
}

/// A `select` laid over schemas that were met.
type BoundTo = Vec<(SchemaRef, Arc<Bound>)>;

/// Objects whose beginnings are asked for before they are looked at, at most.
const ASKED_BEFORE: usize = 32;

/// The beginnings and ends of objects, several on their way at a time.
struct Beginnings<'a> {
    files: &'a [ExportFile],
    asked: VecDeque<Option<Result<Beginning>>>,
    begun: usize,
}

impl<'a> Beginnings<'a> {
    const fn of(files: &'a [ExportFile]) -> Self {
        Self { files, asked: VecDeque::new(), begun: 0 }
    }

    /// That of a file, which are asked for one after another; nothing for one on a disk.
    fn next(&mut self, number: usize) -> Option<Result<Beginning>> {
        let ahead = self.files.iter().take(number.saturating_add(ASKED_BEFORE)).skip(self.begun);
        for file in ahead {
            self.asked.push_back(file.object.as_ref().map(Found::begin));
            self.begun += 1;
        }
        self.asked.pop_front().flatten()
    }
}

fn open_file(
    file: &ExportFile,
    beginning: Option<Result<Beginning>>,
    export: &Export,
    bound: &mut BoundTo,
) -> Result<(OpenFile, Vec<String>)> {
    let (handle, state) = match (&file.object, beginning) {
        (Some(found), Some(beginning)) => {
            found.identity()?;
            (Content::Object(beginning?.wait()?), State::Object(found.clone()))
        }
        _ => {
            let handle = read::open(&file.path)?;
            let state = State::File(FileState::of(&handle)?);
            (Content::File(Arc::new(handle)), state)
        }
    };
    if state.bytes() == 0 {
        return Err(anyhow!("the file is empty: 0 bytes are no Parquet file; was it written completely?"));
    }
    if let Some(advice) = advice(&file.path)
        && !handle.is_parquet()?
    {
        return Err(anyhow!(advice));
    }
    let footer = footer::read(&handle)?;
    once_each(footer.schema())?;
    let select = export.select.as_ref().map(|select| lay_over(select, footer.schema(), bound)).transpose()?;
    let yields = select.as_ref().map_or_else(|| footer.schema().clone(), |select| select.yields().clone());
    let wanted = |root: &str| match &select {
        Some(select) => select.reads().iter().any(|at| footer.schema().field(*at).name() == root),
        None => export.table.position(root).is_some(),
    };
    if let Some(group) = footer.metadata().row_groups().first() {
        let root = |c: &&ColumnChunkMetaData| c.column_path().parts().first().is_some_and(|root| wanted(root));
        group.columns().iter().filter(root).try_for_each(opening::openable)?;
    }
    let (given, mut found) = given(&export.table, &yields, file, export.select.is_some());
    let (wrong, ignored) = check_columns(&export.table, &yields, &given);
    found.extend(wrong);
    let found = found.into_iter().map(|m| format!("{}: {m}", export.table.name)).collect();
    let first = footer.metadata().row_groups().iter().filter(|g| g.num_rows() > 0).find_map(|g| g.columns().first());
    let checksums = first.map_or(Ok(true), |chunk| pages::has_checksums(&handle, state.bytes(), chunk))?;
    state.holds(&handle, &file.path)?;
    let rows = u64::try_from(footer.metadata().file_metadata().num_rows())?;
    Ok((OpenFile { file: file.clone(), footer, yields, ignored, select, given, checksums, state, rows }, found))
}

/// Refuses a file with two columns of one name, of which only one would be read.
fn once_each(schema: &Schema) -> Result<()> {
    let mut seen = BTreeSet::new();
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
