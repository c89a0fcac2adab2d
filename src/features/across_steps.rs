//! Numbers at sets of dates, written where these begin and end.
//!
//! What a row adds, it adds at a set of dates. Nearly always these follow each other, from the first that sees it to the last whose
//! window has it: then the row is written where they begin and taken back where they end, and the sums are the running totals of what
//! was written. Whole numbers of 64 bits that wrap come back: a total is exact whenever it fits, whatever was passed on the way.

use super::across_times::{DATES, Dates, Found};

/// What is written where dates begin and end; the last entry is behind all dates.
pub(super) type Steps = [i64; DATES + 1];

/// Writes a number where a set of dates begins and ends.
#[inline]
pub(super) fn write(steps: &mut Steps, dates: Dates, number: i64) {
    let first = dates.trailing_zeros();
    let from_first = dates.checked_shr(first).unwrap_or(0);
    if from_first & from_first.wrapping_add(1) == 0 {
        let end = first + from_first.trailing_ones();
        steps[first as usize] = steps[first as usize].wrapping_add(number);
        steps[end as usize] = steps[end as usize].wrapping_sub(number);
        return;
    }
    each_date(dates, |date| {
        steps[date] = steps[date].wrapping_add(number);
        steps[date + 1] = steps[date + 1].wrapping_sub(number);
    });
}

/// What was written comes to at each date.
pub(super) fn totals(steps: &Steps) -> Found {
    let (mut found, mut total) = ([0; DATES], 0_i64);
    for (found, step) in found.iter_mut().zip(steps) {
        total = total.wrapping_add(*step);
        *found = total;
    }
    found
}

#[inline]
pub(super) fn each_date(mut dates: Dates, mut of: impl FnMut(usize)) {
    while dates != 0 {
        of(dates.trailing_zeros() as usize);
        dates &= dates - 1;
    }
}

/// What numbers come to at each date, of which each is told with its dates. Rows that follow each other, such as those of a month, are
/// often at the same dates: their numbers are written as one.
#[inline]
pub(super) fn together(numbers: impl Iterator<Item = (Dates, i64)>) -> Found {
    let mut steps: Steps = [0; DATES + 1];
    let (mut at, mut total) = (0, 0_i64);
    numbers.for_each(|(dates, number)| {
        if dates == 0 {
            return;
        }
        if dates != at {
            write(&mut steps, at, total);
            (at, total) = (dates, 0);
        }
        total = total.wrapping_add(number);
    });
    write(&mut steps, at, total);
    totals(&steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_comes_to_its_sum_at_every_date(
            all in proptest::collection::vec((any::<Dates>(), 0_u32..17, 0_u32..17, any::<bool>(), -9_i64..9), 0..40)
        ) {
            let (mut steps, mut numbers): (Steps, Vec<(Dates, i64)>) = ([0; DATES + 1], Vec::new());
            let mut expected: Found = [0; DATES];
            for (some, from, to, runs, number) in all {
                // As sets are for the most part: those from one date on to another.
                let run = (0..16).filter(|date| (from..to).contains(date)).fold(0, |run, date| run | 1 << date);
                let dates = if runs { run } else { some };
                write(&mut steps, dates, number);
                numbers.push((dates, number));
                for (date, expected) in expected.iter_mut().enumerate() {
                    *expected += if dates >> date & 1 == 1 { number } else { 0 };
                }
            }
            prop_assert_eq!(totals(&steps), expected);
            prop_assert_eq!(together(numbers.iter().copied()), expected);
            // Some that follow each other at the same dates.
            numbers.sort_by_key(|(dates, _)| *dates);
            prop_assert_eq!(together(numbers.iter().copied()), expected);
        }
    }

    #[test]
    fn numbers_that_wrap_on_the_way_come_back() {
        let mut steps: Steps = [0; DATES + 1];
        for _ in 0..3 {
            write(&mut steps, 0b0001, i64::MAX / 2);
            write(&mut steps, 0b0110, i64::MAX / 2);
            write(&mut steps, 0b0110, -(i64::MAX / 2));
            write(&mut steps, 0b0001, -(i64::MAX / 2));
        }
        write(&mut steps, 0b1000, i64::MAX);
        write(&mut steps, 0b0100, i64::MAX);
        assert_eq!(totals(&steps)[..5], [0, 0, i64::MAX, i64::MAX, 0]);
    }
}
