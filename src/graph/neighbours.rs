//! What friends tell of a subject besides their scores.

use anyhow::{Result, ensure};

use crate::ingest::links::tie_store::Packing;

/// A mark of a subject that friends are told of.
pub const VERIFIED: u8 = 1;
/// The subject is in default.
pub const IN_DEFAULT: u8 = 2;

/// What the chosen ties of a subject are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Ties.
    pub ties: u32,
    /// Ties whose interactions are told.
    pub told: u32,
    /// Ties with an interaction.
    pub interacting: u32,
    /// Middle age of the ties in whole months; of two the younger.
    pub median_months: u16,
    /// Friends with [`VERIFIED`].
    pub verified: u32,
    /// Friends with [`IN_DEFAULT`].
    pub in_default: u32,
}

impl Neighbours {
    /// Those of the records of one subject's chosen ties, which tell the marks of their senders; `months` is scratch space.
    pub(super) fn of<'r>(records: impl Iterator<Item = &'r u64>, packing: &Packing, months: &mut Vec<u16>) -> Self {
        let mut found = Self::default();
        months.clear();
        for record in records {
            let interactions = Packing::interactions(Packing::code(*record));
            let marks = packing.local(*record);
            found.ties += 1;
            found.told += u32::from(interactions.is_some());
            found.interacting += u32::from(interactions.is_some_and(|i| i > 0));
            found.verified += u32::from(marks & usize::from(VERIFIED) != 0);
            found.in_default += u32::from(marks & usize::from(IN_DEFAULT) != 0);
            months.push(Packing::months(*record));
        }
        let middle = months.len().saturating_sub(1) / 2;
        if !months.is_empty() {
            found.median_months = *months.select_nth_unstable(middle).1;
        }
        found
    }
}

/// Bits of a count: a subject has at most [`MOST_TIES`](crate::pipeline::model::MOST_TIES) = 10^6 ties that count.
const COUNT_BITS: u32 = 20;
/// Bits of an age in months: at most [`MOST_MONTHS`](crate::ingest::links::tie_store::MOST_MONTHS) = 2,046.
const MONTH_BITS: u32 = 11;
/// Bytes of five counts and an age.
const BYTES: usize = 14;

/// [`Neighbours`] in fourteen bytes instead of twenty-four: everyone has some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed([u8; BYTES]);

impl Packed {
    /// The same, packed.
    ///
    /// # Errors
    /// When a count or an age is beyond what ties and their ages can be.
    pub fn of(neighbours: &Neighbours) -> Result<Self> {
        let Neighbours { ties, told, interacting, median_months, verified, in_default } = *neighbours;
        let counts = [in_default, verified, interacting, told, ties];
        let fits = counts.iter().all(|count| count >> COUNT_BITS == 0) && median_months >> MONTH_BITS == 0;
        ensure!(fits, "defect: a subject has more ties than are counted");
        let word = counts.iter().rev().fold(u128::from(median_months), |w, count| w << COUNT_BITS | u128::from(*count));
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&word.to_le_bytes()[..BYTES]);
        Ok(Self(bytes))
    }

    /// What was packed.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "masked to the bits of a count or of an age")]
    pub fn unpacked(self) -> Neighbours {
        let mut bytes = [0; size_of::<u128>()];
        bytes[..BYTES].copy_from_slice(&self.0);
        let word = u128::from_le_bytes(bytes);
        let count = |place: u32| (word >> (place * COUNT_BITS)) as u32 & ((1 << COUNT_BITS) - 1);
        Neighbours {
            ties: count(4),
            told: count(3),
            interacting: count(2),
            median_months: (word >> (5 * COUNT_BITS)) as u16 & ((1 << MONTH_BITS) - 1),
            verified: count(1),
            in_default: count(0),
        }
    }

    /// Number of ties.
    #[must_use]
    pub fn ties(self) -> u32 {
        self.unpacked().ties
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::links::tie_store::MOST_MONTHS;
    use crate::pipeline::model::MOST_TIES;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(counts in proptest::array::uniform5(0..=1_000_000_u32), months in 0..=2_046_u16) {
            let [ties, told, interacting, verified, in_default] = counts;
            let neighbours = Neighbours { ties, told, interacting, median_months: months, verified, in_default };
            let packed = Packed::of(&neighbours).unwrap();
            prop_assert_eq!(packed.unpacked(), neighbours);
            prop_assert_eq!(packed.ties(), ties);
        }
    }

    #[test]
    fn what_ties_can_be_fits_and_more_is_refused() {
        let most = u32::try_from(MOST_TIES).unwrap();
        let months = u16::try_from(MOST_MONTHS).unwrap();
        let all = Neighbours {
            ties: most,
            told: most,
            interacting: most,
            median_months: months,
            verified: most,
            in_default: most,
        };
        assert_eq!(Packed::of(&all).unwrap().unpacked(), all);
        assert_eq!(Packed::default().unpacked(), Neighbours::default());
        assert!(Packed::of(&Neighbours { ties: 1 << COUNT_BITS, ..all }).is_err());
        assert!(Packed::of(&Neighbours { in_default: 1 << COUNT_BITS, ..all }).is_err());
        assert!(Packed::of(&Neighbours { median_months: 1 << MONTH_BITS, ..all }).is_err());
        assert_eq!(size_of::<Packed>(), BYTES);
    }
}
