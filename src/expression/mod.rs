//! Expressions that analysts write in catalogue and model files: a portable subset of SQL.
//!
//! An expression is parsed and checked when its file is loaded: every column exists, every literal is one the
//! column can hold, and only constructs are used that Polars, DuckDB and Spark evaluate alike. It is kept in two
//! texts: the portable one that `plan --sql` prints, and the local one in which choices are their codes.
//!
//! Why a subset: of 97 one-line expressions tried on four engines, 31 disagreed. What is left out is what differs:
//! division (a feature of the aggregate `ratio` divides), rounding, date functions, string functions, and
//! aggregates.

mod decimal;
mod parse;
mod render;
mod scope;

pub use decimal::{decimal, product};
pub use parse::{not_too_deep, requires};
pub use render::Expression;
pub use scope::{ColumnKind, Scope, did_you_mean};

/// Numbers allowed in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Row expressions are added up exactly, so they hold integers only.
    Integer,
    /// Rules over finished features compare with decimals.
    Decimal,
}

/// What an expression yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A number.
    Number,
    /// True, false or null.
    Boolean,
    /// One of a column's words.
    Choice(Vec<String>),
    /// An id: compared for equality, never with a literal unless the scope allows it.
    Id,
    /// The literal NULL.
    Null,
}
