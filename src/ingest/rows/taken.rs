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
