//! What a training set holds, and what its columns mean for who reads it elsewhere.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::civil::Date;
use serde::Serialize;

use super::identity::PROGRAM;
use crate::fit::groups::Column;
use crate::job::Job;
use crate::pipeline::catalogue::Direction;
use crate::storage::hashes::{self, Hash, part};
use crate::tables::dataset::FILE;

/// A training set that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    /// Its dates.
    pub dates: Vec<OfDate>,
    /// Its horizons, in days.
    pub horizons: Vec<i64>,
    /// Names of the features.
    pub features: Vec<String>,
    /// Of an encrypted one, the hash that each date's file has where it is written plain.
    #[serde(skip)]
    pub plain: Vec<Option<Hash>>,
    /// Protected groups of the rows, which are not written.
    #[serde(skip)]
    pub groups: Vec<Column>,
}

/// What a date gave.
#[derive(Debug, Clone, Serialize)]
pub struct OfDate {
    /// The as-of date.
    pub as_of: Date,
    /// Subjects that were visible.
    pub subjects: u64,
    /// Rows: subjects with an outcome, by horizon.
    pub rows: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Subjects with a score and no outcome.
    pub without_outcome: u64,
    /// Outcomes of subjects without a score, which are left out unless they are asked for.
    pub unscored: u64,
}

/// What the rows mean.
#[derive(Serialize)]
pub struct Dictionary<'a> {
    model: String,
    model_hash: String,
    program: &'static str,
    dates: &'a [OfDate],
    horizons: &'a [i64],
    features: Vec<Entry<'a>>,
}

/// A feature.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    about: &'a str,
    category: &'a str,
    unit: &'static str,
    /// 1 when more is better, −1 when less is, 0 otherwise: of the log-odds of staying good.
    direction: i8,
    window: Option<&'a str>,
    /// Where the model's bins end, in the currency of the values; null when it has none.
    bins: Option<&'a [f64]>,
    reason: Option<&'a str>,
}

/// The dictionary of a training set.
#[must_use]
pub fn dictionary<'a>(job: &'a Job, written: &'a Written) -> Dictionary<'a> {
    let entry = |name: &'a String| {
        let of = job.model.catalogue.feature(name)?;
        let d = &of.declared;
        let scored = job.card.features.iter().find(|f| f.name == *name);
        Some(Entry {
            name,
            about: &d.about,
            category: &of.category,
            unit: d.unit.word(),
            direction: match d.direction {
                Direction::HigherIsBetter => 1,
                Direction::LowerIsBetter => -1,
                Direction::Neither => 0,
            },
            window: d.window.as_ref().map(|w| w.get_ref().as_str()),
            bins: scored.map(|f| f.edges.as_slice()),
            reason: d.reason.as_deref(),
        })
    };
    Dictionary {
        model: job.model.label(),
        model_hash: job.model.hash(),
        program: PROGRAM,
        dates: &written.dates,
        horizons: &written.horizons,
        features: written.features.iter().filter_map(entry).collect(),
    }
}

/// A folder for a training set that is only made to be fitted to; it is gone when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn place(scratch: Option<&Path>) -> Result<tempfile::TempDir> {
    match scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .context("a folder for the training set; see --scratch")
}

/// The hash of a training set's rows, date by date.
///
/// # Errors
/// When a file cannot be read.
pub fn data_hash(folder: &Path, written: &Written) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    for (date, plain) in written.dates.iter().zip(&written.plain) {
        let as_it_is = || hashes::file(&folder.join(format!("as_of={}", date.as_of)).join(FILE));
        part(&mut hasher, date.as_of.to_string().as_bytes());
        part(&mut hasher, plain.clone().map_or_else(as_it_is, Ok)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
