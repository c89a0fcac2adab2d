//! What work may use of the machine, and how it is stopped and watched.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::budget::Budget;
use crate::exit::{self, Interrupted};
use crate::output::Output;

/// What work may use.
#[derive(Clone)]
pub struct Resources<'a> {
    /// Memory for rows, bytes.
    pub memory: u64,
    /// Where rows are spilled.
    pub scratch: PathBuf,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
    /// Where progress is shown.
    pub log: &'a Output,
}

impl Resources<'_> {
    /// The memory, all of it free.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        Budget::new(self.memory)
    }

    /// Stops the work at hand when a signal has asked for it.
    ///
    /// # Errors
    /// [`Interrupted`], when it has.
    pub fn check(&self) -> Result<(), Interrupted> {
        exit::check(self.stop)
    }
}
