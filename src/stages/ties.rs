//! The stage of ties: every row that is one, whoever of its ends is counted later. Subjects have shuffled numbers in it, so that
//! their places in the scored table do not tell whose friends they are.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{AsArray, UInt16Array, UInt32Array};
use arrow::datatypes::{DataType, Field, UInt16Type, UInt32Type};

use super::store::{NewStage, Stage};
use crate::ingest::links::ties::{Origin, Tie};
use crate::storage::aside::Aside;
use crate::tables::blocks::{BlockWriter, Blocks};
use crate::tables::columns::column;

const TIES: &str = "ties.parquet";
/// Random bytes that are drawn at a time: a multiple of the eight that one number takes.
const DRAWN: usize = 1_024;

/// Bytes of a tie that is put aside: the numbers of its two ends, and its content.
const BYTES: usize = 10;

/// Takes ties in any order, and writes the stage in the order of the rows they come from: the same bytes for any number of threads.
pub struct Writer {
    file: BlockWriter,
    /// The shuffled number of each subject.
    shuffled: Vec<u32>,
    aside: Aside<Origin>,
}

/// A number for each of so many subjects, in an order that the seed decides (Fisher and Yates).
fn shuffled(seed: &[u8; 32], subjects: usize) -> Result<Vec<u32>> {
    let mut random = blake3::Hasher::new_keyed(seed).finalize_xof();
    let mut numbers: Vec<u32> = (0..u32::try_from(subjects)?).collect();
    // Many at a time: a few bytes cost as much as a whole block of them.
    let (mut drawn, mut eight) = ([0_u8; DRAWN], [0_u8; 8]);
    let mut at = DRAWN;
    for left in (1..numbers.len()).rev() {
        if at == DRAWN {
            random.fill(&mut drawn);
            at = 0;
        }
        eight.copy_from_slice(&drawn[at..at + 8]);
        at += 8;
        // The remainder of 2^64 by a number below 2^32 favours none by more than 2^-32.
        let other = u64::from_le_bytes(eight) % (left as u64 + 1);
        numbers.swap(left, usize::try_from(other)?);
    }
    Ok(numbers)
}

impl Writer {
    /// Begins the stage. Ties lie in an unnamed file below a folder until all are there.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(stage: &NewStage, subjects: usize, scratch: &Path) -> Result<Self> {
        let fields = vec![
            Field::new("a", DataType::UInt32, false),
            Field::new("b", DataType::UInt32, false),
            Field::new("content", DataType::UInt16, false),
            Field::new("file", DataType::UInt32, false),
        ];
        Ok(Self {
            file: BlockWriter::create(&stage.path(TIES), fields)?,
            shuffled: shuffled(&stage.seed(), subjects)?,
            aside: Aside::below(scratch)?,
        })
    }

    /// Adds ties.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&self, origin: Origin, ties: &[Tie]) -> Result<()> {
        let mut bytes = Vec::with_capacity(BYTES * ties.len());
        for (a, b, content) in ties {
            bytes.extend_from_slice(&self.shuffled[*a as usize].to_le_bytes());
            bytes.extend_from_slice(&self.shuffled[*b as usize].to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(*content)?.to_le_bytes());
        }
        let put = self.aside.put(origin, &bytes);
        put.context("putting ties aside in the scratch file; is the disk full? See --scratch")
    }

    /// Writes the stage's file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        let Self { mut file, aside, .. } = self;
        aside.in_order(&mut |origin, bytes| {
            let ties = bytes.as_chunks::<BYTES>().0;
            let ends = |from: usize| {
                ties.iter().map(move |t| u32::from_le_bytes([t[from], t[from + 1], t[from + 2], t[from + 3]]))
            };
            file.add(vec![
                Arc::new(UInt32Array::from_iter_values(ends(0))),
                Arc::new(UInt32Array::from_iter_values(ends(4))),
                Arc::new(UInt16Array::from_iter_values(ties.iter().map(|t| u16::from_le_bytes([t[8], t[9]])))),
                Arc::new(UInt32Array::from(vec![origin.0; ties.len()])),
            ])
        })?;
        file.finish()
    }
}

/// The stage, opened.
#[derive(Debug)]
pub struct Ties {
    blocks: Blocks,
    /// What numbers are shuffled by, and of how many subjects.
    seed: [u8; 32],
    subjects: usize,
}

impl Ties {
    /// Opens the stage.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(stage: &Stage, subjects: usize) -> Result<Self> {
        Ok(Self { blocks: Blocks::open(&stage.path(TIES))?, seed: stage.seed(), subjects })
    }

    /// The subject of each number that ties name their ends by, worked out anew: whoever needs them holds them no longer than that.
    ///
    /// # Errors
    /// When there are too many subjects.
    pub fn subjects(&self) -> Result<Vec<u32>> {
        let mut of = vec![0; self.subjects];
        for (subject, number) in (0_u32..).zip(shuffled(&self.seed, self.subjects)?) {
            of[number as usize] = subject;
        }
        Ok(of)
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Number of ties.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.blocks.rows() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.rows() == 0
    }

    /// The ties of a block by the numbers of their ends, each with its file.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn block(&self, at: usize) -> Result<Vec<(u32, Tie)>> {
        let block = self.blocks.block(at)?;
        let numbers = |name| Ok(column(&block, name, &DataType::UInt32)?.as_primitive::<UInt32Type>().values());
        let content = column(&block, "content", &DataType::UInt16)?.as_primitive::<UInt16Type>().values();
        let (a, b, file): (_, _, Result<_>) = (numbers("a")?, numbers("b")?, numbers("file"));
        let file = file?;
        Ok((0..block.num_rows()).map(|n| (file[n], (a[n], b[n], u64::from(content[n])))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_eight_bytes_after_the_other() {
        for subjects in [0, 1, 2, 127, 128, 129, 130, 1_000] {
            let seed = *blake3::hash(b"a seed").as_bytes();
            let mut random = blake3::Hasher::new_keyed(&seed).finalize_xof();
            let mut expected: Vec<u32> = (0..subjects).collect();
            for left in (1..expected.len()).rev() {
                let mut bytes = [0; 8];
                random.fill(&mut bytes);
                let other = u64::from_le_bytes(bytes) % (left as u64 + 1);
                expected.swap(left, usize::try_from(other).unwrap());
            }
            assert_eq!(shuffled(&seed, subjects as usize).unwrap(), expected, "{subjects} subjects");
        }
    }
}
