//! From an id to its dense number: open addressing over a table that is built once.
//!
//! Ids of eight bytes (all integers) stand in the table themselves, so that one access finds them; of longer ids the
//! table holds half of the hash and the number (`tags` looks them up). Many ids are looked up in short runs, first the
//! table's places and then the comparisons, so that the memory accesses of a run overlap.

use std::hint::black_box;

use anyhow::{Context, Result};

use super::hashes::{hash_id, hash_word, spread, unforeseen};
use super::tags::{EMPTY, RUN, dense, find_fixed, find_runs, probe_tags, start, tag};
use crate::machine::large_array::LargeArray;
use crate::tables::ids::{Ids, UNKNOWN};

/// The number at a free place: [`UNKNOWN`].
const FREE: u64 = UNKNOWN as u64;
/// Ids of a [`Line`].
const SLOTS: usize = 4;

/// Ids of eight bytes with their numbers, as many as a line of the processor's cache holds, from the first slot on.
type Line = [[u64; 2]; SLOTS];

/// A table of all ids. Where an id stands in it depends on a word that nobody can foresee; what it is found to be does not, for every id is
/// there once and is compared whole.
#[derive(Debug)]
pub struct Lookup {
    /// What hashes start from: another word for each table.
    seed: u64,
    table: Table,
}

#[derive(Debug)]
enum Table {
    /// Ids of eight bytes with their numbers, by lines that are filled one before the next; [`FREE`] marks a free slot.
    Words(LargeArray<Line>),
    /// The upper half of the hash, then the dense number; the number of places is a power of two.
    Tags(LargeArray<u64>),
}

