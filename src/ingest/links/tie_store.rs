//! Ties on their way to the graph: eight bytes for each direction, in memory up to a budget and then in a scratch file.
//!
//! A record holds, from the highest bit down: the receiving subject's place within its partition, the sending subject,
//! the file, the interactions and the age in months, 0 for a tie that is too young to count. Sorted records therefore come by receiver, then by sender, then by
//! file, whatever the order of the rows.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;

use super::tie_blocks::{Block, Records, Spot, TieMemory};
use crate::machine::budget::Budget;
use crate::machine::large_array::LargeArray;
use crate::storage::scratch::Scratch;

/// Most interactions that are told apart.
pub const MOST_INTERACTIONS: u8 = 30;
/// Most months of age that are told apart.
pub const MOST_MONTHS: i64 = 2_046;
const INTERACTION_BITS: u32 = 5;
const MONTH_BITS: u32 = 11;
/// One of so many blocks is counted to tell which subjects are hubs.
const SAMPLE: usize = 8;
/// Bits below the file.
const CONTENT_BITS: u32 = INTERACTION_BITS + MONTH_BITS;
/// Subjects of a partition, as a power of two: their ties fit the cache.
const PARTITION_BITS: u32 = 13;
/// Subjects of a partition, but for the last.
pub const PARTITION: usize = 1 << PARTITION_BITS;

/// How records are laid out for so many subjects and files.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    subjects: usize,
    from_bits: u32,
    file_bits: u32,
}

impl Packing {
    /// The layout; with very many subjects the last of very many files share one number.
    #[must_use]
    pub fn new(subjects: usize, files: usize) -> Self {
        let bits = |count: usize| usize::BITS - count.saturating_sub(1).leading_zeros();
        let from_bits = bits(subjects).min(32);
        let file_bits = bits(files).min(u64::BITS - PARTITION_BITS - from_bits - CONTENT_BITS);
        Self { subjects, from_bits, file_bits }
    }

    /// Number of partitions.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.subjects.div_ceil(PARTITION)
    }

    /// The subjects of a partition.
    #[must_use]
    pub fn subjects(&self, partition: usize) -> std::ops::Range<usize> {
        let from = partition << PARTITION_BITS;
        from.min(self.subjects)..((partition + 1) << PARTITION_BITS).min(self.subjects)
    }

    /// Number of files that are told apart.
    #[must_use]
    pub const fn files(&self) -> usize {
        1 << self.file_bits
    }

    /// The receiver's place within its partition.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the highest bits of the key")]
    pub const fn local(&self, record: u64) -> usize {
        (record >> (CONTENT_BITS + self.file_bits + self.from_bits)) as usize
    }

    /// The sender.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "masked to at most 32 bits")]
    pub const fn from(&self, record: u64) -> u32 {
        ((record >> (CONTENT_BITS + self.file_bits)) & ((1 << self.from_bits) - 1)) as u32
    }

    /// The file; see [`Packing::files`].
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "masked to its bits")]
    pub const fn file(&self, record: u64) -> usize {
        (record >> CONTENT_BITS) as usize & ((1 << self.file_bits) - 1)
    }

    /// The code of the interactions, below 32.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "masked to its bits")]
    pub const fn code(record: u64) -> usize {
        (record >> MONTH_BITS) as usize & ((1 << INTERACTION_BITS) - 1)
    }

    /// The interactions that a code stands for; `None` when not told.
    #[must_use]
    pub fn interactions(code: usize) -> Option<u8> {
        u8::try_from(code.checked_sub(1)?).ok()
    }

    /// The age in whole months.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "masked to its bits")]
    pub const fn months(record: u64) -> u16 {
        ((record & ((1 << MONTH_BITS) - 1)) as u16).saturating_sub(1)
    }

    /// Whether the tie is younger than the model asks for.
    #[must_use]
    #[inline]
    pub const fn young(record: u64) -> bool {
        record & ((1 << MONTH_BITS) - 1) == 0
    }

    /// One record of two for the same tie, with the larger interactions, the larger age and the first file, and the other
    /// file. What is not told counts as one interaction: more than none, less than two.
    #[must_use]
    pub fn merged(&self, one: u64, other: u64) -> (u64, usize) {
        let rank = |code: &usize| if *code == 0 { 3 } else { 2 * code };
        let code = [Self::code(one), Self::code(other)].into_iter().max_by_key(rank).unwrap_or(0) as u64;
        let months = [one, other].map(|r| r & ((1 << MONTH_BITS) - 1)).into_iter().max().unwrap_or(0);
        let (first, last) = if self.file(one) <= self.file(other) { (one, other) } else { (other, one) };
        ((first >> CONTENT_BITS << CONTENT_BITS) | (code << MONTH_BITS) | months, self.file(last))
    }

    const fn partition(to: u32) -> usize {
        (to >> PARTITION_BITS) as usize
    }

    /// The record of a tie of a file for one of its ends; `content` is what [`content`] makes of the rest of the row.
    #[inline]
    pub(crate) fn pack(&self, to: u32, from: u32, file: u32, content: u64) -> u64 {
        let local = u64::from(to & ((1 << PARTITION_BITS) - 1));
        let file = u64::from(file).min(self.files() as u64 - 1);
        (((local << self.from_bits) | u64::from(from)) << self.file_bits | file) << CONTENT_BITS | content
    }

    /// The record with another number for the sender and, where the receiver stood, what is told of it, below [`PARTITION`]:
    /// [`Packing::local`] is that then.
    #[inline]
    pub(crate) fn renamed(&self, record: u64, from: u32, told: u64) -> u64 {
        let low = CONTENT_BITS + self.file_bits;
        (((told << self.from_bits) | u64::from(from)) << low) | (record & ((1 << low) - 1))
    }
}

