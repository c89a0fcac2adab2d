//! Opening Parquet files, encrypted or not: the one place where a footer is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use super::encryption::{self, FileKey, KeyError};
use super::key_material;
use super::key_text::shown;

/// What the library asked for while it opened a file.
#[derive(Debug, Default)]
struct Asked {
    /// The keys of ours that it was given, or that what it was given comes from, by id.
    given: BTreeMap<String, Arc<FileKey>>,
    /// Ids of which another key may be the right one.
    several: BTreeSet<String>,
    /// The first that was not to be had.
    fault: Option<KeyError>,
    /// Whether it was asked for a key that the file does not name.
    unnamed: bool,
}

/// Which of the keys of an id is tried, for ids that have several; the first when nothing is said.
type Choice = BTreeMap<String, usize>;

/// Hands keys to the library.
struct Keys {
    /// What a file is tried with that names no key.
    tried: Option<Arc<FileKey>>,
    choice: Choice,
    asked: Mutex<Asked>,
}

impl Keys {
    fn chosen(&self, id: &str) -> Result<Arc<FileKey>, KeyError> {
        if encryption::places(id) > 1 {
            self.noted(|asked| asked.several.extend([id.to_owned()]));
        }
        encryption::key_at(id, self.choice.get(id).copied().unwrap_or(0))
    }

