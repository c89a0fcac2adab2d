//! Encryption at rest: the keys that files are written and read with, by name.
//!
//! A pipeline names keys and where they are; what reads and writes files asks for them here, by their ids. They are named once for the
//! whole process and not handed from hand to hand: whoever writes a table then can not forget the key and write it plain. A key is read
//! when it is needed first, and once. An id stays where it was named first; a wrong key opens nothing, so a second place for an id could
//! at most be missed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::secret::Secret;

/// A key is missing, or is another one: whatever is wrong, it is not the file. The text holds no part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A raw AES key of 128 or 256 bits, and the id that files name it by.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey {
    id: String,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileKey({})", self.id)
    }
}

impl FileKey {
    /// Reads the key that `source` names: the text there is the hexadecimal digits or the base64 of 16 or 32 bytes. `what` says which
    /// setting named it.
    ///
    /// # Errors
    /// When there is none, or it is no such text; the message never holds any of it.
    pub fn read(what: &str, id: &str, source: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self, KeyError> {
        let secret = Secret::read(what, source, resolve).map_err(|e| KeyError(format!("{e:#}")))?;
        let bytes = raw(secret.bytes()).map_err(|fault| KeyError(format!("{what}: {fault}")))?;
        Ok(Self { id: id.to_owned(), bytes })
    }

    /// The id that files name it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The raw key.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The properties of a file with these columns, encrypted as a whole with this key, which its key metadata names. Bloom filters
    /// would stay plain; there are none.
    ///
    /// # Errors
    /// None that a key could cause.
    pub fn seal<'a>(
        &self,
        properties: WriterProperties,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<WriterProperties> {
        let encryption = FileEncryptionProperties::builder(self.bytes.clone())
            .with_footer_key_metadata(self.id.clone().into_bytes())
            .build()?;
        let builder =
            properties.into_builder().with_file_encryption_properties(encryption).set_bloom_filter_enabled(false);
        let builder = columns.fold(builder, |builder, name| {
            builder.set_column_bloom_filter_enabled(ColumnPath::from(name.to_owned()), false)
        });
        Ok(builder.build())
    }
}

/// The bytes that a text stands for, or what is wrong with it.
fn raw(text: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Option<Vec<u8>> = text.iter().map(digit).collect();
    let bytes = match digits.filter(|digits| matches!(digits.len(), 32 | 64)) {
        Some(digits) => digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect(),
        None => base64(text).unwrap_or_default(),
    };
    match bytes.len() {
        16 | 32 => Ok(bytes),
        24 => Err("the key has 24 bytes; AES-192 is not supported, make one of 16 or 32".to_owned()),
        _ => Err(
            "the text is no key: write 16 or 32 random bytes in base64 or hexadecimal, as `openssl rand -base64 32` does"
                .to_owned(),
        ),
    }
}

/// The bytes of a base64 text of either alphabet, padded or not.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD_PAD_INDIFFERENT.decode(text).or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(text)).ok()
}

/// Whether a text may be the id of a key.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

/// Where a key is, and the key once it was read.
struct Place {
    source: String,
    folder: PathBuf,
    key: Option<Arc<FileKey>>,
}

/// What is named so far.
struct Named {
    write: Option<String>,
    places: BTreeMap<String, Place>,
}

static NAMED: Mutex<Named> = Mutex::new(Named { write: None, places: BTreeMap::new() });

fn named() -> MutexGuard<'static, Named> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names keys by id, with where each is, and the id of the one that new files are written with. Paths are relative to `folder`. What is
/// named already stays as it is.
pub fn name(write: Option<&str>, places: &BTreeMap<String, String>, folder: &Path) {
    let mut named = named();
    if named.write.is_none() {
        named.write = write.map(ToOwned::to_owned);
    }
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    for (id, source) in places {
        let place = || Place { source: source.clone(), folder: folder.clone(), key: None };
        named.places.entry(id.clone()).or_insert_with(place);
    }
}

/// Whether any key is named: then nothing is spilled plain either.
#[must_use]
pub fn any() -> bool {
    !named().places.is_empty()
}

/// Whether a key of this id is named.
#[must_use]
pub fn knows(id: &str) -> bool {
    named().places.contains_key(id)
}

