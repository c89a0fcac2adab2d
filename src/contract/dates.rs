//! The dates that one pass over the exports serves, and sets of them.

use anyhow::{Result, ensure};

use super::Snapshot;

/// The most dates that one pass serves: a row keeps one bit of an integer for each.
pub(super) const MOST_DATES: usize = 60;

/// Some of the dates of a pass, by their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateSet(u64);

impl DateSet {
    /// No date.
    pub const NONE: Self = Self(0);

    /// The first so many dates.
    ///
    /// # Errors
    /// When a pass does not serve so many.
    pub fn first(dates: usize) -> Result<Self> {
        ensure!((1..=MOST_DATES).contains(&dates), "{dates} as-of dates at once; a pass serves 1 to {MOST_DATES}");
        Ok(Self(u64::MAX >> (u64::BITS as usize - dates)))
    }

    /// One date.
    #[must_use]
    pub const fn of(date: usize) -> Self {
        Self(1 << date)
    }

    /// The dates whose snapshot is so.
    pub fn filter(snapshots: &[Snapshot], is: impl Fn(&Snapshot) -> bool) -> Self {
        snapshots.iter().enumerate().filter(|(_, s)| is(s)).fold(Self::NONE, |all, (date, _)| all.or(Self::of(date)))
    }

    /// As a stored row holds it.
    #[must_use]
    pub const fn from_stored(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }

    /// How a stored row holds it.
    #[must_use]
    pub const fn stored(self) -> i64 {
        self.0.cast_signed()
    }

    /// Whether a date is among them.
    #[must_use]
    pub const fn has(self, date: usize) -> bool {
        self.0 >> date & 1 == 1
    }

    /// Whether all of some dates are among them.
    #[must_use]
    pub const fn has_all(self, dates: Self) -> bool {
        self.0 & dates.0 == dates.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The dates of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The dates of this that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Adds a date.
    pub const fn add(&mut self, date: usize) {
        self.0 |= 1 << date;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_is_put_in() {
        let all = DateSet::first(60).unwrap();
        assert!(all.has(59) && !all.has(60) && all.has_all(DateSet::of(7)));
        let mut some = DateSet::of(3);
        some.add(5);
        assert_eq!(some.without(DateSet::of(3)), DateSet::of(5));
        assert_eq!(DateSet::from_stored(all.stored()), all);
        assert!(DateSet::first(0).is_err() && DateSet::first(61).is_err() && DateSet::NONE.is_empty());
    }
}
