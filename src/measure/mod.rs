//! Measuring: what the rows of one bucket of subjects come to, at one as-of date or at several at once.

pub mod bucket;
mod evidence;
mod records;
