//! Ingest: one pass over each export.
//!
//! Every row is decoded once and ends in exactly one class (see [`conservation`]); the rows that are left are split
//! by subject bucket, so that everything after this can work on one bucket at a time.

pub mod batches;
pub mod bucket;
pub mod check;
pub mod consents;
pub mod conservation;
pub mod decode;
mod decoded;
pub mod disputes;
pub mod export;
pub mod files;
pub mod groups;
mod id_forms;
pub mod lookup;
pub mod members;
pub mod outcomes;
pub mod pack;
mod pages;
pub mod partition;
pub mod pass;
pub mod pii;
pub mod registers;
pub mod resolve;
pub mod rule;
pub mod scan;
pub mod select;
pub mod spine;
pub mod store;
pub mod subjects;
mod thrift;
pub mod tie_store;
pub mod ties;
pub mod view;

/// What a panic of a decoder means.
const CORRUPT: &str = "corrupt data";
/// What a panic of the SQL engine means.
const GIVEN_UP: &str = "the SQL engine cannot compute it";
