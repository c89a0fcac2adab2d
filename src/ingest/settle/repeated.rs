//! Record keys that a subject has more than once.
//!
//! Nearly all subjects have none. Whether that is so a bit for each key tells first, without a branch for each row: keys that are alike meet
//! in one bit, so that where none met, none are alike. Only where some met are they compared.

use std::ops::Range;

use anyhow::Result;

use crate::ingest::rows::layout::ROW;
use crate::ingest::rows::store::BucketRows;

/// Words of 64 bits: as many as stay in the cache beside the rows. Of twenty keys that differ two meet in one subject of three hundred.
const WORDS: usize = 1 << 10;
/// Keys that are put there at most: of more, two meet as a rule, and nothing is saved.
const MOST: usize = 256;
/// An odd number without a pattern.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tells whether keys differ, by a bit for each.
struct Marks(Box<[u64; WORDS]>);

impl Default for Marks {
    /// None is marked.
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Marks {
    /// Whether it is certain that all of these keys differ. Afterwards none is marked, as before.
    fn differ(&mut self, keys: &[i64]) -> bool {
        if keys.len() > MOST {
            return false;
        }
        let mut met = 0;
        for key in keys {
            let (word, bit) = mark_of(*key);
            let marks = &mut self.0[word];
            met |= *marks & bit;
            *marks |= bit;
        }
        for key in keys {
            self.0[mark_of(*key).0] = 0;
        }
        met == 0
    }
}

/// The word of a key, and its bit in it.
#[allow(clippy::cast_possible_truncation, reason = "less than the number of words")]
const fn mark_of(key: i64) -> (usize, u64) {
    let spread = key.cast_unsigned().wrapping_mul(SPREAD);
    ((spread >> 54) as usize & (WORDS - 1), 1_u64 << ((spread >> 48) & 63))
}

/// Finds the record keys that a subject has more than once.
#[derive(Default)]
pub(super) struct KeyIndex {
    marks: Marks,
    slots: Vec<u32>,
    repeated: Vec<usize>,
}

impl KeyIndex {
    /// Notes the rows of a subject whose key another of them has.
    ///
    /// # Errors
    /// When there are more rows than 32 bits count.
    pub(super) fn repeated(&mut self, rows: &BucketRows, record: usize, range: Range<usize>) -> Result<()> {
        self.repeated.clear();
        let keys = &rows.columns[record];
        if self.marks.differ(&keys[range.clone()]) {
            return Ok(());
        }
        let size = (range.len() * 2).next_power_of_two();
        self.slots.clear();
        self.slots.resize(size, u32::MAX);
        for row in range {
            let mut slot = slot_of(keys[row], size);
            loop {
                match self.slots[slot] {
                    u32::MAX => {
                        self.slots[slot] = u32::try_from(row)?;
                        break;
                    }
                    other if keys[other as usize] == keys[row] => {
                        self.repeated.extend([other as usize, row]);
                        break;
                    }
                    _ => slot = (slot + 1) & (size - 1),
                }
            }
        }
        Ok(())
    }

    /// The rows of each repeated key, by place in the exports.
    pub(super) fn groups(&mut self, rows: &BucketRows, record: usize) -> Vec<Vec<usize>> {
        if self.repeated.is_empty() {
            return Vec::new();
        }
        let keys = &rows.columns[record];
        let sorted = |row: &usize| (keys[*row], rows.records.get(*row), rows.files[*row], rows.value(ROW, *row));
        self.repeated.sort_unstable_by_key(sorted);
        self.repeated.dedup();
        let alike = |a: &usize, b: &usize| keys[*a] == keys[*b] && rows.records.get(*a) == rows.records.get(*b);
        self.repeated.chunk_by(alike).filter(|g| g.len() > 1).map(<[usize]>::to_vec).collect()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "masked to the table's size")]
const fn slot_of(key: i64, size: usize) -> usize {
    (key.cast_unsigned().wrapping_mul(SPREAD) >> 32) as usize & (size - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::NULL;

    proptest! {
        #[test]
        fn the_rows_of_a_key_that_a_subject_repeats_are_found(
            subjects in proptest::collection::vec(
                // Of very few keys, of some, and of so many that most differ.
                prop_oneof![
                    proptest::collection::vec(prop_oneof![0_i64..6, Just(NULL)], 0..12),
                    proptest::collection::vec(0_i64..4_000, 0..MOST),
                    proptest::collection::vec(any::<i64>(), 0..MOST + 9),
                ],
                0..8),
        ) {
            let keys: Vec<i64> = subjects.iter().flatten().copied().collect();
            let files = vec![0; keys.len()];
            // Each has its number in its file, as rows have.
            let numbers: Vec<i64> = (0_i64..).take(keys.len()).collect();
            let columns = vec![Arc::new(numbers), Arc::new(keys.clone())];
            let record = ROW + 1;
            let rows = BucketRows { files, columns, ..BucketRows::default() };
            let (mut index, mut from) = (KeyIndex::default(), 0);
            for subject in &subjects {
                let range = from..from + subject.len();
                from = range.end;
                let mut expected: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
                range.clone().for_each(|row| expected.entry(keys[row]).or_default().push(row));
                expected.retain(|_, rows| rows.len() > 1);
                index.repeated(&rows, record, range).unwrap();
                let mut found = index.groups(&rows, record);
                found.iter_mut().for_each(|group| group.sort_unstable());
                prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
                prop_assert!(index.marks.0.iter().all(|word| *word == 0));
            }
        }
    }

    #[test]
    fn keys_that_differ_are_told_by_their_bits_and_alike_ones_never() {
        let mut marks = Marks::default();
        let row: Vec<i64> = (0..20).map(|key| 7_000_000 + 13 * key).collect();
        // The second time as the first: no mark is left.
        assert!(marks.differ(&row) && marks.differ(&row) && marks.differ(&[]));
        for other in 0..row.len() {
            let twice: Vec<i64> = row.iter().copied().chain([row[other]]).collect();
            assert!(!marks.differ(&twice), "{other}");
        }
        let many: Vec<i64> = (0..i64::try_from(MOST).unwrap() + 1).collect();
        assert!(!marks.differ(&many));
    }
}
