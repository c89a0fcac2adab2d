//! Blocks of links under way.
//!
//! The links of a subject are shared out to the three blocks of their kinds, and lie there as records, in the order of subjects.
//! When a block is closed they become places and strengths, where the loop over them wants these: subjects with the same number
//! of links together.

use anyhow::{Context, Result};

use super::links::{Block, Links, Neighbour, Place, Run, Shelf};

/// Links after which a block ends, unless one subject has more: work is cut by links, not by subjects.
const BLOCK_LINKS: usize = 1 << 17;
/// Numbers of links from here on are sorted by comparing them, for few subjects have so many.
const MANY: usize = 256;

/// A block under way: records of the ties of consecutive subjects.
#[derive(Debug, Default)]
pub(super) struct Open {
    first: usize,
    /// Where the links of each subject end.
    ends: Vec<u32>,
    /// The records. Those from `used` on are of earlier blocks.
    links: Vec<u64>,
    used: usize,
    /// Scratch space: number of links and subject of those that have some.
    order: Vec<u64>,
}

impl Open {
    /// Goes on with links from a first subject on; what was there is closed.
    pub(super) fn begin(&mut self, first: usize) {
        self.first = first;
        self.ends.clear();
        self.used = 0;
    }

    /// Room for so many links of the subject at hand, and for one that stays out. What is there is no link before it is
    /// [added](Self::add).
    pub(super) fn room(&mut self, links: usize) -> &mut [u64] {
        let end = self.used + links + 1;
        if self.links.len() < end {
            self.links.resize(end, 0);
        }
        &mut self.links[self.used..end]
    }

    /// Adds the first so many of those that were put into the [room](Self::room) for them.
    pub(super) const fn add(&mut self, links: usize) {
        self.used += links;
    }

    /// Ends the subject at hand; says whether the block is full.
    ///
    /// # Errors
    /// When it holds more links than 32 bits count.
    #[inline]
    pub(super) fn end_subject(&mut self) -> Result<bool> {
        self.ends.push(u32::try_from(self.used)?);
        Ok(self.used >= BLOCK_LINKS)
    }

    /// Hands the block over to the links of its kind, if a subject was ended in it, and goes on after it; `link` tells the
    /// place and the strength of a record.
    ///
    /// # Errors
    /// When links cannot be spilled.
    pub(super) fn hand_over<N: Neighbour>(
        &mut self,
        links: &mut Links<N>,
        shelf: &Shelf,
        link: impl Fn(u64) -> (u32, u8),
    ) -> Result<()> {
        if !self.ends.is_empty() {
            links.push(self.close(shelf, link)?);
        }
        Ok(())
    }

    /// Makes a block of what is there and goes on after it.
    fn close<N: Neighbour>(&mut self, shelf: &Shelf, link: impl Fn(u64) -> (u32, u8)) -> Result<Block<N>> {
        let subjects = self.first..self.first + self.ends.len();
        by_links(&self.ends, &mut self.order);
        let (mut rows, mut runs) = (Vec::with_capacity(self.order.len()), Vec::<Run>::new());
        let (mut neighbours, mut strengths) = (vec![N::default(); self.used], vec![0_u8; self.used]);
        let mut from = 0;
        for key in &self.order {
            let row = u16::try_from(key & u64::from(u16::MAX))?;
            let links = u32::try_from(key >> u16::BITS)?;
            let (to, end) = (from + links as usize, self.ends[usize::from(row)] as usize);
            let of = &self.links[end - links as usize..end];
            let slots = neighbours[from..to].iter_mut().zip(&mut strengths[from..to]);
            for ((neighbour, strength), record) in slots.zip(of) {
                let (place, weight) = link(*record);
                (*neighbour, *strength) = (N::of(place), weight);
            }
            from = to;
            rows.push(row);
            match runs.last_mut() {
                Some(run) if run.links == links => run.rows += 1,
                _ => runs.push(Run { links, rows: 1 }),
            }
        }
        self.begin(subjects.end);
        let size = (strengths.len() * (N::WIDTH + 1)) as u64;
        let place = if shelf.budget.take(size) {
            Place::Kept { neighbours: neighbours.into(), strengths: strengths.into() }
        } else {
            let mut bytes = strengths;
            neighbours.iter().for_each(|n| n.put(&mut bytes));
            let written = shelf.scratch.write(&bytes, &[bytes.len()]);
            Place::Spilled {
                offset: written.context("spilling links to the scratch file; is the disk full? See --scratch")?,
            }
        };
        Ok(Block { subjects, rows: rows.into(), runs: runs.into(), place })
    }
}

