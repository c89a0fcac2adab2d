//! Rows of some subjects: those of one shard, or some that are named. The others are for other shards.

use std::collections::HashSet;

use anyhow::Result;

use super::erased::picked;
use super::scan::Scan;
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::IdColumn;
use crate::ingest::spine::shard::Shard;

/// The shards of a batch's rows, among as many as there are of a given one.
///
/// # Errors
/// When a column is of a type the structural check should have refused.
pub fn shards_of(scan: &Scan, batch: &Batch, any: Shard) -> Result<Vec<u16>> {
    let column = scan.owners().first().and_then(|at| batch.columns.get(*at)).and_then(Option::as_ref);
    let column = column.map(IdColumn::new).transpose()?;
    let id = |row: usize| column.as_ref().and_then(|c| c.get(row));
    let form = column.as_ref().map(IdColumn::form).unwrap_or_default();
    let mut shards: Vec<u16> = Vec::with_capacity(batch.len);
    for row in 0..batch.len {
        // Exports are often in order of subject.
        let again = row.checked_sub(1).filter(|before| id(*before) == id(row));
        let shard = again.map_or_else(|| any.among(id(row), form), |before| Ok(shards[before]))?;
        shards.push(shard);
    }
    Ok(shards)
}

/// The rows of a batch that are of a shard, by the shard of each. What a `select` leaves out or makes more of is counted with the first one.
///
/// # Errors
/// None that rows could cause.
pub fn of_shard(mut batch: Batch, shards: &[u16], shard: Shard) -> Result<Batch> {
    if !shard.is_first() {
        (batch.left_out, batch.multiplied) = (0, 0);
    }
    let own: Vec<bool> = shards.iter().map(|of| u32::from(*of) == shard.number()).collect();
    only(batch, &own)
}

/// Some ids, of which it is asked for every subject whether it has one.
pub type SomeIds = HashSet<Vec<u8>, foldhash::fast::FixedState>;

/// The rows of a batch whose subject has one of some ids.
///
/// # Errors
/// When a column is of a type the structural check should have refused.
pub fn of_some(scan: &Scan, batch: Batch, ids: &SomeIds) -> Result<Batch> {
    let column = scan.owners().first().and_then(|at| batch.columns.get(*at)).and_then(Option::as_ref);
    let column = column.map(IdColumn::new).transpose()?;
    let named = |row: usize| column.as_ref().and_then(|c| c.get(row)).is_some_and(|id| ids.contains(id));
    let wanted: Vec<bool> = (0..batch.len).map(named).collect();
    only(batch, &wanted)
}

fn only(batch: Batch, wanted: &[bool]) -> Result<Batch> {
    if wanted.contains(&false) { picked(&batch, wanted) } else { Ok(batch) }
}
