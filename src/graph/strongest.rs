//! The strongest ties of a receiver who has more than count: by strength, and of equal strength by the number of the sender.
//!
//! Senders are named by their places, which within hot, within warm and within the other senders are in the order of their
//! numbers. So of the ties of the last strength that has room for some, those whose places lie below three ends are chosen,
//! which are the [ends](Order::below) of one number; that number is found by halving, with nothing sorted or kept aside.

use super::order::Order;
use crate::ingest::links::tie_store::Packing;

/// Moves the strongest to the front of the first so many records of each list, which are of hot, of warm and of other senders,
/// no sender twice; returns how many of each list are among the `most`. Of no more than these all are.
pub(super) fn strongest(
    lists: &mut [&mut [u64]; 3],
    records: [usize; 3],
    most: usize,
    (packing, order): (&Packing, &Order),
    strength: impl Fn(u64) -> u8,
) -> [usize; 3] {
    if records.iter().sum::<usize>() <= most {
        return records;
    }
    let mut counts = [0_usize; u8::MAX as usize + 1];
    for (list, records) in lists.iter().zip(records) {
        list[..records].iter().for_each(|record| counts[usize::from(strength(*record))] += 1);
    }
    // The last strength that has room for some, and for how many: it has more than these.
    let (mut last, mut left) = (u8::MAX, most);
    for (of, count) in (0..=u8::MAX).zip(counts).rev() {
        last = of;
        if count > left {
            break;
        }
        left -= count;
    }
    // Of each list those that are stronger, and after them those of the last strength.
    let mut chosen = [0; 3];
    let mut ends = [0; 3];
    for (n, (list, records)) in lists.iter_mut().zip(records).enumerate() {
        chosen[n] = to_front(&mut list[..records], |record| strength(record) > last);
        ends[n] = chosen[n] + to_front(&mut list[chosen[n]..records], |record| strength(record) == last);
    }
    let below = |subject: u32| {
        let places = order.below(subject);
        (0..3_usize)
            .map(|n| lists[n][chosen[n]..ends[n]].iter().filter(|r| packing.from(**r) < places[n]).count())
            .sum::<usize>()
    };
    // No sender is there twice, so that the ties of those below a number grow by one at most from it to the next.
    let (mut low, mut high) = (0, order.end());
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) < left {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let places = order.below(low);
    for (n, list) in lists.iter_mut().enumerate() {
        chosen[n] += to_front(&mut list[chosen[n]..ends[n]], |record| packing.from(record) < places[n]);
    }
    chosen
}

/// Moves the records that are wanted to the front; returns how many they are.
fn to_front(records: &mut [u64], wanted: impl Fn(u64) -> bool) -> usize {
    let mut front = 0;
    for n in 0..records.len() {
        if wanted(records[n]) {
            records.swap(front, n);
            front += 1;
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use crate::graph::links::{HOT, WARM};
    use crate::ingest::links::tie_store::content;

    const SUBJECTS: u32 = WARM + 70_000;

    /// Every third subject is hot as long as there is room, every fifth one warm, the others are cold.
    static ORDER: LazyLock<Order> = LazyLock::new(|| {
        let degree = |s: u32| if s.is_multiple_of(3) { 2 } else { u32::from(s % 5 < 4) };
        Order::new(&(0..SUBJECTS).map(degree).collect::<Vec<u32>>())
    });

    proptest! {
        #[test]
        fn the_strongest_are_those_that_a_sort_puts_first(
            ties in proptest::collection::btree_map(
                prop_oneof![0..SUBJECTS, 0..60_u32, SUBJECTS - 40..SUBJECTS], prop_oneof![0_i64..3, 0_i64..31], 0..200),
            most in 1_usize..120,
        ) {
            let packing = Packing::new(SUBJECTS as usize, 1);
            let strength = |record: u64| u8::try_from(8 * Packing::code(record) + 7).unwrap();
            let ties: BTreeMap<u32, i64> = ties;
            let mut lists = [Vec::new(), Vec::new(), Vec::new()];
            let mut expected = Vec::new();
            for (sender, interactions) in &ties {
                let place = ORDER.place(*sender);
                let record = packing.pack(0, place, 0, content(Some(*interactions), Some(1)));
                lists[usize::from(place >= HOT) + usize::from(place >= WARM)].push(record);
                expected.push((Reverse(strength(record)), *sender, record));
            }
            expected.sort_unstable();
            expected.truncate(most);
            let mut expected: Vec<u64> = expected.into_iter().map(|(_, _, record)| record).collect();
            expected.sort_unstable();
            let records = [0, 1, 2].map(|n: usize| lists[n].len());
            // What lies behind them is no record.
            lists.iter_mut().for_each(|list| list.push(u64::MAX));
            let mut some = lists.each_mut().map(Vec::as_mut_slice);
            let kept = strongest(&mut some, records, most, (&packing, &ORDER), strength);
            let mut found: Vec<u64> = lists.iter().zip(kept).flat_map(|(list, kept)| list[..kept].to_vec()).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
