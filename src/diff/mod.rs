//! What moved between two runs that are kept.

pub mod compare;
