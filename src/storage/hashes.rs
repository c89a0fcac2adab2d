//! Content hashes.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::exit;

/// Bytes of a file that are read at a time: so few that they are in the processor's second cache when they are hashed.
const READ: usize = 1 << 17;

/// A BLAKE3 hash in hexadecimal.
pub type Hash = String;

/// The content hash of a file.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path) -> Result<Hash> {
    file_until(path, &AtomicBool::new(false))
}

/// The content hash of a file, given up when a signal asks for it.
///
/// # Errors
/// When it cannot be read, or the work is interrupted.
pub fn file_until(path: &Path, stop: &AtomicBool) -> Result<Hash> {
    opened(crate::storage::read::open(path)?, stop)
}

/// The content hash of an open file, read from where it stands.
///
/// # Errors
/// When it cannot be read, or the work is interrupted.
pub fn opened(mut file: File, stop: &AtomicBool) -> Result<Hash> {
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; READ]);
    loop {
        exit::check(stop)?;
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// The hash of a text.
#[must_use]
pub fn text(text: &str) -> Hash {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Adds one part, delimited by its length.
pub fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
