//! Files: what their entries on disk say, content hashes, writing that survives a crash, keys, encryption at rest.

pub mod disk;
pub mod durable;
pub mod encryption;
pub mod erased;
pub mod file_state;
pub mod hashes;
pub mod key;
mod key_material;
pub mod key_text;
pub mod opening;
pub mod pseudonym;
pub mod scratch;
pub mod sealed;
pub mod secret;
pub mod read;
