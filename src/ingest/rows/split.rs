//! Rows of one file cut by bucket and packed.
//!
//! Each column is put in order of bucket by writing its values where they belong, which are a few hundred places side by side that
//! stay in the cache, and packed before the next one is looked at.

use anyhow::Result;

use super::buckets::Buckets;
use super::pack::pack;
use crate::ingest::read::decode::IdColumn;

/// Rows ready to be split: one file's, with their subjects.
pub struct Rows<'a> {
    /// The file, by its position in the export.
    pub file: u32,
    /// The dense number of the subject of each row of the columns.
    pub subjects: &'a [u32],
    /// Integer columns; an empty one is null throughout.
    pub columns: &'a [Vec<i64>],
    /// The positions in the columns of the rows that are kept, in order; all are where nothing is said.
    pub kept: Option<&'a [u32]>,
    /// Ids of the records if they are kept as text, and the position among them of each row that is kept.
    pub records: Option<(&'a IdColumn, &'a [u32])>,
}

impl Rows<'_> {
    /// Calls `work` with the position of each row that is kept.
    fn each(&self, mut work: impl FnMut(usize)) {
        match self.kept {
            None => (0..self.subjects.len()).for_each(work),
            Some(kept) => kept.iter().for_each(|row| work(*row as usize)),
        }
    }

    /// The same with one thing for each.
    fn each_with<T>(&self, things: &[T], mut work: impl FnMut(usize, &T)) {
        match self.kept {
            None => things.iter().enumerate().for_each(|(row, thing)| work(row, thing)),
            Some(kept) => kept.iter().zip(things).for_each(|(row, thing)| work(*row as usize, thing)),
        }
    }
}

/// Rows by bucket: for each bucket that has some a block, which is its columns one after another.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// The buckets with the number of their rows.
    blocks: Vec<(usize, u32)>,
    /// The first column of every block, then the second of every block, and so on.
    packed: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The text ids of every block.
    texts: Vec<u8>,
    /// Where each block's end.
    text_ends: Vec<usize>,
    /// Where each row of the columns goes in order of bucket; one that is not kept goes to the place behind all others.
    to: Vec<u32>,
    /// A column in order of bucket, with the place behind.
    values: Vec<i64>,
}

impl Split {
    /// Cuts rows by bucket.
    ///
    /// # Errors
    /// When an id is longer than numbers count.
    pub(super) fn of(rows: &Rows, buckets: &Buckets) -> Result<Self> {
        let mut split = Self::default();
        split.cut(rows, buckets)?;
        Ok(split)
    }

    /// Cuts rows by bucket, in the memory that others were cut in before and in place of these.
    ///
    /// # Errors
    /// When an id is longer than numbers count.
    pub(super) fn cut(&mut self, rows: &Rows, buckets: &Buckets) -> Result<()> {
        let Self { blocks, packed, ends, texts, text_ends, to, values } = self;
        let count = buckets.count();
        // Counting sort of the rows by bucket.
        let mut starts = vec![0_u32; count + 1];
        rows.each(|row| starts[buckets.of(rows.subjects[row]) + 1] += 1);
        for b in 0..count {
            starts[b + 1] += starts[b];
        }
        let behind = starts[count];
        to.clear();
        to.resize(rows.subjects.len(), behind);
        let mut next = starts.clone();
        rows.each(|row| {
            let place = &mut next[buckets.of(rows.subjects[row])];
            to[row] = *place;
            *place += 1;
        });
        let filled: Vec<usize> = (0..count).filter(|b| starts[*b] < starts[*b + 1]).collect();
        // What is there from before is written over by each column.
        values.resize(behind as usize + 1, 0);
        let mut sorted = Sorted { to, values };
        packed.clear();
        ends.clear();
        let mut add = |values: &[i64]| {
            for b in &filled {
                pack(values.get(starts[*b] as usize..starts[*b + 1] as usize).unwrap_or(&[]), packed);
                ends.push(packed.len());
            }
        };
        add(sorted.by(rows.subjects, |s| i64::from(buckets.within(*s))));
        for column in rows.columns {
            if column.is_empty() {
                add(&[]);
            } else {
                add(sorted.by(column, |v| *v));
            }
        }
        texts.clear();
        text_ends.clear();
        if let Some((ids, positions)) = rows.records {
            let text = |position: &u32| ids.get(*position as usize).unwrap_or(&[]);
            let lengths = positions.iter().map(|p| i64::try_from(text(p).len())).collect::<Result<Vec<_>, _>>()?;
            rows.each_with(&lengths, |row, length| sorted.values[sorted.to[row] as usize] = *length);
            add(sorted.values.as_slice());
            let mut bytes = vec![0_usize; count];
            rows.each_with(positions, |row, position| bytes[buckets.of(rows.subjects[row])] += text(position).len());
            let mut all = 0;
            for bytes in &mut bytes {
                let here = all;
                all += *bytes;
                *bytes = here;
            }
            texts.resize(all, 0);
            rows.each_with(positions, |row, position| {
                let (from, text) = (&mut bytes[buckets.of(rows.subjects[row])], text(position));
                texts[*from..*from + text.len()].copy_from_slice(text);
                *from += text.len();
            });
            // What was the beginning of a block has moved to its end.
            text_ends.extend(filled.iter().map(|b| bytes[*b]));
        }
        blocks.clear();
        blocks.extend(filled.iter().map(|b| (*b, starts[*b + 1] - starts[*b])));
        Ok(())
    }

    /// The memory that it takes, in bytes.
    pub(super) const fn room(&self) -> usize {
        let bytes = self.packed.capacity() + self.texts.capacity();
        bytes + self.to.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<i64>()
    }

