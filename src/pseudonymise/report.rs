//! What was done, for whoever answers for what leaves a system.

use std::path::PathBuf;

use serde::Serialize;

use crate::storage::hashes::Hash;

/// What was written, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The folder that was written.
    pub folder: PathBuf,
    /// How the key is called.
    pub key_id: String,
    /// What the key makes of nothing: two keys of one name differ in it.
    pub key_check: String,
    /// The tables, in the order of the contract.
    pub tables: Vec<TableReport>,
    /// Files and folders that are no table of the contract, and were not read.
    pub left_out: Vec<PathBuf>,
}

/// What became of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The table.
    pub table: String,
    /// Its file, in the folder.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// Content hash.
    pub blake3: Hash,
    /// Rows that were written.
    pub rows: u64,
    /// Rows of the files it was read from.
    pub rows_read: u64,
    /// Columns whose ids are pseudonyms now.
    pub pseudonymised: Vec<Pseudonymised>,
    /// Columns that stay as they are.
    pub kept: Vec<String>,
    /// Columns that are not written.
    pub dropped: Vec<Dropped>,
}

/// A column of pseudonyms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pseudonymised {
    /// The column.
    pub column: String,
    /// What its ids name; ids of one domain join.
    pub domain: String,
}

/// A column that is not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The column.
    pub column: String,
    /// Why.
    pub why: Why,
}

/// Why a column is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The contract does not know it.
    OutsideContract,
    /// The input's `select` does not read it.
    NotSelected,
    /// It stands in the paths of files alone, and the contract does not know it.
    PartOfPath,
}

impl TableReport {
    /// The columns that are not written for a reason.
    #[must_use]
    pub fn dropped_as(&self, why: Why) -> Vec<&str> {
        self.dropped.iter().filter(|d| d.why == why).map(|d| d.column.as_str()).collect()
    }
}
