//! Groups by weeks back, which each date counts from its own day: see [`across`](super::across).
//!
//! Days are what all dates have in common: numbers are added up by day, once, and then by each date's weeks. In order of their days the
//! days of a week follow each other, whatever the date.

use super::across_times::{DATES, Dates, Found};
use super::plan::Sum;
use crate::NULL;
use crate::contract::Calendar;

/// What a sum over weeks comes to at each date. `present` and `numbers` are the dates at which a day has rows, and what they come to then;
/// `days` has each day with its place among them, in order.
pub(super) fn by_week(
    sum: &Sum,
    (present, numbers): (&[Dates], &[Found]),
    days: &[(i64, u32)],
    calendars: &[&Calendar],
) -> Found {
    let mut found: Found = [0; DATES];
    let mut weeks = Vec::new();
    for (date, (found, calendar)) in found.iter_mut().zip(calendars).enumerate() {
        weeks.clear();
        let mut last = None;
        for (day, place) in days.iter().map(|(day, place)| (*day, *place as usize)) {
            if present[place] >> date & 1 == 0 {
                continue;
            }
            let week = if day == NULL { NULL } else { calendar.weeks_ago(day) };
            match weeks.last_mut().filter(|_| last == Some(week)) {
                Some(total) => *total += numbers[place][date],
                None => weeks.push(numbers[place][date]),
            }
            last = Some(week);
        }
        *found = reduced(sum, &weeks);
    }
    found
}

/// What a sum comes to over the totals of groups.
fn reduced(sum: &Sum, groups: &[i64]) -> i64 {
    let present = count(groups.len());
    match *sum {
        Sum::ZeroGroups { .. } => count(groups.iter().filter(|total| **total == 0).count()),
        Sum::Deviations { periods, .. } => {
            let (n, all) = (periods.unwrap_or(present), groups.iter().sum::<i64>());
            groups.iter().map(|x| (n * x - all).abs()).sum::<i64>() + (n - present) * all.abs()
        }
        Sum::LargestGroup { .. } => groups.iter().copied().max().unwrap_or(0),
        _ => present,
    }
}

#[allow(clippy::cast_possible_wrap, reason = "a number of rows of one subject, at most 10^6")]
const fn count(n: usize) -> i64 {
    n as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Zone;
    use jiff::civil::date;

    #[test]
    fn each_date_counts_its_own_weeks() {
        let calendar =
            |day: i8| Calendar::new(date(2025, 11, day), date(1900, 1, 1), date(2199, 12, 31), &Zone::utc()).unwrap();
        let calendars = [calendar(21), calendar(25)];
        let first = calendars[0].as_of_day();
        // Seven days before the first date, that date, and four and eight days before it; the last day is hidden from it.
        let mut days: Vec<(i64, u32)> =
            (0_u32..).zip([0_i64, 7, 4, 8, -2]).map(|(n, back)| (first - back, n)).collect();
        days.sort_unstable();
        let numbers: Vec<Found> = [5, 0, -5, 0, 9].map(|n| [n; DATES]).to_vec();
        let present = [0b11, 0b11, 0b11, 0b11, 0b10];
        let found = |sum: &Sum| {
            let calendars: Vec<&Calendar> = calendars.iter().collect();
            let found = by_week(sum, (&present, &numbers), &days, &calendars);
            [found[0], found[1], found[2]]
        };
        // From the first date: {0, 4 days back} and {7, 8}. From the second: {its 2, 4} and {8, 11} and so on.
        assert_eq!(found(&Sum::Groups { grouping: 0 }), [2, 2, 0]);
        assert_eq!(found(&Sum::ZeroGroups { grouping: 0, value: 0 }), [2, 0, 0]);
        assert_eq!(found(&Sum::LargestGroup { grouping: 0, value: Some(0) }), [0, 14, 0]);
        let deviations = Sum::Deviations { grouping: 0, value: Some(0), periods: Some(3) };
        // Totals 14 and -5 of three weeks: all 9, so |3·14 − 9| + |−15 − 9| + |9|.
        assert_eq!(found(&deviations), [0, 33 + 24 + 9, 0]);
    }
}
