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

    /// Whether a hash is the keyed one of a text; how long that takes tells nothing of the right one.
    #[must_use]
    pub fn proves(&self, text: &str, mac: &str) -> bool {
        let found = blake3::Hash::from_hex(mac);
        found.is_ok_and(|found| found == blake3::keyed_hash(&self.0, text.as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_hash_proves_its_text_under_its_key_alone() {
        let (key, other) = (Key::of([7; 32]), Key::of([8; 32]));
        let mac = key.mac("text");
        assert!(key.proves("text", &mac));
        assert!(!key.proves("texts", &mac) && !other.proves("text", &mac));
        assert!(!key.proves("text", "") && !key.proves("text", &mac[1..]) && !key.proves("text", "no hash"));
    }
}
