//! The expression engine: polars, behind one door.

pub mod bridge;
pub mod frame;
mod quotient;
pub mod rowwise;
mod sql;

/// Keeps the engine's own warnings (what a later version of it will do differently) out of the log, which is not its to write.
pub fn silence() {
    polars::error::set_warning_function(|_, _| {});
}

pub use frame::{Frame, Program};
