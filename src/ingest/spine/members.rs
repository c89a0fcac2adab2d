//! Which subjects of the spine each date sees.

use std::collections::HashSet;

use crate::contract::DateSet;
use crate::tables::ids::UNKNOWN;

/// How a subject of the spine stands at a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Visible, with its number at the date.
    In(u32),
    /// Not visible yet.
    Later,
    /// Visible only in rows that break a rule then: unknown.
    Absent,
}

/// The subjects that one date sees. Their numbers at the date are dense and in the order of the spine.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// The number at the date of each subject of the spine; empty when it sees all of them.
    numbers: Vec<u32>,
    absent: HashSet<u32, foldhash::fast::FixedState>,
    len: usize,
}

impl Members {
    /// All subjects of a spine.
    #[must_use]
    pub fn all(subjects: usize) -> Self {
        Self { len: subjects, ..Self::default() }
    }

    /// The members at a date, given the dates at which each subject is in, and at which it has a row that
    /// is not visible yet.
    #[must_use]
    pub fn at(date: usize, visible: &[DateSet], hidden: &[DateSet]) -> Self {
        if visible.iter().all(|dates| dates.has(date)) {
            return Self::all(visible.len());
        }
        let (mut numbers, mut absent, mut next) = (vec![UNKNOWN; visible.len()], HashSet::default(), 0);
        for (s, (visible, hidden)) in (0_u32..).zip(visible.iter().zip(hidden)) {
            if visible.has(date) {
                numbers[s as usize] = next;
                next += 1;
            } else if !hidden.has(date) {
                absent.insert(s);
            }
        }
        Self { numbers, absent, len: next as usize }
    }

    /// Number of subjects at the date.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the date sees nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the date sees every subject of the spine.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.numbers.is_empty()
    }

    /// How a subject of the spine stands.
    #[must_use]
    pub fn standing(&self, subject: u32) -> Standing {
        match self.numbers.get(subject as usize) {
            None => Standing::In(subject),
            Some(number) if *number != UNKNOWN => Standing::In(*number),
            Some(_) if self.absent.contains(&subject) => Standing::Absent,
            Some(_) => Standing::Later,
        }
    }

    /// The number at the date, or [`UNKNOWN`].
    #[must_use]
    pub fn number(&self, subject: u32) -> u32 {
        if self.is_all() { subject } else { self.numbers[subject as usize] }
    }

    /// Whether the date sees a subject of the spine.
    #[must_use]
    pub fn is_in(&self, subject: u32) -> bool {
        self.number(subject) != UNKNOWN
    }

    /// The positions within a range of the spine that the date sees.
    #[must_use]
    pub fn positions(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        range.clone().filter(|s| self.is_all() || self.numbers[*s] != UNKNOWN).map(|s| s - range.start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_numbered_in_order_and_the_others_told_apart() {
        let dates = |bits: [i64; 4]| bits.map(DateSet::from_stored);
        let (visible, hidden) = (dates([0b11, 0b10, 0b00, 0b10]), dates([0b00, 0b01, 0b11, 0b00]));
        let first = Members::at(0, &visible, &hidden);
        let standing: Vec<Standing> = (0..4).map(|s| first.standing(s)).collect();
        assert_eq!(standing, [Standing::In(0), Standing::Later, Standing::Later, Standing::Absent]);
        assert_eq!((first.len(), first.positions(0..4)), (1, vec![0]));
        let second = Members::at(1, &visible, &hidden);
        assert_eq!((second.len(), second.number(3), second.number(2)), (3, 2, UNKNOWN));
        assert_eq!(second.positions(1..4), [0, 2]);
        assert!(Members::at(0, &[DateSet::of(0); 2], &[DateSet::NONE; 2]).is_all());
    }
}
