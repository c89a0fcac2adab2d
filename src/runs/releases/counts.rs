//! How many subjects a partner is told about and how many not: what a receipt may show of it.

use serde::{Deserialize, Serialize};

use crate::disclosure::{cells, small};

/// How many subjects; what is hidden is null, because it is small or would tell a small count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Subjects of the run; null also when those who are not told are few.
    pub subjects: Option<u64>,
    /// Told to the partner.
    pub released: Option<u64>,
    /// Not told: without a score.
    pub no_score: Option<u64>,
    /// Not told: they never agreed.
    pub no_consent: Option<u64>,
    /// Not told: they agreed once, and withdrew or let it expire.
    pub consent_ended: Option<u64>,
    /// Pseudonyms that the partner must forget.
    pub withdrawn: Option<u64>,
}

/// Subjects of a run by why they are told, or not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reasons {
    /// They are.
    pub released: u64,
    /// Without a score.
    pub no_score: u64,
    /// They never agreed.
    pub no_consent: u64,
    /// They agreed once.
    pub consent_ended: u64,
}

impl Reasons {
    /// The counts that may be shown: no small one, nor one that tells a small one.
    #[must_use]
    pub fn shown(&self, withdrawn: u64, min_cell: u64) -> Counts {
        let all = [self.released, self.no_score, self.no_consent, self.consent_ended];
        let subjects: u64 = all.iter().sum();
        // Who has the table knows how many rows it has, and so what the others come to.
        let (together, others) = (cells::shown(&all, &[], min_cell), cells::shown(&all[1..], &[], min_cell));
        let both = |at: usize| together[at].and(others[at - 1]);
        let part = |count: u64| (!small(count, min_cell)).then_some(count);
        Counts {
            subjects: part(subjects).filter(|_| !small(subjects - self.released, min_cell)),
            released: together[0],
            no_score: both(1),
            no_consent: both(2),
            consent_ended: both(3),
            withdrawn: part(withdrawn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: [u64; 4], withdrawn: u64) -> [Option<u64>; 6] {
        let [released, no_score, no_consent, consent_ended] = all;
        let found = Reasons { released, no_score, no_consent, consent_ended }.shown(withdrawn, 10);
        [found.subjects, found.released, found.no_score, found.no_consent, found.consent_ended, found.withdrawn]
    }

    #[test]
    fn no_small_count_is_told_nor_follows_from_the_others() {
        let large = [Some(210), Some(100), Some(50), Some(40), Some(20), Some(12)];
        assert_eq!(counts([100, 50, 40, 20], 12), large);
        // A small one takes another with it: for who has the receipt alone, and for who can count the rows of the table.
        assert_eq!(counts([30, 50, 40, 3], 0), [Some(123), None, Some(50), None, None, Some(0)]);
        assert_eq!(counts([300, 50, 40, 3], 2), [Some(393), Some(300), Some(50), None, None, None]);
        assert_eq!(counts([4, 0, 0, 0], 0)[..2], [None, None]);
        // With the number of rows, that of all subjects would tell how few were left out.
        assert_eq!(counts([997, 0, 0, 3], 0), [None, None, None, None, None, Some(0)]);
        assert_eq!(counts([990, 0, 0, 10], 0)[0], Some(1_000));
        assert_eq!(counts([1_000, 0, 0, 0], 0)[0], Some(1_000));
    }
}
