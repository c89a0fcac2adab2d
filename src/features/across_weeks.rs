//! Groups by weeks back, which each date counts from its own day: see [`across`](super::across).
//!
//! A row is added to its week at each of its dates. Weeks are numbers from 0 on, and most windows reach back few of them: a week has a
//! place of its own, and a bit that tells whether a row of it was met, so that nothing is looked up and nothing has to be cleared but bits.
//! Where a row lies further back, or has no day, the rows of each date are put in the order of their weeks instead.

use super::across_times::{DATES, Dates, Found};
use super::plan::Sum;
use crate::NULL;
use crate::contract::Calendar;

/// Words of bits for the weeks that have a place.
const WORDS: usize = 4;
/// Weeks that have a place: nearly five years.
const NEAR_WEEKS: usize = WORDS * 64;

/// Adds up by week, one sum of one subject after another.
#[derive(Default)]
pub(super) struct Weeks {
    /// By date, a bit for each week that has a row.
    present: [[u64; WORDS]; DATES],
    /// By date, what each week comes to; of a week without its bit, whatever it was.
    totals: Vec<[i64; NEAR_WEEKS]>,
    /// What the weeks of a date come to.
    groups: Vec<i64>,
}

impl Weeks {
    /// What a sum over weeks comes to at each date. Of each row `rows` tell the dates at which it is met, its day, and what it adds.
    pub(super) fn add_up(
        &mut self,
        sum: &Sum,
        rows: &(impl Iterator<Item = (Dates, i64, i64)> + Clone),
        calendars: &[&Calendar],
    ) -> Found {
        match self.near(rows.clone(), calendars) {
            Some(()) => self.reduced(sum, calendars.len()),
            None => in_order(sum, rows, calendars),
        }
    }

    /// Adds each row to its week; nothing where one has no place.
    fn near(&mut self, rows: impl Iterator<Item = (Dates, i64, i64)>, calendars: &[&Calendar]) -> Option<()> {
        self.present = [[0; WORDS]; DATES];
        self.totals.resize(DATES, [0; NEAR_WEEKS]);
        for (mut dates, day, number) in rows {
            if dates != 0 && day == NULL {
                return None;
            }
            while dates != 0 {
                let date = dates.trailing_zeros() as usize;
                dates &= dates - 1;
                let week = usize::try_from(calendars.get(date)?.weeks_ago(day)).ok()?;
                let total = self.totals[date].get_mut(week)?;
                let (word, bit) = (&mut self.present[date][week / 64], 1_u64 << (week % 64));
                *total = if *word & bit == 0 { number } else { *total + number };
                *word |= bit;
            }
        }
        Some(())
    }

    /// What the weeks come to that rows were added to.
    fn reduced(&mut self, sum: &Sum, dates: usize) -> Found {
        let mut found: Found = [0; DATES];
        for (found, (present, totals)) in found.iter_mut().zip(self.present.iter().zip(&self.totals)).take(dates) {
            self.groups.clear();
            for (bits, totals) in present.iter().zip(totals.chunks(64)) {
                let mut bits = *bits;
                while bits != 0 {
                    self.groups.push(totals[bits.trailing_zeros() as usize]);
                    bits &= bits - 1;
                }
            }
            *found = reduced(sum, &self.groups);
        }
        found
    }
}

