//! What friends tell of a subject besides their scores.

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
    /// Those of the records of one subject's chosen ties; `marks` are everyone's, `months` is scratch space.
    pub(super) fn of(row: &[u64], packing: &Packing, marks: &[u8], months: &mut Vec<u16>) -> Self {
        let mut found = Self::default();
        months.clear();
        for record in row {
            let interactions = Packing::interactions(Packing::code(*record));
            let marks = marks[packing.from(*record) as usize];
            found.ties += 1;
            found.told += u32::from(interactions.is_some());
            found.interacting += u32::from(interactions.is_some_and(|i| i > 0));
            found.verified += u32::from(marks & VERIFIED != 0);
            found.in_default += u32::from(marks & IN_DEFAULT != 0);
            months.push(Packing::months(*record));
        }
        let middle = months.len().saturating_sub(1) / 2;
        if !months.is_empty() {
            found.median_months = *months.select_nth_unstable(middle).1;
        }
        found
    }
}
