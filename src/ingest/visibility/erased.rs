//! Rows of subjects that were erased: taken out of a batch before anything of them is looked at but the day they are of.

use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;

use super::scan::Scan;
use crate::ingest::check::conservation::Class;
use crate::ingest::read::batches::{Batch, RowNumbers};
use crate::ingest::read::decode::IdColumn;
use crate::ingest::spine::Spine;
use crate::tables::ids::{UNKNOWN, id_text};

/// A batch without the rows of subjects that were erased, links to them included. They are counted: as not visible where a date does
/// not see them by their own times, else as erased.
///
/// # Errors
/// When a column is of a type the structural check should have refused.
pub fn without_erased(scan: &Scan, batch: Batch, spine: Option<&Spine>) -> Result<Batch> {
    if scan.erased().is_empty() {
        return Ok(batch);
    }
    let mut gone = vec![false; batch.len];
    for at in scan.owners() {
        let Some(array) = batch.columns.get(*at).and_then(Option::as_ref) else { continue };
        let column = IdColumn::new(array)?;
        let known = spine.map(|spine| column.numbers(spine, batch.len));
        for (row, gone) in gone.iter_mut().enumerate() {
            // Whoever is in the spine was found not to be erased when it was built.
            if known.as_ref().and_then(|known| known.get(row)).is_some_and(|number| *number != UNKNOWN) {
                continue;
            }
            *gone |= column.get(row).is_some_and(|id| scan.erased().holds(&id_text(id, column.form())));
        }
    }
    if !gone.contains(&true) {
        return Ok(batch);
    }
    count(scan, &picked(&batch, &gone)?)?;
    let stay: Vec<bool> = gone.iter().map(|gone| !gone).collect();
    picked(&batch, &stay)
}

/// Some rows of a batch; what it counts of its export stays.
pub(in crate::ingest) fn picked(batch: &Batch, wanted: &[bool]) -> Result<Batch> {
    let rows: Vec<i64> = (0..batch.len).filter(|row| wanted[*row]).map(|row| batch.rows.get(row)).collect();
    let mask = BooleanArray::from(wanted.to_vec());
    let some = |array: &ArrayRef| -> Result<ArrayRef> { Ok(filter(array.as_ref(), &mask)?) };
    let columns = batch.columns.iter().map(|column| column.as_ref().map(some).transpose()).collect::<Result<_>>()?;
    let extra = batch.extra.iter().map(some).collect::<Result<_>>()?;
    let len = rows.len();
    let (file, from, left_out, multiplied) = (batch.file, batch.from, batch.left_out, batch.multiplied);
    Ok(Batch { file, from, rows: RowNumbers::Listed(rows), columns, extra, left_out, multiplied, len })
}

fn count(scan: &Scan, batch: &Batch) -> Result<()> {
    let decoded = scan.decoder().decode(batch, None)?;
    let mut found = scan.findings()?;
    for (snapshot, found) in scan.snapshots().iter().zip(found.iter_mut()) {
        let visible = scan.checks().visible(&decoded.columns, batch.len, snapshot);
        let seen = visible.map_or(batch.len, |visible| visible.into_iter().filter(|v| *v).count());
        found.tally.add(batch.file, Class::Erased, seen as u64);
        found.tally.add(batch.file, Class::NotVisible, (batch.len - seen) as u64);
    }
    Ok(())
}
