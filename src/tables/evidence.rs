//! `evidence/<table>.parquet`: the adverse records of every subject, for `explain`.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Int64Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde::Serialize;

use super::blocks::Blocks;
use super::columns::{column, named, texts};
use super::ids::{self, Ids, SubjectIds};
use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::scores::SUBJECT_ID;
use crate::contract::day_text;

const TABLE: &str = "table";
const RECORD_ID: &str = "record_id";
const HAPPENED_ON: &str = "happened_on";
const DAYS_PAST_DUE: &str = "days_past_due";
const AMOUNT_MINOR: &str = "amount_minor";
const POLICY: &str = "policy";
/// All of them, as they stand.
const COLUMNS: [&str; 7] = [SUBJECT_ID, TABLE, RECORD_ID, HAPPENED_ON, DAYS_PAST_DUE, AMOUNT_MINOR, POLICY];

/// One adverse record, as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The subject's dense number.
    pub subject: u32,
    /// The table, by its position in the contract.
    pub table: u8,
    /// The record's id as people write it; empty for an integer.
    pub record_text: String,
    /// The record's id where it is an integer.
    pub record_number: i64,
    /// When it happened, a day number.
    pub day: i64,
    /// Days past due, where the table has them.
    pub days_past_due: Option<i64>,
    /// The amount, minor units.
    pub amount: Option<i64>,
    /// The policy rule it triggers, by position in the model file.
    pub policy: Option<u8>,
}

impl Evidence {
    /// The record's id as people write it.
    fn record_id(&self) -> Cow<'_, str> {
        match self.record_text.as_str() {
            "" => Cow::Owned(self.record_number.to_string()),
            text => Cow::Borrowed(text),
        }
    }
}

/// Writes adverse records as they come, in order of subject.
pub struct EvidenceFile {
    file: ParquetFile,
    tables: Vec<String>,
    policies: Vec<String>,
    held: Vec<Evidence>,
}

impl EvidenceFile {
    /// Begins the file; tables and policy rules are those that records name by position.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, subjects: &SubjectIds, tables: Vec<String>, policies: Vec<String>) -> Result<Self> {
        let schema = Schema::new(vec![
            Field::new(SUBJECT_ID, ids::data_type(subjects)?, false),
            Field::new(TABLE, DataType::Utf8, false),
            Field::new(RECORD_ID, DataType::Utf8, false),
            Field::new(HAPPENED_ON, DataType::Date32, false),
            Field::new(DAYS_PAST_DUE, DataType::Int32, true),
            Field::new(AMOUNT_MINOR, DataType::Int64, true),
            Field::new(POLICY, DataType::Utf8, true),
        ]);
        Ok(Self {
            file: ParquetFile::create(path, Arc::new(schema), properties()?.build())?,
            tables,
            policies,
            held: Vec::new(),
        })
    }

    /// Adds records.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, subjects: &SubjectIds, records: impl Iterator<Item = Evidence>) -> Result<()> {
        self.held.extend(records);
        while self.held.len() >= GROUP_ROWS {
            let rest = self.held.split_off(GROUP_ROWS);
            self.write(subjects)?;
            self.held = rest;
        }
        Ok(())
    }

    fn write(&mut self, subjects: &SubjectIds) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let policy = |e: &Evidence| e.policy.map(|rule| self.policies[usize::from(rule)].as_str());
        let late = |e: &Evidence| e.days_past_due.map(i32::try_from).transpose();
        let columns: Vec<ArrayRef> = vec![
            ids::column(subjects, held.iter().map(|e| e.subject as usize))?,
            Arc::new(held.iter().map(|e| Some(self.tables[usize::from(e.table)].as_str())).collect::<StringArray>()),
            Arc::new(held.iter().map(|e| Some(e.record_id())).collect::<StringArray>()),
            Arc::new(held.iter().map(|e| i32::try_from(e.day).map(Some)).collect::<Result<Date32Array, _>>()?),
            Arc::new(held.iter().map(late).collect::<Result<Int32Array, _>>()?),
            Arc::new(held.iter().map(|e| e.amount).collect::<Int64Array>()),
            Arc::new(held.iter().map(policy).collect::<StringArray>()),
        ];
        self.file.write(columns)
    }

    /// Adds records as they are read back: [`GROUP_ROWS`] of them, or the last ones.
    ///
    /// # Errors
    /// When the disk is full, or they are of other types.
    pub fn add_group(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        ensure!(self.held.is_empty(), "defect: a group of records behind some that are none");
        self.file.write(columns)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self, subjects: &SubjectIds) -> Result<()> {
        self.write(subjects)?;
        self.file.end()?;
        Ok(())
    }
}

