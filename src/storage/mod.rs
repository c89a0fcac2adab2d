//! Files: what their entries on disk say, content hashes, writing that survives a crash, keys, encryption at rest;
//! object stores, and [`content`], which a table is read from wherever it lies, or its [`version`] where it cannot be.

pub mod aside;
pub mod content;
pub mod disk;
pub mod durable;
pub mod encryption;
pub mod erased;
pub mod file_state;
pub mod hashes;
pub mod key;
mod key_material;
pub mod key_text;
pub mod object;
pub mod objects;
pub mod opening;
pub mod pseudonym;
pub mod scratch;
pub mod sealed;
pub mod secret;
pub mod read;
pub mod version;
