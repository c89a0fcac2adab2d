//! The records of a partition by their receivers.

use std::borrow::Cow;
use std::hint::black_box;

use crate::ingest::links::tie_store::Packing;

/// Blocks of records whose first ones are asked for together.
const TOGETHER: usize = 8;

/// Sorts records by receiver, each as it is `seen` there, and tells where those of each begin; there is room for all.
pub(super) fn by_receiver(
    records: &[Cow<[u64]>],
    receivers: usize,
    packing: &Packing,
    (sorted, starts): (&mut [u64], &mut Vec<u32>),
    seen: impl Fn(u64) -> u64,
) {
    starts.clear();
    starts.resize(receivers + 2, 0);
    let (packing, starts) = (*packing, starts.as_mut_slice());
    for some in records.chunks(TOGETHER) {
        // Blocks lie apart: where the first record of several is looked at together, their way here is waited for once.
        let _ = black_box(some.iter().fold(0_u64, |all, records| all ^ records.first().copied().unwrap_or(0)));
        for records in some {
            records.iter().for_each(|r| starts[packing.local(*r) + 2] += 1);
        }
    }
    for n in 2..starts.len() {
        starts[n] += starts[n - 1];
    }
    // Every place up to the last is written to, so what was there does not matter.
    for records in records {
        for record in records.iter() {
            let start = &mut starts[packing.local(*record) + 1];
            sorted[*start as usize] = seen(*record);
            *start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::ingest::links::tie_store::content;

    proptest! {
        #[test]
        fn records_lie_by_receiver_as_a_stable_sort_leaves_them(
            ties in proptest::collection::vec(proptest::collection::vec((0_u32..50, 0_u32..1_000), 0..40), 0..30),
            receivers in 50_usize..70,
        ) {
            let packing = Packing::new(1_000, 1);
            let pack = |(to, from): &(u32, u32)| packing.pack(*to, *from, 0, content(Some(2), Some(9)));
            let blocks: Vec<Vec<u64>> = ties.iter().map(|block| block.iter().map(pack).collect()).collect();
            let records: Vec<Cow<[u64]>> = blocks.iter().map(|block| Cow::Borrowed(block.as_slice())).collect();
            let mut expected = blocks.concat();
            expected.sort_by_key(|record| packing.local(*record));
            expected.iter_mut().for_each(|record| *record = !*record);
            // Room that was used before, and is more than enough.
            let (mut sorted, mut starts) = (vec![u64::MAX; expected.len() + 3], vec![7; 4]);
            by_receiver(&records, receivers, &packing, (sorted.as_mut_slice(), &mut starts), |record| !record);
            prop_assert_eq!(&sorted[..expected.len()], expected.as_slice());
            for (receiver, ends) in starts.windows(2).take(receivers).enumerate() {
                let of = &sorted[ends[0] as usize..ends[1] as usize];
                prop_assert!(of.iter().all(|record| packing.local(!*record) == receiver));
            }
            prop_assert_eq!(starts[receivers] as usize, expected.len());
        }
    }
}
