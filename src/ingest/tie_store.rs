//! Ties on their way to the graph: eight bytes for each direction, in memory up to a budget and then in a scratch file.
//!
//! A record holds, from the highest bit down: the receiving subject's place within its partition, the sending subject,
//! the file, the interactions and the age in months. Sorted records therefore come by receiver, then by sender, then by
//! file, whatever the order of the rows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};

use super::store::Budget;

/// Most interactions that are told apart.
pub const MOST_INTERACTIONS: i64 = 30;
/// Most months of age that are told apart.
pub const MOST_MONTHS: i64 = 2_047;
const INTERACTION_BITS: u32 = 5;
const MONTH_BITS: u32 = 11;
/// Bits below the file, which do not tell records apart.
const CONTENT_BITS: u32 = INTERACTION_BITS + MONTH_BITS;
/// Subjects of a partition, as a power of two: their ties fit the cache.
const PARTITION_BITS: u32 = 13;

/// One direction of a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie {
    /// The receiving subject's place within its partition.
    pub local: u32,
    /// The sending subject.
    pub from: u32,
    /// The file the row stands in; see [`Packing::files`].
    pub file: u32,
    /// Interactions, at most [`MOST_INTERACTIONS`]; `None` when not told.
    pub interactions: Option<u8>,
    /// Age in whole months, at most [`MOST_MONTHS`].
    pub months: u16,
}

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
        self.subjects.div_ceil(1 << PARTITION_BITS)
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

    /// The bits that order records: all above the interactions.
    #[must_use]
    pub const fn key_bits(&self) -> std::ops::Range<u32> {
        CONTENT_BITS..CONTENT_BITS + self.file_bits + self.from_bits + PARTITION_BITS
    }

    /// The bits that tell two ties of one receiver and sender apart are left out.
    #[must_use]
    pub const fn pair(&self, record: u64) -> u64 {
        record >> (CONTENT_BITS + self.file_bits)
    }

    const fn partition(to: u32) -> usize {
        (to >> PARTITION_BITS) as usize
    }

    fn pack(&self, to: u32, from: u32, file: u32, content: u64) -> u64 {
        let local = u64::from(to & ((1 << PARTITION_BITS) - 1));
        let file = u64::from(file).min(self.files() as u64 - 1);
        (((local << self.from_bits) | u64::from(from)) << self.file_bits | file) << CONTENT_BITS | content
    }

    /// A record in parts.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "every part is masked to its bits")]
    pub const fn unpack(&self, record: u64) -> Tie {
        const fn low(value: u64, bits: u32) -> u64 {
            value & ((1 << bits) - 1)
        }
        let pair = record >> CONTENT_BITS;
        let interactions = low(record >> MONTH_BITS, INTERACTION_BITS) as u8;
        Tie {
            local: low(pair >> (self.file_bits + self.from_bits), PARTITION_BITS) as u32,
            from: low(pair >> self.file_bits, self.from_bits) as u32,
            file: low(pair, self.file_bits) as u32,
            interactions: if interactions == 0 { None } else { Some(interactions - 1) },
            months: low(record, MONTH_BITS) as u16,
        }
    }
}

/// What a row says about its tie besides the two ends.
#[must_use]
pub fn content(interactions: Option<i64>, months: i64) -> u64 {
    let interactions = interactions.map_or(0, |i| i.clamp(0, MOST_INTERACTIONS) + 1);
    (interactions.cast_unsigned() << MONTH_BITS) | months.clamp(0, MOST_MONTHS).cast_unsigned()
}

/// One batch's records, sorted by partition.
#[derive(Debug)]
struct Block {
    starts: Box<[u32]>,
    records: Records,
}

#[derive(Debug)]
enum Records {
    Kept(Box<[u64]>),
    Spilled(u64),
}

/// The ties of a run.
#[derive(Debug)]
pub struct TieStore<'a> {
    packing: Packing,
    blocks: Mutex<Vec<Block>>,
    rows: Mutex<Vec<u64>>,
    budget: &'a Budget,
    scratch: File,
    end: AtomicU64,
}

impl<'a> TieStore<'a> {
    /// An empty store that spills into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made.
    pub fn new(subjects: usize, files: usize, budget: &'a Budget, scratch: &Path) -> Result<Self> {
        let scratch =
            tempfile::tempfile_in(scratch).with_context(|| format!("a scratch file in {}", scratch.display()))?;
        Ok(Self {
            packing: Packing::new(subjects, files),
            blocks: Mutex::default(),
            rows: Mutex::new(vec![0; files]),
            budget,
            scratch,
            end: AtomicU64::new(0),
        })
    }

