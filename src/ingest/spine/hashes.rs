//! Hashes of ids.

use std::hash::{BuildHasher, Hasher, RandomState};

use foldhash::fast::FixedState;

/// A fixed hash: the same bytes have the same in every run. Keys of ids are made of it; the table has one of its own.
#[must_use]
#[inline]
pub fn hash_bytes(id: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x5e5a_3e00).build_hasher();
    hasher.write(id);
    hasher.finish()
}

/// A word that nobody can foresee, from which a table's hashes start: whoever chooses ids does not know which of them have one place, and
/// cannot make a run slow by such. Nothing but places in a table in memory may depend on it.
pub(super) fn unforeseen() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The hash of an id in a table of tags: its words one after the other, at last the eight bytes that it ends in where these
/// are no word. Nothing but the table's order depends on it.
#[inline(always)]
pub(super) fn hash_id(seed: u64, id: &[u8]) -> u64 {
    let (words, rest) = id.as_chunks::<8>();
    let hash = words.iter().fold(seed ^ id.len() as u64, |hash, word| folded(hash ^ u64::from_ne_bytes(*word)));
    let end = match id.last_chunk::<8>() {
        _ if rest.is_empty() => 0,
        Some(end) => u64::from_ne_bytes(*end),
        None => rest.iter().fold(0_u64, |end, byte| (end << 8) | u64::from(*byte)),
    };
    mixed(hash ^ end)
}

/// The hash of an id of eight bytes in a table of words.
#[inline(always)]
pub(super) const fn hash_word(seed: u64, word: u64) -> u64 {
    mixed(seed ^ word)
}

/// A word's hash: a multiplication folded onto itself.
const fn mixed(word: u64) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_that_differ_in_one_byte_have_other_hashes() {
        for width in 1..40 {
            let hashes = (0..width).flat_map(|at| (0..=255_u8).map(move |byte| (at, byte))).map(|(at, byte)| {
                let mut id = vec![0; width];
                id[at] = byte;
                [0, 0x1234_5678_9abc_def0].map(|seed| hash_id(seed, &id))
            });
            let hashes: Vec<[u64; 2]> = hashes.collect();
            // The id of nothing but zeros comes once for each of its bytes.
            for seed in 0..2 {
                let different: BTreeSet<u64> = hashes.iter().map(|hashes| hashes[seed]).collect();
                assert_eq!(different.len(), 255 * width + 1, "{width} bytes");
            }
        }
    }

    #[test]
    fn ids_that_were_chosen_for_one_place_are_spread_by_another_seed() {
        let tags = |seed: u64, n: u64| hash_id(seed, &[n.to_ne_bytes(), [7; 8]].concat());
        let words = |seed: u64, n: u64| hash_word(seed, n);
        for hash in [&tags as &dyn Fn(u64, u64) -> u64, &words] {
            let place = |seed: u64, n: u64| spread(hash(seed, n), 1_024);
            let chosen: Vec<u64> = (0..200_000).filter(|n| place(0, *n) == 5).collect();
            assert!(chosen.len() > 100, "{}", chosen.len());
            let places: BTreeSet<usize> = chosen.iter().map(|n| place(0x1234_5678_9abc_def0, *n)).collect();
            assert!(places.len() > chosen.len() / 2, "{} of {}", places.len(), chosen.len());
        }
    }

    #[test]
    fn nobody_foresees_a_seed() {
        assert_eq!((0..100).map(|_| unforeseen()).collect::<BTreeSet<u64>>().len(), 100);
    }
}