/// Number of links and row of the subjects that have links, from few links to many and within the same number in order;
/// `ends` tell where the links of each row end.
fn by_links(ends: &[u32], order: &mut Vec<u64>) {
    let rows = || {
        let mut before = 0_u32;
        ends.iter().enumerate().map(move |(row, end)| {
            let links = *end - before;
            before = *end;
            (row, links)
        })
    };
    // Where the rows of each number begin; those with many are together.
    let mut starts = [0_usize; MANY + 2];
    rows().for_each(|(_, links)| starts[(links as usize).min(MANY) + 1] += 1);
    // Rows without links are left out.
    starts[1] = 0;
    for n in 1..starts.len() {
        starts[n] += starts[n - 1];
    }
    let many = starts[MANY];
    order.clear();
    order.resize(starts[MANY + 1], 0);
    for (row, links) in rows().filter(|(_, links)| *links > 0) {
        let start = &mut starts[(links as usize).min(MANY)];
        order[*start] = u64::from(links) << u16::BITS | row as u64;
        *start += 1;
    }
    order[many..].sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use crate::graph::links::{HOT, WARM};
    use crate::machine::budget::Budget;
    use crate::storage::scratch::Scratch;

    /// What each place has.
    static VALUES: LazyLock<Vec<u32>> =
        LazyLock::new(|| (0..WARM + 1_000).map(|place| place.wrapping_mul(2_654_435_761) % 1_000_000_000).collect());

    /// The links of each subject: places and strengths.
    type Rows = Vec<Vec<(u32, u8)>>;

    fn subjects() -> impl Strategy<Value = Rows> {
        let place = prop_oneof![4 => 0..HOT, 2 => HOT..WARM, 1 => WARM..WARM + 1_000];
        let links = prop_oneof![3 => 0_usize..12, 1 => 250_usize..600, 2 => Just(0_usize)];
        let row = links.prop_flat_map(move |n| proptest::collection::vec((place.clone(), 1_u8..), n));
        proptest::collection::vec(row, 0..60)
    }

    proptest! {
        #[test]
        fn subjects_are_sorted_by_links_as_a_sort_does_it(rows in subjects()) {
            let mut end = 0_u32;
            let ends: Vec<u32> = rows.iter().map(|row| { end += u32::try_from(row.len()).unwrap(); end }).collect();
            let key = |(n, row): (usize, &Vec<(u32, u8)>)| ((row.len() as u64) << 16) | n as u64;
            let mut expected: Vec<u64> = rows.iter().enumerate().filter(|(_, row)| !row.is_empty()).map(key).collect();
            expected.sort_unstable();
            let mut order = vec![7; 3];
            by_links(&ends, &mut order);
            prop_assert_eq!(order, expected);
        }

        #[test]
        fn the_sums_over_blocks_are_those_over_each_subjects_links(
            rows in subjects(), cuts in proptest::collection::vec(any::<bool>(), 60), memory in prop_oneof![Just(0_u64), Just(900_u64), Just(1_u64 << 30)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let budget = Budget::new(memory);
            let shelf = Shelf::new(&budget, Scratch::below(folder.path()).unwrap());
            let link = |record: u64| (u32::try_from(record >> 8).unwrap(), u8::try_from(record & 0xff).unwrap());
            let mut open: [Open; 3] = Default::default();
            let (mut hot, mut warm, mut cold) = (Links::<u16>::default(), Links::<u32>::default(), Links::<u32>::default());
            open.iter_mut().for_each(|open| open.begin(0));
            for (row, cut) in rows.iter().zip(&cuts) {
                for (kind, kinds) in [0..HOT, HOT..WARM, WARM..u32::MAX].iter().enumerate() {
                    let links = row.iter().filter(|link| kinds.contains(&link.0));
                    let records: Vec<u64> = links.map(|(place, strength)| u64::from(*place) << 8 | u64::from(*strength)).collect();
                    let room = open[kind].room(records.len());
                    room[..records.len()].copy_from_slice(&records);
                    // What was not added is no link.
                    room[records.len()] = u64::MAX;
                    open[kind].add(records.len());
                }
                for open in &mut open {
                    prop_assert!(!open.end_subject().unwrap());
                }
                // Blocks of one kind may end where those of the others do not.
                if *cut {
                    open[0].hand_over(&mut hot, &shelf, link).unwrap();
                } else if row.len() % 2 == 1 {
                    open[2].hand_over(&mut cold, &shelf, link).unwrap();
                }
            }
            open[0].hand_over(&mut hot, &shelf, link).unwrap();
            open[1].hand_over(&mut warm, &shelf, link).unwrap();
            open[2].hand_over(&mut cold, &shelf, link).unwrap();
            let values = VALUES.as_slice();
            let mut sums = vec![0_u64; rows.len()];
            hot.weigh(&shelf, values, (0, &mut sums)).unwrap();
            warm.weigh(&shelf, values, (0, &mut sums)).unwrap();
            cold.weigh(&shelf, values, (0, &mut sums)).unwrap();
            let sum = |row: &Vec<(u32, u8)>| -> u64 {
                row.iter().map(|(place, strength)| u64::from(*strength) * u64::from(values[*place as usize])).sum()
            };
            prop_assert_eq!(sums, rows.iter().map(sum).collect::<Vec<u64>>());
        }
    }
}
