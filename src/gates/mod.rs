//! The gates: what a staged result must meet before it is published.

pub mod counts;
pub mod loss;
pub mod verdicts;
