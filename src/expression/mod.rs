//! Expressions that analysts write in catalogue and model files: a portable subset of SQL.
//!
//! An expression is parsed and checked when its file is loaded: every column exists, every literal is one the
//! column can hold, and only constructs are used that Polars, DuckDB and Spark evaluate alike. It is kept in two
//! texts: the portable one that `plan --sql` prints, and the local one in which choices are their codes.
//!
//! Why a subset: of 97 one-line expressions tried on four engines, 31 disagreed. What is left out is what differs:
//! division (a feature of the aggregate `ratio` divides), rounding, date functions, string functions, and
//! aggregates.

mod checked;
mod checker;
pub mod conjuncts;
mod decimal;
mod functions;
mod kinds;
pub mod known;
mod parse;
pub mod reference;
mod scope;

pub use checked::Expression;
pub use decimal::{decimal, product};
pub use kinds::{Numbers, Type};
pub use parse::{not_too_deep, requires};

pub use scope::{ColumnKind, Scope, did_you_mean};
