//! Many ids of more than eight bytes looked up in a table that holds half of each one's hash and its number.
//!
//! They are looked up in short runs, first the table's places, then the ids that these point at and then the comparisons, so that
//! the memory accesses of a run overlap; one that several rows in a row have is looked up once. Where all ids have one of the usual
//! lengths, hashes and comparisons are of so many bytes, without a loop or a call.

use std::hint::black_box;

use super::hashes::hash_id;
use crate::tables::ids::{Ids, UNKNOWN};

/// Ids looked up together.
pub(super) const RUN: usize = 64;
/// In a run, the place of rows that have no id: behind those of all others.
const NOBODY: u32 = 64;
const _: () = assert!(NOBODY as usize == RUN);
/// A free place of a table.
pub(super) const EMPTY: u64 = u64::MAX;

/// The numbers of many ids that all have `W` bytes; one of another length is nobody's.
pub(super) fn find_fixed<'a, const W: usize>(
    (table, seed): (&[u64], u64),
    ids: &Ids,
    wanted: impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<u32>,
) {
    let all = ids.fixed::<W>();
    let wanted = wanted.map(|id| id.and_then(|id| <&[u8; W]>::try_from(id).ok()));
    let hash = |id: &'a [u8; W]| hash_id(seed, id.as_slice());
    // Both of its ends, which may be in two lines of the cache.
    let touch = |number: u32| all.get(number as usize).map_or(0, |known| known[0] ^ known[W - 1]);
    let is = |number: u32, id: &'a [u8; W]| all.get(number as usize).is_some_and(|known| known == id);
    find_runs(table, wanted, hash, touch, is, out);
}

/// The numbers of ids by their hashes and by whether a number is an id's; `touch` accesses the id of a number, or of none.
pub(super) fn find_runs<K: Copy + PartialEq>(
    table: &[u64],
    mut wanted: impl Iterator<Item = Option<K>>,
    hash: impl Fn(K) -> u64,
    touch: impl Fn(u32) -> u8,
    is: impl Fn(u32, K) -> bool,
    out: &mut Vec<u32>,
) {
    let mask = table.len() - 1;
    let mut keys: [Option<K>; RUN] = [None; RUN];
    let (mut hashes, mut slots) = ([0_u64; RUN], [EMPTY; RUN]);
    let mut found = [UNKNOWN; RUN + 1];
    loop {
        // Each row is given the place in the run of its id, which the rows after it that have the same id share.
        let from = out.len();
        let (mut filled, mut place) = (0, NOBODY);
        let mut before: Option<K> = None;
        while filled < RUN {
            let Some(row) = wanted.next() else { break };
            let Some(id) = row else {
                out.push(NOBODY);
                continue;
            };
            if before != Some(id) {
                (keys[filled], hashes[filled]) = (Some(id), hash(id));
                place = if before.is_none() { 0 } else { place + 1 };
                filled += 1;
                before = Some(id);
            }
            out.push(place);
        }
        for (slot, hash) in slots.iter_mut().zip(&hashes[..filled]) {
            *slot = table[start(*hash, mask)];
        }
        // Their neighbours are at hand now. Those of the same half of the hash point at ids.
        for (slot, hash) in slots.iter_mut().zip(&hashes[..filled]) {
            let mut at = start(*hash, mask);
            while *slot != EMPTY && tag(*slot) != tag(*hash) {
                at = (at + 1) & mask;
                *slot = table[at];
            }
        }
        // As in `look_at`. A comparison is long: few of them would wait for memory at a time.
        let _ = black_box(slots.iter().take(filled).fold(0_u8, |all, slot| all ^ touch(dense(*slot))));
        let run = keys.iter().zip(&hashes).zip(slots.iter().zip(&mut found));
        for ((key, hash), (slot, found)) in run.take(filled) {
            let Some(key) = *key else { continue };
            *found = match *slot {
                EMPTY => UNKNOWN,
                slot if is(dense(slot), key) => dense(slot),
                _ => probe_tags(table, *hash, |number| is(number, key)),
            };
        }
        for number in &mut out[from..] {
            *number = found[*number as usize];
        }
        if filled < RUN {
            return;
        }
    }
}

/// The number of an id by its hash and by whether a number is the id's, or [`UNKNOWN`].
pub(super) fn probe_tags(table: &[u64], hash: u64, is: impl Fn(u32) -> bool) -> u32 {
    let mask = table.len() - 1;
    let mut at = start(hash, mask);
    loop {
        let slot = table[at];
        if slot == EMPTY {
            return UNKNOWN;
        }
        if tag(slot) == tag(hash) && is(dense(slot)) {
            return dense(slot);
        }
        at = (at + 1) & mask;
    }
}

/// What a place holds of a hash.
pub(super) const fn tag(hash: u64) -> u64 {
    hash & 0xffff_ffff_0000_0000
}

/// The number that a place holds.
#[allow(clippy::cast_possible_truncation, reason = "the lower half of a slot is the dense number")]
pub(super) const fn dense(slot: u64) -> u32 {
    slot as u32
}

/// The place that an id is looked for in first, in a table whose length is one more than the mask.
#[allow(clippy::cast_possible_truncation, reason = "masked to the table's size")]
pub(super) const fn start(hash: u64, mask: usize) -> usize {
    // The tag uses the upper half; fold it in, so that tables above 2^32 slots still spread.
    (hash ^ (hash >> 29)) as usize & mask
}
