//! The commands, one thin file each.

pub mod check;
pub mod generate;
pub mod plan;
pub mod run;
pub mod schema;
