//! From an id to its dense number: open addressing over a table that is built once.
//!
//! Ids of eight bytes (all integers) stand in the table themselves, so that one access finds them; of longer ids the
//! table holds half of the hash and the number. Many ids are looked up in short runs, first the table's places and then
//! the comparisons, so that the memory accesses of a run overlap.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

use anyhow::{Context, Result};
use foldhash::fast::FixedState;

use crate::machine::large_array::LargeArray;
use crate::tables::ids::{Ids, UNKNOWN};

/// Ids looked up together.
const RUN: usize = 64;
const EMPTY: u64 = u64::MAX;
/// In place of a slot: the id is that of the row before. No slot has it, for its lower half is no dense number.
const AGAIN: u64 = EMPTY - 1;
/// The number at a free place: [`UNKNOWN`].
const FREE: u64 = UNKNOWN as u64;
/// Ids of a [`Line`].
const SLOTS: usize = 4;

/// Ids of eight bytes with their numbers, as many as a line of the processor's cache holds, from the first slot on.
type Line = [[u64; 2]; SLOTS];

/// A table of all ids.
#[derive(Debug)]
pub enum Lookup {
    /// Ids of eight bytes with their numbers, by lines that are filled one before the next; [`FREE`] marks a free slot.
    Words(LargeArray<Line>),
    /// The upper half of the hash, then the dense number; the number of places is a power of two.
    Tags(LargeArray<u64>),
}

/// A fixed hash: the same id has the same number in every run.
#[must_use]
#[inline]
pub fn hash_bytes(id: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x5e5a_3e00).build_hasher();
    hasher.write(id);
    hasher.finish()
}

impl Lookup {
    /// A table of different ids, numbered by their position.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn new(ids: &Ids) -> Result<Self> {
        if ids.width() == 8 { Self::words(ids) } else { Self::tags(ids) }
    }

    fn words(ids: &Ids) -> Result<Self> {
        // Half full: nineteen in twenty ids are in the line that they are looked for in first.
        let mut table = LargeArray::filled((ids.len() * 2).div_ceil(SLOTS).max(SLOTS), [[0, FREE]; SLOTS])?;
        let lines: &mut [Line] = &mut table;
        let mut places = [0_usize; RUN];
        for (some, first) in ids.words().chunks(RUN).zip((0_u64..).step_by(RUN)) {
            look_at(lines, some, &mut places);
            for ((place, id), number) in places.iter().zip(some).zip(first..) {
                let mut at = *place;
                while is_full(&lines[at]) {
                    at = next(at, lines.len());
                }
                let free = lines[at].iter_mut().find(|slot| slot[1] == FREE);
                *free.context("defect: a full line that is none")? = [u64::from_ne_bytes(*id), number];
            }
        }
        Ok(Self::Words(table))
    }

    fn tags(ids: &Ids) -> Result<Self> {
        let mut table = LargeArray::filled((ids.len() * 2).next_power_of_two().max(16), EMPTY)?;
        let mask = table.len() - 1;
        for at in 0..ids.len() {
            let hash = hash_bytes(ids.get(at));
            let mut slot = start(hash, mask);
            while table[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            table[slot] = tag(hash) | at as u64;
        }
        Ok(Self::Tags(table))
    }

    /// The number of an id among `ids`, or [`UNKNOWN`].
    #[must_use]
    pub fn find(&self, ids: &Ids, id: &[u8]) -> u32 {
        match (self, <[u8; 8]>::try_from(id)) {
            (Self::Words(table), Ok(id)) => {
                let word = u64::from_ne_bytes(id);
                probe_words(table, word, spread(hash_word(word), table.len()))
            }
            (Self::Words(_), Err(_)) => UNKNOWN,
            (Self::Tags(table), _) => probe_tags(table, ids, id, hash_bytes(id)),
        }
    }

    /// The numbers of many ids.
    pub fn find_all<'a>(&self, ids: &Ids, wanted: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        let Self::Tags(table) = self else {
            out.extend(wanted.map(|id| id.map_or(UNKNOWN, |id| self.find(ids, id))));
            return;
        };
        match ids.width() {
            16 => find_tags::<16>(table, ids, wanted, out),
            20 => find_tags::<20>(table, ids, wanted, out),
            24 => find_tags::<24>(table, ids, wanted, out),
            32 => find_tags::<32>(table, ids, wanted, out),
            36 => find_tags::<36>(table, ids, wanted, out),
            _ => find_tags::<0>(table, ids, wanted, out),
        }
    }

    /// The numbers of many ids of eight bytes; `valid` tells of nulls.
    pub fn find_words(&self, ids: &Ids, wanted: &[[u8; 8]], valid: impl Fn(usize) -> bool, out: &mut Vec<u32>) {
        let Self::Words(table) = self else {
            out.extend(wanted.iter().enumerate().map(|(n, id)| if valid(n) { self.find(ids, id) } else { UNKNOWN }));
            return;
        };
        let table: &[Line] = table;
        let mut places = [0_usize; RUN];
        let mut missed = [0_usize; RUN];
        for (run, some) in wanted.chunks(RUN).enumerate() {
            let from = out.len();
            look_at(table, some, &mut places);
            let mut misses = 0;
            for (n, id) in some.iter().enumerate() {
                let line = &table[places[n]];
                let number = in_line(line, u64::from_ne_bytes(*id));
                out.push(dense(number));
                // Only who is not in a full line may be in the next one.
                missed[misses] = n;
                misses += usize::from((number == FREE) & is_full(line));
            }
            for n in &missed[..misses] {
                out[from + n] = probe_words(table, u64::from_ne_bytes(some[*n]), places[*n]);
            }
            for n in (0..some.len()).filter(|n| !valid(run * RUN + n)) {
                out[from + n] = UNKNOWN;
            }
        }
    }
}

