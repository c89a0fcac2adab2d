//! Columns of buckets that are done with, for those that come next: memory that is there already need not be asked for, nor be filled
//! with zeroes.
//!
//! What lies here takes room of the budget. While buckets are taken out, that is room which rows had that were taken before: however many
//! columns wait, they and the rows take no more than rows alone may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::machine::budget::Budget;

/// Columns that wait for each thread at most: about as many as it has of a bucket, as they were taken out and as they were chosen.
const OF_A_THREAD: usize = 32;

/// Columns that are done with.
#[derive(Debug)]
pub struct Spare<'a> {
    budget: &'a Budget,
    most: usize,
    /// With whatever they held.
    columns: Mutex<Vec<Vec<i64>>>,
}

impl<'a> Spare<'a> {
    /// None so far.
    #[must_use]
    pub fn new(budget: &'a Budget) -> Self {
        Self { budget, most: OF_A_THREAD * rayon::current_num_threads(), columns: Mutex::default() }
    }

    fn columns(&self) -> MutexGuard<'_, Vec<Vec<i64>>> {
        // What columns hold matters to nobody.
        self.columns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A column of so many values, whatever they are: all have to be written over.
    pub(super) fn column(&self, rows: usize) -> Vec<i64> {
        // One that is as long already need not be filled up, and the next longer one is the least loss to whoever needs a long one; of those
        // that are not, the longest needs least.
        let best = |column: &Vec<i64>| (column.len() < rows, column.len().abs_diff(rows), column.capacity());
        match self.find(rows, best) {
            Some(mut column) => {
                column.resize(rows, 0);
                column
            }
            None => vec![0; rows],
        }
    }

    /// Room for a column of so many values, whatever is in it.
    pub(super) fn room(&self, rows: usize) -> Vec<i64> {
        // The shortest is of least use as a column.
        let best = |column: &Vec<i64>| (false, column.len(), column.capacity());
        self.find(rows, best).unwrap_or_else(|| Vec::with_capacity(rows))
    }

    /// Of the columns that have room for so many values the best one, which is the least.
    fn find(&self, rows: usize, best: impl Fn(&Vec<i64>) -> (bool, usize, usize)) -> Option<Vec<i64>> {
        let mut columns = self.columns();
        let fitting = columns.iter().enumerate().filter(|(_, column)| column.capacity() >= rows);
        let (at, _) = fitting.min_by_key(|(_, column)| best(column))?;
        let column = columns.swap_remove(at);
        self.budget.give_back(bytes(column.capacity()));
        Some(column)
    }

    /// Keeps columns that nobody else has, as long as there is room; the smallest give way to larger ones, which serve as well.
    pub fn keep(&self, columns: Vec<Arc<Vec<i64>>>) {
        for column in columns {
            let Some(column) = Arc::into_inner(column).filter(|column| column.capacity() > 0) else { continue };
            let mut columns = self.columns();
            if columns.len() >= self.most {
                let least = smallest(&columns).filter(|(_, room)| *room < column.capacity());
                let Some((at, room)) = least else { continue };
                drop(columns.swap_remove(at));
                self.budget.give_back(bytes(room));
            }
            if self.budget.take(bytes(column.capacity())) {
                columns.push(column);
            }
        }
    }

    /// Gives all up.
    pub fn clear(&self) {
        for column in self.columns().drain(..) {
            self.budget.give_back(bytes(column.capacity()));
        }
    }
}

/// What waits takes no room of the budget once nobody can ask for it.
impl Drop for Spare<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The column of least room, by its position, and its room.
fn smallest(columns: &[Vec<i64>]) -> Option<(usize, usize)> {
    columns.iter().map(Vec::capacity).enumerate().min_by_key(|(_, room)| *room)
}

/// The memory of so many values.
const fn bytes(room: usize) -> u64 {
    (room * size_of::<i64>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(columns: Vec<Vec<i64>>) -> Vec<Arc<Vec<i64>>> {
        columns.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn a_column_comes_back_where_it_fits_and_takes_room_while_it_waits() {
        let budget = Budget::new(100 * 8);
        let spare = Spare::new(&budget);
        let shared = Arc::new(vec![5; 20]);
        let mut columns = of(vec![vec![7; 40], vec![8; 60], Vec::new()]);
        columns.push(Arc::clone(&shared));
        spare.keep(columns);
        assert_eq!(shared[..], [5; 20]);
        // No byte is left of the budget.
        assert!(!budget.take(1));
        // There is no room for more.
        spare.keep(of(vec![vec![9; 10]]));
        assert_eq!(spare.columns().len(), 2);
        // None is large enough.
        assert_eq!(spare.column(61), [0; 61]);
        assert!(spare.room(61).is_empty() && spare.room(61).capacity() >= 61);
        assert!(!budget.take(1));
        // The smallest that is large enough, as long as is asked for.
        assert_eq!(spare.column(30), [7; 30]);
        assert!(budget.take(40 * 8));
        budget.give_back(40 * 8);
        assert_eq!(spare.room(31).capacity(), 60);
        assert!(budget.take(100 * 8));
    }

    #[test]
    fn what_is_long_enough_is_not_filled_up_and_what_is_short_is_room() {
        let budget = Budget::new(1 << 20);
        let spare = Spare::new(&budget);
        let long = |value: i64, len: usize, room: usize| {
            let mut column = Vec::with_capacity(room);
            column.resize(len, value);
            column
        };
        spare.keep(of(vec![long(1, 10, 200), long(2, 90, 100), long(3, 190, 200), long(4, 50, 60)]));
        // The next longer one, though others have as much room; and where none is as long, the longest that has room.
        assert_eq!(spare.column(80), [2; 80]);
        assert_eq!(spare.column(195)[..], [long(3, 190, 190), vec![0; 5]].concat());
        // What is left is one of 10 with room for 200 and one of 50 with room for 60.
        assert_eq!(spare.room(40).capacity(), 200);
        assert_eq!(spare.column(55)[..], [long(4, 50, 50), vec![0; 5]].concat());
        assert!(spare.columns().is_empty() && budget.take(1 << 20));
    }

    #[test]
    fn the_smallest_give_way_and_all_can_be_given_up() {
        let budget = Budget::new(1 << 20);
        let mut spare = Spare::new(&budget);
        spare.most = 2;
        spare.keep(of(vec![vec![1; 12], vec![2; 10], vec![3; 11], vec![4; 9]]));
        let mut rooms: Vec<usize> = spare.columns().iter().map(Vec::len).collect();
        rooms.sort_unstable();
        assert_eq!(rooms, [11, 12]);
        assert!(!budget.take((1 << 20) - 23 * 8 + 1));
        assert!(budget.take((1 << 20) - 23 * 8));
        spare.clear();
        assert!(spare.columns().is_empty() && budget.take(23 * 8));
    }
}
