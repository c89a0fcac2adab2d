//! The stage of protected groups: one row per subject.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field};

use super::beside::Beside;
use super::merged::{Order, files, one_each};
use super::store::{NewStage, Stage};
use crate::ingest::settle::groups::{GroupColumn, few_enough};
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

/// Puts the stages of shards together.
///
/// # Errors
/// When one is damaged, a column has more values than groups can have, or the disk is full.
pub(super) fn merge(shards: &[&Stage], order: &Order, beside: &[&Beside], to: &NewStage) -> Result<()> {
    let mut words: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (column, of) in beside.iter().flat_map(|shard| &shard.words) {
        words.entry(column).or_default().extend(of.iter().map(String::as_str));
    }
    words.iter().try_for_each(|(column, words)| few_enough(column, words.len()))?;
    one_each(&files(shards, GROUPS), order, &to.path(GROUPS))
}

/// Reads the stage.
///
/// # Errors
/// When it is damaged.
pub(super) fn read(stage: &Stage) -> Result<Vec<GroupColumn>> {
    let blocks = Blocks::open(&stage.path(GROUPS))?;
    let fields = blocks.schema().fields().clone();
    // A code for each word as it first comes; they are put in order at the end.
    let mut found: Vec<(Vec<String>, Vec<Option<u8>>)> =
        fields.iter().map(|_| (Vec::new(), Vec::with_capacity(blocks.rows()))).collect();
    for at in 0..blocks.len() {
        let block = blocks.block(at)?;
        for (column, (words, codes)) in block.columns().iter().zip(&mut found) {
            for word in column.as_string_opt::<i32>().context("groups are words")? {
                codes.push(word.map(|word| code(words, word)).transpose()?);
            }
        }
    }
    let columns = fields.iter().zip(found).map(|(field, (words, mut of))| {
        let mut groups = words.clone();
        groups.sort_unstable();
        let places = words.iter().map(|word| u8::try_from(groups.partition_point(|g| g < word)));
        let places = places.collect::<Result<Vec<u8>, _>>()?;
        of.iter_mut().flatten().for_each(|code| *code = places[usize::from(*code)]);
        Ok(GroupColumn { name: field.name().clone(), groups, of })
    });
    columns.collect()
}

/// The code of a word, a new one when it is new.
fn code(words: &mut Vec<String>, word: &str) -> Result<u8> {
    let at = words.iter().position(|known| known == word).unwrap_or(words.len());
    if at == words.len() {
        words.push(word.to_owned());
    }
    Ok(u8::try_from(at)?)
}
