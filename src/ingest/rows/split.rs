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
    /// The dense number of each row's subject.
    pub subjects: &'a [u32],
    /// Integer columns; an empty one is null throughout.
    pub columns: &'a [Vec<i64>],
    /// Ids of the records if they are kept as text, and each row's position among them.
    pub records: Option<(&'a IdColumn, &'a [u32])>,
}

/// Rows by bucket: for each bucket that has some a block, which is its columns one after another.
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
}

impl Split {
    /// Cuts rows by bucket.
    ///
    /// # Errors
    /// When an id is longer than numbers count.
    pub(super) fn of(rows: &Rows, buckets: &Buckets) -> Result<Self> {
        let count = buckets.count();
        // Counting sort of the rows by bucket.
        let mut starts = vec![0_u32; count + 1];
        for s in rows.subjects {
            starts[buckets.of(*s) + 1] += 1;
        }
        for b in 0..count {
            starts[b + 1] += starts[b];
        }
        let mut next = starts.clone();
        let mut place = |subject: &u32| {
            let place = &mut next[buckets.of(*subject)];
            *place += 1;
            *place - 1
        };
        let to: Vec<u32> = rows.subjects.iter().map(&mut place).collect();
        let filled: Vec<usize> = (0..count).filter(|b| starts[*b] < starts[*b + 1]).collect();
        let mut sorted = Sorted { to: &to, values: vec![0; to.len()] };
        let (mut packed, mut ends) = (Vec::new(), Vec::new());
        let mut add = |values: &[i64]| {
            for b in &filled {
                pack(values.get(starts[*b] as usize..starts[*b + 1] as usize).unwrap_or(&[]), &mut packed);
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
        let (mut texts, mut text_ends) = (Vec::new(), Vec::new());
        if let Some((ids, positions)) = rows.records {
            let text = |position: &u32| ids.get(*position as usize).unwrap_or(&[]);
            let lengths = positions.iter().map(|p| i64::try_from(text(p).len())).collect::<Result<Vec<_>, _>>()?;
            add(sorted.by(&lengths, |length| *length));
            let mut bytes = vec![0_usize; count];
            for (subject, position) in rows.subjects.iter().zip(positions) {
                bytes[buckets.of(*subject)] += text(position).len();
            }
            let mut all = 0;
            for bytes in &mut bytes {
                let here = all;
                all += *bytes;
                *bytes = here;
            }
            texts = vec![0; all];
            for (subject, position) in rows.subjects.iter().zip(positions) {
                let (from, text) = (&mut bytes[buckets.of(*subject)], text(position));
                texts[*from..*from + text.len()].copy_from_slice(text);
                *from += text.len();
            }
            // What was the beginning of a block has moved to its end.
            text_ends = filled.iter().map(|b| bytes[*b]).collect();
        }
        let blocks = filled.iter().map(|b| (*b, starts[*b + 1] - starts[*b])).collect();
        Ok(Self { blocks, packed, ends, texts, text_ends })
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
    values: Vec<i64>,
}

impl Sorted<'_> {
    fn by<T>(&mut self, column: &[T], value: impl Fn(&T) -> i64) -> &[i64] {
        for (to, v) in self.to.iter().zip(column) {
            self.values[*to as usize] = value(v);
        }
        &self.values
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
            let all = Rows { file: 0, subjects: &subjects, columns: &columns, records };
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
    }
}
