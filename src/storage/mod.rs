//! Files: what their entries on disk say, content hashes, writing that survives a crash, keys.

pub mod disk;
pub mod durable;
pub mod file_state;
pub mod hashes;
pub mod key;
pub mod pseudonym;
pub mod secret;
pub mod read;
