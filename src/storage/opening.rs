//! Opening Parquet files, encrypted or not: the one place where a footer is read.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ColumnChunkMetaData;

use super::encryption::{self, FileKey, KeyError};
use super::key_material;

/// What the library asked for while it opened a file.
#[derive(Debug, Default)]
struct Asked {
    /// Ids of the keys that it was given.
    given: BTreeSet<String>,
    /// The first that was not to be had.
    fault: Option<KeyError>,
    /// Whether it was asked for a key that the file does not name.
    unnamed: bool,
}

/// Hands keys to the library; a file that names none is tried with one.
struct Keys {
    tried: Option<String>,
    asked: Mutex<Asked>,
}

impl KeyRetriever for Keys {
    fn retrieve_key(&self, metadata: &[u8]) -> parquet::errors::Result<Vec<u8>> {
        let found = match (metadata, &self.tried) {
            ([], Some(id)) => encryption::key(id).map(|key| (id.clone(), key.bytes().to_vec())),
            ([], None) => Err(KeyError("encrypted with a key that the file does not name".to_owned())),
            (metadata, _) => key_material::key(metadata),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.unnamed |= metadata.is_empty();
        match found {
            Ok((id, key)) => {
                asked.given.insert(id);
                Ok(key)
            }
            Err(fault) => {
                let text = fault.to_string();
                asked.fault.get_or_insert(fault);
                Err(ParquetError::General(text))
            }
        }
    }
}

/// Reads a footer, with the keys that are named where it is encrypted.
///
/// # Errors
/// [`KeyError`] when a key is missing or another one; whatever else is wrong with the file is the library's error.
pub fn footer(file: &File, options: &ArrowReaderOptions) -> Result<ArrowReaderMetadata> {
    Ok(opened(file, options)?.0)
}

/// The key that a table of ours is encrypted with; nothing when it is plain.
///
/// # Errors
/// As [`footer`]; the error names the path.
pub fn key_of(path: &Path) -> Result<Option<Arc<FileKey>>> {
    let given = opened(&super::read::open(path)?, &ArrowReaderOptions::new()).map_err(|e| of_table(e, path))?.1;
    Ok(given.first().map(|id| encryption::key(id)).transpose()?)
}

/// A footer, and the ids of the keys that opened it.
fn opened(file: &File, options: &ArrowReaderOptions) -> Result<(ArrowReaderMetadata, BTreeSet<String>)> {
    let (error, asked) = match attempt(file, options, None) {
        Ok(opened) => return Ok(opened),
        Err(failed) => failed,
    };
    if !asked.unnamed {
        return Err(explained(error, &asked));
    }
    // Who holds the keys may try them all: what a key does not open says so.
    let (ids, mut fault) = (encryption::ids(), None);
    for id in &ids {
        match attempt(file, options, Some(id.clone())) {
            Ok(opened) => return Ok(opened),
            Err((_, asked)) => fault = fault.or(asked.fault),
        }
    }
    Err(fault
        .unwrap_or_else(|| {
            KeyError(match ids.is_empty() {
                true => "encrypted with a key that the file does not name, and [privacy.keys.at] names none".to_owned(),
                false => format!(
                    "encrypted with a key that the file does not name, and that is none of those of [privacy.keys.at]: {}",
                    ids.join(", ")
                ),
            })
        })
        .into())
}

fn attempt(
    file: &File,
    options: &ArrowReaderOptions,
    tried: Option<String>,
) -> Result<(ArrowReaderMetadata, BTreeSet<String>), (ParquetError, Asked)> {
    let keys = Arc::new(Keys { tried, asked: Mutex::default() });
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

fn explained(error: ParquetError, asked: &Asked) -> anyhow::Error {
    let said = error.to_string();
    if WRONG.iter().any(|text| said.contains(text)) {
        let given: Vec<&str> = asked.given.iter().map(String::as_str).collect();
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
    key_material::key(metadata).map(drop).map_err(told)
}
