//! The commands, one thin file each.

pub mod backfill;
pub mod check;
pub mod clean;
pub mod diff;
pub mod explain;
pub mod generate;
pub mod manual;
pub mod plan;
pub mod report;
pub mod run;
pub mod schema;
pub mod validate;
pub mod verify;
