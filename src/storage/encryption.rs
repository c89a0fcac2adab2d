//! Encryption at rest: the keys that files are written and read with, by name.
//!
//! A pipeline names keys and where they are; what reads and writes files asks for them here, by their ids. They are named once for the
//! whole process and not handed from hand to hand: whoever writes a table then can not forget the key and write it plain. A key is read
//! when it is needed first, and once. Two configurations may mean two keys by one id, as those of two kept runs or of two partners: an id
//! then has several places, and what opens a file tries them in the order in which they were named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::key_text::{holds, raw, shown};
use super::secret::{Secret, SecretSource};

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
        if holds(id, secret.bytes()) {
            // The id stands in files, and `what` may repeat it.
            return Err(KeyError(
                "the id of a file key holds the key itself; call it otherwise, and make a new key".to_owned(),
            ));
        }
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

/// Where a key is, and the key once it was read.
struct Place {
    source: String,
    folder: PathBuf,
    /// Whether only a kept run says so: what lies in an output folder has no command run.
    kept: bool,
    /// Held while it is read, so that it is read once, and nobody waits who wants another.
    key: Mutex<Option<Arc<FileKey>>>,
}

impl Place {
    /// Whether it is where another configuration says that a key is. A folder matters to paths alone.
    fn is(&self, source: &str, folder: &Path) -> bool {
        self.source == source && (self.folder == folder || !source.starts_with("file:"))
    }

    fn read(&self, id: &str) -> Result<Arc<FileKey>, KeyError> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*key {
            return Ok(Arc::clone(key));
        }
        let what = format!("privacy.keys.at.{}", shown(id));
        if self.kept && matches!(SecretSource::parse(&what, &self.source), Ok(SecretSource::Command(_))) {
            return Err(KeyError(format!(
                "{what} is a command of a kept run, and none of those is run; name the key with --keys PIPELINE"
            )));
        }
        let read = Arc::new(FileKey::read(&what, id, &self.source, |path| self.folder.join(path))?);
        *key = Some(Arc::clone(&read));
        Ok(read)
    }
}

/// What is named so far.
struct Named {
    /// The id of the key to write with, and which of its places is meant.
    write: Option<(String, usize)>,
    places: BTreeMap<String, Vec<Arc<Place>>>,
}

impl Named {
    /// Adds where a key is, unless it is known; which of the id's places that is.
    fn add(&mut self, id: &str, source: &str, folder: &Path, kept: bool) -> usize {
        let of_id = self.places.entry(id.to_owned()).or_default();
        let place = |kept| {
            let (source, folder) = (source.to_owned(), folder.to_owned());
            Arc::new(Place { source, folder, kept, key: Mutex::default() })
        };
        let Some(at) = of_id.iter().position(|place| place.is(source, folder)) else {
            of_id.push(place(kept));
            return of_id.len() - 1;
        };
        // The user may say it as well.
        if let Some(known) = of_id.get_mut(at).filter(|known| known.kept && !kept) {
            *known = place(false);
        }
        at
    }
}

static NAMED: Mutex<Named> = Mutex::new(Named { write: None, places: BTreeMap::new() });

fn named() -> MutexGuard<'static, Named> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who says where keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The user, whose commands are run.
    User,
    /// The configuration that lies in a kept run's folder, whose commands are not.
    KeptRun,
}

