//! The ledger's key: read from where the pipeline says, never shown.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::publish::hashes::Hash;

/// The key of a ledger.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads the key that a pipeline names: `env:NAME` or `file:PATH`, relative to the pipeline file.
    ///
    /// # Errors
    /// When there is none, or it is too short; the message never holds any of it.
    pub fn read(source: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self> {
        let secret = match source.split_once(':') {
            Some(("env", name)) => {
                let value = std::env::var_os(name);
                value
                    .with_context(|| format!("privacy.ledger_key: the variable {name} is not set"))?
                    .into_encoded_bytes()
            }
            Some(("file", path)) => fs_err::read(resolve(path)).context("privacy.ledger_key")?,
            _ => bail!("privacy.ledger_key: write \"env:NAME\" or \"file:PATH\", never the key itself"),
        };
        let secret = secret.trim_ascii();
        if secret.len() < 16 {
            bail!("privacy.ledger_key: the key of {source} has {} bytes; make one of at least 16", secret.len());
        }
        Ok(Self(blake3::derive_key("sesame 2026-11 ledger", secret)))
    }

    /// The keyed hash of a text.
    #[must_use]
    pub fn mac(&self, text: &str) -> Hash {
        blake3::keyed_hash(&self.0, text.as_bytes()).to_hex().to_string()
    }
}

#[cfg(test)]
impl Key {
    /// A key of the tests.
    pub(super) const fn of(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_part_of_a_message() {
        let error = Key::read("correct horse battery staple", |_| PathBuf::new()).unwrap_err().to_string();
        assert!(error.contains("env:NAME"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs_err::write(&path, "short-secret\n").unwrap();
        let error = format!("{:#}", Key::read("file:key", |_| path.clone()).unwrap_err());
        assert!(error.contains("12 bytes") && !error.contains("short-secret"), "{error}");
    }
}