    /// How records are laid out.
    #[must_use]
    pub const fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Adds the ties of one file: two different subjects, and what [`content`] makes of the rest of the row.
    ///
    /// # Errors
    /// When the scratch file cannot be written, for example on a full disk.
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
        let mut next = starts.clone();
        let mut records = vec![0_u64; 2 * ties.len()];
        for (a, b, content) in ties {
            for (to, from) in [(*a, *b), (*b, *a)] {
                let place = &mut next[Packing::partition(to)];
                records[*place as usize] = self.packing.pack(to, from, file, *content);
                *place += 1;
            }
        }
        let size = 8 * records.len() as u64;
        let records = if self.budget.take(size) {
            Records::Kept(records.into())
        } else {
            let offset = self.end.fetch_add(size, Ordering::Relaxed);
            let bytes: Vec<u8> = records.iter().flat_map(|r| r.to_le_bytes()).collect();
            self.scratch
                .write_all_at(&bytes, offset)
                .context("spilling ties to the scratch file; is the disk full? See --scratch")?;
            Records::Spilled(offset)
        };
        let failed = || anyhow!("another thread failed");
        self.blocks.lock().map_err(|_| failed())?.push(Block { starts: starts.into(), records });
        self.rows.lock().map_err(|_| failed())?[file as usize] += ties.len() as u64;
        Ok(())
    }

    /// Every tie is there: what follows reads partitions.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Ties<'a>> {
        let failed = || anyhow!("another thread failed");
        Ok(Ties {
            packing: self.packing,
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
    blocks: Vec<Block>,
    /// Rows by file.
    pub rows: Vec<u64>,
    budget: &'a Budget,
    scratch: File,
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

    /// The records of a partition, in no order.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn partition(&self, partition: usize) -> Result<Vec<u64>> {
        let of = |block: &Block| block.starts[partition] as usize..block.starts[partition + 1] as usize;
        let mut all = Vec::with_capacity(self.blocks.iter().map(|b| of(b).len()).sum());
        let mut bytes = Vec::new();
        for block in &self.blocks {
            let range = of(block);
            match &block.records {
                Records::Kept(records) => all.extend_from_slice(&records[range]),
                Records::Spilled(_) if range.is_empty() => {}
                Records::Spilled(offset) => {
                    bytes.resize(8 * range.len(), 0);
                    let from = offset + 8 * range.start as u64;
                    self.scratch.read_exact_at(&mut bytes, from).context("reading the scratch file")?;
                    all.extend(bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)));
                }
            }
        }
        Ok(all)
    }
}

impl Drop for Ties<'_> {
    fn drop(&mut self) {
        for block in &self.blocks {
            if let Records::Kept(records) = &block.records {
                self.budget.give_back(8 * records.len() as u64);
            }
        }
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
            let tie = packing.unpack(packing.pack(to, from, file, content(interactions, months)));
            prop_assert_eq!(packing.subjects(Packing::partition(to)).start + tie.local as usize, to as usize);
            prop_assert_eq!((tie.from, tie.file), (from, file));
            prop_assert_eq!(tie.interactions.map(i64::from), interactions.map(|i| i.min(MOST_INTERACTIONS)));
            prop_assert_eq!(i64::from(tie.months), months.min(MOST_MONTHS));
        }
    }

    #[test]
    fn partitions_hold_both_directions_whether_kept_or_spilled() {
        let folder = tempfile::tempdir().unwrap();
        let ties: Vec<(u32, u32, u64)> = (0..9_000).map(|n| (n, 19_999 - n, content(Some(3), 7))).collect();
        let mut all = Vec::new();
        for memory in [0, 1 << 20] {
            let budget = Budget::new(memory);
            let store = TieStore::new(20_000, 1, &budget, folder.path()).unwrap();
            store.add(0, &ties[..4_000]).unwrap();
            store.add(0, &ties[4_000..]).unwrap();
            let ties = store.finish().unwrap();
            let partitions: Vec<Vec<u64>> = (0..3).map(|p| ties.partition(p).unwrap()).collect();
            assert_eq!(partitions.iter().map(|p| p.len() as u64).sum::<u64>(), ties.len());
            let first = ties.packing().unpack(partitions[2][0]);
            assert!(16_384 + first.local >= 16_384 && first.from < 9_000 && first.months == 7);
            all.push(partitions);
        }
        assert!(all[0] == all[1]);
    }
}
