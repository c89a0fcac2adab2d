//! The key of the ledger, derived from a secret.

use std::path::PathBuf;

use anyhow::Result;

use super::hashes::Hash;
use super::secret::Secret;

/// A secret from which keys are derived.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads the key that a pipeline names: `env:NAME`, `file:PATH` relative to the pipeline file, or `cmd:COMMAND`.
    ///
    /// # Errors
    /// When there is none, or it is too short; the message never holds any of it.
    pub fn read(source: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self> {
        let secret = Secret::read("privacy.ledger_key", source, resolve)?;
        Ok(Self(blake3::derive_key("sesame 2026-11 ledger", secret.bytes())))
    }

    /// The keyed hash of a text.
    #[must_use]
    pub fn mac(&self, text: &str) -> Hash {
        blake3::keyed_hash(&self.0, text.as_bytes()).to_hex().to_string()
    }

    /// A seed that only the key's holder can work out.
    #[must_use]
    pub fn seed(&self, text: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, text.as_bytes()).as_bytes()
    }
}

#[cfg(test)]
impl Key {
    /// A key of the tests.
    pub(crate) const fn of(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
