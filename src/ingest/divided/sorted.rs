//! The rows of a batch in order of portion. Columns are read from their first row to the last, whatever portion a row is of: a column of a
//! batch is larger than the cache, and to look for the rows of one portion after another would fetch all of it for each of them.

use std::ops::Range;

use anyhow::Result;

use crate::ingest::rows::pack::pack;

/// Where the rows of a batch go: those of one portion after another, each as they came, and behind all of them those of none.
pub(super) struct Sorted {
    /// The portion of each row; as many as there are for a row of none.
    portions: Vec<u16>,
    /// The place of each row.
    places: Vec<u32>,
    /// Where the rows of each portion begin, and where those of the last one end.
    starts: Vec<usize>,
}

impl Sorted {
    /// So many rows in order of so many portions.
    ///
    /// # Errors
    /// When there are more of either than numbers count.
    pub(super) fn new(rows: usize, count: usize, portion_of: impl Fn(usize) -> Option<usize>) -> Result<Self> {
        let (none, _) = (u16::try_from(count)?, u32::try_from(rows)?);
        let portion = |row: usize| portion_of(row).map_or(Ok(none), u16::try_from);
        let portions = (0..rows).map(portion).collect::<Result<Vec<u16>, _>>()?;
        // Counting sort; the rows of none are those of one portion more.
        let mut starts = vec![0_usize; count + 2];
        portions.iter().for_each(|portion| starts[usize::from(*portion) + 1] += 1);
        for portion in 0..=count {
            starts[portion + 1] += starts[portion];
        }
        let mut next = starts.iter().map(|start| u32::try_from(*start)).collect::<Result<Vec<u32>, _>>()?;
        let place = |portion: &u16| {
            let next = &mut next[usize::from(*portion)];
            *next += 1;
            *next - 1
        };
        let places = portions.iter().map(place).collect();
        starts.truncate(count + 1);
        Ok(Self { portions, places, starts })
    }

    /// Number of portions.
    pub(super) const fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The places of a portion's rows.
    pub(super) fn rows_of(&self, portion: usize) -> Range<usize> {
        self.starts[portion]..self.starts[portion + 1]
    }

    /// The portions that have rows.
    fn filled(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(move |portion| !self.rows_of(*portion).is_empty())
    }

    /// The place of each row.
    fn places(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| *place as usize)
    }

    /// Each row that is of a portion, with that and its place.
    pub(super) fn kept(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (count, rows) = (self.count(), self.portions.iter().zip(self.places()).enumerate());
        let rows = rows.map(|(row, (portion, place))| (row, usize::from(*portion), place));
        rows.filter(move |(_, portion, _)| *portion < count)
    }

    /// Room for a value of each row.
    pub(super) fn make_room(&self, room: &mut Vec<i64>) {
        // Whatever stands there is written over.
        room.resize(self.places.len(), 0);
    }
}

/// What columns of a batch come to: a piece for each portion that has rows, one column after another.
#[derive(Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each piece ends.
    ends: Vec<usize>,
    /// A number of each row, in order of portion: used on the way.
    pub(super) room: Vec<i64>,
}

