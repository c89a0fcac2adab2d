//! The expression engine: polars, behind one door; what is written over numbers alone is computed without it.

pub mod bridge;
pub mod evaluated;
mod flat;
pub mod frame;
pub mod program;
mod quotient;
pub mod rowwise;
mod sql;

/// Keeps the engine's own warnings (what a later version of it will do differently) out of the log, which is not its to write.
pub fn silence() {
    polars::error::set_warning_function(|_, _| {});
}

pub use frame::Frame;
pub use program::Program;
