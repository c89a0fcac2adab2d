//! Adverse records of every subject by table, for `explain`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use super::scores::ids;
use crate::contract::Contract;
use crate::ingest::spine::SubjectIds;
use crate::measure::evidence::Evidence;
use crate::pipeline::Model;

/// Writes adverse records as they come, in order of subject.
pub struct EvidenceFile {
    file: ParquetFile,
    tables: Vec<String>,
    policies: Vec<String>,
    held: Vec<Evidence>,
}

impl EvidenceFile {
    /// Begins the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, subjects: &SubjectIds, contract: &Contract, model: &Model) -> Result<Self> {
        let id = ids(subjects, 0..0).data_type().clone();
        let schema = Schema::new(vec![
            Field::new("subject_id", id, false),
            Field::new("table", DataType::Utf8, false),
            Field::new("record_id", DataType::Utf8, false),
            Field::new("happened_on", DataType::Date32, false),
            Field::new("days_past_due", DataType::Int32, true),
            Field::new("amount_minor", DataType::Int64, true),
            Field::new("policy", DataType::Utf8, true),
        ]);
        Ok(Self {
            file: ParquetFile::create(path, Arc::new(schema), properties()?.build())?,
            tables: contract.tables.iter().map(|t| t.name.clone()).collect(),
            policies: model.card.policy.iter().map(|p| p.get_ref().code.clone()).collect(),
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
        let record = |e: &Evidence| match e.record_text.is_empty() {
            true => e.record_number.to_string(),
            false => e.record_text.clone(),
        };
        let columns: Vec<ArrayRef> = vec![
            ids(subjects, held.iter().map(|e| e.subject as usize)),
            Arc::new(
                held.iter().map(|e| self.tables.get(usize::from(e.table)).map(String::as_str)).collect::<StringArray>(),
            ),
            Arc::new(held.iter().map(|e| Some(record(e))).collect::<StringArray>()),
            Arc::new(held.iter().map(|e| i32::try_from(e.day).ok()).collect::<Date32Array>()),
            Arc::new(held.iter().map(|e| e.days_past_due.and_then(|d| i32::try_from(d).ok())).collect::<Int32Array>()),
            Arc::new(held.iter().map(|e| e.amount).collect::<Int64Array>()),
            Arc::new(
                held.iter()
                    .map(|e| e.policy.and_then(|p| self.policies.get(usize::from(p))).map(String::as_str))
                    .collect::<StringArray>(),
            ),
        ];
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
