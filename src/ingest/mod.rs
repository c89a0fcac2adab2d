//! Ingest: one pass over each export.
//!
//! Every row is decoded once and ends in exactly one class (see [`check::conservation`]); the rows that are left are split
//! by subject bucket, so that everything after this can work on one bucket at a time. The way of a row:
//!
//! 1. [`read`]: files, their columns and the input's `select`, batch by batch, as integers.
//! 2. [`visibility`]: what each date sees of it; [`check`]: what it must satisfy.
//! 3. [`spine`]: whose it is. [`rows`]: packed by bucket, spilled when memory is short.
//!    [`kept`]: those that need not be read again the next night.
//! 4. [`settle`]: which version of it counts at each date, and what the small tables say. [`links`]: ties between subjects.
//!
//! [`pass`] has it done for every export, or for one shard of the subjects, which some small tables ([`whole`]) go to as they
//! are, which keeps the rows of the others ([`divided`]), and whose rows another engine may have [`shuffled`] ([`numbers`] tell whether all came), or [`staged`] where it alone reads the tables; [`sample`] tries out the first rows of one.

pub mod sample;
pub mod pass;
mod ingested;
pub mod staged;
pub mod shuffled;
mod places;
pub mod divided;
pub mod numbers;
mod whole;
pub mod links;
pub mod settle;
pub mod visibility;
pub mod rows;
pub mod kept;
pub mod read;
pub mod spine;
pub mod check;