impl Lookup {
    /// A table of different ids, numbered by their position.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn new(ids: &Ids) -> Result<Self> {
        Self::seeded(unforeseen(), ids)
    }

    fn seeded(seed: u64, ids: &Ids) -> Result<Self> {
        let table = if ids.width() == 8 { Self::words(seed, ids)? } else { Self::tags(seed, ids)? };
        Ok(Self { seed, table })
    }

    fn words(seed: u64, ids: &Ids) -> Result<Table> {
        // Half full: nineteen in twenty ids are in the line that they are looked for in first.
        let mut table = LargeArray::filled((ids.len() * 2).div_ceil(SLOTS).max(SLOTS), [[0, FREE]; SLOTS])?;
        let lines: &mut [Line] = &mut table;
        let mut places = [0_usize; RUN];
        for (some, first) in ids.words().chunks(RUN).zip((0_u64..).step_by(RUN)) {
            look_at(lines, seed, some, &mut places);
            for ((place, id), number) in places.iter().zip(some).zip(first..) {
                let mut at = *place;
                while is_full(&lines[at]) {
                    at = next(at, lines.len());
                }
                let free = lines[at].iter_mut().find(|slot| slot[1] == FREE);
                *free.context("defect: a full line that is none")? = [u64::from_ne_bytes(*id), number];
            }
        }
        Ok(Table::Words(table))
    }

    fn tags(seed: u64, ids: &Ids) -> Result<Table> {
        let mut table = LargeArray::filled((ids.len() * 2).next_power_of_two().max(16), EMPTY)?;
        let mask = table.len() - 1;
        for at in 0..ids.len() {
            let hash = hash_id(seed, ids.get(at));
            let mut slot = start(hash, mask);
            while table[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            table[slot] = tag(hash) | at as u64;
        }
        Ok(Table::Tags(table))
    }

    /// The number of an id among `ids`, or [`UNKNOWN`].
    #[must_use]
    pub fn find(&self, ids: &Ids, id: &[u8]) -> u32 {
        match (&self.table, <[u8; 8]>::try_from(id)) {
            (Table::Words(table), Ok(id)) => {
                let word = u64::from_ne_bytes(id);
                probe_words(table, word, spread(hash_word(self.seed, word), table.len()))
            }
            (Table::Words(_), Err(_)) => UNKNOWN,
            (Table::Tags(table), _) => {
                probe_tags(table, hash_id(self.seed, id), |number| ids.get(number as usize) == id)
            }
        }
    }

    /// The numbers of many ids.
    pub fn find_all<'a>(&self, ids: &Ids, wanted: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        let Table::Tags(table) = &self.table else { return self.find_gathered(ids, wanted, out) };
        let (table, seed): (&[u64], u64) = (table, self.seed);
        match ids.width() {
            16 => find_fixed::<16>((table, seed), ids, wanted, out),
            20 => find_fixed::<20>((table, seed), ids, wanted, out),
            24 => find_fixed::<24>((table, seed), ids, wanted, out),
            32 => find_fixed::<32>((table, seed), ids, wanted, out),
            36 => find_fixed::<36>((table, seed), ids, wanted, out),
            64 => find_fixed::<64>((table, seed), ids, wanted, out),
            _ => {
                let is = |number: u32, id: &'a [u8]| ids.get(number as usize) == id;
                find_runs(table, wanted, |id| hash_id(seed, id), |_| 0, is, out);
            }
        }
    }

    /// The numbers of ids that come one by one, looked up as words in runs. Those of another length are nobody's.
    fn find_gathered<'a>(&self, ids: &Ids, mut wanted: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        let (mut words, mut given) = ([[0_u8; 8]; RUN], [false; RUN]);
        loop {
            let mut filled = 0;
            for ((word, given), id) in words.iter_mut().zip(&mut given).zip(wanted.by_ref()) {
                let id = id.and_then(|id| <[u8; 8]>::try_from(id).ok());
                *given = id.is_some();
                *word = id.unwrap_or_default();
                filled += 1;
            }
            self.find_words(ids, &words[..filled], |n| given[n], out);
            if filled < RUN {
                return;
            }
        }
    }

    /// The numbers of many ids of eight bytes; `valid` tells of nulls.
    pub fn find_words(&self, ids: &Ids, wanted: &[[u8; 8]], valid: impl Fn(usize) -> bool, out: &mut Vec<u32>) {
        let Table::Words(table) = &self.table else {
            out.extend(wanted.iter().enumerate().map(|(n, id)| if valid(n) { self.find(ids, id) } else { UNKNOWN }));
            return;
        };
        let (table, seed): (&[Line], u64) = (table, self.seed);
        let mut places = [0_usize; RUN];
        let mut missed = [0_usize; RUN];
        for (run, some) in wanted.chunks(RUN).enumerate() {
            let from = out.len();
            look_at(table, seed, some, &mut places);
            out.resize(from + some.len(), UNKNOWN);
            let found = &mut out[from..];
            let mut misses = 0;
            for (n, (id, found)) in some.iter().zip(&mut *found).enumerate() {
                let line = &table[places[n]];
                let number = in_line(line, u64::from_ne_bytes(*id));
                *found = dense(number);
                // Only who is not in a full line may be in the next one.
                missed[misses] = n;
                misses += usize::from((number == FREE) & is_full(line));
            }
            for n in &missed[..misses] {
                found[*n] = probe_words(table, u64::from_ne_bytes(some[*n]), places[*n]);
            }
            for n in (0..some.len()).filter(|n| !valid(run * RUN + n)) {
                found[n] = UNKNOWN;
            }
        }
    }
}

/// Finds the lines that some words are looked for in first, and accesses each of them and does nothing else, so that as many as can be
/// are under way.
fn look_at(table: &[Line], seed: u64, words: &[[u8; 8]], places: &mut [usize; RUN]) {
    for (place, word) in places.iter_mut().zip(words) {
        *place = spread(hash_word(seed, u64::from_ne_bytes(*word)), table.len());
    }
    let _ = black_box(places.iter().zip(words).fold(0_u64, |all, (at, _)| all ^ table[*at][0][1]));
}

fn probe_words(table: &[Line], word: u64, at: usize) -> u32 {
    let mut at = at;
    loop {
        let number = in_line(&table[at], word);
        if number != FREE || !is_full(&table[at]) {
            return dense(number);
        }
        at = next(at, table.len());
    }
}

/// The number of a word in a line, or [`FREE`]. Without a branch: what is not the word's is filled up with ones, and a
/// number of 32 bits is what is left of ones by it.
#[inline]
fn in_line(line: &Line, word: u64) -> u64 {
    line.iter().fold(FREE, |found, [other, number]| found & (number | u64::from(*other != word).wrapping_neg()))
}

