//! The audit: it reads results and changes nothing.

pub mod quality;
pub mod summary;
