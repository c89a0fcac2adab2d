//! Hashes of ids.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// A fixed hash: the same bytes have the same in every run. Keys of ids are made of it; the table has one of its own.
#[must_use]
#[inline]
pub fn hash_bytes(id: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x5e5a_3e00).build_hasher();
    hasher.write(id);
    hasher.finish()
}

/// The hash of an id in a table of tags: its words one after the other, at last the eight bytes that it ends in where these
/// are no word. Nothing but the table's order depends on it.
#[inline(always)]
pub(super) fn hash_id(id: &[u8]) -> u64 {
    let (words, rest) = id.as_chunks::<8>();
    let hash = words.iter().fold(id.len() as u64, |hash, word| folded(hash ^ u64::from_ne_bytes(*word)));
    let end = match id.last_chunk::<8>() {
        _ if rest.is_empty() => 0,
        Some(end) => u64::from_ne_bytes(*end),
        None => rest.iter().fold(0_u64, |end, byte| (end << 8) | u64::from(*byte)),
    };
    hash_word(hash ^ end)
}

/// A word's hash: a multiplication folded onto itself.
pub(super) const fn hash_word(word: u64) -> u64 {
    folded(word).wrapping_mul(0xe703_7ed1_a0b4_28db)
}

#[allow(clippy::cast_possible_truncation, reason = "both halves of the product")]
const fn folded(word: u64) -> u64 {
    let product = (word ^ 0x5e5a_3e00_9e37_79b9) as u128 * 0xa076_1d64_78bd_642f_u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// A place among so many.
#[allow(clippy::cast_possible_truncation, reason = "below the number of places")]
pub(super) const fn spread(hash: u64, places: usize) -> usize {
    ((hash as u128 * places as u128) >> 64) as usize
}
