//! What the ledger says of a run.

use serde::{Deserialize, Serialize};

use crate::storage::hashes::Hash;
use jiff::civil::Date;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Its gates let it pass: its table is about to be published. Whoever comes next finishes that.
    Announced,
    /// Its table was published.
    Published,
    /// A gate refused it; the table before it stayed.
    Refused,
    /// What was announced is given up; the table before it stayed.
    Abandoned,
    /// Its folder was removed to make room; what it published stays.
    Removed,
    /// Its scores were released to a partner; nothing about the run itself.
    Released,
    /// Subjects were erased; of no run, `table` is where the receipt is and `manifest` its hash.
    Erased,
}

/// A gate that failed and was overridden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The gate.
    pub gate: String,
    /// What it found.
    pub found: String,
    /// Why it was overridden.
    pub because: String,
}

/// A published table and the run it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOf {
    /// The run.
    pub run: String,
    /// The hash of its table.
    pub scores: Hash,
}

/// What a partner was given: a folder below the output folder, by the hashes of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The partner.
    pub partner: String,
    /// The hash of the receipt, which has those of all files.
    pub receipt: Hash,
    /// The hash of the table.
    pub release: Hash,
    /// The hash of the list of those who have withdrawn.
    pub withdrawn: Hash,
}

/// How large a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSize {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// When and where a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// When.
    pub at: String,
    /// Where its output folder was.
    pub output: String,
}

/// What the ledger says of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by this machine's clock; the order is that of the lines.
    pub at: String,
    /// How it ended.
    pub event: Event,
    /// The run.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The as-of date.
    pub as_of: Date,
    /// The knowledge cut-off.
    pub known_by: String,
    /// `name-version` of the model.
    pub model: String,
    /// Version of the program.
    pub program: String,
    /// The hash of the run's manifest.
    pub manifest: Hash,
    /// The hash of its table.
    pub scores: Hash,
    /// The hash that it has where it is written plain, of an encrypted one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Hash>,
    /// Where the table is published, below the output folder.
    pub table: String,
    /// The table that was published there before; its run keeps it.
    pub replaces: Option<TableOf>,
    /// When and where the run began: its lineage tells that. Not told by older versions, as what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// Rows and bytes of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TableSize>,
    /// Why it was refused or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The hash of the run's lineage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Hash>,
    /// What a partner was given; only of what is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// Gates that failed and were overridden.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub n: u64,
    /// The hash of the line before it.
    pub previous: Hash,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}
