//! Rows of some subjects: those of one shard, or some that are named. The others are for other shards.

use std::collections::BTreeSet;

use anyhow::Result;

use super::erased::picked;
use super::scan::Scan;
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::IdColumn;
use crate::ingest::spine::shard::Shard;

/// The rows of a batch whose subject is in a shard. What a `select` leaves out or makes more of is counted with the first one.
///
/// # Errors
/// When a column is of a type the structural check should have refused.
pub fn of_shard(scan: &Scan, mut batch: Batch, shard: Shard) -> Result<Batch> {
    let Some(at) = scan.owners().first().copied() else { return Ok(batch) };
    if !shard.is_first() {
        (batch.left_out, batch.multiplied) = (0, 0);
    }
    let column = batch.columns.get(at).and_then(Option::as_ref).map(IdColumn::new).transpose()?;
    let id = |row: usize| column.as_ref().and_then(|c| c.get(row));
    let form = column.as_ref().map(IdColumn::form).unwrap_or_default();
    let mut own: Vec<bool> = Vec::with_capacity(batch.len);
    for row in 0..batch.len {
        // Exports are often in order of subject.
        let again = row.checked_sub(1).filter(|before| id(*before) == id(row));
        let is_own = again.map_or_else(|| shard.holds(id(row), form), |before| own[before]);
        own.push(is_own);
    }
    only(batch, &own)
}

/// The rows of a batch whose subject has one of some ids.
///
/// # Errors
/// When a column is of a type the structural check should have refused.
pub fn of_some(scan: &Scan, batch: Batch, ids: &BTreeSet<Vec<u8>>) -> Result<Batch> {
    let column = scan.owners().first().and_then(|at| batch.columns.get(*at)).and_then(Option::as_ref);
    let column = column.map(IdColumn::new).transpose()?;
    let named = |row: usize| column.as_ref().and_then(|c| c.get(row)).is_some_and(|id| ids.contains(id));
    let wanted: Vec<bool> = (0..batch.len).map(named).collect();
    only(batch, &wanted)
}

fn only(batch: Batch, wanted: &[bool]) -> Result<Batch> {
    if wanted.contains(&false) { picked(&batch, wanted) } else { Ok(batch) }
}
