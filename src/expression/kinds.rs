//! What an expression may hold, and what it yields.

use serde::Serialize;

/// Numbers allowed in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Row expressions are added up exactly, so they hold integers only.
    Integer,
    /// Rules over finished features compare with decimals.
    Decimal,
}

/// What an expression yields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