/// What a row says about its tie besides the two ends: interactions, if they are told, and age in months, unless it is too young.
#[must_use]
pub fn content(interactions: Option<i64>, months: Option<i64>) -> u64 {
    let told = |i: i64| i.clamp(0, MOST_INTERACTIONS.into()).cast_unsigned() + 1;
    let age = months.map_or(0, |m| m.clamp(0, MOST_MONTHS) + 1);
    (interactions.map_or(0, told) << MONTH_BITS) | age.cast_unsigned()
}

/// Where the records of each partition end, in bytes.
fn ends(starts: &[u32]) -> Vec<usize> {
    starts.iter().skip(1).map(|start| 8 * *start as usize).collect()
}

/// The ties of a run.
#[derive(Debug)]
pub struct TieStore<'a> {
    packing: Packing,
    memory: TieMemory,
    blocks: Mutex<Vec<Block>>,
    rows: Mutex<Vec<u64>>,
    budget: &'a Budget,
    scratch: Scratch,
}

impl<'a> TieStore<'a> {
    /// An empty store that spills into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made.
    pub fn new(subjects: usize, files: usize, budget: &'a Budget, scratch: &Path) -> Result<Self> {
        let scratch = Scratch::below(scratch)?;
        Ok(Self {
            packing: Packing::new(subjects, files),
            memory: TieMemory::default(),
            blocks: Mutex::default(),
            rows: Mutex::new(vec![0; files]),
            budget,
            scratch,
        })
    }

    /// Adds the ties of one file: two different subjects, and what [`content`] makes of the rest of the row.
    ///
    /// # Errors
    /// When the scratch file cannot be written, for example on a full disk, or the system has no memory.
    pub fn add(&self, file: u32, ties: &[(u32, u32, u64)]) -> Result<()> {
        if ties.is_empty() {
            return Ok(());
        }
        let mut starts = vec![0_u32; self.packing.partitions() + 1];
        for (a, b, _) in ties {
            starts[Packing::partition(*a) + 1] += 1;
            starts[Packing::partition(*b) + 1] += 1;
        }
        for p in 1..starts.len() {
            starts[p] += starts[p - 1];
        }
        let len = 2 * ties.len();
        let records = if self.budget.take(8 * len as u64) {
            let mut array = self.memory.with_room(len)?;
            let (spot, records) = array.next(len);
            self.divide(file, ties, &mut starts.clone(), records);
            self.memory.give_back(array)?;
            Records::Kept(spot)
        } else {
            let mut records = vec![0_u64; len];
            self.divide(file, ties, &mut starts.clone(), &mut records);
            let bytes: Vec<u8> = records.iter().flat_map(|r| r.to_le_bytes()).collect();
            let written = self.scratch.write(&bytes, &ends(&starts));
            Records::Spilled(written.context("spilling ties to the scratch file; is the disk full? See --scratch")?)
        };
        let failed = || anyhow!("another thread failed");
        self.blocks.lock().map_err(|_| failed())?.push(Block { starts: starts.into(), records });
        self.rows.lock().map_err(|_| failed())?[file as usize] += ties.len() as u64;
        Ok(())
    }

    /// Writes the records of ties, partition by partition; `next` is where those of each begin, and afterwards where they
    /// end.
    fn divide(&self, file: u32, ties: &[(u32, u32, u64)], next: &mut [u32], records: &mut [u64]) {
        let packing = self.packing;
        for (a, b, content) in ties {
            for (to, from) in [(*a, *b), (*b, *a)] {
                let place = &mut next[Packing::partition(to)];
                records[*place as usize] = packing.pack(to, from, file, *content);
                *place += 1;
            }
        }
    }

    /// Every tie is there: what follows reads partitions.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Ties<'a>> {
        let failed = || anyhow!("another thread failed");
        Ok(Ties {
            packing: self.packing,
            arrays: self.memory.finish()?,
            blocks: self.blocks.into_inner().map_err(|_| failed())?,
            rows: self.rows.into_inner().map_err(|_| failed())?,
            budget: self.budget,
            scratch: self.scratch,
        })
    }
}

/// All ties, by partition of the receiver.
#[derive(Debug)]
pub struct Ties<'a> {
    packing: Packing,
    arrays: Vec<LargeArray<u64>>,
    blocks: Vec<Block>,
    /// Rows by file.
    pub rows: Vec<u64>,
    budget: &'a Budget,
    scratch: Scratch,
}

