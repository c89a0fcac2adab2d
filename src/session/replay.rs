//! Running a kept run again, from its configuration and inputs, elsewhere and with nothing reused.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::identity::identify;
use super::prepare::{hashes, stages};
use super::publishing::Ended;
use super::run::Run;
use super::{MachineRequest, Session};
use crate::job::dependencies::{BUILD, ERASED, PROGRAM};
use crate::job::load::{JobRequest, load_dates};
use crate::output::Output;
use crate::runs::erasure::Erasures;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::Manifest;
use crate::runs::kept::KeptRun;
use crate::runs::ledger::place::SCORES;
use crate::runs::ledger::{Key, Ledger};
use crate::runs::verify::{Mismatch, replayable};
use crate::storage::hashes::{self, Hash};

/// Runs a kept run again, below a folder or that of temporary files, and compares the tables; with the ledger's key, if it has one.
///
/// # Errors
/// [`Mismatch`] when the bytes differ; when an input is gone, or whatever stops the run.
pub fn replay(
    run: &RunFolder,
    key: Option<&Key>,
    scratch: Option<&Path>,
    stop: &AtomicBool,
    log: &Output,
) -> Result<()> {
    let kept = KeptRun::open(run.clone())?;
    let table = format!("runs/{}/{SCORES}", run.id);
    if let Some(erasure) = Erasures::open(&run.output, None)?.last_of(&table) {
        bail!(
            "run {} cannot be replayed: the erasure {erasure} took subjects out of its table, whom its inputs may still hold",
            run.id
        );
    }
    replayable(run, &kept.manifest, stop)?;
    if kept.manifest.build() != Some(BUILD) {
        log.warn(&format!("run {} was made by another build ({})", run.id, kept.manifest.program()));
    }
    let place = match scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .context("a folder to replay in; see --scratch")?;
    let mut pipeline = kept.pipeline.clone();
    pipeline.settings.output = place.path().to_owned();
    // The replay has a ledger of its own, which ends with it.
    pipeline.settings.privacy.ledger_key = None;
    let parameters = kept.manifest.parameters();
    let request = JobRequest {
        as_of: None,
        known_by: Some(parameters.known_by.clone()),
        allow_future: true,
        model: Some(run.path(&parameters.model_file)),
        staged: None,
    };
    let mut job = load_dates(&pipeline, &request, &[parameters.as_of])?.pop().context("no date")?;
    if kept.manifest.dependencies().names(ERASED) {
        // The run left out whoever was erased before it.
        let ledger = Ledger::open(&run.output, key.cloned())?;
        let line = ledger.of_run(&run.id).context("the ledger does not know the run")?;
        job.erased = Arc::new(Erasures::of(&run.output, &ledger, key)?.guarded(line.n));
    }
    let machine = MachineRequest { scratch: Some(place.path().to_owned()), ..MachineRequest::default() };
    let session = Session::open(&pipeline, "verify --replay", &machine, stop, log)?.fresh(true);
    let hashes = hashes(&job, &session)?;
    let stages = stages(&[&job], &hashes, &session)?.pop().context("no stages")?;
    let identity = identify(&job, &hashes);
    let differ = kept.manifest.dependencies().differences(&identity.dependencies);
    if !kept.manifest.dependencies().is_empty() && differ.iter().any(|part| part != PROGRAM) {
        return Err(Mismatch(format!("run {}: {} changed since it was made", run.id, differ.join(", "))).into());
    }
    let (job, identity, hashes, stages, session) = (&job, &identity, &hashes, &stages, &session);
    let ended = Run { job, identity, hashes, stages, accept: &[], session, started: Instant::now() }.make()?;
    let (Ended::Published { run: again } | Ended::Refused { run: again, .. }) = ended;
    if plain(&again, &Manifest::read(&again)?, stop)? != plain(run, &kept.manifest, stop)? {
        return Err(Mismatch(format!("run {}: running it again gives another {SCORES}", run.id)).into());
    }
    Ok(())
}

/// The hash of a run's table where it is written plain; of one that is plain, of its bytes as they are.
fn plain(run: &RunFolder, manifest: &Manifest, stop: &AtomicBool) -> Result<Hash> {
    match manifest.file(SCORES) {
        Some(file) if file.annotations.is_some() => Ok(file.plain().clone()),
        _ => hashes::file_until(&run.path(SCORES), stop),
    }
}