/// Whether a line has no free slot: the last one is the last to be taken.
#[inline]
const fn is_full(line: &Line) -> bool {
    line[SLOTS - 1][1] != FREE
}

const fn next(at: usize, places: usize) -> usize {
    if at + 1 == places { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    /// Ids of one length, which differ in the first byte, the middle one or the last; of length 0, of any lengths.
    fn id(width: usize) -> impl Strategy<Value = Vec<u8>> {
        let widths = if width == 0 { 0..40 } else { width..width + 1 };
        (widths, 0_u8..3, 0_u8..40, 0_u8..3).prop_map(|(width, first, middle, last)| {
            let mut id = vec![b'a'; width];
            for (at, by) in [(0, first), (width / 2, middle), (width.saturating_sub(1), last)] {
                id.iter_mut().skip(at).take(1).for_each(|byte| *byte += by);
            }
            id
        })
    }

    proptest! {
        #[test]
        fn many_ids_are_found_as_each_by_itself_and_as_a_list_has_them(
            (known, rows) in prop_oneof![
                Just(0_usize), Just(4), Just(8), Just(64), Just(16), Just(20), Just(24), Just(31), Just(32), Just(36)
            ].prop_flat_map(|width| {
                let stranger = prop_oneof![6 => id(width), 1 => id(0)];
                // Runs of rows of one id, or of none.
                let row = (proptest::option::weighted(0.9, stranger), 1_usize..5);
                (proptest::collection::btree_set(id(width), 0..90), proptest::collection::vec(row, 0..150))
            }),
        ) {
            let known: BTreeSet<Vec<u8>> = known;
            let mut ids = Ids::default();
            known.iter().for_each(|id| ids.push(id));
            let table = Lookup::new(&ids).unwrap();
            let rows: Vec<Option<&[u8]>> =
                rows.iter().flat_map(|(id, times)| vec![id.as_deref(); *times]).collect();
            let mut found = vec![7];
            table.find_all(&ids, rows.iter().copied(), &mut found);
            let place = |id: &&[u8]| known.iter().position(|known| known == id);
            let listed = rows.iter().map(|row| {
                row.as_ref().and_then(place).map_or(UNKNOWN, |at| u32::try_from(at).unwrap())
            });
            let expected: Vec<u32> = std::iter::once(7).chain(listed).collect();
            prop_assert_eq!(&found, &expected);
            let alone = rows.iter().map(|row| row.map_or(UNKNOWN, |id| table.find(&ids, id)));
            prop_assert_eq!(&found[1..], alone.collect::<Vec<_>>());
        }
    }

    /// What stands where in a table.
    fn places(table: &Lookup) -> Vec<u64> {
        match &table.table {
            Table::Words(lines) => lines.iter().flatten().flatten().copied().collect(),
            Table::Tags(tags) => tags.to_vec(),
        }
    }

    #[test]
    fn the_seed_changes_places_and_nothing_that_is_found() {
        for width in [8, 9, 16, 20] {
            let id = |n: usize| format!("{n:0width$}").into_bytes();
            let mut ids = Ids::default();
            (0..500).for_each(|n| ids.push(&id(2 * n)));
            let wanted: Vec<Vec<u8>> = (0..1_100).map(|n| id(n * 7 % 1_100)).collect();
            let listed = |id: &Vec<u8>| ids.find(id).map_or(UNKNOWN, |at| u32::try_from(at).unwrap());
            let expected: Vec<u32> = wanted.iter().map(listed).collect();
            let first = Lookup::seeded(0, &ids).unwrap();
            for table in [0, 1, 1 << 63, u64::MAX].map(|seed| Lookup::seeded(seed, &ids).unwrap()) {
                let mut found = Vec::new();
                table.find_all(&ids, wanted.iter().map(|id| Some(id.as_slice())), &mut found);
                assert_eq!(found, expected, "{width} bytes");
                assert_eq!(places(&table) == places(&first), table.seed == 0, "{width} bytes");
            }
            assert!(places(&Lookup::new(&ids).unwrap()) != places(&Lookup::new(&ids).unwrap()));
        }
    }
}