/// Rows that are read back at a time.
const READ_ROWS: usize = 4_096;

/// Reads adverse records back as they stand, batch by batch.
pub struct EvidenceRows {
    reader: ParquetRecordBatchReader,
    tables: Vec<String>,
    policies: Vec<String>,
}

impl EvidenceRows {
    /// Opens a file; tables and policy rules are those it was written with.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(path: &Path, tables: Vec<String>, policies: Vec<String>) -> Result<Self> {
        let blocks = Blocks::open(path)?;
        let names: Vec<&str> = blocks.schema().fields().iter().map(|field| field.name().as_str()).collect();
        ensure!(names == COLUMNS, "{} has other columns than adverse records", path.display());
        Ok(Self { reader: blocks.stream(READ_ROWS)?, tables, policies })
    }

    /// The records that follow, and whose they are; nothing behind the last ones.
    ///
    /// # Errors
    /// When the file is damaged, or names a table or a policy rule that is none.
    pub fn batch(&mut self) -> Result<Option<(RecordBatch, Ids)>> {
        let Some(batch) = self.reader.next().transpose()? else { return Ok(None) };
        let mut of = Ids::default();
        ids::push(named(&batch, SUBJECT_ID)?, &mut of)?;
        known(&texts(&batch, TABLE)?, &self.tables)?;
        known(&texts(&batch, POLICY)?, &self.policies)?;
        Ok(Some((batch, of)))
    }
}

/// Checks that names are some of those that there are.
fn known(of: &StringArray, names: &[String]) -> Result<()> {
    let mut last = None;
    for name in of.iter().flatten() {
        if last != Some(name) {
            ensure!(names.iter().any(|known| known == name), "nothing is called {name}");
            last = Some(name);
        }
    }
    Ok(())
}

/// An adverse record as the table tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// When it happened.
    pub happened_on: String,
    /// The table it stands in.
    pub table: String,
    /// Its id there, as a dispute names it.
    pub record_id: String,
    /// How late it was, or is.
    pub days_past_due: Option<i32>,
    /// Its amount in minor units.
    pub amount_minor: Option<i64>,
    /// The policy rule it triggers.
    pub policy: Option<String>,
}

/// The records that rows of the table are.
///
/// # Errors
/// When they are rows of another table.
pub fn records(batch: &RecordBatch) -> Result<Vec<Record>> {
    let (tables, ids, policies) = (texts(batch, TABLE)?, texts(batch, RECORD_ID)?, texts(batch, POLICY)?);
    let days = column(batch, HAPPENED_ON, &DataType::Date32)?.as_primitive::<Date32Type>();
    let late = column(batch, DAYS_PAST_DUE, &DataType::Int32)?.as_primitive::<Int32Type>();
    let amounts = column(batch, AMOUNT_MINOR, &DataType::Int64)?.as_primitive::<Int64Type>();
    let record = |row: usize| Record {
        happened_on: day_text(i64::from(days.value(row))),
        table: tables.value(row).to_owned(),
        record_id: ids.value(row).to_owned(),
        days_past_due: late.is_valid(row).then(|| late.value(row)),
        amount_minor: amounts.is_valid(row).then(|| amounts.value(row)),
        policy: policies.is_valid(row).then(|| policies.value(row).to_owned()),
    };
    Ok((0..batch.num_rows()).map(record).collect())
}
