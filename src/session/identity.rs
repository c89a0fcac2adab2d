//! What a run is called: its as-of date, its model, and a hash of all that its result depends on.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::job::Job;
use crate::job::dependencies::Dependencies;
use crate::runs::erasure::Erasures;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::runs::ledger::place::{SCORES, table_path};
use crate::runs::ledger::{Key, Ledger};
use crate::runs::remote;
use crate::storage::encryption;
use crate::storage::hashes::{self, Hash};
use crate::tables::scores::Label;

/// Version of the program, as the outputs record it.
pub const PROGRAM: &str = concat!("sesame ", env!("CARGO_PKG_VERSION"));

/// What a run would be called, and what its outputs say of it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As-of date, model, and a hash of all that the result depends on.
    pub id: String,
    /// As-of date, cut-off, model and program.
    pub label: Label,
    /// All that the result depends on.
    pub dependencies: Dependencies,
}

/// Names a run by all that its result depends on.
#[must_use]
pub fn identify(job: &Job, hashes: &[Vec<Hash>]) -> Identity {
    let label = Label {
        as_of: job.snapshot.calendar.as_of(),
        known_by: job.snapshot.known_by.to_string(),
        model: job.model.label(),
        model_hash: job.model.hash(),
        program: PROGRAM.to_owned(),
    };
    let dependencies = Dependencies::of(job, hashes);
    let id = format!("{}-{}-{}", label.as_of, label.model, &dependencies.name()[..12]);
    Identity { id, label, dependencies }
}

/// What is published where a run's table would be.
pub enum Standing {
    /// The same: the run depends on nothing else, and its table is as it was published.
    Same(RunFolder),
    /// Something else, and what differs.
    Other(Vec<String>),
    /// Nothing.
    Nothing,
}

/// Holds a run against what is published where its table would be.
///
/// # Errors
/// When the ledger does not hold, or the table cannot be read.
pub fn published(identity: &Identity, output: &Path, key: Option<Key>, stop: &AtomicBool) -> Result<Standing> {
    let ledger = Ledger::open(output, key)?;
    let table = table_path(identity.label.as_of, &identity.label.model)?;
    let Some(line) = ledger.current(&table) else { return Ok(Standing::Nothing) };
    let run = RunFolder::of(output, &line.entry.run);
    if !run.path(MANIFEST).exists() {
        return Ok(Standing::Other(vec!["its run is no longer kept".to_owned()]));
    }
    let manifest = Manifest::read(&run)?;
    let path = output.join(&table);
    remote::bring(&path)?;
    let now = Erasures::of(output, &ledger, None)?.hash_now(&table, &line.entry.scores, line.n);
    let as_published = path.exists() && hashes::file_until(&path, stop)? == now;
    // A plain table is not what is asked for once a key to write with is named; one under an older key is.
    let plain = encryption::write_id().is_some() && manifest.file(SCORES).is_none_or(|file| file.annotations.is_none());
    Ok(match identity.dependencies.differences(manifest.dependencies()) {
        _ if !as_published => Standing::Other(vec!["the published table".to_owned()]),
        parts if parts.is_empty() && plain => Standing::Other(vec!["whether the table is encrypted".to_owned()]),
        parts if parts.is_empty() => Standing::Same(run),
        parts => Standing::Other(parts),
    })
}
