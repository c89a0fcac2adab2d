//! Integer columns in, columns of conditions, integers or doubles out.

use anyhow::{Context, Error, Result};
use polars::prelude::{
    Column, DataFrame, DataType, Expr, Float64Chunked, Int64Chunked, IntoLazy, IntoSeries, NewChunkedArray, PlSmallStr,
};
use polars_arrow::bitmap::Bitmap;

use crate::NULL;

/// A frame of integer columns, in which [`NULL`] stands for null.
#[derive(Debug, Clone)]
pub struct Frame(DataFrame);

/// Expressions, parsed once and evaluated over many frames.
#[derive(Debug, Clone)]
pub struct Program {
    expressions: Vec<Expr>,
    names: Vec<PlSmallStr>,
}

impl Program {
    /// Parses expressions of the local spelling; each yields integers or conditions.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn integers<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, |e| e.cast(DataType::Int64))
    }

    /// Parses expressions that yield conditions; null is false.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn conditions<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, |e| e.cast(DataType::Boolean))
    }

    /// Parses expressions that yield doubles.
    ///
    /// # Errors
    /// When polars does not take one, with its text.
    pub fn doubles<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::parse(texts, |e| e.cast(DataType::Float64))
    }

    fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, finish: impl Fn(Expr) -> Expr) -> Result<Self> {
        let (mut expressions, mut names) = (Vec::new(), Vec::new());
        for (n, text) in texts.into_iter().enumerate() {
            let name = PlSmallStr::from_string(format!("e{n}"));
            let parsed =
                super::sql::text(text).map_err(Error::msg).with_context(|| format!("the expression `{text}`"))?;
            expressions.push(finish(parsed).alias(name.clone()));
            names.push(name);
        }
        Ok(Self { expressions, names })
    }

    /// Number of expressions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.expressions.len()
    }

    /// Whether there is no expression.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Both lists of expressions in one, so that what they share is computed once.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Self {
        let offset = self.len();
        for (n, expression) in other.expressions.iter().enumerate() {
            let name = PlSmallStr::from_string(format!("e{}", offset + n));
            self.expressions.push(expression.clone().alias(name.clone()));
            self.names.push(name);
        }
        self
    }

    /// Evaluates every expression over a frame.
    ///
    /// # Errors
    /// When polars fails, which a checked expression does not cause.
    pub fn run(&self, frame: &Frame) -> Result<Vec<Evaluated>> {
        let height = frame.0.height();
        let result = frame.0.clone().lazy().select_seq(self.expressions.as_slice()).collect()?;
        self.names.iter().map(|name| Ok(Evaluated { column: result.column(name)?.clone(), height })).collect()
    }
}

/// The result of one expression, one value per row.
#[derive(Debug, Clone)]
pub struct Evaluated {
    column: Column,
    height: usize,
}

impl Evaluated {
    /// The integers, [`NULL`] where null.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn integers(&self) -> Result<Vec<i64>> {
        let column = self.full()?;
        let ints = column.i64()?;
        let mut out = Vec::with_capacity(self.height);
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
        let column = self.full()?;
        let doubles: &Float64Chunked = column.f64()?;
        let mut out = Vec::with_capacity(self.height);
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
        let column = self.full()?;
        let flags = column.bool()?;
        let mut out = Vec::with_capacity(self.height);
        for chunk in flags.downcast_iter() {
            match chunk.validity() {
                None => spread(chunk.values(), &mut out),
                Some(valid) => spread(&(chunk.values() & valid), &mut out),
            }
        }
        Ok(out)
    }

    /// The column at full height: an expression without a column yields one value for all rows.
    fn full(&self) -> Result<Column> {
        if self.column.len() == self.height {
            return Ok(self.column.clone());
        }
        Ok(self.column.new_from_index(0, self.height))
    }
}

impl Frame {
    /// A frame of named columns of equal length.
    ///
    /// # Errors
    /// When the lengths differ or a name stands twice.
    pub fn new<'a>(height: usize, columns: impl IntoIterator<Item = (&'a str, Vec<i64>)>) -> Result<Self> {
        let columns = columns.into_iter().map(|(name, values)| integers(name, values)).collect();
        Ok(Self(DataFrame::new(height, columns)?))
    }

    /// The integers of a column of this frame, [`NULL`] where null.
    ///
    /// # Errors
    /// When there is no such column of integers.
    pub fn values(&self, name: &str) -> Result<&[i64]> {
        let column = self.0.column(name)?.as_materialized_series();
        // Columns are made from one vector, and its values are kept where the column is null.
        let chunk = column.i64()?.downcast_iter().next();
        Ok(chunk.map_or(&[], |chunk| chunk.values().as_slice()))
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.columns().iter().map(|c| c.name().as_str())
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
            self.0.with_column(integers(name, values))?;
        }
        Ok(self)
    }

    /// Adds columns of doubles, null where NaN.
    ///
    /// # Errors
    /// When the lengths differ or a name stands twice.
    pub fn with_doubles<'a>(mut self, columns: impl IntoIterator<Item = (&'a str, &'a [f64])>) -> Result<Self> {
        for (name, values) in columns {
            let options = values.iter().map(|v| (!v.is_nan()).then_some(*v));
            let column = Float64Chunked::from_iter_options(PlSmallStr::from_str(name), options);
            self.0.with_column(column.into_series().into())?;
        }
        Ok(self)
    }

    /// The polars frame.
    #[must_use]
    pub const fn polars(&self) -> &DataFrame {
        &self.0
    }
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
