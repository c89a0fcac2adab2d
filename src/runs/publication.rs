//! Publishing: one rename that readers see, and a line in the ledger; whatever of it a crash leaves undone is done by whoever
//! comes next.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::durable::{create_folders, sync_folder};
use super::folder::{RunFolder, STATE, State};
use super::ledger::{Entry, Event, Key, Ledger, TableOf};
use super::manifest::MANIFEST;
use super::step::step;
use crate::exit;
use crate::output::Output;
use crate::publish::hashes::{self, Hash};

/// The staged table in a run's folder.
pub const SCORES: &str = "scores.parquet";

/// Where a table is published, below the output folder.
#[must_use]
pub fn table_path(as_of: &str, model: &str) -> String {
    format!("scores/as_of={as_of}/model={model}/{SCORES}")
}

/// Publishes a run that its gates let pass, or notes that they refused it.
///
/// # Errors
/// When a file cannot be written or renamed. Up to the rename the old table stays; after it, the next run does the rest.
pub fn conclude(run: &RunFolder, mut entry: Entry, key: Option<Key>) -> Result<()> {
    let ledger = Ledger::open(&run.output, key)?;
    entry.replaces = match entry.event {
        Event::Published => ledger
            .current(&entry.table)
            .map(|line| TableOf { run: line.entry.run.clone(), scores: line.entry.scores.clone() }),
        Event::Refused | Event::Removed => None,
    };
    sync_folder(&run.folder)?;
    run.set(&State::Publishing { entry: Box::new(entry.clone()) })?;
    step("publishing");
    commit(run, entry, &ledger)
}

fn commit(run: &RunFolder, entry: Entry, ledger: &Ledger) -> Result<()> {
    let event = entry.event;
    let table = run.output.join(&entry.table);
    // All that can fail for want of space comes before the rename.
    let addition = match ledger.of_run(&run.id) {
        Some(_) => None,
        None => Some(ledger.prepare(entry)?),
    };
    step("ledger prepared");
    if event == Event::Published {
        put(run, &table)?;
    }
    if let Some(addition) = addition {
        addition.commit()?;
    }
    step("ledger head");
    run.set(if event == Event::Published { &State::Published } else { &State::Refused })?;
    step("concluded");
    Ok(())
}

/// Puts a run's table in its place: the run keeps its own copy, as a second name of the same file.
fn put(run: &RunFolder, table: &Path) -> Result<()> {
    let parent = table.parent().context("a published table has a folder")?;
    create_folders(parent)?;
    let incoming = incoming(run, parent);
    if incoming.exists() {
        fs_err::remove_file(&incoming)?;
    }
    let staged = run.path(SCORES);
    if fs_err::hard_link(&staged, &incoming).is_err() {
        fs_err::copy(&staged, &incoming)?;
        fs_err::File::open(&incoming)?.sync_all()?;
    }
    step("table beside its place");
    // If both are names of one file already, the rename would leave both names.
    fs_err::rename(&incoming, table)?;
    if incoming.exists() {
        fs_err::remove_file(&incoming)?;
    }
    step("table in its place");
    sync_folder(parent)
}

fn incoming(run: &RunFolder, parent: &Path) -> PathBuf {
    parent.join(format!(".{}.incoming", run.id))
}

/// Finishes what earlier processes left undone and removes what they left behind. Only while the output is locked.
///
/// # Errors
/// When the ledger does not hold, a publication cannot be finished, or a folder cannot be removed.
pub fn recover(output: &Path, key: Option<&Key>, log: &Output) -> Result<()> {
    let ledger = Ledger::open(output, key.cloned())?;
    if ledger.behind {
        ledger.mend()?;
    }
    for run in RunFolder::all(output) {
        match run.state() {
            Some(State::Publishing { entry }) => {
                let same = |name: &str, hash: &Hash| -> Result<bool> {
                    Ok(run.path(name).exists() && hashes::file(&run.path(name))? == *hash)
                };
                if !same(SCORES, &entry.scores)? || !same(MANIFEST, &entry.manifest)? {
                    log.warn(&format!("the run {} was being published and is damaged; it is not published", run.id));
                    run.set(&State::Failed { error: "its table was damaged before it was published".to_owned() })?;
                    continue;
                }
                let what = if entry.event == Event::Published { "publication" } else { "record" };
                commit(&run, *entry, &Ledger::open(output, key.cloned())?)?;
                log.line(&format!("finished the {what} of the earlier run {}", run.id));
            }
            Some(state) if state.is_final() => {}
            // What the ledger tells of is proof, whatever its folder says now.
            _ if ledger.of_run(&run.id).is_some() => {
                log.warn(&format!(
                    "the run {} is in the ledger, and its {STATE} does not say so; it is left alone",
                    run.id
                ));
            }
            Some(_) => fs_err::remove_dir_all(&run.folder)?,
            None if run.is_bare() => fs_err::remove_dir_all(&run.folder)?,
            None => log.warn(&format!("{} is no run's folder; it is left alone", run.folder.display())),
        }
    }
    Ok(())
}

/// Notes how a run ended that came to no end of its own.
pub fn note_failure(run: &RunFolder, error: &anyhow::Error) {
    let state = match error.downcast_ref::<exit::Interrupted>() {
        Some(_) => State::Interrupted,
        None => State::Failed { error: exit::message(error) },
    };
    // The folder may be what is gone, and the disk what is full: the error itself is what is reported.
    if !matches!(run.state(), Some(State::Publishing { .. } | State::Published | State::Refused)) {
        let _ = run.set(&state);
    }
}
