//! From which of several dates on each row is visible by its own times, found once for all of them.
//!
//! A date hides a row whose event lies after its end, that became known after its cut-off, or that does not say when and whose event
//! could not be known by then ([`Checks::hidden`]): each time a value lies after a number that the date gives. Where no date gives a
//! smaller number than the one before it, whoever sees a row goes on seeing it, and of each value it is enough to know after how many
//! of the numbers it lies.

use super::checks::Checks;
use crate::NULL;
use crate::contract::Snapshot;

impl Checks {
    /// The first of some dates that sees each row, by its position among them, or their number where none does; every later one sees it
    /// as well. Nothing where that cannot be said of all rows. `column` gives the columns, which are empty where all rows are null.
    #[must_use]
    pub fn since<'v>(
        &self,
        column: impl Fn(usize) -> &'v [i64],
        rows: usize,
        snapshots: &[Snapshot],
    ) -> Option<Vec<u8>> {
        u8::try_from(snapshots.len()).ok()?;
        let known_by: Vec<i64> = snapshots.iter().map(|snapshot| snapshot.known_by.as_microsecond()).collect();
        // The last time that a row may have which says when it became known, and of one that does not.
        let ends = |snapshot: &Snapshot, instant: bool| {
            let last = snapshot.last(instant);
            // What could be known then is never later than that.
            (last, if snapshot.looks_back() { snapshot.last_known(instant) } else { last })
        };
        let event = self.event();
        let (said, unsaid): (Vec<i64>, Vec<i64>) = match event {
            Some((_, instant)) => snapshots.iter().map(|snapshot| ends(snapshot, instant)).unzip(),
            None => (Vec::new(), Vec::new()),
        };
        if ![&known_by, &said, &unsaid].into_iter().all(|numbers| numbers.is_sorted()) {
            return None;
        }
        let events = event.map_or(&[][..], |(at, _)| column(at));
        let known = self.known_at.map_or(&[][..], &column);
        let value = |values: &[i64], row: usize| values.get(row).copied().unwrap_or(NULL);
        let since = |row: usize| {
            let known = value(known, row);
            let ends = if known == NULL { &unsaid } else { &said };
            before(ends, value(events, row)).max(before(&known_by, known))
        };
        Some((0..rows).map(since).collect())
    }
}

/// How many of some numbers, at most 255 and in order, a value lies after; null lies after none.
fn before(numbers: &[i64], value: i64) -> u8 {
    // Most rows lie before the first date.
    if numbers.first().is_none_or(|first| value <= *first) {
        return 0;
    }
    u8::try_from(numbers.partition_point(|number| value > *number)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Contract, DAY_MICROS, Zone};
    use jiff::Timestamp;
    use jiff::civil::date;
    use proptest::prelude::*;

    /// 2025-01-01.
    const FIRST: i64 = 20_089;

    fn snapshot(contract: &Contract, days: i64, known_by: i64) -> Snapshot {
        let as_of = date(2025, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
        let calendar = contract.calendar(as_of, &Zone::named("Asia/Shanghai").unwrap()).unwrap();
        Snapshot { calendar, known_by: Timestamp::from_microsecond(known_by).unwrap() }
    }

    /// Instants of some days, on borders and elsewhere.
    fn instant() -> impl Strategy<Value = i64> {
        (-3_i64..33, prop_oneof![Just(0), Just(-1), Just(1), 0..DAY_MICROS])
            .prop_map(|(day, within)| (FIRST + day) * DAY_MICROS - 8 * 3_600_000_000 + within)
    }

    proptest! {
        #[test]
        fn a_date_sees_what_came_to_be_visible_by_it(
            dates in proptest::collection::vec((0_i64..30, prop_oneof![Just(None), instant().prop_map(Some)]), 1..6),
            rows in proptest::collection::vec(
                (prop_oneof![9 => instant().prop_map(Some), 1 => Just(None)], prop_oneof![instant().prop_map(Some), Just(None)]),
                0..20),
            in_order in any::<bool>(),
            without_known in any::<bool>(),
        ) {
            let (contract, mut dates) = (Contract::load().unwrap(), dates);
            if in_order {
                dates.sort_unstable_by_key(|(day, _)| *day);
                let mut known_by: Vec<Option<i64>> = dates.iter().map(|(_, known_by)| *known_by).collect();
                known_by.sort_unstable();
                if known_by.iter().any(Option::is_none) {
                    known_by.fill(None);
                }
                dates.iter_mut().zip(known_by).for_each(|(date, known_by)| date.1 = known_by);
            }
            let snapshots: Vec<Snapshot> = dates.iter().map(|(day, known_by)| {
                // The end of the day, but for those who look back.
                let end = (FIRST + day + 1) * DAY_MICROS - 8 * 3_600_000_000 - 1;
                snapshot(&contract, *day, known_by.unwrap_or(end))
            }).collect();
            for table in contract.tables.iter().filter(|table| table.has_records()) {
                let checks = Checks::new(table, &contract.limits).unwrap();
                let mut columns = vec![Vec::new(); table.columns.len()];
                if let Some((at, instant)) = checks.event() {
                    let value = |micros: i64| if instant { micros } else { micros.div_euclid(DAY_MICROS) };
                    columns[at] = rows.iter().map(|(event, _)| event.map_or(NULL, value)).collect();
                }
                if let Some(at) = checks.known_at.filter(|_| !without_known) {
                    columns[at] = rows.iter().map(|(_, known)| known.unwrap_or(NULL)).collect();
                }
                let since = checks.since(|at| &columns[at], rows.len(), &snapshots);
                prop_assert!(since.is_some() || !in_order);
                let Some(since) = since else { continue };
                prop_assert_eq!(since.len(), rows.len());
                for (date, snapshot) in snapshots.iter().enumerate() {
                    let mut hidden = vec![false; rows.len()];
                    checks.hidden(|at| &columns[at], snapshot, |row| hidden[row] = true);
                    for (row, hidden) in hidden.into_iter().enumerate() {
                        prop_assert_eq!(usize::from(since[row]) > date, hidden, "row {} of {} at {}", row, table.name, date);
                    }
                }
            }
        }
    }
}
