//! The expression engine: polars, behind one door.

pub mod bridge;
pub mod frame;
pub mod rowwise;

pub use frame::{Frame, Program};
