//! What the rows of the scored table say, counted.

use anyhow::Result;

use crate::tables::scores::REASONS;
use crate::tables::words::NO_WORD;

/// What the rows of a table say, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Scored subjects by reason code that they are given, in order of the model file.
    pub reasons: Vec<u64>,
    /// Scored subjects by the points of each category.
    pub categories: [Vec<u64>; 5],
}

/// What one subject's row needs beyond its plain columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reasoned {
    /// Points by category.
    pub(super) points: [i16; 5],
    /// Reason codes by position in the model file, the last one about friends; [`NO_WORD`] for none.
    pub(super) codes: [u32; REASONS + 1],
}

impl Told {
    /// Nothing yet, of so many reason codes.
    #[must_use]
    pub fn new(codes: usize) -> Self {
        Self { reasons: vec![0; codes], ..Self::default() }
    }

    /// Adds what other rows say.
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut Vec<u64>, theirs: &[u64]| {
            mine.resize(mine.len().max(theirs.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        add(&mut self.reasons, &other.reasons);
        self.categories.iter_mut().zip(&other.categories).for_each(|(mine, theirs)| add(mine, theirs));
    }

    /// Adds a scored subject's row.
    ///
    /// # Errors
    /// When points are below 0.
    pub(super) fn add(&mut self, row: &Reasoned) -> Result<()> {
        for code in row.codes.into_iter().filter(|code| *code != NO_WORD) {
            self.reasons[usize::try_from(code)?] += 1;
        }
        for (counts, points) in self.categories.iter_mut().zip(row.points) {
            let points = usize::try_from(points)?;
            if points >= counts.len() {
                counts.resize(points + 1, 0);
            }
            counts[points] += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_parts_tell_adds_up_to_what_all_tell(
            rows in proptest::collection::vec((proptest::array::uniform5(0_i16..300), 0_u32..6, any::<bool>()), 0..150),
            parts in 1_usize..5,
        ) {
            let told = |of: &dyn Fn(usize) -> bool| {
                let mut told = Told::new(6);
                for (_, (points, code, friends)) in rows.iter().enumerate().filter(|(n, _)| of(*n)) {
                    let of_friends = if *friends { 5 - *code } else { NO_WORD };
                    let codes = [*code, NO_WORD, NO_WORD, NO_WORD, of_friends];
                    told.add(&Reasoned { points: *points, codes }).unwrap();
                }
                told
            };
            let mut merged = Told::new(6);
            for part in 0..parts {
                merged.merge(&told(&|n| n % parts == part));
            }
            let all = told(&|_| true);
            prop_assert_eq!(&merged, &all);
            let friends = rows.iter().filter(|(_, _, friends)| *friends).count();
            prop_assert_eq!(all.reasons.iter().sum::<u64>(), (rows.len() + friends) as u64);
            prop_assert!(all.categories.iter().all(|counts| counts.iter().sum::<u64>() == rows.len() as u64));
        }
    }
}
