//! Rated subjects of a shard, kept until those of all shards are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, BinaryArray, Int16Array, Int32Array, RecordBatch, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Int16Type, UInt8Type, UInt32Type};

use super::rated::{Contested, Rated};
use super::rows::ScoredRows;
use crate::tables::blocks::{BLOCK_ROWS, BlockWriter, Blocks};
use crate::tables::columns::{codes, column, ints, named};
use crate::tables::ids::{self, Ids, SubjectIds};
use crate::tables::scores::SUBJECT_ID;

const RATED: &str = "rated.parquet";
const CONTESTED: &str = "contested.parquet";

/// Writes the rated subjects of a shard, each with so many bins.
///
/// # Errors
/// When the disk is full.
pub fn write(folder: &Path, subjects: &SubjectIds, rated: &Rated, width: usize) -> Result<()> {
    let rows = &rated.rows;
    let mut file = BlockWriter::create(
        &folder.join(RATED),
        vec![
            Field::new(SUBJECT_ID, ids::data_type(subjects)?, false),
            Field::new("segment", DataType::UInt8, false),
            Field::new("status", DataType::UInt8, false),
            Field::new("confidence", DataType::Int16, false),
            Field::new("own_share", DataType::UInt32, false),
            Field::new("marks", DataType::UInt8, false),
            Field::new("triggered", DataType::UInt8, true),
            Field::new("disputed", DataType::Int32, false),
            Field::new("bins", DataType::Binary, false),
        ],
    )?;
    for from in (0..subjects.len()).step_by(BLOCK_ROWS) {
        let some = from..(from + BLOCK_ROWS).min(subjects.len());
        let bins = some.clone().map(|s| &rows.bins[s * width..(s + 1) * width]);
        file.add(vec![
            ids::column(subjects, some.clone())?,
            Arc::new(UInt8Array::from(rows.segment[some.clone()].to_vec())),
            Arc::new(UInt8Array::from(rows.status[some.clone()].to_vec())),
            Arc::new(Int16Array::from(rows.confidence[some.clone()].to_vec())),
            Arc::new(UInt32Array::from(rows.own_share[some.clone()].to_vec())),
            Arc::new(UInt8Array::from(rows.marks[some.clone()].to_vec())),
            Arc::new(UInt8Array::from(rows.triggered[some.clone()].to_vec())),
            Arc::new(Int32Array::from(rows.disputed[some.clone()].to_vec())),
            Arc::new(BinaryArray::from_iter_values(bins)),
        ])?;
    }
    file.finish()?;
    let mut file = BlockWriter::create(
        &folder.join(CONTESTED),
        vec![
            Field::new("subject", DataType::UInt32, false),
            Field::new("held", DataType::UInt8, true),
            Field::new("bins", DataType::Binary, false),
        ],
    )?;
    for some in rated.contested.chunks(BLOCK_ROWS) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(some.iter().map(|c| Some(c.subject)).collect::<UInt32Array>()),
            Arc::new(some.iter().map(|c| c.held).collect::<UInt8Array>()),
            Arc::new(BinaryArray::from_iter_values(some.iter().map(|c| c.bins.as_slice()))),
        ];
        file.add(columns)?;
    }
    file.finish()
}

/// A shard of which rated subjects are kept.
pub struct OfShard<'a> {
    /// Their folder.
    pub folder: PathBuf,
    /// The numbers among everyone of its subjects.
    pub numbers: Vec<u32>,
    /// Their ids, in blocks of [`BLOCK_ROWS`]: nobody holds all of them.
    pub ids: Box<dyn Iterator<Item = Result<Ids>> + 'a>,
}

