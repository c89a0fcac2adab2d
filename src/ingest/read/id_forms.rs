//! How ids are written. Those that are compared with each other must be written alike: subjects everywhere, sources everywhere,
//! every other id within its table, a refund as the record it refunds, and records everywhere when there are disputes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use arrow::datatypes::DataType;

use super::export::Export;
use crate::contract::{Column, ColumnType};
use crate::pipeline::Finding;
use crate::tables::ids::IdForm;

const fn word(form: IdForm) -> &'static str {
    match form {
        IdForm::Binary => "binary",
        IdForm::Integer => "integers",
        IdForm::Text => "text",
    }
}

const fn of_one(form: IdForm) -> &'static str {
    match form {
        IdForm::Binary => "binary",
        IdForm::Integer => "an integer",
        IdForm::Text => "text",
    }
}

fn form(found: &DataType) -> Option<IdForm> {
    match found {
        // A column of nothing but nulls says nothing.
        DataType::Null => None,
        DataType::FixedSizeBinary(_) => Some(IdForm::Binary),
        t if t.is_integer() => Some(IdForm::Integer),
        _ => Some(IdForm::Text),
    }
}

/// What a column's ids are compared with, in words.
pub(super) fn family(table: &str, column: &Column, disputed: bool) -> String {
    match column.name.as_str() {
        "subject_id" | "subject_a" | "subject_b" => "subject ids".to_owned(),
        "source_id" => "source ids".to_owned(),
        name if name == "record_id" || column.refund_of.is_some() => match disputed {
            true => "record ids".to_owned(),
            false => format!("record ids of {table}"),
        },
        name => format!("the ids `{name}` of {table}"),
    }
}

/// The ids of a table that have a column of their own, and what they are compared with.
fn ids(export: &Export, disputed: bool) -> Vec<(String, String)> {
    let columns = export.table.columns.iter().filter(|c| c.kind == ColumnType::Id);
    columns.map(|c| (c.name.clone(), family(&export.table.name, c, disputed))).collect()
}

/// How the ids of a column are written in each file that has it.
fn in_files<'a>(export: &'a Export, column: &'a str) -> impl Iterator<Item = (PathBuf, IdForm)> + 'a {
    export.files.iter().filter_map(move |f| {
        let found = f.yields.field_with_name(column).ok()?.data_type();
        Some((f.file.path.clone(), form(found)?))
    })
}

/// Finds ids that are not written alike, and writes those that paths give as the others are.
///
/// # Errors
/// None but of memory.
pub(super) fn settle(exports: &mut [Export], findings: &mut Vec<Finding>) -> Result<()> {
    let disputed = exports.iter().any(|e| e.table.name == "disputes");
    let mut expected: BTreeMap<String, (IdForm, String)> = BTreeMap::new();
    for export in exports.iter() {
        let table = &export.table.name;
        for (column, family) in ids(export, disputed) {
            for (file, found) in in_files(export, &column) {
                let (first, place) = expected.entry(family.clone()).or_insert_with(|| (found, table.clone()));
                if found != *first {
                    findings.push(Finding {
                        file,
                        line: 0,
                        message: format!(
                            "{table}: the column `{column}` is {}, but {family} are {} in {place}; cast it in the input's `select`",
                            of_one(found),
                            word(*first)
                        ),
                    });
                }
            }
        }
    }
    for export in exports {
        for (column, family) in ids(export, disputed) {
            let Some((wanted, place)) = expected.get(&family) else { continue };
            for file in &mut export.files {
                let Some(value) = file.given.get_mut(&column) else { continue };
                if let Err(e) = value.write_as(*wanted) {
                    findings.push(Finding {
                        file: file.file.path.clone(),
                        line: 0,
                        message: format!(
                            "{}: the partition {column}={} is {e:#}, but {family} are {} in {place}",
                            export.table.name,
                            value.text,
                            word(*wanted)
                        ),
                    });
                }
            }
        }
    }
    Ok(())
}

impl Export {
    /// How the records' ids are written.
    #[must_use]
    pub fn record_form(&self) -> IdForm {
        let given = self.files.iter().find_map(|f| f.given.get("record_id")?.id_form());
        in_files(self, "record_id").map(|(_, form)| form).next().or(given).unwrap_or(IdForm::Text)
    }
}
