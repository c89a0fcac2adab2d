//! The records of one receiver, shared out by the heat of their senders, repeated ties merged to one record each.
//!
//! Senders are named by their [places](super::order), and few are there twice. A few bits for each record of a row, which stay in
//! the cache, tell who may be: two that share no bit are two. Only those who share one are looked for. Where each hot or warm one of
//! them was met last is written down by its place, counted through the rows of many receivers: what is from before the row at hand
//! counts as nothing, and nothing is cleared between rows. The cold ones of a row are hashed into a small table. Equal places are
//! equal senders, so the outcome is that of any other way to find them.

use std::hint::select_unpredictable;

use super::links::{HOT, WARM};
use crate::ingest::links::tie_store::Packing;

/// Records of a row up to which bits tell who may be there twice. Those of a longer one would fill the cache, and are all looked for.
const MOST: usize = 1 << 17;
/// Bits for each record, at least: one sender in sixteen or fewer shares one by chance.
const BITS: usize = 16;
/// Records of a row from which on those of each kind are counted, so that room is not made for all of them thrice.
const LONG: usize = 1 << 14;

/// What finds the repeated ties, with what it needs kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// Where among those of its kind each hot or warm sender was met last, and a place that is nobody's for all others.
    met: Vec<u32>,
    /// The same for the cold senders of a row, by their hash.
    table: Vec<u32>,
    /// Where the row begins in the count; below it is what earlier rows wrote. Never 0, which stands for nobody.
    begin: u32,
    suspects: Suspects,
}

/// Who may be in a row twice, told by a bit of the hash.
#[derive(Debug, Default)]
struct Suspects {
    /// Bits that a sender of the row has, and bits that came again.
    bits: Vec<[u64; 2]>,
    /// What of a hash is no bit's number.
    shift: u32,
}

impl Suspects {
    /// Looks at the senders of a row; returns whether one of them may be there twice.
    fn look_at(&mut self, row: &[u64], packing: &Packing) -> bool {
        self.bits.clear();
        if row.len() > MOST {
            (self.bits, self.shift) = (vec![[u64::MAX; 2]], u32::BITS - u64::BITS.trailing_zeros());
            return true;
        }
        let size = (BITS * row.len()).next_power_of_two().max(u64::BITS as usize);
        self.bits.resize(size / u64::BITS as usize, [0; 2]);
        self.shift = u32::BITS - size.trailing_zeros();
        let packing = *packing;
        let (bits, shift) = (self.bits.as_mut_slice(), self.shift);
        let mut any = 0;
        for record in row {
            let at = hash(packing.from(*record)) >> shift;
            let [once, again] = &mut bits[(at / 64) as usize];
            let bit = 1_u64 << (at % 64);
            any |= *once & bit;
            *again |= *once & bit;
            *once |= bit;
        }
        any != 0
    }

    /// Whether a sender of the row may be there twice.
    #[inline]
    fn has(&self, place: u32) -> bool {
        let at = hash(place) >> self.shift;
        self.bits[(at / 64) as usize][1] & (1 << (at % 64)) != 0
    }
}

impl Merging {
    /// Shares the records of one receiver out to those of hot, of warm and of cold senders among so many `subjects`, the first
    /// of a tie's where its others are merged to; returns how many are left of each kind. Each list has room for one record
    /// more than the row has of its kind. `again` is told every record that repeats another, and the file of the repetition.
    pub(super) fn share(
        &mut self,
        row: &[u64],
        packing: &Packing,
        subjects: usize,
        lists: &mut [&mut [u64]; 3],
        mut again: impl FnMut(u64, usize),
    ) -> [usize; 3] {
        self.make_room(row.len(), subjects);
        let [hots, warms, colds] = lists;
        let (hots, warms, colds): (&mut [u64], &mut [u64], &mut [u64]) = (hots, warms, colds);
        let (packing, first, met) = (*packing, self.begin, self.met.as_mut_slice());
        let nobody = met.len() - 1;
        let (mut hot, mut warm, mut cold) = (0_u32, 0_u32, 0_u32);
        let any = self.suspects.look_at(row, &packing);
        let suspects = &self.suspects;
        let mut of_cold = false;
        for record in row {
            let place = packing.from(*record);
            if any && suspects.has(place) {
                let last = &mut met[(place as usize).min(nobody)];
                if *last >= first {
                    let earlier = (*last - first) as usize;
                    let kept = if place < HOT { &mut hots[earlier] } else { &mut warms[earlier] };
                    let (merged, repeated) = packing.merged(*kept, *record);
                    *kept = merged;
                    again(*record, repeated);
                    continue;
                }
                let met_at = first + select_unpredictable(place < HOT, hot, warm);
                *last = select_unpredictable(place < WARM, met_at, 0);
                of_cold |= place >= WARM;
            }
            // Without a branch, for kinds come in no order: a record is written to all three lists, and only where it belongs
            // the next one does not take its place.
            (hots[hot as usize], warms[warm as usize], colds[cold as usize]) = (*record, *record, *record);
            hot += u32::from(place < HOT);
            warm += u32::from((HOT..WARM).contains(&place));
            cold += u32::from(place >= WARM);
        }
        self.begin = first + hot.max(warm).max(cold);
        let colds = &mut colds[..cold as usize];
        let left = if of_cold { self.merge_cold(colds, first, &packing, &mut again) } else { colds.len() };
        [hot as usize, warm as usize, left]
    }

