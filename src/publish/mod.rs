//! What a run writes: the scored table and its companions, their hashes, and the gates they must pass.

pub mod evidence;
pub mod gates;
pub mod parquet_file;
pub mod quarantine;
pub mod relationships;
pub mod scores;
