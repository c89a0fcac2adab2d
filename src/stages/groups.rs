//! The stage of protected groups: one row per subject.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};

use super::store::{NewStage, Stage};
use crate::ingest::settle::groups::GroupColumn;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};

const GROUPS: &str = "groups.parquet";

/// Writes the stage.
///
/// # Errors
/// When the disk is full.
pub(super) fn write(stage: &NewStage, columns: &[GroupColumn]) -> Result<()> {
    let fields = columns.iter().map(|c| Field::new(&c.name, DataType::Utf8, true)).collect();
    let mut file = BlockWriter::create(&stage.path(GROUPS), fields)?;
    let subjects = columns.first().map_or(0, |c| c.of.len());
    for from in (0..subjects).step_by(BLOCK_ROWS) {
        let block = from..(from + BLOCK_ROWS).min(subjects);
        let words = |c: &GroupColumn| -> ArrayRef {
            let word = |code: &Option<u8>| code.map(|code| c.groups[usize::from(code)].as_str());
            Arc::new(c.of[block.clone()].iter().map(word).collect::<StringArray>())
        };
        file.add(columns.iter().map(words).collect())?;
    }
    file.finish()
}

/// Reads the stage.
///
/// # Errors
/// When it is damaged.
pub(super) fn read(stage: &Stage) -> Result<Vec<GroupColumn>> {
    let all = Blocks::open(&stage.path(GROUPS))?.all()?;
    let schema = all.schema();
    let columns = schema.fields().iter().zip(all.columns()).map(|(field, column)| {
        let words = column.as_string_opt::<i32>().context("groups are words")?;
        let groups: Vec<String> = words
            .iter()
            .flatten()
            .collect::<std::collections::BTreeSet<&str>>()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let code = |word: Option<&str>| word.and_then(|w| groups.binary_search_by(|g| g.as_str().cmp(w)).ok());
        let of = words.iter().map(|w| code(w).and_then(|c| u8::try_from(c).ok())).collect();
        Ok(GroupColumn { name: field.name().clone(), groups, of })
    });
    columns.collect()
}