/// The rated subjects of all shards, in order of id. `scored` says which statuses have a score.
///
/// # Errors
/// When a file is damaged, or tells of other subjects.
pub fn read(shards: Vec<OfShard>, scored: Vec<bool>, width: usize) -> Result<Rated> {
    let subjects: usize = shards.iter().map(|shard| shard.numbers.len()).sum();
    let mut rows = ScoredRows {
        segment: vec![0; subjects],
        status: vec![0; subjects],
        confidence: vec![0; subjects],
        bins: vec![0; subjects * width],
        own_share: vec![0; subjects],
        marks: vec![0; subjects],
        triggered: vec![None; subjects],
        disputed: vec![0; subjects],
        ..ScoredRows::default()
    };
    let mut contested = Vec::new();
    for mut shard in shards {
        let folder = shard.folder.clone();
        let rated = || format!("rated subjects in {}", folder.display());
        fill(&mut rows, &mut shard, width).with_context(rated)?;
        add(&mut contested, &folder, &shard.numbers, width).with_context(rated)?;
    }
    contested.sort_by_key(|c: &Contested| c.subject);
    Ok(Rated { rows, contested, scored })
}

/// Puts a shard's rows where its subjects are.
fn fill(rows: &mut ScoredRows, shard: &mut OfShard, width: usize) -> Result<()> {
    let (subjects, numbers) = (rows.status.len(), &shard.numbers);
    let blocks = Blocks::open(&shard.folder.join(RATED))?;
    ensure!(blocks.rows() == numbers.len(), "{} of {} subjects", blocks.rows(), numbers.len());
    let mut left = numbers.iter();
    for at in 0..blocks.len() {
        let block = blocks.block(at)?;
        let mut own = Ids::default();
        ids::push(named(&block, SUBJECT_ID)?, &mut own)?;
        let known = shard.ids.next().context("it has fewer subjects")??;
        ensure!(known.len() == own.len(), "its subjects are others");
        let (segment, status) = (bytes(&block, "segment")?, bytes(&block, "status")?);
        let marks = bytes(&block, "marks")?;
        let confidence = column(&block, "confidence", &DataType::Int16)?.as_primitive::<Int16Type>().values();
        let own_share = column(&block, "own_share", &DataType::UInt32)?.as_primitive::<UInt32Type>().values();
        let bins = column(&block, "bins", &DataType::Binary)?.as_binary::<i32>();
        let (triggered, disputed) = (codes(&block, "triggered")?, ints(&block, "disputed")?);
        ensure!(own.len() <= left.len(), "it has more subjects than its file says");
        for (row, number) in (0..block.num_rows()).zip(left.by_ref()) {
            let s = *number as usize;
            ensure!(s < subjects && own.get(row) == known.get(row), "its subjects are others");
            (rows.segment[s], rows.status[s], rows.marks[s]) = (segment[row], status[row], marks[row]);
            (rows.confidence[s], rows.own_share[s]) = (confidence[row], own_share[row]);
            (rows.triggered[s], rows.disputed[s]) = (triggered[row], disputed[row]);
            let of = bins.value(row);
            ensure!(of.len() == width, "{} bins instead of {width}", of.len());
            rows.bins[s * width..(s + 1) * width].copy_from_slice(of);
        }
    }
    ensure!(left.next().is_none(), "it has fewer subjects than its file says");
    for more in shard.ids.by_ref() {
        let more = more?.len();
        ensure!(more == 0, "at least {more} of its subjects are not rated");
    }
    Ok(())
}

/// A column of small numbers without nulls.
fn bytes<'a>(block: &'a RecordBatch, name: &str) -> Result<&'a [u8]> {
    Ok(column(block, name, &DataType::UInt8)?.as_primitive::<UInt8Type>().values())
}

