//! Rows in as few bytes as their values need: each column of a block as offsets from its smallest value.
//!
//! Read by the program alone that wrote it: rows that are kept from night to night are those of one build. A block holds rows of one file
//! and one bucket.

pub use super::unpack::Unpacker;
use super::unpack::{ALL_NULL, CONSTANT, NULLABLE, SPARSE, UNITS};
use crate::NULL;

/// Values that are looked at together.
const PLACES: usize = 4;

/// Appends a column to a block.
pub fn pack(values: &[i64], out: &mut Vec<u8>) {
    let Extent { low, high, nulls } = Extent::of(values);
    if high == NULL {
        out.push(ALL_NULL);
        return;
    }
    if low == high && nulls == 0 {
        out.push(CONSTANT);
        out.extend_from_slice(&low.to_le_bytes());
        return;
    }
    let range = high.abs_diff(low);
    let unit = if range > u64::from(u32::MAX) { common_unit(values, low) } else { 2 };
    let top = range / UNITS[usize::from(unit)].unsigned_abs();
    // Null is i64::MIN, so that the widest range, 2^64 - 2, leaves room for it.
    let (with_nulls, without) = (width_of(top.saturating_add(u64::from(nulls > 0))), width_of(top));
    let bytes = |rows: usize, width: u8| rows * usize::from(width);
    let sparse = values.len().div_ceil(8) + bytes(values.len() - nulls, without) < bytes(values.len(), with_nulls);
    let mut begin = |width: u8, form: u8| {
        out.push((1 + width) | form);
        out.push(unit);
        out.extend_from_slice(&low.to_le_bytes());
    };
    if sparse {
        begin(without, SPARSE);
        let bits = |rows: &[i64]| rows.iter().rev().fold(0_u8, |bits, v| (bits << 1) | u8::from(*v != NULL));
        let (eights, rest) = values.as_chunks::<8>();
        out.extend(eights.iter().map(|eight| bits(eight)));
        out.extend(rest.chunks(8).map(bits));
        offsets(&known(values)[..values.len() - nulls], (low, unit, without), false, out);
    } else {
        begin(with_nulls, if nulls > 0 { NULLABLE } else { 0 });
        offsets(values, (low, unit, with_nulls), nulls > 0, out);
    }
}

/// The values that are not null, in order, and behind them whatever: each is written, and stays if it is one. Which are is no pattern that
/// a processor could foresee.
fn known(values: &[i64]) -> Vec<i64> {
    let (mut known, mut next) = (vec![0; values.len()], 0);
    for v in values {
        known[next] = *v;
        next += usize::from(*v != NULL);
    }
    known
}

/// What some values lie within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    /// The smallest that is not null, if one is not.
    low: i64,
    /// The largest, null if all are: null is the smallest number, so that it is never the largest of some.
    high: i64,
    nulls: usize,
}

impl Extent {
    fn of(values: &[i64]) -> Self {
        // Each of four places has its own, which is computed for all of them at once. Null is looked for as the largest number, which the
        // number below it is.
        let (mut below, mut high, mut nulls) = ([i64::MAX; PLACES], [NULL; PLACES], [0_usize; PLACES]);
        let (fours, rest) = values.as_chunks::<PLACES>();
        for four in fours {
            for (at, v) in four.iter().enumerate() {
                below[at] = below[at].min(v.wrapping_sub(1));
                high[at] = high[at].max(*v);
                nulls[at] += usize::from(*v == NULL);
            }
        }
        for v in rest {
            below[0] = below[0].min(v.wrapping_sub(1));
            high[0] = high[0].max(*v);
            nulls[0] += usize::from(*v == NULL);
        }
        Self {
            low: below.into_iter().fold(i64::MAX, i64::min).wrapping_add(1),
            high: high.into_iter().fold(NULL, i64::max),
            nulls: nulls.into_iter().sum(),
        }
    }
}

