//! An output folder under lock, swept of what earlier processes left behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::Mode;

use super::erasure::carry_out;
use super::erasure::journal::under_way;
use super::ledger::{Key, Ledger};
use super::lock::Lock;
use super::publication::recovery::recover;
use super::releases::put;
use super::remote::lease::Lease;
use super::remote::look::{self, Need};
use super::remote::{attach, begin, bring, of};
use super::step::step;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::pipeline::partners::Partners;
use crate::pipeline::settings::OutputMode;
use crate::stages::store::StageStore;
use crate::storage::durable::no_links;
use crate::storage::encryption::{By, KeyError};

/// The folders of an output folder.
pub const FOLDERS: [&str; 6] = ["runs", "scores", "stages", "backfills", "releases", "erasures"];

/// The page over all as-of dates, in an output folder.
pub const HISTORY: &str = "history.html";

/// An output folder that this process alone may write to.
#[derive(Debug)]
pub struct OutputFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Its stages.
    pub stages: StageStore,
    /// The ledger's key, if the pipeline names one.
    pub key: Option<Key>,
    // Before the lock: other machines wait for it, others of this one for the lock.
    _lease: Option<Lease>,
    _lock: Lock,
}

/// Where a pipeline publishes: its output folder, or the mirror of its URL.
#[must_use]
pub fn output_of(pipeline: &Pipeline) -> PathBuf {
    let output = &pipeline.settings.output;
    if look::url_of(output).is_some() { look::place(output) } else { pipeline.resolve(output) }
}

/// The same, with what is needed there brought from where the URL leads.
///
/// # Errors
/// When the store does not answer.
pub fn looked_at(pipeline: &Pipeline, need: Need) -> Result<PathBuf> {
    let output = &pipeline.settings.output;
    if look::url_of(output).is_some() { look::look(output, need) } else { Ok(output_of(pipeline)) }
}

/// The key of a pipeline's ledger, if it names one.
///
/// # Errors
/// When there is none where it says; when a kept run's pipeline says that a command prints it.
pub fn key_of(pipeline: &Pipeline) -> Result<Option<Key>> {
    let source = pipeline.settings.privacy.ledger_key.as_deref();
    if pipeline.said_by() == By::KeptRun && source.is_some_and(|source| source.starts_with("cmd:")) {
        return Err(KeyError(
            "privacy.ledger_key is a command of a kept run, and none of those is run; name the key with --ledger-key"
                .to_owned(),
        )
        .into());
    }
    source.map(|s| Key::read(s, |path| pipeline.resolve(path))).transpose()
}

/// Whether a file that may not be there yet would lie in a folder.
///
/// # Errors
/// When one of the two folders is not there.
pub fn is_within(file: &Path, folder: &Path) -> Result<bool> {
    let parent = file.parent().context("a file has a folder")?;
    let real = fs_err::canonicalize(parent)?;
    Ok(real.starts_with(fs_err::canonicalize(folder)?))
}

/// From now on files of this process are for its user alone, or for the group to read as well.
pub fn keep_private(mode: OutputMode) {
    let mask = match mode {
        OutputMode::Owner => Mode::RWXG | Mode::RWXO,
        OutputMode::Group => Mode::WGRP | Mode::RWXO,
    };
    rustix::process::umask(mask);
}

impl OutputFolder {
    /// Locks the output folder of a pipeline, finishes what is undone there and sweeps.
    ///
    /// # Errors
    /// [`Locked`](crate::exit::Locked) when another process holds the lock; when the ledger does not hold or its key is
    /// missing; or when the folder cannot be written.
    pub fn open(pipeline: &Pipeline, command: &str, log: &Output) -> Result<Self> {
        let path = output_of(pipeline);
        let key = key_of(pipeline)?;
        pipeline.name_keys();
        keep_private(pipeline.settings.output_mode);
        if let Some(url) = look::url_of(&pipeline.settings.output) {
            attach(url)?;
        }
        let lock = Lock::take(&path, command)?;
        let lease = match look::url_of(&pipeline.settings.output) {
            Some(url) => begin::begin(url, command, key.as_ref(), log)?.1,
            None => None,
        };
        step("locked");
        for folder in FOLDERS {
            no_links(&path, &path.join(folder))?;
        }
        if path.join("stages").is_dir() {
            for kind in fs_err::read_dir(path.join("stages"))? {
                no_links(&path, &kind?.path())?;
            }
        }
        recover(&path, key.as_ref(), log).context("nothing was run")?;
        if !under_way(&path)?.is_empty() {
            // Whoever finishes an erasure looks at every file.
            bring(&path)?;
        }
        if !under_way(&path)?.is_empty() && Partners::place(pipeline).exists() {
            Partners::load(pipeline)?.name_keys();
        }
        carry_out::recover(&path, key.as_ref(), log).context("nothing was run")?;
        if let Some(mirror) = of(&path) {
            // What was finished just now is known as well.
            begin::count_erased(&mirror, &Ledger::open(&path, key.clone())?);
        }
        put::recover(&path, key.as_ref(), log).context("nothing was run")?;
        let stages = StageStore::of(&path, key.clone());
        stages.sweep()?;
        Ok(Self { path, stages, key, _lease: lease, _lock: lock })
    }
}
