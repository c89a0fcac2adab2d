//! Blocks of tie records, and the memory that they lie in.
//!
//! A block is small, but there are many of them, and each is later read partition by partition, a few records at a time. So
//! blocks lie one after another in large arrays. A thread has an array for itself while it writes a block. Pages that are never
//! written to take no memory, but addresses, which some systems count: so the first array of a thread is small, and the next one
//! four times as large as any that is full, up to a limit.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Result, anyhow, ensure};

use crate::machine::large_array::LargeArray;

/// Most records of an array, unless one block has more: 64 MB.
const MOST: usize = 1 << 23;
/// Fewest records of an array: 2 MB.
const FEWEST: usize = 1 << 18;
/// How much larger than the largest full array the next one is.
const GROWTH: usize = 4;

/// One batch's records, sorted by partition.
#[derive(Debug)]
pub(super) struct Block {
    /// Where those of each partition begin, and where the last of them end.
    pub(super) starts: Box<[u32]>,
    /// Where they lie.
    pub(super) records: Records,
}

/// Where the records of a block lie.
#[derive(Debug)]
pub(super) enum Records {
    /// In memory.
    Kept(Spot),
    /// In the scratch file, from this byte on.
    Spilled(u64),
}

impl Block {
    /// Bytes of its records.
    pub(super) fn bytes(&self) -> u64 {
        self.starts.last().map_or(0, |end| 8 * u64::from(*end))
    }
}

/// Arrays that blocks are written to.
#[derive(Debug, Default)]
pub(super) struct TieMemory {
    arrays: Mutex<Arrays>,
}

#[derive(Debug, Default)]
struct Arrays {
    /// Those that no thread has.
    here: Vec<Array>,
    made: usize,
}

/// An array, while a thread writes to it.
#[derive(Debug)]
pub(super) struct Array {
    number: usize,
    records: LargeArray<u64>,
    used: usize,
}

/// Where a block lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// The array, by its position among the [finished](TieMemory::finish) ones.
    pub(super) array: usize,
    /// Its first record.
    pub(super) from: usize,
}

impl TieMemory {
    fn arrays(&self) -> Result<MutexGuard<'_, Arrays>> {
        self.arrays.lock().map_err(|_| anyhow!("another thread failed"))
    }

    /// An array with room for so many records; whoever takes it gives it [back](Self::give_back).
    ///
    /// # Errors
    /// When there is not enough memory, or a thread failed.
    pub(super) fn with_room(&self, records: usize) -> Result<Array> {
        let mut arrays = self.arrays()?;
        let fits = |array: &Array| array.records.len() - array.used >= records;
        let fitting = arrays.here.iter().rposition(fits);
        if let Some(at) = fitting {
            return Ok(arrays.here.swap_remove(at));
        }
        let number = arrays.made;
        arrays.made += 1;
        // Those that no thread has are full.
        let full = arrays.here.iter().map(|array| array.records.len()).max().unwrap_or(0);
        drop(arrays);
        let len = full.saturating_mul(GROWTH).clamp(FEWEST, MOST).max(records);
        Ok(Array { number, records: LargeArray::in_order(len)?, used: 0 })
    }

    /// Takes an array back.
    ///
    /// # Errors
    /// When a thread failed.
    pub(super) fn give_back(&self, array: Array) -> Result<()> {
        self.arrays()?.here.push(array);
        Ok(())
    }

    /// All arrays.
    ///
    /// # Errors
    /// When a thread failed.
    pub(super) fn finish(self) -> Result<Vec<LargeArray<u64>>> {
        let mut arrays = self.arrays.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        arrays.here.sort_unstable_by_key(|array| array.number);
        // All of them are here, so that each has the position of its number.
        ensure!(arrays.here.len() == arrays.made, "another thread failed");
        Ok(arrays.here.into_iter().map(|array| array.records).collect())
    }
}

impl Array {
    /// Its next so many records, all zero, and where they are.
    pub(super) fn next(&mut self, records: usize) -> (Spot, &mut [u64]) {
        let spot = Spot { array: self.number, from: self.used };
        self.used += records;
        (spot, &mut self.records[spot.from..self.used])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_many_threads_are_where_they_were_written() {
        let memory = TieMemory::default();
        // Blocks that fill an array to its end, that leave a rest, and one that is larger than any.
        let sizes = [FEWEST / 2, 3, FEWEST / 2, MOST / 2, 3, MOST / 2, MOST + 5, MOST - 3, 1, MOST / 2];
        let mut written: Vec<(Spot, u64)> = Vec::new();
        let mut held = Vec::new();
        for (n, size) in (1_u64..).zip(sizes) {
            let mut array = memory.with_room(size).unwrap();
            let (spot, records) = array.next(size);
            assert_eq!((records.len(), records[0], records[size - 1]), (size, 0, 0));
            (records[0], records[size - 1]) = (n, n);
            written.push((spot, n));
            // Every second array is held while the next block is written, as another thread does.
            if n % 2 == 1 {
                held.push(array)
            } else {
                memory.give_back(array).unwrap()
            }
            if held.len() == 2 {
                held.drain(..).for_each(|array| memory.give_back(array).unwrap());
            }
        }
        held.into_iter().for_each(|array| memory.give_back(array).unwrap());
        let arrays = memory.finish().unwrap();
        for ((spot, n), size) in written.into_iter().zip(sizes) {
            let records = &arrays[spot.array][spot.from..spot.from + size];
            assert_eq!((records[0], records[size - 1]), (n, n));
        }
    }

    /// The lengths of the arrays that blocks of one size come to when one is written after the other.
    fn lengths(blocks: usize, size: usize) -> Vec<usize> {
        let memory = TieMemory::default();
        for _ in 0..blocks {
            let mut array = memory.with_room(size).unwrap();
            array.next(size);
            memory.give_back(array).unwrap();
        }
        memory.finish().unwrap().iter().map(|array| array.len()).collect()
    }

    #[test]
    fn few_ties_take_few_addresses_and_many_lie_in_large_arrays() {
        assert_eq!(lengths(1, 2), [FEWEST]);
        assert_eq!(lengths(3, FEWEST / 2), [FEWEST, 4 * FEWEST]);
        let many = lengths(2 * MOST / FEWEST, FEWEST);
        assert_eq!(many, [FEWEST, 4 * FEWEST, 16 * FEWEST, MOST, MOST]);
        assert_eq!(lengths(2, MOST + 1), [MOST + 1, MOST + 1]);
    }

    #[test]
    fn the_first_array_of_each_thread_is_small() {
        let memory = TieMemory::default();
        let mut held: Vec<Array> = (0..40).map(|_| memory.with_room(2).unwrap()).collect();
        assert!(held.iter().all(|array| array.records.len() == FEWEST));
        // Who has filled one gets a larger one, and the others keep theirs.
        held[7].next(FEWEST - 1);
        memory.give_back(held.swap_remove(7)).unwrap();
        held.push(memory.with_room(2).unwrap());
        assert_eq!(held.iter().map(|array| array.records.len()).sum::<usize>(), (39 + GROWTH) * FEWEST);
        held.into_iter().for_each(|array| memory.give_back(array).unwrap());
        assert_eq!(memory.finish().unwrap().len(), 41);
    }

    #[test]
    fn an_array_that_does_not_come_back_is_an_error() {
        let memory = TieMemory::default();
        let array = memory.with_room(1).unwrap();
        assert!(memory.finish().is_err());
        drop(array);
    }
}
