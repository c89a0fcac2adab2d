//! A batch after its checks: all of its rows with those that are kept told and not yet picked, for whoever puts them elsewhere anyway and
//! takes them from where they are; or the rows that are kept by themselves.

use std::ops::Deref;

use super::decoded::gather;
use super::setting::{OwnerIds, Owners};
use crate::contract::DateSet;
use crate::ingest::check::checks::Columns;
use crate::ingest::read::batches::Batch;

/// What the checks say of rows of a batch: of all of them in [`Sifted`], of those that are kept in [`Checked`].
#[derive(Default)]
pub struct Told {
    /// The file.
    pub file: u32,
    /// Integer columns by position in the contract's table.
    pub columns: Columns,
    /// The positions in the batch of the rows that some date sees, and that break no rule then, in order.
    pub kept: Vec<u32>,
    /// The positions of rows that are not kept and not visible yet, with the dates that do not see them.
    pub hidden: Vec<(u32, DateSet)>,
    /// The dates at which a row breaks a rule; empty when none that is kept does.
    pub faulty: Vec<DateSet>,
    /// The dates that do not see a row's subject yet; empty when all do.
    pub(super) early: Vec<DateSet>,
    /// Numbers in the spine per owner column, when a spine was given; of rows that are not kept the number may be that of nobody.
    pub owners: Owners,
    /// The id columns of the owners, of all rows of the batch.
    pub owner_ids: OwnerIds,
}

/// A batch after its checks; what is told is of all rows of the batch, in its order.
pub struct Sifted {
    /// What is told of them.
    pub told: Told,
}

/// Rows of a batch that some date sees, and break no rule then; what is told is of them alone.
pub struct Checked {
    /// Row numbers in the file.
    pub rows: Vec<i64>,
    /// What is told of them.
    pub(super) told: Told,
}

impl Deref for Sifted {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl Deref for Checked {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl Sifted {
    /// The positions of the rows that are kept, where some of so many are not.
    #[must_use]
    pub fn fewer_than(&self, rows: usize) -> Option<&[u32]> {
        (self.kept.len() < rows).then_some(self.kept.as_slice())
    }

    /// The rows that are kept by themselves; they are of this batch.
    pub(super) fn picked(self, batch: &Batch) -> Checked {
        let mut told = self.told;
        if told.kept.len() == batch.len {
            return Checked { rows: batch.numbers(), told };
        }
        let rows = told.kept.iter().map(|r| batch.rows.get(*r as usize)).collect();
        let few: Vec<usize> = told.kept.iter().map(|r| *r as usize).collect();
        (told.faulty, told.early) = (gather(&told.faulty, &few), gather(&told.early, &few));
        told.columns = told.columns.iter().map(|c| gather(c, &few)).collect();
        told.owners = told.owners.iter().map(|c| gather(c, &few)).collect();
        Checked { rows, told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: usize) -> Batch {
        let numbers = crate::ingest::read::batches::RowNumbers::From(70);
        let (columns, extra) = (Vec::new(), Vec::new());
        Batch { file: 4, from: 70, rows: numbers, columns, extra, left_out: 0, multiplied: 0, len: rows }
    }

    fn sifted(kept: Vec<u32>) -> Sifted {
        let told = Told {
            file: 4,
            columns: vec![vec![10, 11, 12, 13], Vec::new()],
            kept,
            hidden: vec![(2, DateSet::of(1))],
            faulty: vec![DateSet::NONE, DateSet::of(0), DateSet::NONE, DateSet::of(1)],
            early: Vec::new(),
            owners: vec![vec![5, 6, 7, 8]],
            owner_ids: Vec::new(),
        };
        Sifted { told }
    }

    #[test]
    fn only_rows_that_are_kept_are_picked() {
        assert_eq!(sifted(vec![0, 1, 3]).fewer_than(4), Some(&[0, 1, 3][..]));
        let Checked { rows, told: picked } = sifted(vec![0, 1, 3]).picked(&batch(4));
        assert_eq!((picked.file, rows, picked.kept), (4, vec![70, 71, 73], vec![0, 1, 3]));
        assert_eq!((picked.columns, picked.owners), (vec![vec![10, 11, 13], Vec::new()], vec![vec![5, 6, 8]]));
        assert_eq!(picked.faulty, [DateSet::NONE, DateSet::of(0), DateSet::of(1)]);
        assert_eq!((picked.hidden, picked.early.len()), (vec![(2, DateSet::of(1))], 0));
        let all = sifted(vec![0, 1, 2, 3]);
        assert_eq!(all.fewer_than(4), None);
        assert_eq!(all.picked(&batch(4)).columns[0], [10, 11, 12, 13]);
    }
}
