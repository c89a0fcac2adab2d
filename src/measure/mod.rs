//! Measuring: from ingested rows to stages, bucket by bucket, for one as-of date or for several at once.

pub mod bucket;
pub mod evidence;
pub mod make;
pub mod policy;

pub use make::{Engine, make};
