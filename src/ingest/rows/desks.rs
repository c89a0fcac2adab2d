//! Desks, where the rows of a batch are cut by bucket, and written down where memory has no room for them: one for each thread that adds
//! some. Their memory is used again, by batch after batch and table after table.
//!
//! What a desk has takes room of the budget from the time on that it waits for its next batch; all of them together take no more than a
//! part of it, so that most is for rows. One that there is no room for is given up, and the next batch is cut in memory of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};

use super::split::Split;
use crate::machine::budget::Budget;

/// Bytes that a desk has at most to be used again: a few times those of a batch, so that one of very long ids is not held on to.
const MOST_ROOM: u64 = 16 << 20;
/// What part of the budget all of them may take.
const PART: u64 = 8;

/// Where rows of a batch are cut by bucket.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) split: Split,
    /// The bytes of all blocks, and where each ends.
    pub(super) all: Vec<u8>,
    pub(super) ends: Vec<usize>,
    /// Bytes that it takes of the budget.
    counted: u64,
}

impl Desk {
    /// The memory that it has, in bytes.
    const fn room(&self) -> u64 {
        (self.split.room() + self.all.capacity() + size_of::<usize>() * self.ends.capacity()) as u64
    }
}

/// The desks of a pass.
#[derive(Debug)]
pub(in crate::ingest) struct Desks<'a> {
    budget: &'a Budget,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Desk>,
    /// Bytes that all take of the budget, those in use included.
    counted: u64,
}

impl<'a> Desks<'a> {
    /// None so far.
    pub(in crate::ingest) fn new(budget: &'a Budget) -> Self {
        Self { budget, state: Mutex::default() }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// One that waits, or a new one.
    pub(super) fn take(&self) -> Result<Desk> {
        Ok(self.state()?.waiting.pop().unwrap_or_default())
    }

    /// Has one wait for the next batch, if there is room for it.
    pub(super) fn put_back(&self, mut desk: Desk) -> Result<()> {
        let (room, counted) = (desk.room(), desk.counted);
        let mut state = self.state()?;
        let others = state.counted.saturating_sub(counted);
        let few = room <= MOST_ROOM && others.saturating_add(room) <= self.budget.bytes() / PART;
        if few && self.budget.take(room.saturating_sub(counted)) {
            self.budget.give_back(counted.saturating_sub(room));
            desk.counted = room;
            state.counted = others.saturating_add(room);
            state.waiting.push(desk);
        } else {
            self.budget.give_back(counted);
            state.counted = others;
        }
        Ok(())
    }
}

impl Drop for Desks<'_> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.give_back(state.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A desk that some bytes were written down at.
    fn used(desks: &Desks, bytes: usize) -> Desk {
        let mut desk = desks.take().unwrap();
        desk.all.reserve_exact(bytes);
        desk
    }

    /// Bytes that are left of a budget of so many.
    fn left(budget: &Budget, of: u64) -> u64 {
        let left = (0..=of).rev().find(|bytes| budget.take(*bytes)).unwrap();
        budget.give_back(left);
        left
    }

    #[test]
    fn desks_take_of_the_budget_what_they_have_and_no_more_than_a_part_of_it() {
        let budget = Budget::new(800);
        let desks = Desks::new(&budget);
        desks.put_back(used(&desks, 40)).unwrap();
        assert_eq!(left(&budget, 800), 760);
        // Used again it grows, and counts once.
        let desk = used(&desks, 60);
        assert_eq!((desk.counted, left(&budget, 800)), (40, 760));
        let other = used(&desks, 50);
        desks.put_back(desk).unwrap();
        assert_eq!(left(&budget, 800), 740);
        // A second one would be more than an eighth, and is given up.
        desks.put_back(other).unwrap();
        assert_eq!((left(&budget, 800), desks.state().unwrap().waiting.len()), (740, 1));
        // What is used takes room as well; one that is lost in use does so until the end.
        drop(desks.take().unwrap());
        assert_eq!(left(&budget, 800), 740);
        drop(desks);
        assert_eq!(left(&budget, 800), 800);
    }

    #[test]
    fn a_desk_that_rows_leave_no_room_for_is_given_up() {
        let budget = Budget::new(800);
        let desks = Desks::new(&budget);
        desks.put_back(used(&desks, 40)).unwrap();
        assert!(budget.take(755));
        desks.put_back(used(&desks, 50)).unwrap();
        assert_eq!((left(&budget, 800), desks.state().unwrap().waiting.len()), (45, 0));
        // As it is where there is no memory at all.
        let nothing = Budget::new(0);
        let desks = Desks::new(&nothing);
        desks.put_back(used(&desks, 1)).unwrap();
        assert!(desks.state().unwrap().waiting.is_empty());
    }
}