    /// Merges the repeated ones of the records of cold senders to the front; returns how many are left.
    /// What the table holds from `first` on is of this row.
    fn merge_cold(
        &mut self,
        records: &mut [u64],
        first: u32,
        packing: &Packing,
        again: &mut impl FnMut(u64, usize),
    ) -> usize {
        let bits = table_bits(records.len());
        if self.table.len() < 1 << bits {
            self.table.resize(1 << bits, 0);
        }
        let table = self.table.as_mut_slice();
        let (mut unique, mut next) = (0, first);
        for n in 0..records.len() {
            let record = records[n];
            let last = slot((&mut *table, bits), &records[..unique], packing, first, packing.from(record));
            if *last >= first {
                let earlier = (*last - first) as usize;
                let (kept, repeated) = packing.merged(records[earlier], record);
                records[earlier] = kept;
                again(record, repeated);
            } else {
                *last = next;
                records[unique] = record;
                unique += 1;
                next += 1;
            }
        }
        unique
    }

    /// Makes what was written before fit the row, or forgets it where the count would end.
    fn make_room(&mut self, records: usize, subjects: usize) {
        let hubs = subjects.min(WARM as usize) + 1;
        if self.met.len() != hubs || records >= (u32::MAX - self.begin) as usize {
            self.met.clear();
            self.met.resize(hubs, 0);
            self.table.fill(0);
            self.begin = 1;
        }
    }
}

/// Records of each kind, hot, warm and cold, that a row has at most.
pub(super) fn rooms(row: &[u64], packing: &Packing) -> [usize; 3] {
    if row.len() < LONG {
        return [row.len(); 3];
    }
    let below = |end: u32| row.iter().filter(|record| packing.from(**record) < end).count();
    let (hot, known) = (below(HOT), below(WARM));
    [hot, known - hot, row.len() - known]
}

/// Bits of the hash that tell so many senders apart, at most every second slot of the table being taken.
fn table_bits(senders: usize) -> u32 {
    (2 * senders).next_power_of_two().trailing_zeros().clamp(1, u32::BITS)
}

/// The slot of a cold sender: the one that tells where among those so far it was met, or a free one.
#[inline]
fn slot<'t>(
    (table, bits): (&'t mut [u32], u32),
    so_far: &[u64],
    packing: &Packing,
    first: u32,
    place: u32,
) -> &'t mut u32 {
    let mut at = (hash(place) >> (u32::BITS - bits)) as usize;
    while table[at] >= first && packing.from(so_far[(table[at] - first) as usize]) != place {
        at = (at + 1) & ((1 << bits) - 1);
    }
    &mut table[at]
}

