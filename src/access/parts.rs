//! What an answer to a subject consists of.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::array::{Array, RecordBatch};
use jiff::civil::Date;
use serde::Serialize;

use crate::contract::Zone;
use crate::ingest::sample::text_of;
use crate::tables::evidence::Record;

/// A column with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// The column.
    pub name: String,
    /// Its value for people.
    pub value: String,
}

/// The columns of a row that have a value, but for those of some names.
///
/// # Errors
/// When values of a type cannot be shown.
pub fn named(batch: &RecordBatch, row: usize, zone: &Zone, but: &[&str]) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if array.is_valid(row) && !but.contains(&field.name().as_str()) {
            all.push(Named { name: field.name().clone(), value: text_of(array, row, zone)? });
        }
    }
    Ok(all)
}

/// What becomes of a row when scores are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It counts, unless it is older than any feature looks back.
    Counts,
    /// It happened, or became known, after the cut-off.
    NotVisible,
    /// It breaks a rule of the contract.
    Quarantined,
    /// It repeats another row.
    Duplicate,
    /// A later version of it counts instead.
    Superseded,
    /// It is disputed.
    Disputed,
    /// The subject does not consent to be scored.
    WithoutConsent,
    /// A consent that is in force now.
    InForce,
    /// A consent that was withdrawn or has expired.
    Ended,
    /// It is held, and no score is made of it.
    Held,
    /// The subject was erased, and an export still carries it: runs leave it out.
    Erased,
}

impl Standing {
    /// Its name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::NotVisible => "not_visible",
            Self::Quarantined => "quarantined",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
            Self::Disputed => "disputed",
            Self::WithoutConsent => "without_consent",
            Self::InForce => "in_force",
            Self::Ended => "ended",
            Self::Held => "held",
            Self::Erased => "erased",
        }
    }
}

/// A row of an export that is the subject's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnRow {
    /// The file, below the input's path.
    pub file: String,
    /// Its number there, from 0.
    pub row: i64,
    /// What becomes of it.
    pub standing: Standing,
    /// The rule that it breaks.
    pub rule: Option<&'static str>,
    /// The column that breaks it.
    pub column: Option<String>,
    /// What it says.
    pub values: Vec<Named>,
}

/// The subject's own rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnTable {
    /// The table.
    pub table: String,
    /// Its rows, in order.
    pub rows: Vec<OwnRow>,
}

/// What may be said of the subject's ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Links {
    /// With how many others; nothing when they are fewer than `at_least`.
    pub count: Option<u64>,
    /// The least number that is told.
    pub at_least: u64,
}

/// What a run holds of the subject.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfRun {
    /// The run.
    pub run: String,
    /// Its as-of date.
    pub as_of: Date,
    /// Its model.
    pub model: String,
    /// `published`, `replaced` or `refused`.
    pub state: &'static str,
    /// When the ledger was told.
    pub at: String,
    /// Whether its folder is kept; otherwise only its published table is.
    pub kept: bool,
    /// The row of the scored table.
    pub score: Vec<Named>,
    /// The features, by category.
    pub features: BTreeMap<String, Vec<Named>>,
    /// The reasons in the model's words.
    pub reasons: Vec<Reason>,
    /// The records that count against the subject.
    pub records: Vec<Record>,
    /// What may be said of friends.
    pub friends: Vec<Named>,
}

/// A reason in the model's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The text, by language; nothing when the run's model cannot be read any more.
    pub text: BTreeMap<String, String>,
}

/// What a partner was given, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfRelease {
    /// The partner.
    pub partner: String,
    /// The as-of date of the score.
    pub as_of: Date,
    /// When it was given.
    pub at: String,
    /// What it was told, unless that cannot be found out.
    pub values: Vec<Named>,
    /// The name under which the partner knows the subject.
    pub pseudonym: Option<String>,
    /// Whether a later release, or this one, tells the partner to forget the subject.
    pub withdrawn: bool,
    /// Why it cannot be found out whether the subject is in it.
    pub unknown: Option<Unknown>,
    /// The columns, where it cannot be found out.
    pub columns: Vec<String>,
}

/// Why it cannot be found out what a partner was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The partner's key is not available.
    NoKey,
    /// The files are missing or were changed.
    NoFiles,
}

impl Unknown {
    /// Its name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NoFiles => "no_files",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The subject.
    pub subject: String,
    /// The pipeline.
    pub pipeline: String,
    /// When it was asked.
    pub at: String,
    /// The as-of date that rows are held against: the newest that is published.
    pub as_of: Date,
    /// The knowledge cut-off.
    pub known_by: String,
    /// Own rows by table, consents and disputes included.
    pub tables: Vec<OwnTable>,
    /// Ties.
    pub links: Links,
    /// Runs, by as-of date.
    pub runs: Vec<OfRun>,
    /// What partners were given.
    pub releases: Vec<OfRelease>,
}
