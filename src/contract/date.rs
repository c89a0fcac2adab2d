//! Days as integers: the day number since 1970-01-01, and months and weeks back from an as-of date.

use anyhow::{Context, Result, bail};
use jiff::civil::Date;
use jiff::{ToSpan, Unit};

use super::Zone;

/// Microseconds in a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// The day number since 1970-01-01 of a calendar day.
///
/// # Errors
/// When the difference cannot be expressed, which no supported date causes.
pub fn day_number(date: Date) -> Result<i64> {
    Ok(i64::from(date.since((Unit::Day, EPOCH))?.get_days()))
}

/// A calendar day from `YYYY-MM-DD`.
///
/// # Errors
/// When the text is no such day.
pub fn parse_day(text: &str) -> Result<Date> {
    let parsed = if text.len() == 10 { text.parse().ok() } else { None };
    parsed.with_context(|| format!("'{text}' is not a date; write YYYY-MM-DD"))
}

/// A day number as `YYYY-MM-DD`, or the number itself outside the calendar.
#[must_use]
pub fn day_text(day: i64) -> String {
    EPOCH.checked_add(day.days()).map_or_else(|_| format!("day {day}"), |d| d.to_string())
}

/// Months back from an as-of date, for every day a row may carry.
///
/// Month 0 is the month that ends with the as-of date D: the days `[E - 1 month, E)` with `E = D + 1`;
/// month k is `[E - (k+1) months, E - k months)`. A border that the calendar lacks (31 April) is the
/// last day of its month. Days after D have negative months.
#[derive(Debug, Clone)]
pub struct Calendar {
    as_of: Date,
    as_of_day: i64,
    first_day: i64,
    months_ago: Vec<i16>,
    zone: Zone,
    cutoff_micros: i64,
}

impl Calendar {
    /// Prepares the table for an as-of date, the plausible dates of the contract, and the time zone of the days.
    ///
    /// # Errors
    /// When a date lies outside the calendar, or the range is empty.
    pub fn new(as_of: Date, first: Date, last: Date, zone: &Zone) -> Result<Self> {
        let as_of_day = day_number(as_of)?;
        let (first_day, last_day) = (day_number(first)?, day_number(last)?);
        if first_day > last_day || as_of_day < first_day || as_of_day >= last_day {
            bail!("the as-of date {as_of} lies outside the dates the contract allows, {first} to {last}");
        }
        let end = as_of.tomorrow()?;
        let mut months_ago = vec![0_i16; usize::try_from(last_day - first_day + 1)?];
        // Walk from the first border after `last` back to `first`, filling one month at a time.
        let mut month = -(i32::from(last.year() - end.year()) * 12 + 13);
        loop {
            let from = day_number(end.checked_sub((month + 1).months())?)?;
            let to = day_number(end.checked_sub(month.months())?)?;
            for day in from.max(first_day)..to.min(last_day + 1) {
                months_ago[usize::try_from(day - first_day)?] = i16::try_from(month)?;
            }
            if from <= first_day {
                break;
            }
            month += 1;
        }
        let cutoff_micros = zone.start(as_of_day + 1);
        Ok(Self { as_of, as_of_day, first_day, months_ago, zone: zone.clone(), cutoff_micros })
    }

    /// The as-of date.
    #[must_use]
    pub const fn as_of(&self) -> Date {
        self.as_of
    }

    /// The as-of date's day number.
    #[must_use]
    pub const fn as_of_day(&self) -> i64 {
        self.as_of_day
    }

    /// The first instant after the as-of date, microseconds since 1970: what happens then or later is not visible.
    #[must_use]
    pub const fn cutoff_micros(&self) -> i64 {
        self.cutoff_micros
    }

    /// The time zone of its days.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whole months back from the end of the as-of date; `None` outside the plausible dates.
    #[must_use]
    pub fn months_ago(&self, day: i64) -> Option<i64> {
        let index = usize::try_from(day.checked_sub(self.first_day)?).ok()?;
        self.months_ago.get(index).map(|&m| i64::from(m))
    }

    /// How many months further back a day is than it is at another as-of date, where that is the same for every day: both divide days
    /// into the same months.
    #[must_use]
    pub fn months_after(&self, other: &Self) -> Option<i64> {
        let same_days = self.first_day == other.first_day && self.months_ago.len() == other.months_ago.len();
        let mut further = self.months_ago.iter().zip(&other.months_ago).map(|(a, b)| i64::from(*a) - i64::from(*b));
        let first = further.next().filter(|_| same_days)?;
        further.all(|months| months == first).then_some(first)
    }

