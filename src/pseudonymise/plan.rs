//! What becomes of each column of a table, and in which type it is written where its files differ.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, TimeUnit};

use super::report::Why;
use super::words::{Form, Words};
use crate::contract::{Column, ColumnType, Contract, Domain};
use crate::ingest::read::export::{Export, OpenFile};
use crate::pipeline::Finding;

/// Where a column of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the contract's columns of the table.
    Contract(usize),
    /// Among the groups that are kept.
    Group(usize),
}

/// What becomes of a column.
#[derive(Debug, Clone)]
pub(super) enum Treatment {
    /// Its ids become pseudonyms.
    Pseudonyms(Domain),
    /// It stays, if it holds nothing but words.
    Words(Words),
    /// It stays.
    Kept,
}

/// A column that is written.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub name: String,
    pub place: Place,
    pub treatment: Treatment,
    pub kind: DataType,
}

/// The most digits of a decimal.
const MOST_DIGITS: u8 = 38;

/// What becomes of each column that a file of an export gives. A column that files hold as different things goes to the findings.
pub(super) fn plan(export: &Export, contract: &Contract, findings: &mut Vec<Finding>) -> Vec<Planned> {
    let table = &export.table;
    let given: BTreeSet<String> = export.files.iter().flat_map(|f| f.columns(table)).collect();
    let mut planned = Vec::new();
    for (at, column) in table.columns.iter().enumerate().filter(|(_, c)| given.contains(&c.name)) {
        let treatment = treatment(contract.domain(table, column), column);
        let kind = match &treatment {
            Treatment::Pseudonyms(_) => DataType::Utf8,
            _ => written_as(export, &column.name, usual(column.kind), findings),
        };
        planned.push(Planned { name: column.name.clone(), place: Place::Contract(at), treatment, kind });
    }
    for (at, name) in export.extra.iter().enumerate() {
        let treatment = Treatment::Words(Words::new(Form::groups()));
        let kind = written_as(export, name, DataType::Utf8, findings);
        planned.push(Planned { name: name.clone(), place: Place::Group(at), treatment, kind });
    }
    planned
}

fn treatment(domain: Option<Domain>, column: &Column) -> Treatment {
    match (domain, column.kind) {
        (Some(Domain::Named), _) | (None, ColumnType::Text) => Treatment::Words(Words::new(Form::codes())),
        (Some(domain), _) => Treatment::Pseudonyms(domain),
        (None, ColumnType::Choice) => Treatment::Words(Words::new(Form::Choice(column.values.clone()))),
        (None, ColumnType::Currency) => Treatment::Words(Words::new(Form::Currency)),
        (None, _) => Treatment::Kept,
    }
}

/// The type of a column that no file holds but as nulls, and of one that paths give.
fn usual(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Id | ColumnType::Choice | ColumnType::Currency | ColumnType::Text => DataType::Utf8,
        ColumnType::Money | ColumnType::Count => DataType::Int64,
        ColumnType::Date => DataType::Date32,
        ColumnType::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Flag => DataType::Boolean,
        ColumnType::Share => DataType::Float64,
    }
}

/// The type in which a column is written.
fn written_as(export: &Export, name: &str, usual: DataType, findings: &mut Vec<Finding>) -> DataType {
    let mut types: Vec<(DataType, &OpenFile)> = Vec::new();
    for file in &export.files {
        match file.yields.field_with_name(name) {
            Ok(field) => types.push((field.data_type().clone(), file)),
            Err(_) if file.given.contains_key(name) => types.push((usual.clone(), file)),
            Err(_) => {}
        }
    }
    let only: Vec<DataType> = types.iter().map(|(kind, _)| kind.clone()).collect();
    if let Some(kind) = joint(&only, &usual) {
        return kind;
    }
    for (kind, file) in types {
        findings.push(Finding {
            file: file.file.path.clone(),
            line: 0,
            message: format!(
                "{}: the column `{name}` is {kind}, and other files hold it as something else; cast it in the input's `select`",
                export.table.name
            ),
        });
    }
    usual
}

