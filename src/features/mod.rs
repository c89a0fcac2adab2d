//! Features: the declarative catalogue, compiled to exact integer accumulators and formulas over them.

pub mod compile;
mod adding;
mod formula;
mod grouped;
pub mod compute;
mod exact;
pub mod kernel;
pub mod plan;
mod reads;
pub mod shared;
pub mod shared_rows;

pub mod sql;
pub mod comparable;

pub use compile::compile;
pub use plan::Plan;
