//! A run that is kept, opened with the configuration it was made with.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::erasure::Erasures;
use super::erasure::undisturbed::Undisturbed;
use super::folder::RunFolder;
use super::folder::configuration::PIPELINE;
use super::folder::manifest::Manifest;
use super::ledger::place::SCORES;
use super::ledger::{Key, Ledger};
use super::remote;
use super::verify::{self, Mismatch};
use crate::contract::Contract;
use crate::features::{Plan, compile};
use crate::pipeline::{Model, Pipeline};
use crate::scorecard::Scorecard;
use crate::storage::hashes::Hash;
use crate::storage::{hashes, read};

/// A run with what it was made with.
pub struct KeptRun {
    /// Its folder.
    pub run: RunFolder,
    /// What went in and came out.
    pub manifest: Manifest,
    /// The pipeline as it was used; paths are relative to where its file was.
    pub pipeline: Pipeline,
    /// The model as it was.
    pub model: Model,
    /// The features as they were compiled.
    pub plan: Plan,
    /// The scorecard as it was.
    pub card: Scorecard,
}

/// The key that a run's pipeline names for the ledger.
///
/// # Errors
/// [`Mismatch`] when the pipeline is not as it was written; when the key cannot be read, or is what a command prints, which is not run.
pub fn key_of(run: &RunFolder) -> Result<Option<Key>> {
    let manifest = Manifest::read(run)?;
    let kept = manifest.subject.iter().find(|file| file.name == PIPELINE);
    let changed = match (kept, run.path(PIPELINE)) {
        (Some(kept), path) if path.is_file() => {
            let now = hashes::file(&path)?;
            now != kept.digest.blake3 && now != since_erasures(run, &kept.digest.blake3)?
        }
        _ => true,
    };
    if changed {
        return Err(Mismatch(format!("run {}: {PIPELINE} is missing or was changed", run.id)).into());
    }
    crate::runs::output_folder::key_of(&pipeline(run, &manifest)?)
}

/// What the hash of a run's pipeline became by erasures. Its key is not known yet: who holds the ledger against it finds the rest out.
fn since_erasures(run: &RunFolder, then: &Hash) -> Result<Hash> {
    let ledger = Ledger::open(&run.output, None)?;
    let since = ledger.of_run(&run.id).map_or(0, |line| line.n);
    Ok(Erasures::of(&run.output, &ledger, None)?.hash_now(&format!("runs/{}/{PIPELINE}", run.id), then, since))
}

/// Holds files that came from an object store, whenever and for whatever, against the manifest, and that against the ledger; once, if they
/// are as they were.
///
/// # Errors
/// [`Mismatch`] with the first that is not as it was; when subjects are being erased, of whom files may tell and others not.
pub fn arrived(run: &RunFolder) -> Result<()> {
    let files = remote::unheld(&run.folder)?;
    if files.is_empty() {
        return Ok(());
    }
    let ledger = Ledger::open(&run.output, None)?;
    let Some(line) = ledger.of_run(&run.id) else { return Ok(()) };
    let erasures = Erasures::of(&run.output, &ledger, None)?;
    let came = |name: &str| files.contains(&run.path(name));
    if let Err(error) = verify::kept(run, line, &erasures, &AtomicBool::new(false), &came) {
        // While subjects are erased, files are of before and of after: that is no tampering.
        Undisturbed::begin(&run.output)?;
        return Err(error);
    }
    remote::hold(&run.folder)
}

fn pipeline(run: &RunFolder, manifest: &Manifest) -> Result<Pipeline> {
    let text = read::text(&run.path(PIPELINE))?;
    Pipeline::of_kept_run(&manifest.parameters().pipeline_file, text)
}

impl KeptRun {
    /// Opens a run, and names the keys of its files: those in variables and files alone, for it is held against nothing yet.
    ///
    /// # Errors
    /// When its folder lacks a part, or its configuration is not one of this version.
    pub fn open(run: RunFolder) -> Result<Self> {
        remote::bring(&run.folder)?;
        arrived(&run)?;
        let manifest = Manifest::read(&run)?;
        let parameters = manifest.parameters();
        let pipeline = pipeline(&run, &manifest)?;
        pipeline.name_keys();
        let model = Model::load(&run.path(&parameters.model_file))?;
        let contract = Contract::load()?;
        let calendar = contract.calendar(parameters.as_of, &pipeline.settings.time_zone)?;
        let present: BTreeSet<String> = manifest.inputs().iter().map(|i| i.annotations.table.clone()).collect();
        let plan = compile(&model.catalogue, &contract, &calendar, &present)?;
        let card = Scorecard::new(&model, &plan, &pipeline.settings.currency)?;
        Ok(Self { run, manifest, pipeline, model, plan, card })
    }

    /// Its scored table.
    #[must_use]
    pub fn scores(&self) -> PathBuf {
        self.run.path(SCORES)
    }

    /// Its features of a category.
    #[must_use]
    pub fn features(&self, category: &str) -> PathBuf {
        self.run.path(&format!("features/{category}.parquet"))
    }
}
