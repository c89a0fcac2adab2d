//! Named columns of integers and doubles, over which expressions are evaluated.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use polars::prelude::{Column, DataFrame, Float64Chunked, Int64Chunked, IntoSeries, NewChunkedArray, PlSmallStr};
use polars_arrow::bitmap::Bitmap;

use super::flat::compile::{Kind, Steps};
use super::flat::evaluate::Values;
use crate::NULL;

/// Columns of equal length: of integers, in which [`NULL`] stands for null, and of doubles, in which NaN does.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    height: usize,
    columns: Vec<(String, Cells)>,
}

/// What a column holds.
#[derive(Debug, Clone)]
enum Cells {
    Integers(Integers),
    Doubles(Arc<Vec<f64>>),
}

/// Integers of a column, which others may hold as well.
#[derive(Debug, Clone)]
pub struct Integers {
    all: Arc<Vec<i64>>,
    from: usize,
}

impl Integers {
    /// Integers from a position on.
    #[must_use]
    pub fn shared(all: &Arc<Vec<i64>>, from: usize) -> Self {
        Self { all: Arc::clone(all), from }
    }

    fn some(&self, rows: usize) -> &[i64] {
        // A frame takes no column that is shorter than it is high.
        self.all.get(self.from..self.from + rows).unwrap_or(&[])
    }
}

impl From<Vec<i64>> for Integers {
    fn from(values: Vec<i64>) -> Self {
        Self { all: Arc::new(values), from: 0 }
    }
}

impl Frame {
    /// A frame of named columns of equal length.
    ///
    /// # Errors
    /// When the lengths differ or a name stands twice.
    pub fn new<'a>(height: usize, columns: impl IntoIterator<Item = (&'a str, Vec<i64>)>) -> Result<Self> {
        let columns: Vec<(&str, Vec<i64>)> = columns.into_iter().collect();
        ensure!(columns.iter().all(|(_, values)| values.len() == height), "defect: columns of different lengths");
        Self::sharing(height, columns.into_iter().map(|(name, values)| (name, Integers::from(values))))
    }

    /// A frame of the first rows of named columns, which others may hold as well.
    ///
    /// # Errors
    /// When one has not so many rows or a name stands twice.
    pub fn sharing<'a>(height: usize, columns: impl IntoIterator<Item = (&'a str, Integers)>) -> Result<Self> {
        let mut frame = Self { height, columns: Vec::new() };
        for (name, values) in columns {
            ensure!(frame.cells(name).is_none(), "defect: two columns `{name}`");
            ensure!(values.some(height).len() == height, "defect: the column `{name}` is too short");
            frame.columns.push((name.to_owned(), Cells::Integers(values)));
        }
        Ok(frame)
    }

    /// Number of rows.
    pub(super) const fn height(&self) -> usize {
        self.height
    }

    fn cells(&self, name: &str) -> Option<&Cells> {
        self.columns.iter().find(|(other, _)| other == name).map(|(_, cells)| cells)
    }

    /// What a column holds.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        Some(match self.cells(name)? {
            Cells::Integers(_) => Kind::Whole,
            Cells::Doubles(_) => Kind::Double,
        })
    }

    /// The columns that expressions read; nothing when one is not there, or holds something else.
    pub(super) fn wanted(&self, steps: &Steps) -> Option<Vec<Values<'_>>> {
        let values = |(name, kind): &(String, Kind)| match (self.cells(name)?, kind) {
            (Cells::Integers(values), Kind::Whole) => Some(Values::Wholes(values.some(self.height))),
            (Cells::Doubles(values), Kind::Double) => Some(Values::Doubles(values)),
            _ => None,
        };
        steps.columns.iter().map(values).collect()
    }

    /// The integers of a column of this frame, [`NULL`] where null.
    ///
    /// # Errors
    /// When there is no such column of integers.
    pub fn values(&self, name: &str) -> Result<&[i64]> {
        match self.cells(name) {
            Some(Cells::Integers(values)) => Ok(values.some(self.height)),
            _ => bail!("defect: no column `{name}` of integers"),
        }
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Chosen rows, in order.
    ///
    /// # Errors
    /// When a column holds no integers.
    pub fn pick(&self, rows: &[usize]) -> Result<Self> {
        let gather =
            |name| Ok((name, self.values(name)?)).map(|(name, v)| (name, rows.iter().map(|r| v[*r]).collect()));
        Self::new(rows.len(), self.names().map(gather).collect::<Result<Vec<(&str, Vec<i64>)>>>()?)
    }

    /// Adds columns of integers, or replaces those of the same name.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn with_integers<'a>(mut self, columns: impl IntoIterator<Item = (&'a str, Vec<i64>)>) -> Result<Self> {
        for (name, values) in columns {
            ensure!(values.len() == self.height, "defect: the column `{name}` has another length");
            self.put(name, Cells::Integers(values.into()));
        }
        Ok(self)
    }

    /// Adds columns of doubles, null where NaN, or replaces those of the same name.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn with_doubles<'a>(mut self, columns: impl IntoIterator<Item = (&'a str, &'a [f64])>) -> Result<Self> {
        for (name, values) in columns {
            ensure!(values.len() == self.height, "defect: the column `{name}` has another length");
            self.put(name, Cells::Doubles(Arc::new(values.to_vec())));
        }
        Ok(self)
    }

    fn put(&mut self, name: &str, cells: Cells) {
        match self.columns.iter_mut().find(|(other, _)| other == name) {
            Some((_, held)) => *held = cells,
            None => self.columns.push((name.to_owned(), cells)),
        }
    }

    /// The frame as polars has it.
    ///
    /// # Errors
    /// When polars does not take it.
    pub(super) fn polars(&self) -> Result<DataFrame> {
        let column = |(name, cells): &(String, Cells)| match cells {
            Cells::Integers(values) => integers(name, values.some(self.height).to_vec()),
            Cells::Doubles(values) => {
                let options = values.iter().map(|v| (!v.is_nan()).then_some(*v));
                Float64Chunked::from_iter_options(PlSmallStr::from_str(name), options).into_series().into()
            }
        };
        Ok(DataFrame::new(self.height, self.columns.iter().map(column).collect())?)
    }
}

/// One bit for every value: whether it is not null.
fn known(values: &[i64]) -> Bitmap {
    let bits = |some: &[i64]| some.iter().enumerate().fold(0, |bits, (n, v)| bits | u8::from(*v != NULL) << n);
    let (whole, rest) = values.as_chunks::<8>();
    let mut bytes: Vec<u8> = whole.iter().map(|some| bits(some)).collect();
    if !rest.is_empty() {
        bytes.push(bits(rest));
    }
    Bitmap::from_u8_vec(bytes, values.len())
}

/// A column of integers, null where [`NULL`].
fn integers(name: &str, values: Vec<i64>) -> Column {
    let valid = values.contains(&NULL).then(|| known(&values));
    Int64Chunked::from_vec_validity(PlSmallStr::from_str(name), values, valid).into_series().into()
}
