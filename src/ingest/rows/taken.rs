//! Rows that were taken out of a store, and chosen ones of them.

use std::sync::Arc;

use super::selection::Selection;
use super::spare::Spare;

/// The rows of one bucket and table, sorted by subject.
#[derive(Debug, Clone, Default)]
pub struct BucketRows {
    /// Where each subject's rows begin; one more entry than subjects.
    pub starts: Vec<u32>,
    /// The file of each row.
    pub files: Vec<u32>,
    /// Integer columns; an empty one is null throughout. Dates that see the same values share them.
    pub columns: Vec<Arc<Vec<i64>>>,
    /// Text ids of the records.
    pub records: Records,
}

/// Text ids of a bucket's records.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Those of all rows.
    pub(super) bytes: Arc<Vec<u8>>,
    /// Where each row's begins among the bytes, and how long it is.
    pub(super) spans: Vec<(u32, u32)>,
}

impl Records {
    /// The text id of a row; nothing when ids are integers.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let (from, len) = *self.spans.get(row)?;
        self.bytes.get(from as usize..(from + len) as usize)
    }

    /// The ids of chosen rows.
    #[must_use]
    pub fn select(&self, keep: &[usize]) -> Self {
        if self.spans.is_empty() {
            return Self::default();
        }
        Self { bytes: Arc::clone(&self.bytes), spans: keep.iter().map(|r| self.spans[*r]).collect() }
    }
}

impl BucketRows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The rows of a subject.
    #[must_use]
    pub fn of(&self, subject: usize) -> std::ops::Range<usize> {
        self.starts[subject] as usize..self.starts[subject + 1] as usize
    }

    /// A value, [`crate::NULL`] where null.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        self.columns[column].get(row).copied().unwrap_or(crate::NULL)
    }

    /// Chosen rows, in order, with where each subject's now begin.
    #[must_use]
    pub fn pick(&self, keep: &[usize], starts: Vec<u32>) -> Self {
        self.pick_columns(keep, starts, &|_| true)
    }

    /// The same of some columns; the others read as null.
    #[must_use]
    pub fn pick_columns(&self, keep: &[usize], starts: Vec<u32>, wanted: &dyn Fn(usize) -> bool) -> Self {
        self.picked(keep, starts, wanted, &|_| Vec::new())
    }

    /// The same, made of spare columns; where all rows are chosen they are shared as they are, with all columns.
    #[must_use]
    pub fn only(&self, keep: &[usize], starts: Vec<u32>, wanted: &dyn Fn(usize) -> bool, spare: &Spare) -> Self {
        // They are in order, and none stands twice.
        if keep.len() == self.len() {
            return Self { starts, ..self.clone() };
        }
        self.picked(keep, starts, wanted, &|rows| spare.room(rows))
    }

    /// The same of rows that nobody asks for again: the values of a column that nobody else has move up in it. Columns that are not wanted
    /// are spare.
    #[must_use]
    pub fn into_only(self, keep: &[usize], starts: Vec<u32>, wanted: &dyn Fn(usize) -> bool, spare: &Spare) -> Self {
        if keep.len() == self.len() {
            return Self { starts, ..self };
        }
        let chosen = Selection::of(keep);
        let Self { mut files, mut columns, mut records, .. } = self;
        chosen.compact(&mut files);
        if !records.spans.is_empty() {
            chosen.compact(&mut records.spans);
        }
        let mut done = Vec::new();
        for (at, column) in columns.iter_mut().enumerate().filter(|(_, column)| !column.is_empty()) {
            if !wanted(at) {
                done.push(std::mem::take(column));
            } else if let Some(values) = Arc::get_mut(column) {
                chosen.compact(values);
            } else {
                *column = Arc::new(chosen.gather(column.as_slice(), spare.room(keep.len())));
            }
        }
        spare.keep(done);
        Self { starts, files, columns, records }
    }

    fn picked(
        &self,
        keep: &[usize],
        starts: Vec<u32>,
        wanted: &dyn Fn(usize) -> bool,
        room: &dyn Fn(usize) -> Vec<i64>,
    ) -> Self {
        let chosen = Selection::of(keep);
        let gather = |(at, column): (usize, &Arc<Vec<i64>>)| match column.is_empty() || !wanted(at) {
            true => Arc::default(),
            false => Arc::new(chosen.gather(column.as_slice(), room(keep.len()))),
        };
        Self {
            starts,
            files: chosen.gather(self.files.as_slice(), Vec::new()),
            columns: self.columns.iter().enumerate().map(gather).collect(),
            records: self.records.select(keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Budget;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_that_are_given_away_are_chosen_as_if_they_were_not(
            rows in proptest::collection::vec(
                (any::<i64>(), 0_u32..3, "[a-z]{0,4}", proptest::bool::weighted(0.8)), 0..80),
            (text, shared, all) in (any::<bool>(), any::<bool>(), any::<bool>()),
        ) {
            let budget = Budget::new(1 << 20);
            let spare = Spare::new(&budget);
            let values: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let others: Vec<i64> = rows.iter().map(|row| row.0 ^ 5).collect();
            let mut given = BucketRows {
                files: rows.iter().map(|row| row.1).collect(),
                columns: vec![Arc::new(values.clone()), Arc::default(), Arc::new(others)],
                ..BucketRows::default()
            };
            if text {
                for (_, _, id, _) in &rows {
                    let bytes = Arc::make_mut(&mut given.records.bytes);
                    let span = (u32::try_from(bytes.len()).unwrap(), u32::try_from(id.len()).unwrap());
                    bytes.extend_from_slice(id.as_bytes());
                    given.records.spans.push(span);
                }
            }
            let keep: Vec<usize> = (0..rows.len()).filter(|row| all || rows[*row].3).collect();
            let starts = vec![0, u32::try_from(keep.len()).unwrap()];
            let expected = given.pick(&keep, starts.clone());
            let other = shared.then(|| Arc::clone(&given.columns[0]));
            let found = given.into_only(&keep, starts, &|column| column != 2, &spare);
            prop_assert_eq!(&found.starts, &expected.starts);
            prop_assert_eq!(&found.files, &expected.files);
            prop_assert_eq!(&found.columns[0], &expected.columns[0]);
            prop_assert!(found.columns[1].is_empty());
            // Where all rows stay no column is looked at.
            prop_assert_eq!(found.columns[2].is_empty(), keep.len() < rows.len() || rows.is_empty());
            for row in 0..keep.len() {
                prop_assert_eq!(found.records.get(row), expected.records.get(row));
            }
            // Whoever has the column as well has it as it was.
            if let Some(other) = other {
                prop_assert_eq!(other.as_slice(), values.as_slice());
            }
        }
    }

    #[test]
    fn the_memory_of_a_column_is_that_of_its_chosen_rows() {
        let budget = Budget::new(1 << 20);
        let spare = Spare::new(&budget);
        let columns = vec![Arc::new(vec![5, 6, 7, 8]), Arc::new(vec![1; 4])];
        let rows = BucketRows { files: vec![0; 4], columns, ..BucketRows::default() };
        let memory = rows.columns[0].as_ptr();
        let few = rows.into_only(&[1, 3], vec![0, 2], &|column| column == 0, &spare);
        assert_eq!((few.columns[0].as_ptr(), few.columns[0].as_slice()), (memory, &[6, 8][..]));
        // The other is spare now.
        assert_eq!(spare.column(4), [1; 4]);
    }
}