/// Adds a shard's subjects with contested records.
fn add(contested: &mut Vec<Contested>, folder: &Path, numbers: &[u32], width: usize) -> Result<()> {
    let all = Blocks::open(&folder.join(CONTESTED))?.all()?;
    let subjects = column(&all, "subject", &DataType::UInt32)?.as_primitive::<UInt32Type>().values();
    let (held, bins) = (codes(&all, "held")?, column(&all, "bins", &DataType::Binary)?.as_binary::<i32>());
    for (row, (subject, held)) in subjects.iter().zip(held).enumerate() {
        let subject = *numbers.get(*subject as usize).context("a subject that the shard does not have")?;
        let bins = bins.value(row).to_vec();
        ensure!(bins.len() == width, "{} bins instead of {width}", bins.len());
        contested.push(Contested { subject, bins, held });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ids::IdForm;

    /// Some rated subjects by their numbers.
    fn some(numbers: &[u32]) -> (SubjectIds, Rated) {
        let mut ids = Ids::default();
        let mut rows = ScoredRows::default();
        let mut contested = Vec::new();
        for (at, n) in (0_u32..).zip(numbers) {
            ids.push(format!("s{n:04}").as_bytes());
            let byte = u8::try_from(n % 200).unwrap();
            rows.segment.push(byte % 4);
            rows.status.push(byte % 9);
            rows.confidence.push(i16::from(byte));
            rows.own_share.push(n * 1_000);
            rows.marks.push(byte % 3);
            rows.triggered.push((n % 5 == 0).then_some(byte));
            rows.disputed.push(i32::from(byte % 2));
            rows.bins.extend([byte, byte / 2]);
            if n % 7 == 0 {
                contested.push(Contested { subject: at, bins: vec![byte, 1], held: (n % 2 == 0).then_some(3) });
            }
        }
        (SubjectIds { ids, form: IdForm::Text }, Rated { rows, contested, scored: vec![true, false] })
    }

    /// The only block of a shard's ids.
    fn block(ids: Result<Ids>) -> Box<dyn Iterator<Item = Result<Ids>>> {
        Box::new(std::iter::once(ids))
    }

    #[test]
    fn subjects_rated_apart_are_those_rated_together() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<u32> = (0..300).collect();
        let whole = some(&all).1;
        let mut shards = Vec::new();
        for shard in 0..4 {
            // The last one has nobody.
            let numbers: Vec<u32> = all.iter().copied().filter(|n| n * n % 3 == shard).collect();
            let place = folder.path().join(shard.to_string());
            std::fs::create_dir(&place).unwrap();
            let (ids, rated) = some(&numbers);
            write(&place, &ids, &rated, 2).unwrap();
            shards.push((place, numbers, ids.ids));
        }
        let of = |shards: &[(PathBuf, Vec<u32>, Ids)]| -> Vec<OfShard<'static>> {
            let one = |(folder, numbers, ids): &(PathBuf, Vec<u32>, Ids)| OfShard {
                folder: folder.clone(),
                numbers: numbers.clone(),
                ids: block(Ok(ids.clone())),
            };
            shards.iter().map(one).collect()
        };
        let together = read(of(&shards), vec![true, false], 2).unwrap();
        assert_eq!(format!("{:?}", together.rows), format!("{:?}", whole.rows));
        assert_eq!(format!("{:?}", together.contested), format!("{:?}", whole.contested));
        assert!(read(of(&shards), Vec::new(), 3).is_err());
        // Rows of other subjects, of fewer, and of none.
        let refused = |other: &dyn Fn(&mut OfShard<'static>)| {
            let mut shards = of(&shards);
            other(&mut shards[0]);
            read(shards, Vec::new(), 2).is_err()
        };
        assert!(!refused(&|_| ()));
        let ids = |numbers: &[u32]| some(numbers).0.ids;
        let next: Vec<u32> = shards[0].1.iter().map(|n| n + 1).collect();
        assert!(refused(&|shard| shard.ids = block(Ok(ids(&next)))));
        assert!(refused(&|shard| shard.ids = block(Ok(ids(&next[1..])))));
        assert!(refused(&|shard| shard.ids = Box::new(std::iter::empty())));
        assert!(refused(&|shard| shard.ids = block(Err(anyhow::anyhow!("damaged")))));
        // Subjects that nobody rated, also where they cannot be read.
        let own = ids(&shards[0].1);
        let followed_by = |more: Result<Ids>| Box::new([Ok(own.clone()), more].into_iter());
        assert!(refused(&|shard| shard.ids = followed_by(Ok(ids(&[299])))));
        assert!(refused(&|shard| shard.ids = followed_by(Err(anyhow::anyhow!("damaged")))));
        assert!(refused(&|shard| shard.numbers.truncate(99)));
        assert!(refused(&|shard| shard.numbers[0] = 300));
    }
}
