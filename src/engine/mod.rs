//! The expression engine: polars, behind one door.

pub mod bridge;
pub mod frame;

pub use frame::{Frame, Program};
