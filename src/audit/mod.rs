//! The audit: it reads results and changes nothing.

mod propagation;
pub mod quality;
pub mod summary;
