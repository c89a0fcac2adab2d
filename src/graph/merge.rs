//! Repeated ties of one receiver, merged to one record each.
//!
//! Most links lead to hubs, and a hub's place is a small number. So where each hot or warm sender was met last is written
//! down by its place, counted through the rows of many receivers: what is from before the row at hand counts as nothing,
//! and nothing is cleared between rows. A small table that the cold senders of a row are hashed into is needed only where
//! one of them may be there twice, which a few bits tell for the short rows that most are: two that share no bit are two.
//! Equal places are equal senders, so the outcome is that of any other way to find them.

use super::links::WARM;
use crate::ingest::links::tie_store::Packing;

/// Most cold senders of a row of whom bits tell whether one may be there twice.
const FEW: usize = 64;

/// What finds the repeated ties, with what it needs kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// Where each hot or warm sender was met last, and one that is never written for those that are not looked for.
    met: Vec<u32>,
    /// The same for the cold senders of a row, by their hash.
    table: Vec<u32>,
    /// Where the row begins in the count; below it is what earlier rows wrote. Never 0, which stands for nobody.
    begin: u32,
    /// A bit for the hash of each cold sender.
    bits: Vec<u64>,
}

impl Merging {
    /// Merges the repeated ties of one receiver to the front of its records, and with them the places of their senders
    /// among so many `subjects`; returns how many are left. `again` is told the sender and the file of every record that
    /// repeats another.
    pub(super) fn merge(
        &mut self,
        row: &mut [u64],
        places: &mut [u32],
        packing: &Packing,
        subjects: usize,
        mut again: impl FnMut(u32, usize),
    ) -> usize {
        if row.len() < 2 {
            return row.len();
        }
        let looked_for = self.cold_to_look_for(places);
        self.make_room(row.len(), subjects, looked_for);
        let Self { met, table, begin, .. } = self;
        let (met, table) = (met.as_mut_slice(), table.as_mut_slice());
        let (first, nobody) = (*begin, met.len() - 1);
        let bits = table_bits(looked_for);
        let (mut unique, mut next) = (0, first);
        for n in 0..row.len() {
            let (record, place) = (row[n], places[n]);
            let hashed = looked_for > 0 && place >= WARM;
            let last = match hashed {
                true => slot(table, bits, places, first, place),
                false => &mut met[(place as usize).min(nobody)],
            };
            if *last >= first {
                let earlier = (*last - first) as usize;
                let (kept, repeated) = packing.merged(row[earlier], record);
                row[earlier] = kept;
                again(packing.from(record), repeated);
            } else {
                *last = if hashed || place < WARM { next } else { 0 };
                (row[unique], places[unique]) = (record, place);
                unique += 1;
                next += 1;
            }
        }
        *begin = next;
        unique
    }

    /// How many cold senders have to be looked for: all of the row, or none when none of them is there twice.
    fn cold_to_look_for(&mut self, places: &[u32]) -> usize {
        let cold = places.iter().filter(|place| **place >= WARM).count();
        if cold < 2 {
            return 0;
        }
        if cold > FEW {
            return cold;
        }
        // One in eight such rows has two by chance.
        let size = (4 * cold * cold).next_power_of_two().max(64);
        self.bits.clear();
        self.bits.resize(size / 64, 0);
        let shift = u32::BITS - size.trailing_zeros();
        let mut shared = 0;
        for place in places {
            let at = hash(*place) >> shift;
            let bit = u64::from(*place >= WARM) << (at % 64);
            let word = &mut self.bits[(at / 64) as usize];
            shared |= *word & bit;
            *word |= bit;
        }
        if shared == 0 { 0 } else { cold }
    }

    /// Makes what was written before fit the row, or forgets it where the count would end.
    fn make_room(&mut self, records: usize, subjects: usize, looked_for: usize) {
        let hubs = subjects.min(WARM as usize) + 1;
        if self.met.len() != hubs || records >= (u32::MAX - self.begin) as usize {
            self.met.clear();
            self.met.resize(hubs, 0);
            self.table.fill(0);
            self.begin = 1;
        }
        let slots = 1 << table_bits(looked_for);
        if looked_for > 0 && self.table.len() < slots {
            self.table.resize(slots, 0);
        }
    }
}

/// Bits of the hash that tell so many senders apart, at most every second slot of the table being taken.
fn table_bits(senders: usize) -> u32 {
    (2 * senders).next_power_of_two().trailing_zeros().clamp(1, u32::BITS)
}

/// The slot of a cold sender: the one that tells where in the row it was met, or a free one.
#[inline]
fn slot<'t>(table: &'t mut [u32], bits: u32, places: &[u32], first: u32, place: u32) -> &'t mut u32 {
    let mut at = (hash(place) >> (u32::BITS - bits)) as usize;
    while table[at] >= first && places[(table[at] - first) as usize] != place {
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
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use crate::graph::links::HOT;
    use crate::graph::order::Order;
    use crate::ingest::links::tie_store::content;

    const SUBJECTS: u32 = WARM + 60_000;
    const FILES: u32 = 5;

    /// The first subjects are hot, then come warm ones, the last are cold.
    static ORDER: LazyLock<Order> = LazyLock::new(|| {
        let degree: Vec<u32> = (0..SUBJECTS).map(|s| if s < HOT { 2 } else { u32::from(s < WARM) }).collect();
        Order::new(&degree)
    });

    /// A record's sender, file, interactions and months.
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

    fn places_of(row: &[u64], packing: &Packing, order: &Order) -> Vec<u32> {
        row.iter().map(|record| order.place(packing.from(*record))).collect()
    }

    fn check(merging: &mut Merging, rows: &[Vec<Tie>]) {
        let packing = Packing::new(SUBJECTS as usize, FILES as usize);
        for ties in rows {
            let record = |t: &Tie| packing.pack(7, t.0, t.1, content(Some(t.2), Some(t.3)));
            let mut row: Vec<u64> = ties.iter().map(record).collect();
            let (expected, repeated) = by_map(&row, &packing);
            let mut again = Vec::new();
            let mut places = places_of(&row, &packing, &ORDER);
            let subjects = SUBJECTS as usize;
            let unique =
                merging.merge(&mut row, &mut places, &packing, subjects, |from, file| again.push((from, file)));
            row.truncate(unique);
            assert_eq!(places[..unique], places_of(&row, &packing, &ORDER));
            row.sort_unstable_by_key(|r| packing.from(*r));
            again.sort_unstable();
            assert_eq!((row, again), (expected, repeated));
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
    fn a_population_of_hubs_alone_has_no_cold_senders() {
        let packing = Packing::new(3, 1);
        let order = Order::new(&[1, 1, 1]);
        let record = |from, i| packing.pack(0, from, 0, content(Some(i), Some(1)));
        let mut row = vec![record(2, 1), record(1, 4), record(2, 9), record(2, 3)];
        let mut again = 0;
        let mut places = places_of(&row, &packing, &order);
        let unique = Merging::default().merge(&mut row, &mut places, &packing, 3, |from, _| again += from);
        assert_eq!((&row[..unique], again), (&[record(2, 9), record(1, 4)][..], 4));
        assert_eq!(places[..unique], [2, 1]);
        assert_eq!(Merging::default().merge(&mut [], &mut [], &packing, 3, |_, _| ()), 0);
    }
}
