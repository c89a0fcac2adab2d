//! What was found for the values that a column repeats.
//!
//! Words, sources and other ids repeat within a batch, often a page's few in any order. What a look-up says of such a value is remembered at
//! one of 256 places, which follows from the value: nothing is searched, and of two values of one place the last is remembered.

/// Places: a byte's.
const PLACES: usize = 256;

/// A value that has a place.
pub(in crate::ingest) trait Placed: Copy + Eq {
    /// A value of the first place.
    const FIRST: Self;
    /// A value of another place.
    const OTHER: Self;

    /// Its place: the highest byte of a product with an odd number without a pattern, for that depends on all of its bits.
    fn place(self) -> usize;
}

/// The view of a text: equal views of one array are equal texts, and those of a dictionary's page repeat.
impl Placed for u128 {
    const FIRST: Self = 0;
    const OTHER: Self = 1;

    #[inline(always)]
    fn place(self) -> usize {
        // Of both halves laid upon each other: a product of so many bits takes three.
        let (bytes, half) = (self.to_ne_bytes(), |half: &[u8; 8]| u64::from_ne_bytes(*half));
        let both = bytes.as_chunks::<8>().0.iter().map(half).fold(0, |one, other| one ^ other);
        usize::from(both.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0])
    }
}

/// A key.
impl Placed for i64 {
    const FIRST: Self = 0;
    const OTHER: Self = 1;

    #[inline(always)]
    fn place(self) -> usize {
        usize::from(self.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0])
    }
}

/// The last value of each place, with what was found for it.
pub(in crate::ingest) struct Recent<K, V>([(K, V); PLACES]);

impl<K: Placed, V: Copy + Default> Default for Recent<K, V> {
    /// Nothing is remembered: every place has a value of another one, which is never looked for there.
    #[inline]
    fn default() -> Self {
        let mut places = [(K::FIRST, V::default()); PLACES];
        places[K::FIRST.place()].0 = K::OTHER;
        Self(places)
    }
}

impl<K: Placed, V: Copy> Recent<K, V> {
    /// What was remembered of a value, unless another one of its place came after it.
    #[inline(always)]
    pub(in crate::ingest) fn get(&self, value: K) -> Option<V> {
        let (known, found) = self.0[value.place()];
        (known == value).then_some(found)
    }

    /// Remembers what was found for a value.
    #[inline(always)]
    pub(in crate::ingest) fn put(&mut self, value: K, found: V) {
        self.0[value.place()] = (value, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use proptest::prelude::*;

    /// Holds what is remembered against the last value that was put at each place.
    fn holds<K: Placed + Debug>(values: &[K]) {
        let mut recent = Recent::<K, usize>::default();
        let mut last: Vec<Option<(K, usize)>> = vec![None; PLACES];
        for (n, value) in values.iter().enumerate() {
            let of_place = last[value.place()];
            let expected = of_place.filter(|(known, _)| known == value).map(|(_, found)| found);
            assert_eq!(recent.get(*value), expected, "{value:?}");
            // Every third value is looked at and not remembered.
            if n % 3 != 2 {
                recent.put(*value, n);
                last[value.place()] = Some((*value, n));
                assert_eq!(recent.get(*value), Some(n));
            }
        }
    }

    proptest! {
        #[test]
        fn the_last_value_of_each_place_is_remembered(
            some in proptest::collection::vec(prop_oneof![-9_i64..9, any::<i64>()], 1..300),
            rows in proptest::collection::vec(0_usize..300, 0..900),
        ) {
            let keys: Vec<i64> = rows.iter().map(|row| some[row % some.len()]).collect();
            let views: Vec<u128> = keys.iter().map(|key| u128::from(key.cast_unsigned()) << (key.cast_unsigned() % 65)).collect();
            holds(&keys);
            holds(&views);
        }
    }

    #[test]
    fn nothing_is_known_before_it_was_found() {
        for n in 0..2_000_u32 {
            assert_eq!(Recent::<i64, u8>::default().get(i64::from(n) - 1_000), None);
            assert_eq!(Recent::<u128, u8>::default().get(u128::from(n)), None);
        }
        assert_eq!(Recent::<u128, u8>::default().get(u128::MAX), None);
        assert_eq!(Recent::<i64, u8>::default().get(i64::MIN), None);
        assert!(i64::FIRST.place() != i64::OTHER.place() && u128::FIRST.place() != u128::OTHER.place());
    }

    #[test]
    fn few_values_in_a_row_have_different_places() {
        let places: BTreeSet<usize> = (0..64_i64).map(Placed::place).collect();
        assert!(places.len() > 48, "{}", places.len());
        let places: BTreeSet<usize> = (0..64_u128).map(|n| (n << 64).place()).collect();
        assert!(places.len() > 48, "{}", places.len());
    }
}
