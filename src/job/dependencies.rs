//! What a result depends on, part by part: the one answer to whether something that is kept may be used again. Whether a published
//! table is still what a run would publish, which stages are reused, and what `plan`, `backfill` and `verify` say of both, all come
//! from here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Job;
use crate::contract::CONTRACT_TOML;
use crate::ingest::read::export::{Export, OpenFile};
use crate::storage::hashes::{self, Hash, part};

/// The content of the sources this program was built from.
pub const BUILD: &str = env!("SESAME_BUILD");

/// The content of those of them that make a stage; `build.rs` lists their rooms.
const STAGES_BUILD: &str = env!("SESAME_STAGES_BUILD");

/// The hash, or the text, of each part that a result depends on, by what the part is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dependencies(BTreeMap<String, Hash>);

/// The part that the program is.
pub const PROGRAM: &str = "the program";

/// The part that those are who were erased; nothing while nobody was.
pub const ERASED: &str = "who was erased";

/// The part that the knowledge cut-off is, as text.
pub const CUT_OFF: &str = "the knowledge cut-off";

/// The part that an input is.
#[must_use]
pub fn input_part(table: &str) -> String {
    format!("inputs.{table}")
}

/// The parts that every stage depends on besides its inputs and definitions.
const OF_EVERY_STAGE: [&str; 4] = ["the contract", "the currency", CUT_OFF, "the time zone"];

impl Dependencies {
    /// Everything that the result of a job depends on. `hashes` are those of the input files, export by export.
    #[must_use]
    pub fn of(job: &Job, hashes: &[Vec<Hash>]) -> Self {
        let settings = &job.pipeline.settings;
        let mut parts = BTreeMap::from([
            ("the as-of date".to_owned(), job.snapshot.calendar.as_of().to_string()),
            ("the configuration".to_owned(), configuration(job)),
            ("the contract".to_owned(), hashes::text(CONTRACT_TOML)),
            ("the currency".to_owned(), settings.currency.clone()),
            (CUT_OFF.to_owned(), job.snapshot.known_by.to_string()),
            ("the model".to_owned(), job.model.hash()),
            ("the time zone".to_owned(), hashes::text(&settings.time_zone.meaning())),
            (PROGRAM.to_owned(), BUILD.to_owned()),
        ]);
        if !job.erased.is_empty() {
            parts.insert(ERASED.to_owned(), job.erased.hash());
        }
        for (export, files) in job.exports.iter().zip(hashes) {
            parts.insert(input_part(&export.table.name), input(export, files));
        }
        Self(parts)
    }

    /// The parts that a stage depends on which reads some tables.
    #[must_use]
    pub fn of_stage(&self, tables: &[&str]) -> BTreeMap<String, Hash> {
        let part = |name: &str| (name.to_owned(), self.0.get(name).cloned().unwrap_or_else(|| "none".to_owned()));
        let inputs = tables.iter().map(|table| part(&input_part(table)));
        let program = (PROGRAM.to_owned(), STAGES_BUILD.to_owned());
        let erased = self.0.get(ERASED).map(|hash| (ERASED.to_owned(), hash.clone()));
        OF_EVERY_STAGE.iter().map(|name| part(name)).chain(inputs).chain([program]).chain(erased).collect()
    }

    /// The hash of all parts but the program, which a run is named by: the same job has the same name in every build.
    #[must_use]
    pub fn name(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in self.0.iter().filter(|(name, _)| *name != PROGRAM) {
            part(&mut hasher, name.as_bytes());
            part(&mut hasher, hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The parts that differ from another result's, in words.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        differences(&self.0, &other.0)
    }

    /// The parts that no input is.
    #[must_use]
    pub fn beside_inputs(&self) -> Self {
        let inputs = input_part("");
        Self(
            self.0.iter().filter(|(name, _)| !name.starts_with(&inputs)).map(|(n, h)| (n.clone(), h.clone())).collect(),
        )
    }

    /// Whether a part is one of them.
    #[must_use]
    pub fn names(&self, part: &str) -> bool {
        self.0.contains_key(part)
    }

    /// Whether nothing is recorded, as of runs of older versions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names under which two maps differ.
#[must_use]
pub fn differences(one: &BTreeMap<String, Hash>, other: &BTreeMap<String, Hash>) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|n| one.get(*n) != other.get(*n)).cloned().collect()
}

/// What the pipeline file means for a result, however it is written. Where files lie, how much of the machine is used and where
/// the ledger's key is changes nothing in it; the inputs are parts of their own.
fn configuration(job: &Job) -> Hash {
    let settings = &job.pipeline.settings;
    let meant = json!({
        "name": settings.name,
        "consent_statement": settings.consent_statement,
        "gates": settings.gates(),
        "min_cell": settings.privacy.min_cell,
        "report": settings.report,
    });
    hashes::text(&meant.to_string())
}

/// What an export yields, wherever its files are: their content in order, what their paths say, and the `select`.
fn input(export: &Export, files: &[Hash]) -> Hash {
    let mut hasher = selected(export);
    for (file, hash) in export.files.iter().zip(files) {
        add_file(&mut hasher, file, hash);
    }
    hasher.finalize().to_hex().to_string()
}

/// What one file of an export yields, wherever it is: its content, what its path says, and the `select`.
#[must_use]
pub fn input_file(export: &Export, file: &OpenFile, hash: &Hash) -> Hash {
    let mut hasher = selected(export);
    add_file(&mut hasher, file, hash);
    hasher.finalize().to_hex().to_string()
}

fn selected(export: &Export) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    part(&mut hasher, export.select.as_ref().map_or("", |s| s.text()).as_bytes());
    hasher
}

fn add_file(hasher: &mut blake3::Hasher, file: &OpenFile, hash: &Hash) {
    part(hasher, hash.as_bytes());
    for (column, value) in &file.given {
        part(hasher, column.as_bytes());
        part(hasher, value.meaning().as_bytes());
    }
}
