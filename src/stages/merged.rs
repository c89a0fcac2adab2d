//! Rows of shards put together: the files that one pass over everyone would have written, byte for byte.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use rayon::prelude::*;

use super::gathered::{At, gathered};
use super::store::Stage;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::ids::Ids;

/// Rows of shards' files that are read at a time, of all of them together; and of one at least and at most.
const READ_ROWS: usize = 65_536;
const LEAST_ROWS: usize = 128;
const MOST_ROWS: usize = 4_096;

/// Where the subjects of shards stand among everyone, who are in order of id.
#[derive(Debug)]
pub(super) struct Order {
    /// The shard of each subject.
    shards: Vec<u16>,
    /// The number among everyone of each shard's subjects.
    numbers: Vec<Vec<u32>>,
}

impl Order {
    /// The order of everyone, and their ids.
    ///
    /// # Errors
    /// When a subject is in two shards, those of one are not in order, or there are too many.
    pub(super) fn of(shards: &[&Ids]) -> Result<(Self, Ids)> {
        let subjects: usize = shards.iter().map(|ids| ids.len()).sum();
        let mut order = Self {
            shards: Vec::with_capacity(subjects),
            numbers: shards.iter().map(|ids| Vec::with_capacity(ids.len())).collect(),
        };
        let mut all = Ids::default();
        let mut next: BinaryHeap<Reverse<(u128, &[u8], usize)>> = shards
            .iter()
            .enumerate()
            .filter(|(_, ids)| !ids.is_empty())
            .map(|(shard, ids)| Reverse((beginning(ids.get(0)), ids.get(0), shard)))
            .collect();
        let mut last = 0;
        while let Some(mut least) = next.peek_mut() {
            let Reverse((begins, id, shard)) = *least;
            // Whoever begins with more comes later.
            if let Some(before) = all.len().checked_sub(1).filter(|_| begins <= last) {
                let other = order.shards.last().copied().unwrap_or_default();
                ensure!(all.get(before) < id, "one subject is in the shards {other} and {shard}, or twice in one");
            }
            last = begins;
            order.numbers[shard].push(u32::try_from(all.len())?);
            order.shards.push(u16::try_from(shard)?);
            all.push(id);
            if all.len() == 1 {
                all.make_room(subjects);
            }
            let (ids, at) = (shards[shard], order.numbers[shard].len());
            match at < ids.len() {
                true => *least = Reverse((beginning(ids.get(at)), ids.get(at), shard)),
                false => {
                    PeekMut::pop(least);
                }
            }
        }
        Ok((order, all))
    }

    /// The shard of a subject.
    pub(super) fn shard(&self, subject: usize) -> Option<u32> {
        self.shards.get(subject).copied().map(u32::from)
    }

    /// The shard of every subject, in order.
    pub(super) fn shards(&self) -> impl Iterator<Item = usize> {
        self.shards.iter().map(|shard| usize::from(*shard))
    }

    /// One value per subject from those of each shard.
    ///
    /// # Errors
    /// When a shard has fewer of them than subjects, or more.
    pub(super) fn values<T: Copy>(&self, of: &[&[T]]) -> Result<Vec<T>> {
        let mut next = vec![0_usize; of.len()];
        let mut value = |shard: usize| {
            let at = next[shard];
            next[shard] += 1;
            of[shard].get(at).copied().context("a shard tells too little of its subjects")
        };
        let values = self.shards().map(&mut value).collect::<Result<_>>()?;
        let all = next.iter().zip(of).all(|(taken, of)| *taken == of.len());
        ensure!(all, "a shard tells of more subjects than it has");
        Ok(values)
    }

    /// The numbers among everyone of each shard's subjects.
    pub(super) fn into_numbers(self) -> Vec<Vec<u32>> {
        self.numbers
    }

    /// Checks that files have a row for each subject of their shard and no other, but for such without columns: groups that are none.
    fn fits(&self, files: &[PathBuf], blocks: &[Blocks]) -> Result<()> {
        for ((file, blocks), numbers) in files.iter().zip(blocks).zip(&self.numbers) {
            ensure!(
                blocks.rows() == numbers.len() || blocks.schema().fields().is_empty(),
                "{} tells of {} subjects, and its shard has {}",
                file.display(),
                blocks.rows(),
                numbers.len()
            );
        }
        Ok(())
    }

