//! Groups of one subject's rows by number.

/// Numbers the keys of a subject's rows as they appear.
#[derive(Default)]
pub(super) struct Numbering {
    keys: Vec<i64>,
    /// Open addressing from key to number.
    slots: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl Numbering {
    /// Adds the number of each key, and tells how many there are.
    pub(super) fn number(&mut self, keys: &[i64], to: &mut Vec<u32>) -> usize {
        self.keys.clear();
        let size = (2 * keys.len()).next_power_of_two();
        self.slots.clear();
        self.slots.resize(size, FREE);
        let mut last = FREE;
        for key in keys {
            // Rows often come in runs of one key.
            if last == FREE || self.keys[last as usize] != *key {
                last = self.find(*key, size);
            }
            to.push(last);
        }
        self.keys.len()
    }

    #[allow(clippy::cast_possible_truncation, reason = "masked to the table's size; a run has fewer than 2^32 rows")]
    fn find(&mut self, key: i64, size: usize) -> u32 {
        let mut slot = (key.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (size - 1);
        loop {
            match self.slots[slot] {
                FREE => {
                    let number = self.keys.len() as u32;
                    self.slots[slot] = number;
                    self.keys.push(key);
                    return number;
                }
                number if self.keys[number as usize] == key => return number,
                _ => slot = (slot + 1) & (size - 1),
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
        fn keys_have_one_number_each(subjects in proptest::collection::vec(proptest::collection::vec(-3_i64..9, 0..40), 0..5)) {
            let (mut numbering, mut all) = (Numbering::default(), Vec::new());
            for keys in subjects {
                all.clear();
                let count = numbering.number(&keys, &mut all);
                prop_assert_eq!(all.len(), keys.len());
                prop_assert_eq!(count, keys.iter().collect::<std::collections::BTreeSet<_>>().len());
                for (a, number) in keys.iter().zip(&all) {
                    prop_assert!((*number as usize) < count);
                    for (b, other) in keys.iter().zip(&all) {
                        prop_assert_eq!(a == b, number == other);
                    }
                }
            }
        }
    }
}
