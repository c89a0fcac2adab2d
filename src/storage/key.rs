//! Keys: read from where a user says, never shown.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::hashes::Hash;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource<'a> {
    /// In a variable of the environment.
    Env(&'a str),
    /// In a file.
    File(&'a str),
}

impl<'a> KeySource<'a> {
    /// Reads `env:NAME` or `file:PATH`.
    ///
    /// # Errors
    /// When the text is neither; the message does not repeat it, for it may be the key itself.
    pub fn parse(source: &'a str) -> Result<Self> {
        match source.split_once(':') {
            Some(("env", name)) => Ok(Self::Env(name)),
            Some(("file", path)) => Ok(Self::File(path)),
            _ => bail!("privacy.ledger_key: write \"env:NAME\" or \"file:PATH\", never the key itself"),
        }
    }
}

/// A secret from which keys are derived.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Bytes that a key must have at least.
const LEAST: usize = 16;

impl Key {
    /// Reads the key that a pipeline names: `env:NAME` or `file:PATH`, relative to the pipeline file.
    ///
    /// # Errors
    /// When there is none, or it is too short; the message never holds any of it.
    pub fn read(source: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self> {
        let secret = match KeySource::parse(source)? {
            KeySource::Env(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None if is_name(name) => bail!("privacy.ledger_key: the variable {name} is not set"),
                None => bail!(
                    "privacy.ledger_key: what follows `env:` is the name of no variable that is set; never write the key itself"
                ),
            },
            KeySource::File(path) => {
                let path = resolve(path);
                if !fs_err::metadata(&path).context("privacy.ledger_key")?.is_file() {
                    bail!("privacy.ledger_key: {} is no regular file", path.display());
                }
                fs_err::read(path).context("privacy.ledger_key")?
            }
        };
        let secret = secret.trim_ascii();
        if secret.len() < LEAST {
            bail!("privacy.ledger_key: the key has {} bytes; make one of at least {LEAST}", secret.len());
        }
        Ok(Self(blake3::derive_key("sesame 2026-11 ledger", secret)))
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

/// Whether a text is written as variables' names are, and so may be repeated in a message.
fn is_name(text: &str) -> bool {
    let lawful = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.len() <= 64 && text.chars().all(lawful) && text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_and_never_shown() {
        let read = |source: &str| {
            Key::read(source, |place| PathBuf::from(place)).map(|k| format!("{k:?}")).map_err(|e| format!("{e:#}"))
        };
        assert!(read("a secret of mine").unwrap_err().contains("never the key itself"));
        assert!(read("env:SESAME_NO_SUCH_VARIABLE").unwrap_err().contains("SESAME_NO_SUCH_VARIABLE is not set"));
        let mistyped = read("env:s3cr3t-s3cr3t-s3cr3t").unwrap_err();
        assert!(!mistyped.contains("s3cr3t"), "{mistyped}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short").unwrap();
        let source = format!("file:{}", file.path().display());
        assert!(read(&source).unwrap_err().contains("5 bytes"));
        std::fs::write(file.path(), "long enough to be a key\n").unwrap();
        assert_eq!(read(&source).unwrap(), "Key(…)");
    }
}
