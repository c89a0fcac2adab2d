//! What a run is called: its as-of date, its model, and a hash of all that its result depends on.

use anyhow::Result;

use super::folder::RunFolder;
use super::ledger::Ledger;
use super::manifest::Manifest;
use super::prepare::RunContext;
use super::publication::table_path;
use crate::job::Job;
use crate::publish::hashes::{self, Hash, part};
use crate::publish::scores::Label;
use crate::stages::key::BUILD;

/// Version of the program, as the outputs record it.
pub const PROGRAM: &str = concat!("sesame ", env!("CARGO_PKG_VERSION"));

/// What a run would be called, and what its outputs say of it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As-of date, model, and a hash of all that the result depends on.
    pub id: String,
    /// As-of date, cut-off, model and program.
    pub label: Label,
}

/// Names a run by all that its result depends on.
#[must_use]
pub fn identify(job: &Job, hashes: &[Vec<Hash>]) -> Identity {
    let label = Label {
        as_of: job.snapshot.calendar.as_of().to_string(),
        known_by: job.snapshot.known_by.to_string(),
        model: job.model.label(),
        model_hash: hashes::model(&job.model),
        program: PROGRAM.to_owned(),
    };
    let mut hasher = blake3::Hasher::new();
    for text in [&label.as_of, &label.known_by, &label.model_hash, &label.program, &job.pipeline.text] {
        part(&mut hasher, text.as_bytes());
    }
    for (export, files) in job.exports.iter().zip(hashes) {
        part(&mut hasher, export.table.name.as_bytes());
        files.iter().for_each(|f| part(&mut hasher, f.as_bytes()));
    }
    let hash = hasher.finalize().to_hex();
    Identity { id: format!("{}-{}-{}", label.as_of, label.model, &hash[..12]), label }
}

/// The run whose table is published where this one's would be, if it is the same: of the same id and build, with its table
/// as it was published.
///
/// # Errors
/// When the ledger does not hold, or the table cannot be read.
pub fn published(identity: &Identity, context: &RunContext) -> Result<Option<String>> {
    let ledger = Ledger::open(&context.folder.path, context.folder.key.clone())?;
    let table = table_path(&identity.label.as_of, &identity.label.model);
    let Some(line) = ledger.current(&table) else { return Ok(None) };
    let of_id = line.entry.run.strip_prefix(&identity.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if !of_id {
        return Ok(None);
    }
    let run = RunFolder::of(&context.folder.path, &line.entry.run);
    let built = Manifest::read(&run).ok().and_then(|m| m.build().map(|b| b == BUILD)).unwrap_or(false);
    let path = context.folder.path.join(&table);
    let same = built && path.exists() && hashes::file_until(&path, context.stop)? == line.entry.scores;
    Ok(same.then(|| line.entry.run.clone()))
}