/// A type that holds all values of some types as they are; `usual` where all are null, and nothing where there is none.
fn joint(types: &[DataType], usual: &DataType) -> Option<DataType> {
    let mut kinds: Vec<DataType> = types.iter().filter(|k| **k != DataType::Null).map(plain).collect();
    kinds.dedup();
    match kinds.as_slice() {
        [] => Some(usual.clone()),
        [only] => Some(only.clone()),
        several if several.iter().all(DataType::is_integer) => Some(DataType::Int64),
        several if several.iter().all(DataType::is_floating) => Some(DataType::Float64),
        several => {
            let units: Vec<TimeUnit> = several.iter().filter_map(unit).collect();
            let scales: Vec<i8> = several.iter().filter_map(scale).collect();
            if units.len() == several.len() {
                return units.into_iter().max().map(|finest| DataType::Timestamp(finest, Some("UTC".into())));
            }
            let most = scales.iter().max().copied().filter(|_| scales.len() == several.len())?;
            Some(DataType::Decimal128(MOST_DIGITS, most.max(0)))
        }
    }
}

/// A type as files can hold it: texts of one kind, and no seconds, which Parquet does not know.
fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        other => other.clone(),
    }
}

const fn unit(kind: &DataType) -> Option<TimeUnit> {
    match kind {
        DataType::Timestamp(unit, Some(_)) => Some(*unit),
        _ => None,
    }
}

fn scale(kind: &DataType) -> Option<i8> {
    match kind {
        DataType::Decimal128(_, scale) => Some(*scale),
        other => other.is_integer().then_some(0),
    }
}

/// The columns of an export that are not written, with the reason.
pub(super) fn dropped(export: &Export) -> BTreeSet<(String, Why)> {
    let mut dropped = BTreeSet::new();
    for file in &export.files {
        let outside = file.ignored.iter().filter(|name| !export.extra.contains(name));
        dropped.extend(outside.map(|name| (name.clone(), Why::OutsideContract)));
        if let Some(select) = &file.select {
            let fields = file.footer.schema().fields().iter().enumerate();
            let unread = fields.filter(|(at, _)| !select.reads().contains(at));
            dropped.extend(unread.map(|(_, field)| (field.name().clone(), Why::NotSelected)));
        }
        let paths = file.file.partitions.keys().filter(|name| export.table.position(name).is_none());
        dropped.extend(paths.map(|name| (name.clone(), Why::PartOfPath)));
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(unit: TimeUnit) -> DataType {
        DataType::Timestamp(unit, Some("UTC".into()))
    }

    #[test]
    fn files_of_different_types_are_written_in_one_that_holds_both() {
        use DataType::{Boolean, Date32, Decimal128, Float32, Float64, Int32, Int64, Null, UInt8, Utf8, Utf8View};
        let usual = &Int64;
        assert_eq!(joint(&[Int32, Int32], usual), Some(Int32));
        assert_eq!(joint(&[Int32, UInt8], usual), Some(Int64));
        assert_eq!(joint(&[Utf8View, Null, Utf8], usual), Some(Utf8));
        assert_eq!(joint(&[Null], usual), Some(Int64));
        assert_eq!(joint(&[], usual), Some(Int64));
        assert_eq!(joint(&[Float32, Float64], usual), Some(Float64));
        assert_eq!(joint(&[Decimal128(9, 2), Int32], usual), Some(Decimal128(38, 2)));
        assert_eq!(joint(&[Decimal128(9, -2), Decimal128(9, 0)], usual), Some(Decimal128(38, 0)));
        let (ms, us) = (instant(TimeUnit::Millisecond), instant(TimeUnit::Microsecond));
        assert_eq!(joint(&[us.clone(), ms], usual), Some(us));
        assert_eq!(joint(&[instant(TimeUnit::Second)], usual), Some(instant(TimeUnit::Millisecond)));
        assert_eq!(joint(&[Boolean, Int32], usual), None);
        assert_eq!(joint(&[Date32, Utf8], usual), None);
    }

    #[test]
    fn every_column_of_the_contract_is_a_pseudonym_words_or_no_text() {
        let contract = Contract::load().unwrap();
        let (mut pseudonyms, mut words) = (0, Vec::new());
        for table in &contract.tables {
            for column in &table.columns {
                match treatment(contract.domain(table, column), column) {
                    Treatment::Pseudonyms(_) => pseudonyms += 1,
                    Treatment::Words(_) => words.push(format!("{}.{}", table.name, column.name)),
                    Treatment::Kept => assert!(usual(column.kind) != DataType::Utf8, "{}.{}", table.name, column.name),
                }
            }
        }
        assert_eq!(pseudonyms, 32);
        for named in ["consents.partner_id", "repayments.status", "sources.kind", "subjects.kind", "sales.currency"] {
            assert!(words.iter().any(|w| w == named), "{named} is not in {words:?}");
        }
    }
}
