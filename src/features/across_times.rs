//! What the time of an event says at several dates at once: whose windows have it, and what it weighs.

use super::plan::{RECENCY_ONE, Recency};
use crate::NULL;
use crate::contract::Calendar;
use crate::expression::conjuncts::Comparison;

/// A set of dates has a bit for each.
pub(super) type Dates = u16;
/// The most dates of a set.
pub(super) const DATES: usize = 16;
const _: () = assert!(DATES == Dates::BITS as usize);
/// A number for each date.
pub(super) type Found = [i64; DATES];
/// Days before the last date of which windows are looked up: about eleven years.
const NEAR_DAYS: i64 = 4_096;

/// How a day is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Days,
    Months,
    Weeks,
}

/// What the event's day must be like at each date.
pub(super) struct Window<'a> {
    by_date: Vec<(Vec<(Counted, Comparison)>, &'a Calendar)>,
    /// The dates of days from the first one on.
    first: i64,
    near: Vec<Dates>,
}

impl Counted {
    fn of(self, day: i64, calendar: &Calendar) -> i64 {
        match self {
            Self::Days => day,
            Self::Months => calendar.months_ago(day).unwrap_or(NULL),
            Self::Weeks => calendar.weeks_ago(day),
        }
    }
}

impl<'a> Window<'a> {
    pub(super) fn new(by_date: Vec<(Vec<(Counted, Comparison)>, &'a Calendar)>) -> Self {
        let last = by_date.iter().map(|(_, calendar)| calendar.as_of_day()).max().unwrap_or(0);
        let mut window = Self { by_date, first: last - NEAR_DAYS, near: Vec::new() };
        window.near = (window.first..=last).map(|day| window.find(day)).collect();
        window
    }

    /// Whether it asks so of each date.
    pub(super) fn asks(&self, by_date: &[Vec<(Counted, Comparison)>]) -> bool {
        self.by_date.iter().map(|(asked, _)| asked).eq(by_date)
    }

    /// The dates whose window has a day; none for null.
    pub(super) fn dates(&self, day: i64) -> Dates {
        let at = usize::try_from(day.wrapping_sub(self.first)).ok();
        at.and_then(|at| self.near.get(at)).copied().unwrap_or_else(|| self.find(day))
    }

    fn find(&self, day: i64) -> Dates {
        if day == NULL {
            return 0;
        }
        let mut dates = 0;
        for (date, (all, calendar)) in self.by_date.iter().enumerate() {
            if all.iter().all(|(counted, comparison)| comparison.is_met(counted.of(day, calendar))) {
                dates |= 1 << date;
            }
        }
        dates
    }
}

/// How rows are weighted beside their reliability.
#[derive(Debug)]
pub(super) enum Weighing {
    /// All alike.
    Same,
    /// By months back from the last date: the weight at each date.
    Months(Vec<Found>),
}

impl Weighing {
    /// Months between each date and the last are `back`.
    pub(super) fn of(recency: &Recency, back: Option<&[i64]>) -> Self {
        let Some(back) = back.filter(|_| !recency.months_ago.is_empty()) else { return Self::Same };
        let most = back.iter().copied().max().unwrap_or(0);
        let weight = |months: i64| {
            let weight = usize::try_from(months).ok().and_then(|months| recency.millionths.get(months));
            weight.copied().unwrap_or(0)
        };
        // Further back than that the weight is 0 at every date.
        let end = (0..).zip(&recency.millionths).last().map_or(0, |(months, _)| months + 1) + most;
        let at = |months: i64| {
            let mut weights = [0; DATES];
            weights.iter_mut().zip(back).for_each(|(to, back)| *to = weight(months - back));
            weights
        };
        Self::Months((0..end).map(at).collect())
    }

    /// The weight at each date of a row so many months back from the last; nothing where it is 0 at all of them.
    pub(super) fn weights(&self, months: i64) -> Option<&Found> {
        match self {
            Self::Same => Some(&[RECENCY_ONE; DATES]),
            Self::Months(by_months) => by_months.get(usize::try_from(months).ok()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Zone;
    use jiff::civil::date;

    fn calendar(year: i16, month: i8, day: i8) -> Calendar {
        Calendar::new(date(year, month, day), date(1900, 1, 1), date(2199, 12, 31), &Zone::utc()).unwrap()
    }

    #[test]
    fn a_window_has_the_dates_of_each_day_near_and_far() {
        let calendars = [calendar(2024, 2, 29), calendar(2024, 11, 30), calendar(2025, 1, 31)];
        let asked = |calendar: &Calendar| {
            let day = Comparison::parse(&format!("d > {}", calendar.as_of_day() - 4_000)).unwrap();
            let more = [(Counted::Months, "m < 140"), (Counted::Weeks, "w >= 1")];
            let more = more.map(|(counted, text)| (counted, Comparison::parse(text).unwrap()));
            std::iter::once((Counted::Days, day)).chain(more).collect::<Vec<_>>()
        };
        let window = Window::new(calendars.iter().map(|calendar| (asked(calendar), calendar)).collect());
        let last = calendars[2].as_of_day();
        let mut seen = std::collections::BTreeSet::new();
        for day in last - 5_000..last + 100 {
            let is_met = |calendar: &Calendar| {
                let (months, weeks) = (calendar.months_ago(day).unwrap(), calendar.weeks_ago(day));
                day > calendar.as_of_day() - 4_000 && months < 140 && weeks >= 1
            };
            let expected = calendars.iter().enumerate().filter(|(_, c)| is_met(c)).fold(0, |all, (n, _)| all | 1 << n);
            assert_eq!(window.dates(day), expected, "day {day}");
            seen.insert(expected);
        }
        assert!(seen.len() >= 4, "{seen:?}");
        assert_eq!(window.dates(NULL), 0);
    }

    #[test]
    fn weights_go_by_the_months_back_from_each_date() {
        let recency = Recency { months_ago: "m".into(), millionths: vec![100, 50, 25] };
        let weighing = Weighing::of(&recency, Some(&[2, 1, 0]));
        let at = |months: i64| weighing.weights(months).map(|w| [w[0], w[1], w[2], w[3]]);
        assert_eq!(at(0), Some([0, 0, 100, 0]));
        assert_eq!(at(2), Some([100, 50, 25, 0]));
        assert_eq!(at(4), Some([25, 0, 0, 0]));
        assert_eq!((at(5), at(-1), at(NULL)), (None, None, None));
        let same = Weighing::of(&Recency { months_ago: String::new(), millionths: Vec::new() }, Some(&[1, 0]));
        assert_eq!(same.weights(NULL), Some(&[RECENCY_ONE; DATES]));
    }
}
