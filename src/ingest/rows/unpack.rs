//! Packed rows read again: what a column of a block looks like, and how it is unpacked in runs, so that loops over a run are free of all that
//! is the same for the whole column.

use anyhow::{Context, Result, bail};

use crate::NULL;

pub(super) const ALL_NULL: u8 = 0;
pub(super) const CONSTANT: u8 = 1;
/// Null is 0, and the others are counted from 1.
pub(super) const NULLABLE: u8 = 0x80;
/// A bit for each row tells whether it is not null; then come those that are not.
pub(super) const SPARSE: u8 = 0x40;
/// Instants are often whole days or seconds.
pub(super) const UNITS: [i64; 3] = [86_400_000_000, 1_000_000, 1];

/// A number of so many bytes.
fn number<const W: usize>(bytes: &[u8; W]) -> u64 {
    let mut wide = [0; 8];
    wide[..W].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

/// Rows whose values are unpacked before they are handed on: few enough to be in the cache, and enough that what is looked at once for
/// all of them costs nothing.
const RUN: usize = 256;

/// What the numbers of a column stand for.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: i64,
    unit: i64,
    /// Whether 0 is null, and the others are counted from 1.
    nulls: bool,
}

impl Scale {
    fn value(self, number: u64) -> i64 {
        if self.nulls && number == 0 { NULL } else { self.above(number.wrapping_sub(u64::from(self.nulls))) }
    }

    fn above(self, number: u64) -> i64 {
        self.low.wrapping_add(number.cast_signed().wrapping_mul(self.unit))
    }

    /// The values of some numbers: loops without a branch, and without a multiplication where there is no unit, so that several values are
    /// computed at once.
    fn unpack<const W: usize>(self, numbers: &[[u8; W]], values: &mut [i64]) {
        let low = self.low;
        let pairs = values.iter_mut().zip(numbers);
        // Null is chosen once the value that would be below the lowest one was computed.
        match (self.nulls, self.unit) {
            (false, 1) => pairs.for_each(|(value, bytes)| *value = low.wrapping_add(number(bytes).cast_signed())),
            (false, _) => pairs.for_each(|(value, bytes)| *value = self.above(number(bytes))),
            (true, 1) => pairs.for_each(|(value, bytes)| {
                let number = number(bytes).cast_signed();
                let known = low.wrapping_add(number.wrapping_sub(1));
                *value = if number == 0 { NULL } else { known };
            }),
            (true, _) => pairs.for_each(|(value, bytes)| {
                let number = number(bytes);
                let known = self.above(number.wrapping_sub(1));
                *value = if number == 0 { NULL } else { known };
            }),
        }
    }
}

/// Hands the values of numbers of so many bytes to `sink`, run by run, with the row of each run's first.
fn dense<const W: usize>(bytes: &[u8], scale: Scale, mut sink: impl FnMut(usize, &[i64])) {
    let mut values = [0_i64; RUN];
    for (numbers, from) in bytes.as_chunks::<W>().0.chunks(RUN).zip((0..).step_by(RUN)) {
        let values = &mut values[..numbers.len()];
        scale.unpack(numbers, values);
        sink(from, values);
    }
}

/// The same of so many rows that are `known` where a bit is set, and of which only these have numbers.
fn sparse<const W: usize>(
    (known, bytes): (&[u8], &[u8]),
    rows: usize,
    scale: Scale,
    mut sink: impl FnMut(usize, &[i64]),
) {
    let (numbers, _) = bytes.as_chunks::<W>();
    let (mut values, mut next) = ([NULL; RUN], 0);
    for from in (0..rows).step_by(RUN) {
        let values = &mut values[..RUN.min(rows - from)];
        for (row, value) in (from..).zip(values.iter_mut()) {
            let bit = known.get(row / 8).map_or(0, |bits| (bits >> (row % 8)) & 1);
            // Read in any case: which rows are known is nothing that could be foreseen.
            let offset = scale.value(numbers.get(next).map_or(0, number));
            *value = if bit == 1 { offset } else { NULL };
            next += usize::from(bit);
        }
        sink(from, values);
    }
}