/// The ids of the keys that are named.
#[must_use]
pub fn ids() -> Vec<String> {
    named().places.keys().cloned().collect()
}

/// The id of the key that new files are written with.
#[must_use]
pub fn write_id() -> Option<String> {
    named().write.clone()
}

/// The key that new files are written with; nothing when they stay plain.
///
/// # Errors
/// When it is named and not to be had.
pub fn writes() -> Result<Option<Arc<FileKey>>, KeyError> {
    write_id().map(|id| key(&id)).transpose()
}

/// The key of an id.
///
/// # Errors
/// When none is named, or it is not where it is said to be.
pub fn key(id: &str) -> Result<Arc<FileKey>, KeyError> {
    let mut named = named();
    let Some(place) = named.places.get_mut(id) else {
        // The id may come from a file, which may say anything.
        let shown = if is_id(id) { id } else { "(an id that is none)" };
        return Err(KeyError(format!(
            "encrypted with the key `{shown}`, which is not named; say under [privacy.keys.at] where it is (a command that takes a run \
             goes by what its pipeline named; --keys PIPELINE names another)"
        )));
    };
    if let Some(key) = &place.key {
        return Ok(Arc::clone(key));
    }
    let what = format!("privacy.keys.at.{id}");
    let key = Arc::new(FileKey::read(&what, id, &place.source, |path| place.folder.join(path))?);
    place.key = Some(Arc::clone(&key));
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    // No test of the library names a key to write with: others write files in the same process.

    #[test]
    fn a_key_is_the_text_of_sixteen_or_thirty_two_bytes() {
        let hex = "000102030405060708090a0b0c0d0e0f";
        let sixteen: Vec<u8> = (0..16).collect();
        assert_eq!(raw(hex.as_bytes()), Ok(sixteen.clone()));
        assert_eq!(raw(hex.to_uppercase().as_bytes()), Ok(sixteen.clone()));
        assert_eq!(raw(b"AAECAwQFBgcICQoLDA0ODw=="), Ok(sixteen.clone()));
        assert_eq!(raw(b"AAECAwQFBgcICQoLDA0ODw"), Ok(sixteen));
        assert_eq!(raw(b"//////////////////////////////////////////8="), Ok(vec![255; 32]));
        assert_eq!(raw(b"__________________________________________8"), Ok(vec![255; 32]));
        assert_eq!(raw(&b"f".repeat(64)), Ok(vec![255; 32]));
        assert!(raw(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").unwrap_err().contains("24 bytes"));
        for text in ["correct horse battery staple", "000102030405060708090a0b0c0d0e0", "AAECAwQFBgcICQoLDA0O"] {
            let fault = raw(text.as_bytes()).unwrap_err();
            assert!(fault.contains("openssl rand") && !fault.contains(text), "{fault}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "AAECAwQFBgcICQoLDA0ODw==\n").unwrap();
        let at = |id: &str, source: &str| BTreeMap::from([(id.to_owned(), source.to_owned())]);
        name(None, &at("unit-there", "file:k"), folder.path());
        name(None, &at("unit-gone", "env:SESAME_NO_SUCH_KEY_AT_ALL"), folder.path());
        // What is named first stays.
        name(None, &at("unit-there", "env:SESAME_NO_SUCH_KEY_AT_ALL"), folder.path());
        let found = key("unit-there").unwrap();
        assert_eq!(
            (found.id(), found.bytes()[15], format!("{found:?}")),
            ("unit-there", 15, "FileKey(unit-there)".into())
        );
        // It was read; where it was is not asked again.
        std::fs::remove_file(folder.path().join("k")).unwrap();
        assert_eq!(key("unit-there").unwrap(), found);
        let gone = key("unit-gone").unwrap_err().to_string();
        assert!(
            gone.contains("privacy.keys.at.unit-gone") && gone.contains("SESAME_NO_SUCH_KEY_AT_ALL is not set"),
            "{gone}"
        );
        assert!(key("unit-unknown").unwrap_err().to_string().contains("`unit-unknown`, which is not named"));
        assert!(!key("\u{1b}[2J").unwrap_err().to_string().contains('\u{1b}'));
        assert!(
            any() && knows("unit-there") && !knows("unit-unknown") && is_id("2026-11") && !is_id("") && !is_id("a b")
        );
    }
}
