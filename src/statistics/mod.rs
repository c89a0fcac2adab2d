//! Statistics of the field, each with its source.

pub mod stability;
