//! Rows of shards that name their subject in a column, put together in the order in which one pass over everyone writes them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Int64Type, UInt32Type};

use super::gathered::At;
use super::merged::{Order, fields, interleaved};
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::column;

/// Where a row belongs: the number in the first column, and that of its subject among everyone.
type Rank = (i64, u32);
/// A row in its place: the number of its subject among everyone, and where it lies: its shard, and its row there.
type Placed = (u32, At);

/// The rows of one shard.
struct Ranked<'a> {
    firsts: Option<&'a [i64]>,
    subjects: &'a [u32],
    order: &'a Order,
    shard: usize,
}

impl<'a> Ranked<'a> {
    fn of(
        batch: &'a RecordBatch,
        (first, subject): (Option<&str>, &str),
        (order, shard): (&'a Order, usize),
    ) -> Result<Self> {
        let subjects: &[u32] = column(batch, subject, &DataType::UInt32)?.as_primitive::<UInt32Type>().values();
        let mut firsts = None;
        if let Some(name) = first {
            let array = column(batch, name, &DataType::Int64)?;
            ensure!(array.null_count() == 0, "the column {name} has nulls");
            let values: &[i64] = array.as_primitive::<Int64Type>().values();
            firsts = Some(values);
        }
        Ok(Self { firsts, subjects, order, shard })
    }

    /// Where a row belongs; nothing behind the last one.
    fn rank(&self, row: usize) -> Result<Option<Rank>> {
        let Some(subject) = self.subjects.get(row) else { return Ok(None) };
        let first = self.firsts.map_or(0, |firsts| firsts[row]);
        Ok(Some((first, self.order.number(self.shard, *subject)?)))
    }

    /// Whether no row belongs before one that it comes after.
    fn is_in_order(&self) -> Result<bool> {
        let mut before = None;
        for row in 0..self.subjects.len() {
            let rank = self.rank(row)?;
            if rank < before {
                return Ok(false);
            }
            before = rank;
        }
        Ok(true)
    }
}

/// Puts files together whose rows name their subject in a column; they come in order of another column, if one is named, and of subject.
///
/// # Errors
/// When a file is damaged, or the disk is full.
pub(super) fn of_some(files: &[PathBuf], order: &Order, names: (Option<&str>, &str), to: &Path) -> Result<()> {
    let blocks = files.iter().map(|file| Blocks::open(file)).collect::<Result<Vec<_>>>()?;
    let batches = blocks.iter().map(Blocks::all).collect::<Result<Vec<_>>>()?;
    let ranked = batches.iter().enumerate().map(|(shard, batch)| Ranked::of(batch, names, (order, shard)));
    let ranked = ranked.collect::<Result<Vec<_>>>()?;
    let fields = fields(&blocks);
    let at = fields.iter().position(|field| field.name() == names.1).context("a file without subjects")?;
    let mut writer = BlockWriter::create(to, fields)?;
    let mut write = |some: &[Placed]| -> Result<()> {
        let places: Vec<At> = some.iter().map(|(_, at)| *at).collect();
        let mut columns = interleaved(&batches, &places)?;
        columns[at] = Arc::new(some.iter().map(|(subject, _)| Some(*subject)).collect::<UInt32Array>());
        writer.add(columns)
    };
    let mut in_order = true;
    for rows in &ranked {
        in_order = in_order && rows.is_in_order()?;
    }
    if in_order {
        merge(&ranked, &mut write)?
    } else {
        sort(&ranked, &mut write)?
    }
    writer.finish()
}

/// Hands on the rows of shards each of which has them in order, as every shard writes them: nothing is held of them but the next ones.
fn merge(ranked: &[Ranked], write: &mut dyn FnMut(&[Placed]) -> Result<()>) -> Result<()> {
    let mut next: BinaryHeap<Reverse<(Rank, usize, usize)>> = BinaryHeap::with_capacity(ranked.len());
    for (shard, rows) in ranked.iter().enumerate() {
        next.extend(rows.rank(0)?.map(|rank| Reverse((rank, shard, 0))));
    }
    let mut some: Vec<Placed> = Vec::with_capacity(BLOCK_ROWS);
    while let Some(mut least) = next.peek_mut() {
        let Reverse(((_, subject), shard, row)) = *least;
        some.push((subject, (u32::try_from(shard)?, u32::try_from(row)?)));
        match ranked[shard].rank(row + 1)? {
            Some(rank) => *least = Reverse((rank, shard, row + 1)),
            None => {
                PeekMut::pop(least);
            }
        }
        if some.len() == BLOCK_ROWS {
            write(&some)?;
            some.clear();
        }
    }
    if some.is_empty() { Ok(()) } else { write(&some) }
}

/// Hands on rows in whatever order shards have them.
fn sort(ranked: &[Ranked], write: &mut dyn FnMut(&[Placed]) -> Result<()>) -> Result<()> {
    // As narrow as they can be, for there may be one a subject.
    let mut rows: Vec<(Rank, u16, u32)> = Vec::with_capacity(ranked.iter().map(|rows| rows.subjects.len()).sum());
    for (shard, of) in (0_u16..).zip(ranked) {
        for (row, at) in (0_u32..).zip(0..of.subjects.len()) {
            rows.extend(of.rank(at)?.map(|rank| (rank, shard, row)));
        }
    }
    rows.sort_unstable();
    for some in rows.chunks(BLOCK_ROWS) {
        let placed = |((_, subject), shard, row): &(Rank, u16, u32)| (*subject, (u32::from(*shard), *row));
        write(&some.iter().map(placed).collect::<Vec<Placed>>())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use crate::tables::columns::{ints, longs};
    use crate::tables::ids::Ids;

    /// Some rows of a shard: the first number, the subject in the shard, and a number of their own.
    fn written(path: &Path, rows: &[(i64, u32, i32)]) {
        let fields = vec![
            Field::new("first", DataType::Int64, false),
            Field::new("subject", DataType::UInt32, false),
            Field::new("n", DataType::Int32, false),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|(first, ..)| Some(*first)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|(_, subject, _)| Some(*subject)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|(.., n)| Some(*n)).collect::<Int32Array>()),
        ];
        let mut writer = BlockWriter::create(path, fields).unwrap();
        writer.add(columns).unwrap();
        writer.finish().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn rows_come_in_one_order_whatever_order_shards_have_them_in(
            of in proptest::collection::vec(0_usize..3, 1..60),
            drawn in proptest::collection::vec((0_i64..3, any::<proptest::sample::Index>()), 0..300),
            in_order in any::<bool>(), with_first in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut shards = [(); 3].map(|()| Ids::default());
            let mut own = Vec::new();
            for (n, shard) in of.iter().enumerate() {
                own.push(u32::try_from(shards[*shard].len()).unwrap());
                shards[*shard].push(format!("s{n:04}").as_bytes());
            }
            let order = Order::of(&shards.iter().collect::<Vec<_>>()).unwrap().0;
            // Each row with the number of its subject among everyone and the shard.
            let row = |(n, (first, index)): (i32, &(i64, proptest::sample::Index))| {
                let subject = index.index(of.len());
                let first = if with_first { *first } else { 0 };
                (first, u32::try_from(subject).unwrap(), of[subject], n)
            };
            let mut rows: Vec<(i64, u32, usize, i32)> = (0..).zip(&drawn).map(row).collect();
            if in_order {
                rows.sort_unstable();
            }
            let paths: Vec<PathBuf> = (0..3).map(|shard| folder.path().join(shard.to_string())).collect();
            for (shard, path) in paths.iter().enumerate() {
                let of_shard = rows.iter().filter(|(_, _, of, _)| *of == shard);
                let of_shard = of_shard.map(|(first, subject, _, n)| (*first, own[*subject as usize], *n));
                written(path, &of_shard.collect::<Vec<_>>());
            }
            let to = folder.path().join("all");
            of_some(&paths, &order, (with_first.then_some("first"), "subject"), &to).unwrap();
            // Rows of one rank stay as they were: all are of one shard.
            rows.sort_by_key(|(first, subject, ..)| (*first, *subject));
            let all = Blocks::open(&to).unwrap().all().unwrap();
            let subjects = column(&all, "subject", &DataType::UInt32).unwrap().as_primitive::<UInt32Type>();
            prop_assert_eq!(subjects.values().to_vec(), rows.iter().map(|row| row.1).collect::<Vec<_>>());
            prop_assert_eq!(ints(&all, "n").unwrap(), rows.iter().map(|row| row.3).collect::<Vec<_>>());
            prop_assert_eq!(longs(&all, "first").unwrap(), rows.iter().map(|row| row.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_subject_that_a_shard_does_not_have_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::default();
        ids.push(b"a");
        let order = Order::of(&[&ids]).unwrap().0;
        let paths = [folder.path().join("0")];
        let of = |rows: &[(i64, u32, i32)]| {
            written(&paths[0], rows);
            of_some(&paths, &order, (Some("first"), "subject"), &folder.path().join("all"))
        };
        of(&[(1, 0, 5)]).unwrap();
        for rows in [[(1, 0, 5), (2, 1, 6)], [(2, 1, 6), (1, 0, 5)]] {
            assert!(of(&rows).unwrap_err().to_string().contains("a subject that it does not have"));
        }
    }
}
