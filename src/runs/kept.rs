//! A run that is kept: found by folder, id or `latest`, and opened with the configuration it was made with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::folder::RunFolder;
use super::folder::configuration::PIPELINE;
use super::folder::manifest::Manifest;
use super::ledger::place::SCORES;
use super::ledger::{Event, Key, Ledger, Line};
use super::verify::Mismatch;
use crate::contract::{Calendar, Contract, parse_day};
use crate::features::{Plan, compile};
use crate::pipeline::{Model, Pipeline};
use crate::scorecard::Scorecard;
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

/// The folder of a run that a user names: the folder itself, an id below `output`, `latest` (the newest as-of date that is published)
/// or `last` (the run made last).
///
/// # Errors
/// When there is no such run.
pub fn find(name: &str, output: &Path) -> Result<RunFolder> {
    let folder = Path::new(name);
    if folder.join(crate::runs::folder::manifest::MANIFEST).exists() {
        let folder = std::path::absolute(folder)?;
        let id = folder.file_name().context("a run's folder has a name")?.to_string_lossy().into_owned();
        let output = folder.parent().and_then(Path::parent).unwrap_or_else(|| Path::new(".")).to_owned();
        return Ok(RunFolder { output, id, folder });
    }
    let id = match name {
        "latest" => latest(output)?,
        "last" => last(output)?,
        id => id.to_owned(),
    };
    let run = RunFolder::of(output, &id);
    if run.path(crate::runs::folder::manifest::MANIFEST).exists() {
        return Ok(run);
    }
    let known: Vec<String> = RunFolder::all(output)?.into_iter().map(|r| r.id).collect();
    let hint = crate::expression::did_you_mean(&id, known.iter().map(String::as_str));
    bail!("there is no run {id} in {}{hint}; name a run's folder, or give --output", output.join("runs").display())
}

/// The run of the newest as-of date that is published; of several the one published last.
fn latest(output: &Path) -> Result<String> {
    // Which run it is does not depend on the key; `verify` asks for it.
    let ledger = Ledger::open(output, None)?;
    let published = ledger.lines.iter().filter(|l| l.entry.event == Event::Published);
    let newest = published.max_by(|a, b| (&a.entry.as_of, a.n).cmp(&(&b.entry.as_of, b.n)));
    let line = newest.with_context(|| format!("nothing was published in {} yet", output.display()))?;
    Ok(line.entry.run.clone())
}

/// The run that came to its end last, published or refused.
fn last(output: &Path) -> Result<String> {
    let ledger = Ledger::open(output, None)?;
    let ended = |l: &&Line| matches!(l.entry.event, Event::Published | Event::Refused);
    let line = ledger.lines.iter().rev().find(ended);
    Ok(line.with_context(|| format!("no run has ended in {} yet", output.display()))?.entry.run.clone())
}

/// The key that a run's pipeline names for the ledger.
///
/// # Errors
/// [`Mismatch`] when the pipeline is not as it was written; when the key cannot be read.
pub fn key_of(run: &RunFolder) -> Result<Option<Key>> {
    let manifest = Manifest::read(run)?;
    let kept = manifest.subject.iter().find(|file| file.name == PIPELINE);
    let changed = match (kept, run.path(PIPELINE)) {
        (Some(kept), path) if path.is_file() => hashes::file(&path)? != kept.digest.blake3,
        _ => true,
    };
    if changed {
        return Err(Mismatch(format!("run {}: {PIPELINE} is missing or was changed", run.id)).into());
    }
    crate::runs::output_folder::key_of(&pipeline(run, &manifest)?)
}

fn pipeline(run: &RunFolder, manifest: &Manifest) -> Result<Pipeline> {
    let text = read::text(&run.path(PIPELINE))?;
    Pipeline::parse(&manifest.parameters().pipeline_file, text)
}

impl KeptRun {
    /// Opens a run.
    ///
    /// # Errors
    /// When its folder lacks a part, or its configuration is not one of this version.
    pub fn open(run: RunFolder) -> Result<Self> {
        let manifest = Manifest::read(&run)?;
        let parameters = manifest.parameters();
        let pipeline = pipeline(&run, &manifest)?;
        let model = Model::load(&run.path(&parameters.model_file))?;
        let contract = Contract::load()?;
        let (first, last) = (parse_day(&contract.limits.first_date)?, parse_day(&contract.limits.last_date)?);
        let calendar = Calendar::new(parameters.as_of, first, last)?;
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
