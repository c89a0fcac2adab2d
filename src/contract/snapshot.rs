//! A point in time to score for.

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::Calendar;

/// What had happened by an as-of date and was known by a cut-off.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The as-of date.
    pub calendar: Calendar,
    /// The knowledge cut-off.
    pub known_by: Timestamp,
}

impl Snapshot {
    /// The last value of a time column that is not after the as-of date: microseconds of an instant, or a day number.
    #[must_use]
    pub const fn last(&self, instant: bool) -> i64 {
        if instant { self.calendar.cutoff_micros() - 1 } else { self.calendar.as_of_day() }
    }

    /// The last value of a time column that counts: not after the as-of date, nor after the knowledge cut-off. A day counts
    /// when its last microsecond does.
    #[must_use]
    pub fn last_known(&self, instant: bool) -> i64 {
        let known = self.known_by.as_microsecond();
        let last = if instant { known } else { self.calendar.zone().day(known + 1) - 1 };
        self.last(instant).min(last)
    }

    /// Whether the knowledge cut-off lies before the end of the as-of date, so that not all that happened was known.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.known_by.as_microsecond() < self.calendar.cutoff_micros() - 1
    }

    /// What is visible at one of several dates is visible here: the last as-of date and the last knowledge cut-off.
    ///
    /// # Errors
    /// When there is no date.
    pub fn widest(snapshots: &[Self]) -> Result<Self> {
        let last = snapshots.iter().max_by_key(|s| s.calendar.as_of_day()).context("no as-of date")?;
        let known_by = snapshots.iter().map(|s| s.known_by).max().unwrap_or(last.known_by);
        Ok(Self { calendar: last.calendar.clone(), known_by })
    }
}