/// As [`Lookup::find_all`]; `W` is the width of all ids, or 0 when it is another or they differ.
fn find_tags<'a, const W: usize>(
    table: &[u64],
    ids: &Ids,
    wanted: impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<u32>,
) {
    let mask = table.len() - 1;
    let same = |number: u32, id: &[u8]| match <&[u8; W]>::try_from(id) {
        Ok(id) if W > 0 => ids.fixed::<W>(number as usize) == Some(id),
        _ => W == 0 && ids.get(number as usize) == id,
    };
    let hash = |id: &[u8]| match <&[u8; W]>::try_from(id) {
        Ok(id) if W > 0 => hash_bytes(id),
        _ => hash_bytes(id),
    };
    let alike = |one: &[u8], other: &[u8]| match (<&[u8; W]>::try_from(one), <&[u8; W]>::try_from(other)) {
        (Ok(one), Ok(other)) if W > 0 => one == other,
        _ => one == other,
    };
    let nobody: (&[u8], u64, u64) = (&[], 0, EMPTY);
    let mut run = [nobody; RUN];
    let mut wanted = wanted;
    // Rows often come in runs of one subject, which is looked up once.
    let (mut before, mut last): (Option<&[u8]>, u32) = (None, UNKNOWN);
    loop {
        let mut filled = 0;
        for place in &mut run {
            let Some(id) = wanted.next() else { break };
            *place = match id {
                None => nobody,
                Some(id) if before.is_some_and(|before| alike(before, id)) => (id, 0, AGAIN),
                Some(id) => (id, hash(id), 0),
            };
            before = id;
            filled += 1;
        }
        for place in &mut run[..filled] {
            if place.2 < AGAIN {
                place.2 = table[start(place.1, mask)];
            }
        }
        out.extend(run[..filled].iter().map(|(id, hash, slot)| {
            last = match *slot {
                AGAIN => last,
                EMPTY => UNKNOWN,
                slot if tag(*hash) == tag(slot) && same(dense(slot), id) => dense(slot),
                _ => probe_tags(table, ids, id, *hash),
            };
            last
        }));
        if filled < RUN {
            return;
        }
    }
}

/// Finds the lines that some words are looked for in first, and accesses each of them and does nothing else, so that as many
/// accesses as can be are under way at a time.
fn look_at(table: &[Line], words: &[[u8; 8]], places: &mut [usize; RUN]) {
    for (place, word) in places.iter_mut().zip(words) {
        *place = spread(hash_word(u64::from_ne_bytes(*word)), table.len());
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

fn probe_tags(table: &[u64], ids: &Ids, id: &[u8], hash: u64) -> u32 {
    let mask = table.len() - 1;
    let mut at = start(hash, mask);
    loop {
        let slot = table[at];
        if slot == EMPTY {
            return UNKNOWN;
        }
        if tag(slot) == tag(hash) && ids.get(dense(slot) as usize) == id {
            return dense(slot);
        }
        at = (at + 1) & mask;
    }
}

/// A word's hash: a multiplication folded onto itself.
const fn hash_word(word: u64) -> u64 {
    let product = (word ^ 0x5e5a_3e00_9e37_79b9) as u128 * 0xa076_1d64_78bd_642f_u128;
    #[allow(clippy::cast_possible_truncation, reason = "both halves of the product")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded.wrapping_mul(0xe703_7ed1_a0b4_28db)
}

/// A place among so many.
#[allow(clippy::cast_possible_truncation, reason = "below the number of places")]
const fn spread(hash: u64, places: usize) -> usize {
    ((hash as u128 * places as u128) >> 64) as usize
}

const fn next(at: usize, places: usize) -> usize {
    if at + 1 == places { 0 } else { at + 1 }
}

const fn tag(hash: u64) -> u64 {
    hash & 0xffff_ffff_0000_0000
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half of a slot is the dense number")]
const fn dense(slot: u64) -> u32 {
    slot as u32
}

#[allow(clippy::cast_possible_truncation, reason = "masked to the table's size")]
const fn start(hash: u64, mask: usize) -> usize {
    // The tag uses the upper half; fold it in, so that tables above 2^32 slots still spread.
    (hash ^ (hash >> 29)) as usize & mask
}
