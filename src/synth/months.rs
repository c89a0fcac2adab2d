//! The calendar months of a population, counted back from the last.

use anyhow::Result;
use jiff::ToSpan;
use jiff::civil::Date;

use crate::contract::day_number;

/// A month of history: its days that are written.
#[derive(Debug, Clone)]
pub(super) struct Month {
    /// `2025-10`.
    pub name: String,
    /// The year.
    pub year: i16,
    /// Months before the last.
    pub ago: u32,
    /// First day number.
    pub first: i64,
    /// Last day number that is written.
    pub last: i64,
    /// Whether all its days are.
    pub whole: bool,
}

/// The months that end with a day, oldest first.
///
/// # Errors
/// When they reach beyond the calendar.
pub(super) fn months(as_of: Date, count: u32) -> Result<Vec<Month>> {
    (0..count)
        .rev()
        .map(|ago| {
            let first = as_of.first_of_month().checked_sub(i64::from(ago).months())?;
            let (end, as_of) = (day_number(first.last_of_month())?, day_number(as_of)?);
            Ok(Month {
                name: first.strftime("%Y-%m").to_string(),
                year: first.year(),
                ago,
                first: day_number(first)?,
                last: end.min(as_of),
                whole: end <= as_of,
            })
        })
        .collect()
}