/// The same of any rows: those of each date in the order of their weeks.
fn in_order(sum: &Sum, rows: &(impl Iterator<Item = (Dates, i64, i64)> + Clone), calendars: &[&Calendar]) -> Found {
    let mut found: Found = [0; DATES];
    for (date, (found, calendar)) in found.iter_mut().zip(calendars).enumerate() {
        let week = |day: i64| if day == NULL { NULL } else { calendar.weeks_ago(day) };
        let own = rows.clone().filter(|(dates, _, _)| dates >> date & 1 == 1);
        let mut weeks: Vec<(i64, i64)> = own.map(|(_, day, number)| (week(day), number)).collect();
        weeks.sort_unstable();
        let total = |week: &[(i64, i64)]| week.iter().map(|(_, number)| number).sum::<i64>();
        let groups: Vec<i64> = weeks.chunk_by(|a, b| a.0 == b.0).map(total).collect();
        *found = reduced(sum, &groups);
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn calendar(month: i8, day: i8) -> Calendar {
        Calendar::new(date(2025, month, day), date(1900, 1, 1), date(2199, 12, 31), &Zone::utc()).unwrap()
    }

    const SUMS: [Sum; 5] = [
        Sum::Groups { grouping: 0 },
        Sum::ZeroGroups { grouping: 0, value: 0 },
        Sum::LargestGroup { grouping: 0, value: Some(0) },
        Sum::Deviations { grouping: 0, value: Some(0), periods: Some(3) },
        Sum::Deviations { grouping: 0, value: Some(0), periods: None },
    ];

    #[test]
    fn each_date_counts_its_own_weeks() {
        let calendars = [calendar(11, 21), calendar(11, 25)];
        let calendars: Vec<&Calendar> = calendars.iter().collect();
        let first = calendars[0].as_of_day();
        // Seven days before the first date, that date, and four and eight days before it; the last day is hidden from it.
        let rows =
            [(0b11, 0, 2), (0b11, 0, 3), (0b11, 7, 0), (0b11, 4, -5), (0b11, 8, 0), (0b10, -2, 9), (0, 9_000, 4)];
        let rows = rows.map(|(dates, back, number)| (dates, first - back, number));
        let mut weeks = Weeks::default();
        for sum in &SUMS {
            let found = weeks.add_up(sum, &rows.iter().copied(), &calendars);
            assert_eq!(found, in_order(sum, &rows.iter().copied(), &calendars));
            // From the first date: {0, 4 days back} and {7, 8}. From the second: {its 2, 4} and {8, 11} and so on.
            let expected = match *sum {
                Sum::Groups { .. } => [2, 2, 0],
                Sum::ZeroGroups { .. } => [2, 0, 0],
                Sum::LargestGroup { .. } => [0, 14, 0],
                // Totals 14 and -5 of three weeks: all 9, so |3·14 − 9| + |−15 − 9| + |9|.
                Sum::Deviations { periods: Some(_), .. } => [0, 33 + 24 + 9, 0],
                _ => [0, 19 + 19, 0],
            };
            assert_eq!([found[0], found[1], found[2]], expected, "{sum:?}");
        }
    }

    proptest! {
        #[test]
        fn weeks_come_to_the_sums_of_their_rows(
            rows in proptest::collection::vec(
                (0_u16..8, prop_oneof![8 => (0_i64..200).prop_map(Some), 1 => (1_700_i64..1_900).prop_map(Some), 1 => Just(None)],
                    -4_i64..5),
                0..30),
            is_near in any::<bool>(),
        ) {
            let calendars = [calendar(9, 30), calendar(10, 31), calendar(11, 29)];
            let calendars: Vec<&Calendar> = calendars.iter().collect();
            let first = calendars[0].as_of_day();
            let known = |back: &Option<i64>| !is_near || back.is_some_and(|back| back < 200);
            let rows: Vec<(Dates, i64, i64)> = rows.iter().filter(|(_, back, _)| known(back))
                .map(|(dates, back, number)| (*dates, back.map_or(NULL, |back| first - back), *number)).collect();
            let mut weeks = Weeks::default();
            prop_assert!(!is_near || weeks.near(rows.iter().copied(), &calendars).is_some());
            for sum in &SUMS {
                let found = weeks.add_up(sum, &rows.iter().copied(), &calendars);
                for (date, found) in found.iter().enumerate() {
                    let mut groups: BTreeMap<i64, i64> = BTreeMap::new();
                    for (_, day, number) in rows.iter().filter(|row| row.0 >> date & 1 == 1) {
                        let week = if *day == NULL { NULL } else { (calendars[date].as_of_day() - day).div_euclid(7) };
                        *groups.entry(week).or_default() += number;
                    }
                    let groups: Vec<i64> = groups.into_values().collect();
                    prop_assert_eq!(*found, reduced(sum, &groups), "{:?} at {}", sum, date);
                }
            }
        }
    }
}