    /// The buckets that have rows, with their number.
    pub(super) fn blocks(&self) -> &[(usize, u32)] {
        &self.blocks
    }

    /// The bytes of all blocks.
    pub(super) const fn len(&self) -> usize {
        self.packed.len() + self.texts.len()
    }

    /// The bytes of a block.
    pub(super) fn block_len(&self, n: usize) -> usize {
        self.parts(n).map(<[u8]>::len).sum()
    }

    /// Appends a block.
    pub(super) fn append(&self, n: usize, out: &mut Vec<u8>) {
        self.parts(n).for_each(|part| out.extend_from_slice(part));
    }

    fn parts(&self, n: usize) -> impl Iterator<Item = &[u8]> {
        let before = |ends: &[usize], at: usize| at.checked_sub(1).map_or(0, |before| ends[before]);
        let columns = (n..self.ends.len()).step_by(self.blocks.len().max(1));
        let columns = columns.map(move |at| &self.packed[before(&self.ends, at)..self.ends[at]]);
        let texts = self.text_ends.get(n).map(|end| &self.texts[before(&self.text_ends, n)..*end]);
        columns.chain(texts)
    }
}

/// A column in order of bucket, and room for the next one.
struct Sorted<'a> {
    /// Where each row goes.
    to: &'a [u32],
    values: &'a mut Vec<i64>,
}

impl Sorted<'_> {
    /// Puts a column's values where their rows go.
    fn by<T>(&mut self, column: &[T], value: impl Fn(&T) -> i64) -> &[i64] {
        let values = self.values.as_mut_slice();
        for (to, v) in self.to.iter().zip(column) {
            values[*to as usize] = value(v);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_is_the_rows_of_its_bucket_in_order(
            rows in proptest::collection::vec((0_u32..30_000, any::<i64>(), proptest::option::of("[a-z]{0,20}")), 0..200)
        ) {
            let buckets = Buckets::new(30_000, 0);
            let subjects: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let columns = [rows.iter().map(|row| row.1).collect(), Vec::new()];
            // Every second row of the batch was kept.
            let texts = rows.iter().flat_map(|row| [row.2.as_deref(), Some("not kept")]);
            let ids = IdColumn::Text(texts.collect::<StringViewArray>());
            let positions: Vec<u32> = (0..).step_by(2).take(rows.len()).collect();
            let records = Some((&ids, positions.as_slice()));
            let all = Rows { file: 0, subjects: &subjects, columns: &columns, kept: None, records };
            let split = Split::of(&all, &buckets).unwrap();
            let mut expected = Vec::new();
            for bucket in 0..buckets.count() {
                let some: Vec<usize> = (0..rows.len()).filter(|row| buckets.of(subjects[*row]) == bucket).collect();
                if some.is_empty() {
                    continue;
                }
                let text = |row: &usize| rows[*row].2.as_deref().unwrap_or("");
                let mut block = Vec::new();
                let mut add = |of: &dyn Fn(&usize) -> i64| pack(&some.iter().map(of).collect::<Vec<_>>(), &mut block);
                add(&|row| i64::from(buckets.within(subjects[*row])));
                add(&|row| rows[*row].1);
                add(&|_| crate::NULL);
                add(&|row| i64::try_from(text(row).len()).unwrap());
                some.iter().for_each(|row| block.extend_from_slice(text(row).as_bytes()));
                expected.push(((bucket, u32::try_from(some.len()).unwrap()), block));
            }
            let block = |n: usize| {
                let mut block = Vec::new();
                split.append(n, &mut block);
                assert_eq!(block.len(), split.block_len(n));
                (split.blocks()[n], block)
            };
            prop_assert_eq!(split.len(), expected.iter().map(|(_, block)| block.len()).sum::<usize>());
            prop_assert_eq!((0..split.blocks().len()).map(block).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn rows_that_are_kept_are_cut_as_if_there_were_no_others(
            batches in proptest::collection::vec(proptest::collection::vec(
                (0_u32..30_000, any::<i64>(), proptest::option::of("[a-z]{0,20}"), any::<bool>()), 0..100), 1..4),
            text in any::<bool>(),
        ) {
            let buckets = Buckets::new(30_000, 0);
            // Each is cut where the one before was.
            let mut desk = Split::default();
            for rows in batches {
                let kept: Vec<u32> = (0..).zip(&rows).filter(|(_, row)| row.3).map(|(at, _)| at).collect();
                let ids = IdColumn::Text(rows.iter().map(|row| row.2.as_deref()).collect::<StringViewArray>());
                let records = text.then_some((&ids, kept.as_slice()));
                // Of whom a row is that is not kept need not be known.
                let subjects: Vec<u32> = rows.iter().map(|row| if row.3 { row.0 } else { u32::MAX }).collect();
                let columns = [rows.iter().map(|row| row.1).collect(), Vec::new()];
                let some = Rows { file: 0, subjects: &subjects, columns: &columns, kept: Some(&kept), records };
                desk.cut(&some, &buckets).unwrap();
                let picked: Vec<_> = rows.iter().filter(|row| row.3).collect();
                let subjects: Vec<u32> = picked.iter().map(|row| row.0).collect();
                let columns = [picked.iter().map(|row| row.1).collect(), Vec::new()];
                let alone = Rows { file: 0, subjects: &subjects, columns: &columns, kept: None, records };
                let split = Split::of(&alone, &buckets).unwrap();
                prop_assert_eq!(desk.len(), split.len());
                prop_assert_eq!(desk.blocks(), split.blocks());
                for n in 0..split.blocks().len() {
                    let (mut one, mut other) = (Vec::new(), Vec::new());
                    desk.append(n, &mut one);
                    split.append(n, &mut other);
                    prop_assert_eq!(one, other);
                }
            }
        }
    }
}