    /// The number among everyone of a shard's subject.
    ///
    /// # Errors
    /// When the shard does not have it.
    pub(super) fn number(&self, shard: usize, subject: u32) -> Result<u32> {
        let of = self.numbers.get(shard).and_then(|numbers| numbers.get(subject as usize));
        of.copied().context("a shard tells of a subject that it does not have")
    }
}

/// The first bytes of an id as a number: of two ids the one whose number is smaller is the smaller one, so that most are compared at once.
fn beginning(id: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let len = id.len().min(bytes.len());
    bytes[..len].copy_from_slice(&id[..len]);
    u128::from_be_bytes(bytes)
}

/// The files of a name in the folders of shards' stages.
pub(super) fn files(stages: &[&Stage], name: &str) -> Vec<PathBuf> {
    stages.iter().map(|stage| stage.path(name)).collect()
}

/// Puts files together that have one row for each subject.
///
/// # Errors
/// When a file is damaged, or the disk is full.
pub(super) fn one_each(files: &[PathBuf], order: &Order, to: &Path) -> Result<()> {
    let blocks = files.iter().map(|file| Blocks::open(file)).collect::<Result<Vec<_>>>()?;
    order.fits(files, &blocks)?;
    let mut writer = BlockWriter::create(to, fields(&blocks))?;
    if blocks.iter().any(|b| b.rows() > 0) {
        let each = (READ_ROWS / blocks.len().max(1)).clamp(LEAST_ROWS, MOST_ROWS);
        let mut rows = blocks.iter().map(|blocks| Rows::of(blocks, each)).collect::<Result<Vec<_>>>()?;
        for some in order.shards.chunks(BLOCK_ROWS) {
            let mut wanted = vec![0_u32; rows.len()];
            let places = some.iter().map(|shard| {
                let next = &mut wanted[usize::from(*shard)];
                *next += 1;
                (u32::from(*shard), *next - 1)
            });
            let places: Vec<At> = places.collect();
            // Of several that fail, the first one is told.
            let take = |(rows, wanted): (&mut Rows, &u32)| rows.take(*wanted as usize);
            let taken: Vec<_> = rows.par_iter_mut().zip(&wanted).map(take).collect();
            let batches = taken.into_iter().collect::<Result<Vec<_>>>()?;
            writer.add(interleaved(&batches, &places)?)?;
        }
        for rows in &mut rows {
            ensure!(rows.is_done()?, "a shard tells of more subjects than it has");
        }
    }
    writer.finish()
}

/// The columns of files of one kind: those of one with rows, for without subjects nobody knows how wide binary ids are.
pub(super) fn fields(blocks: &[Blocks]) -> Vec<Field> {
    let with_rows = blocks.iter().find(|b| b.rows() > 0).or_else(|| blocks.first());
    with_rows.map_or_else(Vec::new, |b| b.schema().fields().iter().map(|field| field.as_ref().clone()).collect())
}

/// The rows of batches at some places: batch and row. Batches of which no row is named may be of other types.
///
/// # Errors
/// When two of the others are of different types.
pub(super) fn interleaved(batches: &[RecordBatch], places: &[At]) -> Result<Vec<ArrayRef>> {
    let mut slots: Vec<Option<u32>> = vec![None; batches.len()];
    let mut used: Vec<&RecordBatch> = Vec::new();
    let mut among = Vec::with_capacity(places.len());
    for (batch, row) in places {
        let at = *batch as usize;
        let slot = match slots[at] {
            Some(slot) => slot,
            None => {
                used.push(&batches[at]);
                *slots[at].insert(u32::try_from(used.len() - 1)?)
            }
        };
        among.push((slot, *row));
    }
    let columns = used.first().map_or(0, |batch| batch.num_columns());
    let one = |at: usize| -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = used.iter().map(|batch| batch.column(at).as_ref()).collect();
        gathered(&arrays, &among)
    };
    // Of several that fail, the first one is told.
    (0..columns).into_par_iter().map(one).collect::<Vec<_>>().into_iter().collect()
}

