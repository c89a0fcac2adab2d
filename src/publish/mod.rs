//! Publishing: the run's folder, the staged table, the gates and the one rename.

pub mod evidence;
pub mod gates;
pub mod hashes;
pub mod manifest;
pub mod parquet_file;
pub mod quarantine;
pub mod relationships;
pub mod scores;
pub mod stage;
