//! Libraries that give up by a panic where foreign bytes or SQL ask too much of them: here that is an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};

thread_local! {
    static SHIELDED: Cell<bool> = const { Cell::new(false) };
}

/// Threads that are inside [`shield`].
static SHIELDS: AtomicUsize = AtomicUsize::new(0);

/// How the names of the threads begin that the expression engine works in; a panic there is one of whoever waits for it.
const ENGINE_THREADS: &str = "polars-";

/// Runs code that may panic; `fault` says what it means when it does.
///
/// # Errors
/// The code's own error, or what its panic said.
pub fn shield<T>(fault: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = SHIELDED.replace(true);
    SHIELDS.fetch_add(1, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(work));
    SHIELDS.fetch_sub(1, Ordering::Relaxed);
    SHIELDED.set(before);
    result.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(anyhow!("{fault}: {}", said.unwrap_or_else(|| "no more is known".to_owned())))
    })
}

/// Whether a panic of this thread is reported as an error, and so not printed.
#[must_use]
pub fn shielded() -> bool {
    let of_engine = || std::thread::current().name().is_some_and(|name| name.starts_with(ENGINE_THREADS));
    SHIELDED.get() || (SHIELDS.load(Ordering::Relaxed) > 0 && of_engine())
}