/// The rows of one file, one after another.
struct Rows {
    reader: ParquetRecordBatchReader,
    held: RecordBatch,
}

impl Rows {
    /// So many are read at a time.
    fn of(blocks: &Blocks, rows: usize) -> Result<Self> {
        let held = RecordBatch::new_empty(blocks.schema().clone());
        Ok(Self { reader: blocks.stream(rows)?, held })
    }

    /// The so many rows that follow.
    fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        let (mut parts, mut left) = (Vec::new(), rows);
        while left > 0 {
            if self.held.num_rows() == 0 {
                self.held = self.reader.next().context("a shard tells too little of its subjects")??;
            }
            let some = left.min(self.held.num_rows());
            parts.push(self.held.slice(0, some));
            self.held = self.held.slice(some, self.held.num_rows() - some);
            left -= some;
        }
        // What is of one batch is not copied.
        match parts.len() {
            1 => parts.pop().context("defect: no part of one"),
            _ => Ok(concat_batches(&self.held.schema(), &parts)?),
        }
    }

    /// Whether no row follows.
    fn is_done(&mut self) -> Result<bool> {
        while self.held.num_rows() == 0 {
            match self.reader.next().transpose()? {
                Some(more) => self.held = more,
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::named::of_some;
    use super::*;
    use crate::tables::columns::ints;
    use arrow::array::{Int32Array, UInt32Array};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn ids(of: &[String]) -> Ids {
        let mut ids = Ids::default();
        of.iter().for_each(|id| ids.push(id.as_bytes()));
        ids
    }

    fn written(path: &Path, fields: Vec<Field>, columns: Vec<ArrayRef>) {
        let mut writer = BlockWriter::create(path, fields).unwrap();
        writer.add(columns).unwrap();
        writer.finish().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn files_split_at_random_come_together_byte_for_byte(
            of in proptest::collection::vec(0_usize..4, 0..400), repeat in prop_oneof![Just(1_usize), Just(60)],
        ) {
            let of: Vec<usize> = of.iter().copied().cycle().take(of.len() * repeat).collect();
            let folder = tempfile::tempdir().unwrap();
            let everyone: Vec<String> = (0..of.len()).map(|n| format!("s{n:06}")).collect();
            let field = || vec![Field::new("n", DataType::Int32, true)];
            let value = |n: usize| (!n.is_multiple_of(7)).then(|| i32::try_from(n).unwrap());
            let some = || vec![Field::new("subject", DataType::UInt32, false), Field::new("n", DataType::Int32, true)];
            let chosen = |n: usize| n.is_multiple_of(3);
            let write = |name: &str, numbers: &[usize]| {
                let all = numbers.iter().map(|n| value(*n)).collect::<Int32Array>();
                written(&folder.path().join(format!("{name}-each")), field(), vec![Arc::new(all)]);
                let few: Vec<(u32, usize)> = (0..).zip(numbers.iter().copied()).filter(|(_, n)| chosen(*n)).collect();
                let subjects = few.iter().map(|(s, _)| Some(*s)).collect::<UInt32Array>();
                let values = few.iter().map(|(_, n)| value(*n)).collect::<Int32Array>();
                written(&folder.path().join(format!("{name}-some")), some(), vec![Arc::new(subjects), Arc::new(values)]);
            };
            write("whole", &(0..of.len()).collect::<Vec<_>>());
            let shards: Vec<Vec<usize>> = (0..4).map(|s| (0..of.len()).filter(|n| of[*n] == s).collect()).collect();
            for (number, shard) in shards.iter().enumerate() {
                write(&number.to_string(), shard);
            }
            let names = |numbers: &Vec<usize>| ids(&numbers.iter().map(|n| everyone[*n].clone()).collect::<Vec<_>>());
            let each: Vec<Ids> = shards.iter().map(names).collect();
            let (order, all) = Order::of(&each.iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(all.len(), of.len());
            let paths = |kind: &str| (0..4).map(|n| folder.path().join(format!("{n}-{kind}"))).collect::<Vec<_>>();
            let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
            one_each(&paths("each"), &order, &folder.path().join("merged-each")).unwrap();
            prop_assert!(bytes("merged-each") == bytes("whole-each"));
            of_some(&paths("some"), &order, (None, "subject"), &folder.path().join("merged-some")).unwrap();
            prop_assert!(bytes("merged-some") == bytes("whole-some"));
            let back = ints(&Blocks::open(&folder.path().join("merged-each")).unwrap().all().unwrap(), "n");
            prop_assert_eq!(back.unwrap().len(), of.len());
            let parts: Vec<&[usize]> = shards.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(order.values(&parts).unwrap(), (0..of.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shards_that_tell_of_other_subjects_than_they_have_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let shards = [["a", "d"], ["b", "c"]].map(|of| ids(&of.map(ToOwned::to_owned)));
        let order = Order::of(&[&shards[0], &shards[1]]).unwrap().0;
        let values = |of: [&[i32]; 2]| order.values(&of).ok();
        assert_eq!(values([&[1, 4], &[2, 3]]), Some(vec![1, 2, 3, 4]));
        assert!(values([&[1, 4], &[2, 3, 9]]).is_none() && values([&[1, 4], &[2]]).is_none());
        let merged = |rows: [i32; 2]| {
            let paths = [0, 1].map(|shard| folder.path().join(format!("{shard}-of-{rows:?}")));
            for (path, rows) in paths.iter().zip(rows) {
                let values = (0..rows).map(Some).collect::<Int32Array>();
                written(path, vec![Field::new("n", DataType::Int32, true)], vec![Arc::new(values)]);
            }
            one_each(&paths, &order, &folder.path().join("merged")).map_err(|error| error.to_string())
        };
        merged([2, 2]).unwrap();
        // One too many, one too few, and none at all.
        for rows in [[2, 3], [1, 2], [0, 0]] {
            assert!(merged(rows).unwrap_err().contains("and its shard has 2"), "{rows:?}");
        }
    }

    proptest! {
        #[test]
        fn ids_come_in_order_whatever_they_begin_with(
            drawn in proptest::collection::btree_set(
                prop_oneof!["[ab]{0,3}", "[ab]{15,18}", "same beginning, [0-9]{1,3}", "\\x00{0,18}"], 0..60,
            ),
            of in proptest::collection::vec(0_usize..3, 60), again in proptest::option::of(any::<proptest::sample::Index>()),
        ) {
            let everyone: Vec<String> = drawn.into_iter().collect();
            let of_shard = |shard: usize| everyone.iter().zip(&of).filter(move |(_, of)| **of == shard);
            let mut shards: Vec<Vec<String>> = (0..3).map(|n| of_shard(n).map(|(id, _)| id.clone()).collect()).collect();
            let of_shards = shards.iter().map(|of| ids(of)).collect::<Vec<_>>();
            let (order, all) = Order::of(&of_shards.iter().collect::<Vec<_>>()).unwrap();
            prop_assert!(all.len() == everyone.len());
            prop_assert!(everyone.iter().enumerate().all(|(n, id)| all.get(n) == id.as_bytes()));
            prop_assert!(order.shards().eq(of.iter().copied().take(everyone.len())));
            if let Some(again) = again.filter(|_| !everyone.is_empty()) {
                let at = again.index(everyone.len());
                let other = (of[at] + 1) % 3;
                shards[other].push(everyone[at].clone());
                shards[other].sort();
                let of_shards = shards.iter().map(|of| ids(of)).collect::<Vec<_>>();
                prop_assert!(Order::of(&of_shards.iter().collect::<Vec<_>>()).is_err());
            }
        }
    }

    #[test]
    fn a_subject_in_two_shards_is_refused() {
        let shards = [ids(&["a".to_owned(), "c".to_owned()]), ids(&["b".to_owned(), "c".to_owned()])];
        let error = Order::of(&[&shards[0], &shards[1]]).unwrap_err().to_string();
        assert!(error.contains("in the shards"), "{error}");
    }
}
