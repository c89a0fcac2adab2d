//! Reading exports: which [`files`], or which objects of a [`listing`], what their footers and paths say ([`open`], [`partition`], [`id_forms`], [`pages`]), which columns are
//! [`needed`], batches of rows ([`batches`], of objects fetched [`ahead`]) through the input's [`select`], columns as integers ([`decode`]; [`taken`]
//! in the memory that they are in).
//! What a column repeats is looked up once ([`recent`]).

mod ahead;
pub mod batches;
mod columns;
pub mod decode;
pub mod export;
pub mod files;
mod footer;
mod id_forms;
pub mod key_ids;
pub mod listing;
mod needed;
pub mod open;
mod pages;
pub mod partition;
pub mod peek;
pub(in crate::ingest) mod recent;
pub mod select;
pub(in crate::ingest) mod taken;
mod thrift;

/// What a panic of a decoder means.
const CORRUPT: &str = "corrupt data";
/// What a panic of the SQL engine means.
const GIVEN_UP: &str = "the SQL engine cannot compute it";
