//! Functions over columns that are written here: what they take, what they give, and what they do with one row.

use std::sync::Arc;

use polars::prelude::{
    BooleanChunked, Column, DataType, Expr, Field, Float64Chunked, Int64Chunked, Int128Chunked, IntoColumn,
    NewChunkedArray, PlSmallStr, PolarsResult, StringChunked, lit, map_multiple,
};

/// The last argument of a call whose null may be a value that does not exist, or a text that cannot be read.
const MAY_FAIL: &str = "sesame_may_fail";

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number, a day number, or a time in its unit.
    Whole(i64),
    /// A double.
    Double(f64),
    /// Nothing.
    Null,
}

impl<'a> Cell<'a> {
    /// The text, if it is one.
    pub(super) const fn text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The double, if it is one.
    pub(super) const fn double(self) -> Option<f64> {
        match self {
            Cell::Double(number) => Some(number),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub(super) const fn whole(self) -> Option<i64> {
        match self {
            Cell::Whole(number) => Some(number),
            _ => None,
        }
    }
}

/// What a function gives for a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// A text.
    Text(String),
    /// A whole number, or what stands for one of the type that is given.
    Whole(i64),
    /// A double.
    Double(f64),
    /// True or false.
    Flag(bool),
}

/// What a function makes of a row; it says nothing of rows it has no value for.
pub(super) type One = Arc<dyn Fn(&[Cell]) -> Option<Given> + Send + Sync>;

/// Calls a function of rows: null where it gives nothing. With `may_fail`, a row for which it gives nothing though none of its
/// arguments is null is one that [`impossible`] tells.
pub(super) fn call(arguments: Vec<Expr>, to: DataType, may_fail: bool, one: One) -> Expr {
    let mut arguments = arguments;
    let count = arguments.len();
    if may_fail {
        arguments.push(lit(MAY_FAIL));
    }
    let kind = to.clone();
    let run = move |columns: &mut [Column]| run(&columns[..count], &kind, one.as_ref());
    map_multiple(run, arguments, move |_, fields| {
        let name = fields.first().map_or(PlSmallStr::EMPTY, |f| f.name().clone());
        Ok(Field::new(name, to.clone()))
    })
}

/// The condition that a call has no value for a row though it was given all it asks for.
pub(in crate::engine) fn impossible(node: &Expr) -> Option<Expr> {
    let Expr::AnonymousFunction { input, .. } = node else { return None };
    let (mark, given) = input.split_last()?;
    let marked = matches!(mark, Expr::Literal(value) if value.extract_str() == Some(MAY_FAIL));
    marked.then(|| given.iter().fold(node.clone().is_null(), |all, e| all.and(e.clone().is_not_null())))
}

/// A column ready to be read row by row.
enum Read {
    Text(StringChunked),
    Whole(Int64Chunked),
    Double(Float64Chunked),
}

impl Read {
    fn new(column: &Column) -> PolarsResult<Self> {
        Ok(match column.dtype() {
            DataType::String | DataType::Null => Self::Text(column.cast(&DataType::String)?.str()?.clone()),
            DataType::Float32 | DataType::Float64 => Self::Double(column.cast(&DataType::Float64)?.f64()?.clone()),
            _ => Self::Whole(column.cast(&DataType::Int64)?.i64()?.clone()),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(c) => c.len(),
            Self::Whole(c) => c.len(),
            Self::Double(c) => c.len(),
        }
    }

    /// The value of a row; a column of one value has it in every row.
    fn cell(&self, row: usize) -> Cell<'_> {
        let row = if self.len() == 1 { 0 } else { row };
        match self {
            Self::Text(c) => c.get(row).map_or(Cell::Null, Cell::Text),
            Self::Whole(c) => c.get(row).map_or(Cell::Null, Cell::Whole),
            Self::Double(c) => c.get(row).map_or(Cell::Null, Cell::Double),
        }
    }
}

fn run(
    columns: &[Column],
    to: &DataType,
    one: &(dyn Fn(&[Cell]) -> Option<Given> + Send + Sync),
) -> PolarsResult<Column> {
    let name = columns.first().map_or(PlSmallStr::EMPTY, |c| c.name().clone());
    let read = columns.iter().map(Read::new).collect::<PolarsResult<Vec<_>>>()?;
    let rows = read.iter().map(Read::len).find(|len| *len != 1).unwrap_or(1);
    let given = (0..rows).map(|row| {
        let cells: Vec<Cell> = read.iter().map(|column| column.cell(row)).collect();
        one(&cells)
    });
    Ok(match to {
        DataType::String => {
            let texts = given.map(|g| match g {
                Some(Given::Text(text)) => Some(text),
                _ => None,
            });
            StringChunked::from_iter_options(name, texts).into_column()
        }
        DataType::Boolean => {
            let flags = given.map(|g| match g {
                Some(Given::Flag(flag)) => Some(flag),
                _ => None,
            });
            BooleanChunked::from_iter_options(name, flags).into_column()
        }
        DataType::Float64 => {
            let doubles = given.map(|g| match g {
                Some(Given::Double(double)) => Some(double),
                _ => None,
            });
            Float64Chunked::from_iter_options(name, doubles).into_column()
        }
        kind => {
            let numbers = given.map(|g| match g {
                Some(Given::Whole(number)) => Some(number),
                _ => None,
            });
            let numbers = Int64Chunked::from_iter_options(name, numbers).into_column();
            match kind {
                DataType::Date => numbers.cast(&DataType::Int32)?.cast(kind)?,
                DataType::Datetime(unit, zone) => {
                    numbers.i64()?.clone().into_datetime(*unit, zone.clone()).into_column()
                }
                DataType::Decimal(precision, scale) => {
                    let units = numbers.i64()?.iter().map(|n| n.map(i128::from));
                    let units = Int128Chunked::from_iter_options(numbers.name().clone(), units);
                    units.into_decimal(*precision, *scale)?.into_column()
                }
                kind => numbers.strict_cast(kind)?,
            }
        }
    })
}