    /// The first day that the contract allows.
    #[must_use]
    pub const fn first_day(&self) -> i64 {
        self.first_day
    }

    /// Whether the contract allows the day.
    #[must_use]
    pub fn plausible(&self, day: i64) -> bool {
        self.months_ago(day).is_some()
    }

    /// The day of the week, 1 for Monday to 7 for Sunday.
    #[must_use]
    pub const fn weekday(day: i64) -> i64 {
        // 1970-01-01 was a Thursday.
        (day + 3).rem_euclid(7) + 1
    }

    /// Whole weeks of seven days back from the end of the as-of date.
    #[must_use]
    pub const fn weeks_ago(&self, day: i64) -> i64 {
        (self.as_of_day - day).div_euclid(7)
    }

    /// The first day of a window of so many months that ends with the as-of date.
    ///
    /// # Errors
    /// When the window reaches beyond the calendar.
    pub fn months_back(&self, months: i32) -> Result<i64> {
        day_number(self.as_of.tomorrow()?.checked_sub(months.months())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn calendar(y: i16, m: i8, d: i8) -> Calendar {
        Calendar::new(date(y, m, d), date(1900, 1, 1), date(2199, 12, 31), &Zone::utc()).unwrap()
    }

    #[test]
    fn a_month_ends_with_the_as_of_date_and_begins_a_calendar_month_earlier() {
        let c = calendar(2025, 11, 21);
        let ago = |y, m, d| c.months_ago(day_number(date(y, m, d)).unwrap());
        assert_eq!(ago(2025, 11, 21), Some(0));
        assert_eq!(ago(2025, 10, 22), Some(0));
        assert_eq!(ago(2025, 10, 21), Some(1));
        assert_eq!(ago(2024, 11, 22), Some(11));
        assert_eq!(ago(2024, 11, 21), Some(12));
        assert_eq!(ago(2025, 11, 22), Some(-1));
        assert_eq!(ago(1899, 12, 31), None);
        assert_eq!(ago(1900, 1, 1), Some(1510));
    }

    #[test]
    fn a_border_the_calendar_lacks_is_the_last_day_of_its_month() {
        // E = 31 March: the month before begins on 28 February.
        let c = calendar(2025, 3, 30);
        let ago = |y, m, d| c.months_ago(day_number(date(y, m, d)).unwrap());
        assert_eq!(ago(2025, 3, 30), Some(0));
        assert_eq!(ago(2025, 2, 28), Some(0));
        assert_eq!(ago(2025, 2, 27), Some(1));
        assert_eq!(c.months_back(1).unwrap(), day_number(date(2025, 2, 28)).unwrap());
    }

    #[test]
    fn month_ends_divide_days_into_the_same_months_and_other_days_do_not() {
        assert_eq!(calendar(2025, 11, 30).months_after(&calendar(2025, 2, 28)), Some(9));
        assert_eq!(calendar(2025, 2, 28).months_after(&calendar(2025, 11, 30)), Some(-9));
        assert_eq!(calendar(2025, 11, 14).months_after(&calendar(2024, 11, 14)), Some(12));
        assert_eq!(calendar(2025, 11, 30).months_after(&calendar(2025, 11, 29)), None);
        // The 30 as a first day is cut short in February, the 1 never is.
        assert_eq!(calendar(2025, 4, 29).months_after(&calendar(2025, 3, 31)), None);
        let shorter = Calendar::new(date(2025, 11, 30), date(1900, 1, 1), date(2100, 12, 31), &Zone::utc()).unwrap();
        assert_eq!(calendar(2025, 11, 30).months_after(&shorter), None);
    }

    #[test]
    fn weekdays_are_those_of_the_calendar() {
        for day in (-30_000..90_000).step_by(13) {
            let date = EPOCH.checked_add(day.days()).unwrap();
            assert_eq!(Calendar::weekday(day), i64::from(date.weekday().to_monday_one_offset()));
        }
    }

    #[test]
    fn weeks_run_back_from_the_as_of_date() {
        let c = calendar(2025, 11, 21);
        let day = c.as_of_day();
        assert_eq!([c.weeks_ago(day), c.weeks_ago(day - 6), c.weeks_ago(day - 7), c.weeks_ago(day + 1)], [0, 0, 1, -1]);
    }
}