/// Names keys by id, with where each is, and the id of the one that new files are written with. Paths are relative to `folder`. What is
/// named already stays, and comes first.
pub fn name(write: Option<&str>, places: &BTreeMap<String, String>, folder: &Path, by: By) {
    let mut named = named();
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut meant = None;
    for (id, source) in places {
        let at = named.add(id, source, &folder, by == By::KeptRun);
        if write == Some(id.as_str()) {
            meant = Some(at);
        }
    }
    if named.write.is_none() {
        named.write = write.map(|id| (id.to_owned(), meant.unwrap_or(0)));
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

/// How many places are named for the key of an id.
#[must_use]
pub fn places(id: &str) -> usize {
    named().places.get(id).map_or(0, Vec::len)
}

/// The id of the key that new files are written with.
#[must_use]
pub fn write_id() -> Option<String> {
    named().write.as_ref().map(|(id, _)| id.clone())
}

/// The key that new files are written with; nothing when they stay plain.
///
/// # Errors
/// When it is named and not to be had.
pub fn writes() -> Result<Option<Arc<FileKey>>, KeyError> {
    let write = named().write.clone();
    write.map(|(id, at)| key_at(&id, at)).transpose()
}

/// The key that is at one of the places of an id, from 0.
///
/// # Errors
/// When none is named there, or it is not where it is said to be.
pub fn key_at(id: &str, at: usize) -> Result<Arc<FileKey>, KeyError> {
    // Read when the list is no longer locked: a command may take long.
    let place = named().places.get(id).and_then(|places| places.get(at)).cloned();
    let Some(place) = place else {
        return Err(KeyError(format!(
            "encrypted with the key `{}`, which is not named; say under [privacy.keys.at] where it is (a command that takes a run \
             goes by what its pipeline named; --keys PIPELINE names another)",
            shown(id)
        )));
    };
    place.read(id)
}

/// The key of an id: the first that is to be had.
///
/// # Errors
/// When none is named, or none is where it is said to be.
pub fn key(id: &str) -> Result<Arc<FileKey>, KeyError> {
    let first = key_at(id, 0);
    (1..places(id)).fold(first, |found, at| found.or_else(|fault| key_at(id, at).map_err(|_| fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // No test of the library names a key to write with: others write files in the same process.

    #[test]
    fn a_key_is_found_by_its_id_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "AAECAwQFBgcICQoLDA0ODw==\n").unwrap();
        let at = |id: &str, source: &str| BTreeMap::from([(id.to_owned(), source.to_owned())]);
        name(None, &at("unit-there", "file:k"), folder.path(), By::User);
        name(None, &at("unit-gone", "env:SESAME_NO_SUCH_KEY_AT_ALL"), folder.path(), By::User);
        // What is named first comes first.
        name(None, &at("unit-there", "env:SESAME_NO_SUCH_KEY_AT_ALL"), folder.path(), By::User);
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
        assert!(any() && knows("unit-there") && !knows("unit-unknown"));
    }

    #[test]
    fn an_id_may_have_several_places_and_no_key_is_the_id_of_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "AAECAwQFBgcICQoLDA0ODw==").unwrap();
        let at = |id: &str, source: &str| BTreeMap::from([(id.to_owned(), source.to_owned())]);
        name(None, &at("unit-several", "env:SESAME_NO_SUCH_KEY_AT_ALL"), folder.path(), By::User);
        name(None, &at("unit-several", "file:k"), folder.path(), By::User);
        name(None, &at("unit-several", "file:k"), folder.path(), By::KeptRun);
        assert_eq!(places("unit-several"), 2);
        assert!(key_at("unit-several", 0).is_err() && key_at("unit-several", 2).is_err());
        assert_eq!(key("unit-several").unwrap(), key_at("unit-several", 1).unwrap());
        let id = "a-000102030405060708090a0b0c0d0e0f";
        std::fs::write(folder.path().join("k"), &id[2..]).unwrap();
        let told = FileKey::read("key", id, "file:k", |path| folder.path().join(path)).unwrap_err().to_string();
        assert!(told.contains("holds the key itself") && !told.contains(&id[2..]), "{told}");
    }

    #[test]
    fn while_a_command_gives_one_key_others_are_to_be_had() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::fs::write(folder.path().join("k"), "AAECAwQFBgcICQoLDA0ODw==").unwrap();
        let at = [("unit-slow", format!("cmd:cat '{}'", pipe.display())), ("unit-quick", "file:k".to_owned())];
        let at: BTreeMap<String, String> = at.map(|(id, at)| (id.to_owned(), at)).into();
        name(None, &at, folder.path(), By::User);
        let slow = std::thread::spawn(|| key("unit-slow"));
        // The pipe is open as soon as the command reads it.
        let mut writes = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        assert!(any() && knows("unit-slow") && key("unit-quick").is_ok());
        std::io::Write::write_all(&mut writes, b"AAECAwQFBgcICQoLDA0ODw==").unwrap();
        drop(writes);
        assert_eq!(slow.join().unwrap().unwrap().bytes()[15], 15);
    }

    #[test]
    fn a_command_of_a_kept_run_is_not_run_unless_the_user_names_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let command = format!("cmd:touch '{}'; echo AAECAwQFBgcICQoLDA0ODw==", made.display());
        let at = BTreeMap::from([("unit-kept".to_owned(), command)]);
        name(None, &at, folder.path(), By::KeptRun);
        let told = key("unit-kept").unwrap_err().to_string();
        assert!(
            told.contains("privacy.keys.at.unit-kept is a command of a kept run") && told.contains("--keys"),
            "{told}"
        );
        assert!(!made.exists());
        name(None, &at, folder.path(), By::User);
        assert_eq!((key("unit-kept").unwrap().bytes()[15], places("unit-kept"), made.exists()), (15, 1, true));
    }
}
