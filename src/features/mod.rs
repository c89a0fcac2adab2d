//! Features: the declarative catalogue, compiled to exact integer accumulators and formulas over them.

pub mod compile;
mod across;
mod across_kernel;
pub mod across_rows;
mod across_steps;
mod across_times;
mod across_weeks;
mod adding;
mod formula;
mod grouped;
pub mod compute;
mod exact;
pub mod kernel;
mod numbering;
pub mod plan;
mod reads;
mod rest;
pub mod shared;
pub mod shared_rows;
mod sharing;

pub mod sql;
pub mod comparable;

pub use compile::compile;
pub use plan::Plan;
