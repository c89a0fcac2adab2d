//! What a user writes: pipeline, model and catalogue files; their types, loading and checks.

pub mod amount;
pub mod basis;
mod bin_check;
pub mod calibrated;
pub mod calibration;
pub mod catalogue;
pub mod edits;
pub mod exact;
pub mod file;
pub mod finding;
pub mod fitted;
mod form_check;
pub mod gates;
pub mod marks;
pub mod model;
pub mod model_check;
mod overrides;
pub mod partners;
pub mod propagation;
mod reason_check;
pub mod scored;
pub mod settings;
pub mod units;

pub use file::Pipeline;
pub use finding::{Finding, Findings, Source};
pub use model::Model;
pub use settings::Input;