/// The upper bits tell places apart.
const fn hash(place: u32) -> u32 {
    place.wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::ingest::links::tie_store::content;

    const SUBJECTS: u32 = WARM + 60_000;
    const FILES: u32 = 5;

    /// A record's sender, by its place, its file, interactions and months.
    type Tie = (u32, u32, i64, i64);

    /// The records that are left and the repetitions, each in order, as a map by sender finds them.
    fn by_map(row: &[u64], packing: &Packing) -> (Vec<u64>, Vec<(u32, usize)>) {
        let (mut left, mut again): (BTreeMap<u32, u64>, _) = (BTreeMap::new(), Vec::new());
        for record in row {
            let from = packing.from(*record);
            if let Some(kept) = left.get_mut(&from) {
                let (merged, file) = packing.merged(*kept, *record);
                *kept = merged;
                again.push((from, file));
            } else {
                left.insert(from, *record);
            }
        }
        again.sort_unstable();
        (left.into_values().collect(), again)
    }

    /// The records that are left, list after list, and the repetitions as they come.
    fn shared(merging: &mut Merging, row: &[u64], packing: &Packing, subjects: u32) -> (Vec<u64>, Vec<(u32, usize)>) {
        // What was there before does not count.
        let mut room = rooms(row, packing).map(|records| vec![u64::MAX; records + 1]);
        let mut lists = room.each_mut().map(Vec::as_mut_slice);
        let mut again = Vec::new();
        let note = |record, file| again.push((packing.from(record), file));
        let left = merging.share(row, packing, subjects as usize, &mut lists, note);
        let mut all = Vec::new();
        for ((list, left), kind) in lists.iter().zip(left).zip([0..HOT, HOT..WARM, WARM..u32::MAX]) {
            assert!(list[..left].iter().all(|record| kind.contains(&packing.from(*record))));
            all.extend_from_slice(&list[..left]);
        }
        (all, again)
    }

    fn check(merging: &mut Merging, rows: &[Vec<Tie>]) {
        let packing = Packing::new(SUBJECTS as usize, FILES as usize);
        for ties in rows {
            let record = |t: &Tie| packing.pack(7, t.0, t.1, content(Some(t.2), Some(t.3)));
            let row: Vec<u64> = ties.iter().map(record).collect();
            let (mut left, mut again) = shared(merging, &row, &packing, SUBJECTS);
            left.sort_unstable_by_key(|r| packing.from(*r));
            again.sort_unstable();
            assert_eq!((left, again), by_map(&row, &packing));
        }
    }

    /// Rows whose senders are of so many of every kind: few repeat often, many are rarely there twice.
    fn receivers(few: u32, most: usize) -> impl Strategy<Value = Vec<Vec<Tie>>> {
        let sender = prop_oneof![0..few, HOT..HOT + few, WARM..WARM + few];
        let tie = (sender, 0..FILES, 0_i64..40, 0_i64..100);
        proptest::collection::vec(proptest::collection::vec(tie, 0..most), 1..8)
    }

    proptest! {
        #[test]
        fn short_and_long_rows_come_to_what_a_map_makes_of_them(
            short in receivers(30_000, 40), repeated in receivers(12, 60), long in receivers(400, 1_500),
        ) {
            let mut merging = Merging::default();
            // One after the other: what is left of a row is nothing to the next one.
            [&short, &repeated, &long, &short, &repeated].into_iter().for_each(|rows| check(&mut merging, rows));
        }

        #[test]
        fn rows_before_and_after_the_end_of_the_count_are_merged_alike(rows in receivers(40, 300)) {
            let mut merging = Merging::default();
            check(&mut merging, &rows);
            merging.begin = u32::MAX - 60;
            check(&mut merging, &rows);
            prop_assert!(merging.begin < u32::MAX / 2 || rows.iter().all(|row| row.len() < 60));
        }
    }

    #[test]
    fn the_long_row_of_a_hub_has_just_the_room_that_it_takes() {
        let sender = |n: u32| n.wrapping_mul(2_654_435_761) % 13_000 + [0, HOT, WARM][n as usize % 3];
        let ties: Vec<Tie> = (0..30_000).map(|n| (sender(n), n % FILES, i64::from(n % 31), 5)).collect();
        check(&mut Merging::default(), std::slice::from_ref(&ties));
        let longer: Vec<Tie> = (0..5).flat_map(|_| ties.clone()).collect();
        assert!(longer.len() > MOST);
        check(&mut Merging::default(), &[longer, ties.clone()]);
        let packing = Packing::new(SUBJECTS as usize, FILES as usize);
        let row: Vec<u64> = ties.iter().map(|tie| packing.pack(7, tie.0, tie.1, content(None, Some(1)))).collect();
        assert_eq!(rooms(&row, &packing), [10_000; 3]);
        assert_eq!(rooms(&row[..100], &packing), [100; 3]);
    }

    #[test]
    fn a_population_of_hubs_alone_has_no_cold_senders() {
        let packing = Packing::new(3, 1);
        let record = |from, i| packing.pack(0, from, 0, content(Some(i), Some(1)));
        let row = [record(2, 1), record(1, 4), record(2, 9), record(2, 3)];
        let (left, again) = shared(&mut Merging::default(), &row, &packing, 3);
        assert_eq!((left, again), (vec![record(2, 9), record(1, 4)], vec![(2, 0), (2, 0)]));
        assert_eq!(shared(&mut Merging::default(), &[], &packing, 3), (Vec::new(), Vec::new()));
    }
}
