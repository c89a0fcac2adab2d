//! The audit: it reads results and changes nothing.

mod coverage;
mod drift;
mod facts;
mod fairness;
mod features;
mod inputs;
mod propagation;
mod provenance;
pub mod quality;
pub mod scale;
mod scores;
pub mod summary;
pub mod text;

pub use facts::Facts;
