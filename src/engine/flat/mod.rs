//! Expressions over numbers, row by row, without polars.
//!
//! What analysts write over records, and what features and rules are made of, is a small part of SQL: whole numbers, doubles and
//! conditions, with null. [`compile`] makes a list of steps of it, in which each part that several expressions share stands once
//! ([`step`]); [`evaluate`] takes the steps over some hundred rows at a time, so that what lies between them stays in the cache. What is
//! beyond that part is polars' to compute. The results are those of polars, bit by bit; the tests of `program.rs` hold them against it.

pub(super) mod compile;
pub(super) mod evaluate;
mod step;