impl Ties<'_> {
    /// How records are laid out.
    #[must_use]
    pub const fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Number of records: two a row.
    #[must_use]
    pub fn len(&self) -> u64 {
        2 * self.rows.iter().sum::<u64>()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many ties each subject has: counted in one block of [`SAMPLE`]. A block has both records of each of its
    /// ties, so that those that a subject receives are as many as those that it sends, and lie together.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn sampled_degrees(&self) -> Result<Vec<u32>> {
        let step = if self.blocks.len() < SAMPLE { 1 } else { SAMPLE };
        let mut degree = vec![0_u32; self.packing.subjects];
        degree.par_chunks_mut(PARTITION).enumerate().try_for_each(|(partition, degree)| -> Result<()> {
            for records in self.of_blocks(partition, step)? {
                records.iter().for_each(|r| degree[self.packing.local(*r)] += 1);
            }
            Ok(())
        })?;
        Ok(degree)
    }

    /// The records of a partition, in no order, block by block.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn partition(&self, partition: usize) -> Result<Vec<Cow<'_, [u64]>>> {
        self.of_blocks(partition, 1)
    }

    /// The same of every so manieth block.
    fn of_blocks(&self, partition: usize, step: usize) -> Result<Vec<Cow<'_, [u64]>>> {
        let mut all = Vec::with_capacity(self.blocks.len().div_ceil(step));
        let mut bytes = Vec::new();
        for block in self.blocks.iter().step_by(step) {
            let range = block.starts[partition] as usize..block.starts[partition + 1] as usize;
            match &block.records {
                _ if range.is_empty() => {}
                Records::Kept(Spot { array, from }) => {
                    all.push(Cow::Borrowed(&self.arrays[*array][from + range.start..from + range.end]));
                }
                Records::Spilled(offset) => {
                    let from = self.scratch.part(*offset, partition, 8 * range.start);
                    self.scratch.read(from, 8 * range.len(), &mut bytes)?;
                    let records = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
                    all.push(Cow::Owned(records.collect()));
                }
            }
        }
        Ok(all)
    }
}

impl Drop for Ties<'_> {
    fn drop(&mut self) {
        let kept = self.blocks.iter().filter(|block| matches!(block.records, Records::Kept(_)));
        self.budget.give_back(kept.map(Block::bytes).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            subjects in prop_oneof![1_usize..100_000, Just(u32::MAX as usize)],
            ends in any::<(u32, u32)>(), file in 0_u32..8, interactions in proptest::option::of(0_i64..40), months in 0_i64..3000,
        ) {
            let packing = Packing::new(subjects, 8);
            let last = u32::try_from(subjects).unwrap();
            let (to, from) = (ends.0 % last, ends.1 % last);
            let record = packing.pack(to, from, file, content(interactions, Some(months)));
            prop_assert_eq!(packing.subjects(Packing::partition(to)).start + packing.local(record), to as usize);
            prop_assert_eq!((packing.from(record), packing.file(record)), (from, file as usize));
            let told = Packing::interactions(Packing::code(record)).map(i64::from);
            prop_assert_eq!(told, interactions.map(|i| i.min(30)));
            prop_assert_eq!(i64::from(Packing::months(record)), months.min(MOST_MONTHS));
            let told = PARTITION - 1 - packing.local(record);
            let renamed = packing.renamed(record, to, told as u64);
            prop_assert_eq!((packing.from(renamed), packing.local(renamed)), (to, told));
            prop_assert_eq!(packing.renamed(renamed, from, packing.local(record) as u64), record);
            let later = packing.pack(to, from, 7, content(Some(2), Some(9)));
            let (merged, repeated) = packing.merged(later, record);
            prop_assert_eq!((packing.merged(record, later).0, repeated), (merged, 7));
            prop_assert_eq!((packing.from(merged), packing.file(merged)), (from, file as usize));
            prop_assert_eq!(Packing::interactions(Packing::code(merged)).map(i64::from), interactions.map_or(Some(2), |i| Some(i.clamp(2, 30))));
        }
    }

    #[test]
    fn partitions_hold_both_directions_whether_kept_or_spilled() {
        let folder = tempfile::tempdir().unwrap();
        let ties: Vec<(u32, u32, u64)> = (0..9_000).map(|n| (n, 19_999 - n, content(Some(3), Some(7)))).collect();
        let mut all = Vec::new();
        for memory in [0, 1 << 20] {
            let budget = Budget::new(memory);
            let store = TieStore::new(20_000, 1, &budget, folder.path()).unwrap();
            store.add(0, &ties[..4_000]).unwrap();
            store.add(0, &ties[4_000..]).unwrap();
            let ties = store.finish().unwrap();
            let partitions: Vec<Vec<u64>> = (0..3).map(|p| ties.partition(p).unwrap().concat()).collect();
            assert_eq!(partitions.iter().map(|p| p.len() as u64).sum::<u64>(), ties.len());
            let first = partitions[2][0];
            assert!(ties.packing().from(first) < 9_000 && Packing::months(first) == 7);
            all.push(partitions);
        }
        assert!(all[0] == all[1]);
    }
}
