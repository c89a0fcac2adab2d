//! The files that were read, with their hashes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::storage::hashes::Hash;

/// A hash with its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// BLAKE3, hexadecimal.
    pub blake3: Hash,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// The table and the file's name below the input's path.
    pub name: String,
    /// Where it was.
    pub uri: PathBuf,
    /// Its hash.
    pub digest: Digest,
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
                uri: std::path::absolute(&file.file.path).unwrap_or_else(|_| file.file.path.clone()),
                digest: Digest { blake3: hash.clone() },
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
