//! Disputes about kept rows. A row is kept without what it is disputed by, as that changes: it is asked when the rows of a bucket are taken.

use std::sync::Arc;

use crate::contract::DateSet;
use crate::ingest::rows::layout::{DISPUTED, Layout};
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::disputes::Contested;

/// Marks the rows of a bucket that are under dispute, in a pass for one date; `first` is the number of its first subject. Rows that were
/// looked at when they were read are found once more, which changes nothing: a dispute matches a record or does not, however often it is
/// asked. All of them are visible and break no rule, or they would not be here.
pub(in crate::ingest) fn mark(rows: &mut BucketRows, first: u32, layout: &Layout, contested: &Contested) {
    let Some(record) = layout.record else { return };
    let mut marked: Vec<usize> = Vec::new();
    let subjects = rows.starts.len().saturating_sub(1);
    let keys = Arc::clone(&rows.columns[record]);
    for (subject, number) in (0..subjects).zip(first..) {
        let of = rows.of(subject);
        let found = of.filter(|row| keys.get(*row).is_some_and(|key| contested.contains(*key, number, || true)));
        marked.extend(found);
    }
    if marked.is_empty() {
        return;
    }
    let len = rows.len();
    let flags = Arc::make_mut(&mut rows.columns[DISPUTED]);
    flags.resize(len, DateSet::NONE.stored());
    marked.into_iter().for_each(|row| flags[row] = DateSet::of(0).stored());
}