impl Pieces {
    /// What `write` appends for each portion that has rows, by its number and the places of its rows.
    ///
    /// # Errors
    /// The first one of `write`.
    pub(super) fn each(
        &mut self,
        sorted: &Sorted,
        mut write: impl FnMut(usize, Range<usize>, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        for portion in sorted.filled() {
            write(portion, sorted.rows_of(portion), &mut self.bytes)?;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    /// One number of each row, packed.
    ///
    /// # Errors
    /// None that rows could cause.
    pub(super) fn numbers(&mut self, sorted: &Sorted, numbers: &[i64]) -> Result<()> {
        let mut room = std::mem::take(&mut self.room);
        sorted.make_room(&mut room);
        numbers.iter().zip(sorted.places()).for_each(|(number, place)| room[place] = *number);
        self.each(sorted, |_, rows, out| {
            pack(&room[rows], out);
            Ok(())
        })?;
        self.room = room;
        Ok(())
    }

    /// So many bytes of each row.
    pub(super) fn fixed<'a>(&mut self, sorted: &Sorted, width: usize, value: impl Fn(usize) -> &'a [u8]) {
        let from = self.bytes.len();
        let kept = sorted.starts.last().map_or(0, |kept| kept * width);
        self.bytes.resize(from + kept, 0);
        let bytes = &mut self.bytes[from..];
        for (row, _, place) in sorted.kept() {
            bytes[place * width..(place + 1) * width].copy_from_slice(value(row));
        }
        self.ends.extend(sorted.filled().map(|portion| from + sorted.starts[portion + 1] * width));
    }

    /// The block of each portion, which is the number of its rows and all pieces of it, and where each of them ends. That of a portion without
    /// rows is empty.
    ///
    /// # Errors
    /// When a portion has more rows than numbers count.
    pub(super) fn blocks(self, sorted: &Sorted) -> Result<(Vec<u8>, Vec<usize>)> {
        let filled = sorted.filled().count();
        let mut all = Vec::with_capacity(self.bytes.len() + 4 * filled);
        let (mut ends, mut first) = (Vec::with_capacity(sorted.count()), 0);
        for portion in 0..sorted.count() {
            let rows = sorted.rows_of(portion);
            if !rows.is_empty() {
                all.extend_from_slice(&u32::try_from(rows.len())?.to_le_bytes());
                for at in (first..self.ends.len()).step_by(filled) {
                    let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
                    all.extend_from_slice(&self.bytes[from..self.ends[at]]);
                }
                first += 1;
            }
            ends.push(all.len());
        }
        Ok((all, ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::rows::pack::Unpacker;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_in_order_of_portion_and_each_as_they_came(
            of in proptest::collection::vec(proptest::option::weighted(0.8, 0_usize..5), 0..200), count in 5_usize..8,
        ) {
            let sorted = Sorted::new(of.len(), count, |row| of[row]).unwrap();
            let numbers: Vec<i64> = (0..).take(of.len()).map(|n: i64| n * n - 7).collect();
            let bytes: Vec<[u8; 8]> = numbers.iter().map(|n| n.to_le_bytes()).collect();
            let mut pieces = Pieces::default();
            pieces.numbers(&sorted, &numbers).unwrap();
            pieces.each(&sorted, |portion, _, out| {
                out.push(u8::try_from(portion)?);
                Ok(())
            }).unwrap();
            pieces.fixed(&sorted, 8, |row| bytes[row].as_slice());
            let kept: Vec<(usize, usize)> = sorted.kept().map(|(row, portion, _)| (row, portion)).collect();
            let some = |row: usize| of[row].map(|portion| (row, portion));
            prop_assert_eq!(kept, (0..of.len()).filter_map(some).collect::<Vec<_>>());
            let (all, ends) = pieces.blocks(&sorted).unwrap();
            prop_assert_eq!(ends.len(), count);
            let mut from = 0;
            for (portion, end) in ends.into_iter().enumerate() {
                let own = numbers.iter().zip(&of).filter(|(_, of)| **of == Some(portion));
                let own: Vec<i64> = own.map(|(number, _)| *number).collect();
                let block = &all[from..end];
                from = end;
                let Some((rows, block)) = block.split_first_chunk::<4>() else {
                    prop_assert!(own.is_empty() && block.is_empty());
                    continue;
                };
                let rows = usize::try_from(u32::from_le_bytes(*rows)).unwrap();
                let (mut unpacker, mut found) = (Unpacker::new(block, rows), Vec::new());
                unpacker.append(&mut found).unwrap();
                prop_assert_eq!(&found, &own);
                prop_assert_eq!(usize::from(unpacker.take(1).unwrap()[0]), portion);
                let found: Vec<[u8; 8]> = unpacker.take(8 * rows).unwrap().as_chunks::<8>().0.to_vec();
                prop_assert_eq!(found, own.iter().map(|n| n.to_le_bytes()).collect::<Vec<_>>());
                prop_assert!(unpacker.rest().is_empty());
            }
            prop_assert_eq!(from, all.len());
        }
    }
}
