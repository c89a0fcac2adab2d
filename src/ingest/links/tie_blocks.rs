//! Blocks of tie records, and the memory that they lie in.
//!
//! A block is small, but there are many of them, and each is later read partition by partition, a few records at a time. So
//! blocks lie one after another in large arrays on large pages, of which fewer have to be made and found. A thread has an
//! array for itself while it writes a block. Pages that are never written to take no memory.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Result, anyhow, ensure};

use crate::machine::large_array::LargeArray;

/// Records of an array, unless one block has more: 64 MB.
const RECORDS: usize = 1 << 23;

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
        drop(arrays);
        Ok(Array { number, records: LargeArray::zeroed(records.max(RECORDS))?, used: 0 })
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
        let sizes = [RECORDS / 2, 3, RECORDS / 2, RECORDS + 5, RECORDS - 3, 1, RECORDS / 2];
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

    #[test]
    fn an_array_that_does_not_come_back_is_an_error() {
        let memory = TieMemory::default();
        let array = memory.with_room(1).unwrap();
        assert!(memory.finish().is_err());
        drop(array);
    }
}
