//! The stage of outcomes: what became of subjects after the as-of date.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Field, UInt32Type};

use super::merged::{Order, files};
use super::named::of_some;
use super::store::{NewStage, Stage};
use crate::ingest::settle::outcomes::Outcome;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::{column, longs};

const OUTCOMES: &str = "outcomes.parquet";

/// Writes the stage.
///
/// # Errors
/// When the disk is full.
pub(super) fn write(stage: &NewStage, outcomes: &[Outcome]) -> Result<()> {
    let fields = vec![
        Field::new("horizon_days", DataType::Int64, false),
        Field::new("subject", DataType::UInt32, false),
        Field::new("bad", DataType::Boolean, false),
    ];
    let mut file = BlockWriter::create(&stage.path(OUTCOMES), fields)?;
    for some in outcomes.chunks(BLOCK_ROWS) {
        file.add(vec![
            Arc::new(some.iter().map(|o| Some(o.horizon_days)).collect::<Int64Array>()),
            Arc::new(some.iter().map(|o| Some(o.subject)).collect::<UInt32Array>()),
            Arc::new(some.iter().map(|o| Some(o.bad)).collect::<BooleanArray>()),
        ])?;
    }
    file.finish()
}

/// Puts the stages of shards together.
///
/// # Errors
/// When one is damaged, or the disk is full.
pub(super) fn merge(shards: &[&Stage], order: &Order, to: &NewStage) -> Result<()> {
    of_some(&files(shards, OUTCOMES), order, (Some("horizon_days"), "subject"), &to.path(OUTCOMES))
}

/// Reads the stage: outcomes by horizon and subject.
///
/// # Errors
/// When it is damaged.
pub(super) fn read(stage: &Stage) -> Result<Vec<Outcome>> {
    let blocks = Blocks::open(&stage.path(OUTCOMES))?;
    let mut outcomes = Vec::with_capacity(blocks.rows());
    for at in 0..blocks.len() {
        let block = blocks.block(at)?;
        let days = longs(&block, "horizon_days")?;
        let subjects = column(&block, "subject", &DataType::UInt32)?.as_primitive::<UInt32Type>();
        let bad = column(&block, "bad", &DataType::Boolean)?.as_boolean();
        outcomes.extend((0..block.num_rows()).map(|n| Outcome {
            horizon_days: days[n],
            subject: subjects.value(n),
            bad: bad.value(n),
        }));
    }
    Ok(outcomes)
}
