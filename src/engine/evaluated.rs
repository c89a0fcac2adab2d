//! What expressions come to: columns of integers, doubles or conditions.

use anyhow::{Result, bail};
use polars::prelude::{Column, Float64Chunked};
use polars_arrow::bitmap::Bitmap;

use super::flat::evaluate::Found;
use crate::NULL;

/// The result of one expression, one value per row.
#[derive(Debug, Clone)]
pub struct Evaluated(Outcome);

#[derive(Debug, Clone)]
enum Outcome {
    /// As polars has it, and how many rows there are.
    Column(Column, usize),
    Found(Found),
}

impl From<Found> for Evaluated {
    fn from(found: Found) -> Self {
        Self(Outcome::Found(found))
    }
}

impl Evaluated {
    /// A column of polars, and how many rows there are.
    pub(super) const fn of(column: Column, rows: usize) -> Self {
        Self(Outcome::Column(column, rows))
    }

    /// The integers, [`NULL`] where null.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn integers(&self) -> Result<Vec<i64>> {
        self.clone().into_integers()
    }

    /// The same, which leaves nothing behind.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn into_integers(self) -> Result<Vec<i64>> {
        let (column, height) = match self.0 {
            Outcome::Found(Found::Wholes(values)) => return Ok(values),
            Outcome::Found(_) => bail!("defect: an expression that is no integer"),
            Outcome::Column(column, height) => (full(column, height), height),
        };
        let ints = column.i64()?;
        let mut out = Vec::with_capacity(height);
        for chunk in ints.downcast_iter() {
            match chunk.validity() {
                None => out.extend_from_slice(chunk.values()),
                Some(valid) => {
                    out.extend(chunk.values().iter().zip(valid.iter()).map(|(v, ok)| if ok { *v } else { NULL }))
                }
            }
        }
        Ok(out)
    }

    /// The doubles, NaN where null.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn doubles(&self) -> Result<Vec<f64>> {
        self.clone().into_doubles()
    }

    /// The same, which leaves nothing behind.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn into_doubles(self) -> Result<Vec<f64>> {
        let (column, height) = match self.0 {
            Outcome::Found(Found::Doubles(values)) => return Ok(values),
            Outcome::Found(_) => bail!("defect: an expression that is no double"),
            Outcome::Column(column, height) => (full(column, height), height),
        };
        let doubles: &Float64Chunked = column.f64()?;
        let mut out = Vec::with_capacity(height);
        for chunk in doubles.downcast_iter() {
            match chunk.validity() {
                None => out.extend_from_slice(chunk.values()),
                Some(valid) => {
                    out.extend(chunk.values().iter().zip(valid.iter()).map(|(v, ok)| if ok { *v } else { f64::NAN }))
                }
            }
        }
        Ok(out)
    }

    /// The conditions as 1 and 0; null is 0.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn conditions(&self) -> Result<Vec<u8>> {
        self.clone().into_conditions()
    }

    /// The same, which leaves nothing behind.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn into_conditions(self) -> Result<Vec<u8>> {
        let (column, height) = match self.0 {
            Outcome::Found(Found::Conditions(values)) => return Ok(values),
            Outcome::Found(_) => bail!("defect: an expression that is no condition"),
            Outcome::Column(column, height) => (full(column, height), height),
        };
        let flags = column.bool()?;
        let mut out = Vec::with_capacity(height);
        for chunk in flags.downcast_iter() {
            match chunk.validity() {
                None => spread(chunk.values(), &mut out),
                Some(valid) => spread(&(chunk.values() & valid), &mut out),
            }
        }
        Ok(out)
    }
}

/// A column at full height: an expression without a column yields one value for all rows.
fn full(column: Column, height: usize) -> Column {
    if column.len() == height { column } else { column.new_from_index(0, height) }
}

/// Adds a byte of 0 or 1 for every bit.
fn spread(bits: &Bitmap, out: &mut Vec<u8>) {
    let (bytes, offset, len) = bits.as_slice();
    if offset != 0 {
        out.extend(bits.iter().map(u8::from));
        return;
    }
    let first = out.len();
    out.extend(bytes.iter().flat_map(|byte| std::array::from_fn::<u8, 8, _>(|bit| byte >> bit & 1)));
    out.truncate(first + len);
}
