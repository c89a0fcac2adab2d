//! The files that were read, with their hashes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::ingest::read::export::OpenFile;
use crate::storage::content::State;
use crate::storage::hashes::Hash;

/// A hash with its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// BLAKE3, hexadecimal.
    pub blake3: Hash,
}

/// What an input's content is told by: a file by its hash, an object by its tag, as it is not read as a whole, and what another engine
/// read by its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// BLAKE3 of a file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Hash>,
    /// ETag or version of an object and its size; where these do not vouch for its content also when it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Version of a table, or of a file of one, that another engine read and staged: `version:KIND:ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Identity {
    /// What the content of an input is told by.
    #[must_use]
    pub fn of(file: &OpenFile, identity: Hash) -> Self {
        match &file.state {
            State::File(_) => Self { blake3: Some(identity), ..Self::default() },
            State::Object(_) => Self { tag: Some(identity), ..Self::default() },
            State::Version(_) => Self { version: Some(identity), ..Self::default() },
        }
    }

    /// The hash, the tag or the version.
    #[must_use]
    pub fn text(&self) -> &str {
        self.blake3.as_deref().or(self.tag.as_deref()).or(self.version.as_deref()).unwrap_or_default()
    }
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// The table and the file's name below the input's path.
    pub name: String,
    /// Where it was: an absolute path, the URL of an object, or what another engine calls it.
    pub uri: PathBuf,
    /// Its hash, its tag or its version.
    pub digest: Identity,
    /// What is in it.
    pub annotations: Annotations,
}

/// What is in an input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Annotations {
    /// The table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether its pages have checksums; not told in those of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums: Option<bool>,
    /// The contract's columns that it yields, its path's included; not told in those of older versions.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Columns that the contract does not know.
    pub ignored_columns: Vec<String>,
}

/// The input files of a job with their hashes.
#[must_use]
pub fn inputs(job: &Job, hashes: &[Vec<Hash>]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (export, files) in job.exports.iter().zip(hashes) {
        for (file, hash) in export.files.iter().zip(files) {
            inputs.push(Input {
                name: format!("{}/{}", export.table.name, file.file.label),
                uri: file.place(),
                digest: Identity::of(file, hash.clone()),
                annotations: Annotations {
                    table: export.table.name.clone(),
                    rows: file.rows,
                    bytes: file.bytes(),
                    checksums: Some(file.checksums),
                    columns: file.columns(&export.table),
                    ignored_columns: file.ignored.iter().filter(|c| !export.extra.contains(c)).cloned().collect(),
                },
            });
        }
    }
    inputs
}
