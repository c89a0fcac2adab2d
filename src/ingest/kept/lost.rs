//! Kept rows of subjects who are no longer known. They come to what the scan would have made of them: not visible where the subject's own
//! row is not yet, else without a subject.

use anyhow::Result;

use super::held::Held;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::ingest::rows::pack::Unpacker;

/// What is found of such rows; `subject` is the table's position of the subject's id.
///
/// # Errors
/// When kept rows cannot be read.
pub(super) fn found(held: &Held, subject: usize) -> Result<Findings> {
    let (lost, mut found) = (held.numbers().lost(), Findings::default());
    for bucket in held.buckets_of_lost() {
        for block in held.bucket(bucket)? {
            let mut unpacker = Unpacker::new(&block.bytes, block.rows as usize);
            // Which rows of the block are of whom, and then their numbers in the file.
            let mut rows: Vec<(usize, bool)> = Vec::new();
            unpacker.column(|row, within| {
                let number = u32::try_from(within).ok().and_then(|within| block.first.checked_add(within));
                rows.extend(number.and_then(|number| lost.get(&number)).map(|later| (row, *later)));
            })?;
            let mut lost_rows = rows.into_iter().peekable();
            unpacker.column(|row, number| {
                let Some((_, later)) = lost_rows.next_if(|(lost, _)| *lost == row) else { return };
                if later {
                    found.tally.add(block.file, Class::NotVisible, 1);
                } else {
                    let rule = Rule::UnknownSubject;
                    found.quarantine(Quarantined { file: block.file, row: number, rule, column: subject });
                }
            })?;
        }
    }
    Ok(found)
}
