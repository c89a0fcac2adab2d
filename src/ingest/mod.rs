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

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

thread_local! {
    static SHIELDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that reads foreign bytes: a panic of a decoder on a corrupt page becomes an error.
///
/// # Errors
/// The code's own error, or what its panic said.
pub fn shield<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = SHIELDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    SHIELDED.set(before);
    result.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(anyhow!("corrupt data: {}", said.unwrap_or_else(|| "the decoder gave up".to_owned())))
    })
}

/// Whether this thread is inside [`shield`], whose panics are reported as errors and not printed.
#[must_use]
pub fn shielded() -> bool {
    SHIELDED.get()
}