    fn noted(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl KeyRetriever for Keys {
    fn retrieve_key(&self, metadata: &[u8]) -> parquet::errors::Result<Vec<u8>> {
        let found = match (metadata, &self.tried) {
            ([], Some(key)) => Ok((Arc::clone(key), key.bytes().to_vec())),
            ([], None) => Err(KeyError("encrypted with a key that the file does not name".to_owned())),
            (metadata, _) => key_material::key(metadata, &|id| self.chosen(id)),
        };
        self.noted(|asked| asked.unnamed |= metadata.is_empty());
        match found {
            Ok((of, key)) => {
                self.noted(|asked| asked.given.extend([(of.id().to_owned(), of)]));
                Ok(key)
            }
            Err(fault) => {
                let text = fault.to_string();
                self.noted(|asked| asked.fault = asked.fault.take().or(Some(fault)));
                Err(ParquetError::General(text))
            }
        }
    }
}

/// A footer, and the keys that opened it, by id.
type Opened = (ArrowReaderMetadata, BTreeMap<String, Arc<FileKey>>);

/// Reads a footer, with the keys that are named where it is encrypted.
///
/// # Errors
/// [`KeyError`] when a key is missing or another one; whatever else is wrong with the file is the library's error.
pub fn footer(file: &impl ChunkReader, options: &ArrowReaderOptions) -> Result<ArrowReaderMetadata> {
    Ok(opened(file, options)?.0)
}

/// The key that a table of ours is encrypted with; nothing when it is plain.
///
/// # Errors
/// As [`footer`]; the error names the path.
pub fn key_of(path: &Path) -> Result<Option<Arc<FileKey>>> {
    let given = opened(&super::read::open(path)?, &ArrowReaderOptions::new()).map_err(|e| of_table(e, path))?.1;
    Ok(given.into_values().next())
}

/// Opens a file with the keys that it names; where several are named by one id, they are tried in turn.
fn opened(file: &impl ChunkReader, options: &ArrowReaderOptions) -> Result<Opened> {
    let mut choice = Choice::new();
    let (mut first, mut missing): (Option<anyhow::Error>, Option<KeyError>) = (None, None);
    loop {
        let (error, asked) = match attempt(file, options, None, choice.clone()) {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        if asked.unnamed {
            return tried(file, options);
        }
        let may_be_another = is_wrong(&error) || asked.fault.is_some();
        missing = missing.or_else(|| asked.fault.clone());
        for id in &asked.several {
            choice.entry(id.clone()).or_default();
        }
        let told = first.take().unwrap_or_else(|| explained(error, &asked));
        if !may_be_another || !advance(&mut choice) {
            // One that is not to be had may be the right one.
            return Err(missing.map_or(told, Into::into));
        }
        first = Some(told);
    }
}

/// Goes on to the next choice; false when all were tried.
fn advance(choice: &mut Choice) -> bool {
    for (id, at) in choice {
        *at += 1;
        if *at < encryption::places(id) {
            return true;
        }
        *at = 0;
    }
    false
}

/// Opens a file that names no key. Who holds the keys may try them all: what a key does not open says so.
fn tried(file: &impl ChunkReader, options: &ArrowReaderOptions) -> Result<Opened> {
    let (ids, mut fault) = (encryption::ids(), None);
    for (id, at) in ids.iter().flat_map(|id| (0..encryption::places(id)).map(move |at| (id, at))) {
        let failed = match encryption::key_at(id, at) {
            Ok(key) => match attempt(file, options, Some(key), Choice::new()) {
                Ok(opened) => return Ok(opened),
                Err((_, asked)) => asked.fault,
            },
            Err(error) => Some(error),
        };
        fault = fault.or(failed);
    }
    Err(fault
        .unwrap_or_else(|| {
            KeyError(match ids.is_empty() {
                true => "encrypted with a key that the file does not name, and [privacy.keys.at] names none".to_owned(),
                false => format!(
                    "encrypted with a key that the file does not name, and that is none of those of [privacy.keys.at]: {}",
                    ids.iter().map(|id| shown(id)).collect::<Vec<_>>().join(", ")
                ),
            })
        })
        .into())
}

fn attempt(
    file: &impl ChunkReader,
    options: &ArrowReaderOptions,
    tried: Option<Arc<FileKey>>,
    choice: Choice,
) -> Result<Opened, (ParquetError, Asked)> {
    let keys = Arc::new(Keys { tried, choice, asked: Mutex::default() });
    let properties = FileDecryptionProperties::with_key_retriever(Arc::<Keys>::clone(&keys)).build();
    let read = properties.and_then(|properties| {
        ArrowReaderMetadata::load(file, options.clone().with_file_decryption_properties(properties))
    });
    let asked = std::mem::take(&mut *keys.asked.lock().unwrap_or_else(PoisonError::into_inner));
    match read {
        Ok(footer) => Ok((footer, asked.given)),
        Err(error) => Err((error, asked)),
    }
}

/// What the library says where the key is another one than that which the file was written with.
const WRONG: [&str; 3] =
    ["unable to decrypt parquet footer", "Footer signature verification failed", "perhaps the column key is wrong"];

fn is_wrong(error: &ParquetError) -> bool {
    let said = error.to_string();
    WRONG.iter().any(|text| said.contains(text))
}

fn explained(error: ParquetError, asked: &Asked) -> anyhow::Error {
    let said = error.to_string();
    if is_wrong(&error) {
        let given: Vec<&str> = asked.given.keys().map(|id| shown(id)).collect();
        return KeyError(format!(
            "encrypted, and the key `{}` does not open it: it is another key than the one it was written with, or the file was changed",
            given.join("`, `")
        ))
        .into();
    }
    if let Some(fault) = &asked.fault {
        return fault.clone().into();
    }
    let known = [
        (
            "AAD unique file identifier is not set",
            "encrypted in DuckDB's own way, which other readers do not open; write it with pyarrow, see docs/privacy-encryption.md",
        ),
        (
            "AAD prefix that is not stored",
            "encrypted with an AAD prefix that is not in the file; write it with store_aad_prefix=True, or without a prefix",
        ),
        ("unsupported key length", "encrypted with a key of 192 bits; write it with one of 128 or 256"),
        ("AES_GCM_CTR_V1", "encrypted by AES_GCM_CTR_V1, which is not read; write it with AES_GCM_V1"),
    ];
    match known.into_iter().find(|(text, _)| said.contains(text)) {
        Some((_, meant)) => KeyError(meant.to_owned()).into(),
        None => error.into(),
    }
}

/// The error of a table of ours, with its path: a key that is missing does not make it damaged.
#[must_use]
pub fn of_table(error: anyhow::Error, path: &Path) -> anyhow::Error {
    let path = path.display();
    let context = if error.is::<KeyError>() { path.to_string() } else { format!("{path} is damaged") };
    error.context(context)
}

/// Checks that there is a key for a column that is encrypted with one of its own; a footer opens without.
///
/// # Errors
/// [`KeyError`] when there is none.
pub fn openable(chunk: &ColumnChunkMetaData) -> Result<(), KeyError> {
    let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(column)) = chunk.crypto_metadata() else { return Ok(()) };
    // One that the file does not name is tried when the footer is opened.
    let Some(metadata) = column.key_metadata.as_deref().filter(|metadata| !metadata.is_empty()) else { return Ok(()) };
    let told = |e: KeyError| KeyError(format!("the column `{}`: {e}", column.path_in_schema.join(".")));
    key_material::key(metadata, &encryption::key).map(drop).map_err(told)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::storage::encryption::By;

    /// A table that is encrypted with a key, which it names by an id.
    fn table(path: &Path, id: &str, file: &Path) {
        let key = FileKey::read("key", id, "file:", |_| file.to_owned()).unwrap();
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("value", values)]).unwrap();
        let properties = key.seal(WriterProperties::new(), ["value"].into_iter()).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn of_several_keys_of_one_id_the_right_one_opens_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = (folder.path().join("1"), folder.path().join("2"), folder.path().join("3"));
        std::fs::write(&one, "0".repeat(32)).unwrap();
        std::fs::write(&two, "1".repeat(32)).unwrap();
        std::fs::write(&three, "2".repeat(32)).unwrap();
        for (name, key) in [("a", &one), ("b", &two), ("c", &three)] {
            table(&folder.path().join(name), "unit-shared", key);
        }
        let at = |source: &str| BTreeMap::from([("unit-shared".to_owned(), source.to_owned())]);
        for source in ["file:1", "env:SESAME_NO_SUCH_KEY_AT_ALL", "file:2"] {
            encryption::name(None, &at(source), folder.path(), By::User);
        }
        // Each is written anew with the very key that opened it.
        for (name, key) in [("a", &one), ("b", &two)] {
            let expected = FileKey::read("key", "unit-shared", "file:", |_| key.clone()).unwrap();
            assert_eq!(*key_of(&folder.path().join(name)).unwrap().unwrap(), expected, "{name}");
        }
        // What none of them opens may be of the one that is missing; else it is another key's.
        let told = |name: &str| format!("{:#}", key_of(&folder.path().join(name)).unwrap_err());
        assert!(told("c").contains("SESAME_NO_SUCH_KEY_AT_ALL is not set"), "{}", told("c"));
        table(&folder.path().join("d"), "unit-alone", &three);
        encryption::name(
            None,
            &BTreeMap::from([("unit-alone".to_owned(), "file:1".to_owned())]),
            folder.path(),
            By::User,
        );
        assert!(told("d").contains("`unit-alone` does not open it"), "{}", told("d"));
    }
}
