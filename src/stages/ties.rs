//! The stage of ties: every row that is one, whoever of its ends is counted later.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use arrow::array::{AsArray, UInt16Array, UInt32Array};
use arrow::datatypes::{DataType, Field, UInt16Type, UInt32Type};

use super::blocks::{BlockWriter, Blocks, column};
use super::store::{NewStage, Stage};
use crate::ingest::ties::Tie;

const TIES: &str = "ties.parquet";

/// Writes the stage batch by batch, in any order.
pub struct Writer(Mutex<BlockWriter>);

impl Writer {
    /// Begins the stage.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(stage: &NewStage) -> Result<Self> {
        let fields = vec![
            Field::new("a", DataType::UInt32, false),
            Field::new("b", DataType::UInt32, false),
            Field::new("content", DataType::UInt16, false),
            Field::new("file", DataType::UInt32, false),
        ];
        Ok(Self(Mutex::new(BlockWriter::create(&stage.path(TIES), fields)?.one_by_one())))
    }

    /// Adds the ties of a file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&self, file: u32, ties: &[Tie]) -> Result<()> {
        let content = ties.iter().map(|t| u16::try_from(t.2)).collect::<Result<Vec<_>, _>>()?;
        self.0.lock().map_err(|_| anyhow!("another thread failed"))?.add(vec![
            Arc::new(ties.iter().map(|t| Some(t.0)).collect::<UInt32Array>()),
            Arc::new(ties.iter().map(|t| Some(t.1)).collect::<UInt32Array>()),
            Arc::new(UInt16Array::from(content)),
            Arc::new(UInt32Array::from(vec![file; ties.len()])),
        ])
    }

    /// Ends the stage's file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        self.0.into_inner().ok().context("another thread failed")?.finish()
    }
}

/// The stage, opened.
#[derive(Debug)]
pub struct Ties(Blocks);

impl Ties {
    /// Opens the stage.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(stage: &Stage) -> Result<Self> {
        Ok(Self(Blocks::open(&stage.path(TIES))?))
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.0.len()
    }

    /// Number of ties.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.rows() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rows() == 0
    }

    /// The ties of a block, each with its file.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn block(&self, at: usize) -> Result<Vec<(u32, Tie)>> {
        let block = self.0.block(at)?;
        let numbers = |name| Ok(column(&block, name, &DataType::UInt32)?.as_primitive::<UInt32Type>().values());
        let content = column(&block, "content", &DataType::UInt16)?.as_primitive::<UInt16Type>().values();
        let (a, b, file): (_, _, Result<_>) = (numbers("a")?, numbers("b")?, numbers("file"));
        let file = file?;
        Ok((0..block.num_rows()).map(|n| (file[n], (a[n], b[n], u64::from(content[n])))).collect())
    }
}
