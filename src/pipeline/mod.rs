//! What a user writes: pipeline, model and catalogue files; their types, loading and checks.

pub mod basis;
mod bin_check;
pub mod catalogue;
pub mod exact;
pub mod file;
pub mod finding;
pub mod gates;
pub mod marks;
pub mod model;
pub mod model_check;
mod overrides;
pub mod propagation;
mod reason_check;
pub mod settings;

pub use file::Pipeline;
pub use finding::{Finding, Findings, Source};
pub use model::Model;
pub use settings::Input;
