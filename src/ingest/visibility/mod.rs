//! Point in time: what each as-of date of a pass sees of a row, and what the row said then.
//!
//! [`scan`] checks a batch once for all dates: it keeps the rows that one of them sees, as the [widest](crate::contract::Snapshot::widest)
//! sees them, with the dates at which a row breaks a rule. [`view`] is one date's sight of what was kept: rows that were not known yet are
//! hidden, and what the others say of later times is turned back. With one date the two are the same.

mod decoded;
pub mod erased;
mod repeats;
pub mod scan;
pub mod setting;
pub mod shard;
mod sifted;
pub mod view;