/// Hands one value for each of so many rows to `sink`, run by run.
fn alike(value: i64, rows: usize, mut sink: impl FnMut(usize, &[i64])) {
    let values = [value; RUN];
    for from in (0..rows).step_by(RUN) {
        sink(from, &values[..RUN.min(rows - from)]);
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

    /// Hands every value of the next column to `sink` with its row.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn column(&mut self, mut sink: impl FnMut(usize, i64)) -> Result<()> {
        self.runs(|from, values| (from..).zip(values).for_each(|(row, value)| sink(row, *value)))
    }

    /// Hands the values of the next column to `sink` in runs, all of them in order, with the row of each run's first.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn runs(&mut self, sink: impl FnMut(usize, &[i64])) -> Result<()> {
        let rows = self.rows;
        let tag = self.take(1)?[0];
        let width = match tag & !(NULLABLE | SPARSE) {
            ALL_NULL => {
                alike(NULL, rows, sink);
                return Ok(());
            }
            CONSTANT => {
                alike(self.take_i64()?, rows, sink);
                return Ok(());
            }
            width @ (2 | 3 | 4 | 5 | 9) => usize::from(width - 1),
            _ => bail!("a spilled block is damaged"),
        };
        let unit = *UNITS.get(usize::from(self.take(1)?[0])).context("a spilled block is damaged")?;
        let scale = Scale { low: self.take_i64()?, unit, nulls: tag & NULLABLE != 0 };
        if tag & SPARSE != 0 {
            let known = self.take(rows.div_ceil(8))?;
            let count: usize = known.iter().map(|bits| bits.count_ones() as usize).sum();
            let some = (known, self.take(count * width)?);
            match width {
                1 => sparse::<1>(some, rows, scale, sink),
                2 => sparse::<2>(some, rows, scale, sink),
                3 => sparse::<3>(some, rows, scale, sink),
                4 => sparse::<4>(some, rows, scale, sink),
                _ => sparse::<8>(some, rows, scale, sink),
            }
            return Ok(());
        }
        let bytes = self.take(rows * width)?;
        match width {
            1 => dense::<1>(bytes, scale, sink),
            2 => dense::<2>(bytes, scale, sink),
            3 => dense::<3>(bytes, scale, sink),
            4 => dense::<4>(bytes, scale, sink),
            _ => dense::<8>(bytes, scale, sink),
        }
        Ok(())
    }

    /// Appends every value of the next column, [`NULL`] where it is null.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn append(&mut self, out: &mut Vec<i64>) -> Result<()> {
        out.reserve(self.rows);
        self.runs(|_, values| out.extend_from_slice(values))
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
    use proptest::prelude::*;

    use super::super::pack::pack;
    use super::*;

    proptest! {
        #[test]
        fn columns_of_several_runs_come_back_in_order(
            rows in prop_oneof![Just(RUN - 1), Just(RUN), Just(RUN + 1), Just(3 * RUN), 0..4 * RUN],
            (low, step, of_each) in (any::<i64>(), 1_i64..1 << 40, 0_usize..5),
            unit in prop_oneof![Just(1_i64), Just(1_000_000), Just(86_400_000_000)],
        ) {
            // All of them known, every second one, or fewer.
            let value = |row: i64| low.wrapping_add((row % 7).wrapping_mul(step).wrapping_mul(unit));
            let is_known = |row: usize| of_each == 0 || row.is_multiple_of(of_each);
            let values: Vec<i64> =
                (0_i64..).take(rows).enumerate().map(|(at, row)| if is_known(at) { value(row) } else { NULL }).collect();
            let mut bytes = Vec::new();
            pack(&values, &mut bytes);
            let mut found = Vec::new();
            let mut unpacker = Unpacker::new(&bytes, rows);
            unpacker.runs(|from, run| {
                assert_eq!(from, found.len());
                found.extend_from_slice(run);
            }).unwrap();
            prop_assert!(unpacker.rest().is_empty());
            prop_assert_eq!(found, values);
        }
    }
}