/// How many bytes a number needs that is so large at most.
const fn width_of(top: u64) -> u8 {
    match top {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        0x100_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Appends how far each value is above the lowest, in units; with nulls these are 0, and the others one more than that.
fn offsets(values: &[i64], (low, unit, width): (i64, u8, u8), nulls: bool, out: &mut Vec<u8>) {
    let first = u64::from(nulls);
    let above = |v: i64| v.wrapping_sub(low).cast_unsigned();
    // Dividing by what is written out is far cheaper than by a variable.
    match (unit, nulls) {
        (0, _) => write(values, width, out, |v| {
            if v == NULL { 0 } else { (above(v) / UNITS[0].unsigned_abs()).wrapping_add(first) }
        }),
        (1, _) => write(values, width, out, |v| {
            if v == NULL { 0 } else { (above(v) / UNITS[1].unsigned_abs()).wrapping_add(first) }
        }),
        (_, true) => write(values, width, out, |v| if v == NULL { 0 } else { above(v).wrapping_add(1) }),
        (_, false) => write(values, width, out, above),
    }
}

/// Appends so many bytes of what each value comes to.
fn write(values: &[i64], width: u8, out: &mut Vec<u8>, of: impl Fn(i64) -> u64) {
    match width {
        1 => out.extend(values.iter().map(|v| of(*v).to_le_bytes()[0])),
        2 => write_wide::<2>(values, out, of),
        3 => write_wide::<3>(values, out, of),
        4 => write_wide::<4>(values, out, of),
        _ => write_wide::<8>(values, out, of),
    }
}

fn write_wide<const W: usize>(values: &[i64], out: &mut Vec<u8>, of: impl Fn(i64) -> u64) {
    let from = out.len();
    out.resize(from + values.len() * W, 0);
    let (places, _) = out[from..].as_chunks_mut::<W>();
    for (place, v) in places.iter_mut().zip(values) {
        place.copy_from_slice(&of(*v).to_le_bytes()[..W]);
    }
}

fn common_unit(values: &[i64], low: i64) -> u8 {
    // Above the lowest by up to 2^64 - 2: without a sign.
    let above = |v: i64| v.wrapping_sub(low).cast_unsigned();
    let fits = |unit: i64| values.iter().all(|v| *v == NULL || above(*v).is_multiple_of(unit.unsigned_abs()));
    if fits(UNITS[0]) {
        0
    } else if fits(UNITS[1]) {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> Vec<i64> {
        let mut bytes = Vec::new();
        pack(values, &mut bytes);
        let mut out = vec![0; values.len()];
        let mut unpacker = Unpacker::new(&bytes, values.len());
        unpacker.column(|row, v| out[row] = v).unwrap();
        assert!(unpacker.rest().is_empty());
        // What is appended is what is handed on, and leaves what is behind it.
        let (mut appended, mut unpacker) = (vec![7], Unpacker::new(&bytes, values.len()));
        unpacker.append(&mut appended).unwrap();
        assert!(unpacker.rest().is_empty() && appended[0] == 7 && appended[1..] == out);
        if let Some(shorter) = bytes.len().checked_sub(1) {
            assert!(Unpacker::new(&bytes[..shorter], values.len()).append(&mut appended).is_err());
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(values in proptest::collection::vec(prop_oneof![
            Just(NULL), -20_000_000..20_000_000_i64, Just(NULL + 1), Just(i64::MAX), any::<i64>(), 0..10_i64, -70_000..70_000_i64, (0..1000_i64).prop_map(|d| d * 86_400_000_000),
        ], 0..200)) {
            prop_assert_eq!(round_trip(&values), values);
        }

        #[test]
        fn values_among_nulls_come_back(
            seldom in 1_usize..12, range in prop_oneof![Just(1_i64), Just(300), Just(70_000), Just(20_000_000), Just(i64::MAX)],
            unit in prop_oneof![Just(1_i64), Just(1_000_000), Just(86_400_000_000)],
            values in proptest::collection::vec((any::<i64>(), 0_usize..100), 0..300),
        ) {
            let of = |(value, draw): &(i64, usize)| match draw % seldom {
                0 => (value % range).checked_mul(unit).unwrap_or(*value),
                _ => NULL,
            };
            let values: Vec<i64> = values.iter().map(of).collect();
            prop_assert_eq!(round_trip(&values), values);
        }
    }

    proptest! {
        #[test]
        fn an_extent_is_that_of_each_value_that_is_not_null(values in proptest::collection::vec(
            prop_oneof![3 => Just(NULL), 1 => Just(NULL + 1), 1 => Just(i64::MAX), 2 => any::<i64>(), 2 => -3..3_i64], 1..30)
        ) {
            let known: Vec<i64> = values.iter().copied().filter(|v| *v != NULL).collect();
            let found = Extent::of(&values);
            prop_assert_eq!(found.high, known.iter().copied().max().unwrap_or(NULL));
            prop_assert_eq!(found.nulls, values.len() - known.len());
            if let Some(low) = known.iter().copied().min() {
                prop_assert_eq!(found.low, low);
            }
        }
    }

    #[test]
    fn small_ranges_take_one_byte_a_value() {
        let mut bytes = Vec::new();
        pack(&[1_000_000_007, 1_000_000_001, NULL], &mut bytes);
        assert_eq!(bytes.len(), 1 + 1 + 8 + 3);
        bytes.clear();
        pack(&[0, 86_400_000_000 * 200, 86_400_000_000], &mut bytes);
        assert_eq!(bytes.len(), 1 + 1 + 8 + 3);
        bytes.clear();
        pack(&[5, 5 + 0xff_ffff, 70_000], &mut bytes);
        assert_eq!(bytes.len(), 1 + 1 + 8 + 3 * 3);
    }

    #[test]
    fn values_that_are_seldom_there_take_a_bit_a_row() {
        for (seldom, value, width) in [(50, 7, 2), (50, 200_000, 3), (3, i64::MAX, 8)] {
            let value_of = |row: i64| if row == 0 { -5 } else { value - row };
            let values: Vec<i64> = (0..1_001).map(|row| if row % seldom == 0 { value_of(row) } else { NULL }).collect();
            let known = values.iter().filter(|v| **v != NULL).count();
            let mut bytes = Vec::new();
            pack(&values, &mut bytes);
            assert_eq!(bytes.len(), 1 + 1 + 8 + 126 + known * width, "{seldom}");
            assert_eq!(round_trip(&values), values);
        }
        // As far from each other as 2^64 less a day.
        let far = [NULL + 1, i64::MAX - 86_399_999_998];
        assert_eq!(round_trip(&far), far);
        let alike = [NULL, 9, 9, NULL, 9, 9, 9, 9, 9];
        assert_eq!(round_trip(&alike), alike);
    }
}
