//! The stage of a table's records: how many count, what policy rules they trigger, and those that are adverse.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Int32Array, UInt8Array};
use arrow::datatypes::{DataType, Field};

use super::adverse;
use super::merged::{Order, files, one_each};
use super::store::{NewStage, Stage};
use crate::contract::Contract;
use crate::measure::bucket::RecordCounts;
use crate::pipeline::Model;
use crate::tables::blocks::{BlockWriter, Blocks};
use crate::tables::columns::{codes, ints};
use crate::tables::evidence::{Evidence, EvidenceFile, EvidenceRows};
use crate::tables::ids::SubjectIds;

const COUNTS: &str = "counts.parquet";
const EVIDENCE: &str = "evidence.parquet";

/// The tables and the policy rules that records name by position.
fn names(contract: &Contract, model: &Model) -> (Vec<String>, Vec<String>) {
    let tables = contract.tables.iter().map(|t| t.name.clone()).collect();
    (tables, model.card.policy.iter().map(|p| p.get_ref().code.clone()).collect())
}

/// Puts the stages of shards together.
///
/// # Errors
/// When one is damaged, or the disk is full.
pub(super) fn merge(
    shards: &[&Stage],
    order: &Order,
    subjects: &SubjectIds,
    (contract, model): (&Contract, &Model),
    to: &NewStage,
) -> Result<()> {
    one_each(&files(shards, COUNTS), order, &to.path(COUNTS))?;
    let (tables, policies) = names(contract, model);
    let rows = |path: &PathBuf| EvidenceRows::open(path, tables.clone(), policies.clone());
    let evidence = files(shards, EVIDENCE).iter().map(rows).collect::<Result<Vec<_>>>()?;
    adverse::merge(evidence, order, subjects, EvidenceFile::create(&to.path(EVIDENCE), subjects, tables, policies)?)
}

/// Writes the stage bucket by bucket.
pub struct Writer {
    counts: BlockWriter,
    evidence: EvidenceFile,
    next: u32,
}

impl Writer {
    /// Begins the stage.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(stage: &NewStage, contract: &Contract, model: &Model, subjects: &SubjectIds) -> Result<Self> {
        let (tables, policies) = names(contract, model);
        let fields = vec![
            Field::new("used", DataType::Int32, false),
            Field::new("disputed", DataType::Int32, false),
            Field::new("triggered", DataType::UInt8, true),
            Field::new("triggered_with", DataType::UInt8, true),
        ];
        Ok(Self {
            counts: BlockWriter::create(&stage.path(COUNTS), fields)?,
            evidence: EvidenceFile::create(&stage.path(EVIDENCE), subjects, tables, policies)?,
            next: 0,
        })
    }

    /// Adds a bucket's subjects.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, subjects: &SubjectIds, counts: &RecordCounts, evidence: &[Evidence]) -> Result<()> {
        let rules = |rules: &[Option<u8>]| Arc::new(rules.iter().copied().collect::<UInt8Array>());
        self.counts.add(vec![
            Arc::new(Int32Array::from(counts.used.clone())),
            Arc::new(Int32Array::from(counts.disputed.clone())),
            rules(&counts.triggered),
            rules(&counts.triggered_with),
        ])?;
        let records = evidence.iter().cloned().map(|e| Evidence { subject: e.subject + self.next, ..e });
        self.evidence.add(subjects, records)?;
        self.next += u32::try_from(counts.used.len())?;
        Ok(())
    }

    /// Ends the stage's files.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self, subjects: &SubjectIds) -> Result<()> {
        self.counts.finish()?;
        self.evidence.finish(subjects)
    }
}

/// The stage, opened.
#[derive(Debug)]
pub struct Records(Blocks);

impl Records {
    /// Opens the stage.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(stage: &Stage) -> Result<Self> {
        Ok(Self(Blocks::open(&stage.path(COUNTS))?))
    }

    /// What the records of a block's subjects say.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn counts(&self, at: usize) -> Result<RecordCounts> {
        let block = self.0.block(at)?;
        Ok(RecordCounts {
            used: ints(&block, "used")?,
            disputed: ints(&block, "disputed")?,
            triggered: codes(&block, "triggered")?,
            triggered_with: codes(&block, "triggered_with")?,
        })
    }
}

/// The adverse records, as every run that uses the stage shows them.
#[must_use]
pub fn evidence(stage: &Stage) -> PathBuf {
    stage.path(EVIDENCE)
}
