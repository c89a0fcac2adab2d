//! Rows in as few bytes as their values need: each column of a block as offsets from its smallest value.
//!
//! Written and read once per run, never kept. A block holds rows of one file and one bucket.

use anyhow::{Context, Result, bail};

use crate::NULL;

const ALL_NULL: u8 = 0;
const CONSTANT: u8 = 1;
const NULLABLE: u8 = 0x80;
/// Instants are often whole days or seconds.
const UNITS: [i64; 3] = [86_400_000_000, 1_000_000, 1];

/// Appends a column to a block.
pub fn pack(values: &[i64], out: &mut Vec<u8>) {
    let (mut low, mut high, mut nulls) = (i64::MAX, i64::MIN, false);
    for v in values {
        // Null is the smallest number, so that it is never the largest of some.
        high = high.max(*v);
        low = low.min(if *v == NULL { i64::MAX } else { *v });
        nulls |= *v == NULL;
    }
    if high == NULL {
        out.push(ALL_NULL);
        return;
    }
    if low == high && !nulls {
        out.push(CONSTANT);
        out.extend_from_slice(&low.to_le_bytes());
        return;
    }
    let range = high.abs_diff(low);
    let unit = if range > u64::from(u32::MAX) { common_unit(values, low) } else { 2 };
    let divisor = UNITS[usize::from(unit)].unsigned_abs();
    let first = u64::from(nulls);
    let top = (range / divisor).saturating_add(first);
    let width: u8 = match top {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        // Null is i64::MIN, so that the widest range, 2^64 - 2, leaves room for it.
        _ => 8,
    };
    out.push(1 + width + if nulls { NULLABLE } else { 0 });
    out.push(unit);
    out.extend_from_slice(&low.to_le_bytes());
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
    let fits = |unit: i64| values.iter().all(|v| *v == NULL || v.wrapping_sub(low) % unit == 0);
    if fits(UNITS[0]) {
        0
    } else if fits(UNITS[1]) {
        1
    } else {
        2
    }
}

/// Reads a block's columns one after another.
pub struct Unpacker<'a> {
    bytes: &'a [u8],
    rows: usize,
}

impl<'a> Unpacker<'a> {
    /// Over a block of so many rows.
    #[must_use]
    pub const fn new(bytes: &'a [u8], rows: usize) -> Self {
        Self { bytes, rows }
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    /// When the block is shorter.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n).context("a spilled block is shorter than it should be")?;
        self.bytes = tail;
        Ok(head)
    }

    fn take_i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into()?))
    }

    /// Hands every value of the next column to `sink` with its row; nothing when all are null.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn column(&mut self, mut sink: impl FnMut(usize, i64)) -> Result<()> {
        let tag = self.take(1)?[0];
        match tag & !NULLABLE {
            ALL_NULL => (0..self.rows).for_each(|row| sink(row, NULL)),
            CONSTANT => {
                let value = self.take_i64()?;
                (0..self.rows).for_each(|row| sink(row, value));
            }
            width @ (2 | 3 | 5 | 9) => {
                let unit = *UNITS.get(usize::from(self.take(1)?[0])).context("a spilled block is damaged")?;
                let low = self.take_i64()?;
                let nulls = tag & NULLABLE != 0;
                let width = usize::from(width - 1);
                let bytes = self.take(self.rows * width)?;
                let value = |offset: u64| {
                    if !nulls {
                        return low.wrapping_add(offset.cast_signed().wrapping_mul(unit));
                    }
                    if offset == 0 { NULL } else { low.wrapping_add((offset - 1).cast_signed().wrapping_mul(unit)) }
                };
                match width {
                    1 => bytes.iter().enumerate().for_each(|(row, b)| sink(row, value(u64::from(*b)))),
                    2 => bytes
                        .as_chunks::<2>()
                        .0
                        .iter()
                        .enumerate()
                        .for_each(|(row, b)| sink(row, value(u64::from(u16::from_le_bytes(*b))))),
                    4 => bytes
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .enumerate()
                        .for_each(|(row, b)| sink(row, value(u64::from(u32::from_le_bytes(*b))))),
                    _ => bytes
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .enumerate()
                        .for_each(|(row, b)| sink(row, value(u64::from_le_bytes(*b)))),
                }
            }
            _ => bail!("a spilled block is damaged"),
        }
        Ok(())
    }

    /// Whether the next column is null throughout, without reading it.
    #[must_use]
    pub fn next_is_null(&self) -> bool {
        self.bytes.first() == Some(&ALL_NULL)
    }

    /// The bytes that are left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
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
        out
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(values in proptest::collection::vec(prop_oneof![
            Just(NULL), Just(NULL + 1), Just(i64::MAX), any::<i64>(), 0..10_i64, -70_000..70_000_i64, (0..1000_i64).prop_map(|d| d * 86_400_000_000),
        ], 0..200)) {
            prop_assert_eq!(round_trip(&values), values);
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
    }
}
