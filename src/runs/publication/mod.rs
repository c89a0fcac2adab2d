//! Publishing: a line in the ledger that announces it, one rename that readers see, a line that says it is done. Whatever of it a
//! crash leaves undone is done by whoever comes next, because the ledger announced it and for no other reason: what a run's
//! folder says of itself is for people.

#[cfg(test)]
pub(crate) mod protocol_model;
pub mod recovery;
pub mod removal;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::runs::erasure::Erasures;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::runs::folder::{RunFolder, State};
use crate::runs::ledger::place::{SCORES, table_path};
use crate::runs::ledger::{Entry, Event, Key, Ledger, TableOf};
use crate::runs::monitoring::lineage;
use crate::runs::step::step;
use crate::storage::disk;
use crate::storage::durable::{create_folders, no_links, replace, sync_folder};
use crate::storage::hashes::{self, Hash};

/// Said where a publication failed and that could not be noted.
const NOT_GIVEN_UP: &str = "what was announced could not be given up; the next run publishes it";

/// Publishes a run that its gates let pass, or notes that they refused it.
///
/// # Errors
/// When a file cannot be written or renamed. Up to the announcement nothing is published; after it, the next run does the rest
/// unless it could be given up.
pub fn conclude(run: &RunFolder, mut entry: Entry, key: Option<Key>) -> Result<()> {
    let ledger = Ledger::open(&run.output, key.clone())?;
    sync_folder(&run.folder)?;
    if entry.event == Event::Refused {
        entry.lineage = lineage_of(run, &entry)?.map(|text| hashes::text(&text));
        ledger.prepare(entry.clone())?.commit()?;
        step("refused");
        return tell(run, &entry);
    }
    entry.replaces = ledger
        .current(&entry.table)
        .map(|line| TableOf { run: line.entry.run.clone(), scores: line.entry.scores.clone() });
    let announced = ledger.prepare(Entry { event: Event::Announced, ..entry.clone() })?.commit();
    step("announced");
    let result = announced.and_then(|()| finish(run, entry.clone(), key.clone()));
    if let Err(error) = &result {
        let because = format!("{error:#}");
        unless_done(run, &entry, key, &because).with_context(|| format!("{because}; {NOT_GIVEN_UP}"))?;
    }
    result
}

/// Gives up what was announced and failed before readers saw anything of it, so that what is reported as failed is not published later.
fn unless_done(run: &RunFolder, entry: &Entry, key: Option<Key>, because: &str) -> Result<()> {
    let ledger = Ledger::open(&run.output, key.clone())?;
    let announced = ledger.last_of(&run.id).is_some_and(|line| line.entry.event == Event::Announced);
    if announced && !in_place(run, entry)? { give_up(run, entry, key, because) } else { Ok(()) }
}

/// Whether a run's table is where it is published.
fn in_place(run: &RunFolder, entry: &Entry) -> Result<bool> {
    let place = run.output.join(&entry.table);
    Ok(place.exists() && hashes::file(&place)? == entry.scores)
}

/// Publishes what the ledger announced.
///
/// # Errors
/// When a file cannot be written or renamed.
pub fn finish(run: &RunFolder, entry: Entry, key: Option<Key>) -> Result<()> {
    let ledger = Ledger::open(&run.output, key)?;
    // All that can fail for want of space comes before the rename.
    let mut entry = Entry { event: Event::Published, at: lineage::now(), ..entry };
    entry.lineage = lineage_of(run, &entry)?.map(|text| hashes::text(&text));
    let addition = ledger.prepare(entry.clone())?;
    step("ledger prepared");
    put(run, &entry)?;
    addition.commit()?;
    step("ledger head");
    tell(run, &entry)
}

/// Notes in the ledger that what was announced is given up.
///
/// # Errors
/// When the ledger cannot be written; then the next run finishes what was announced.
pub fn give_up(run: &RunFolder, entry: &Entry, key: Option<Key>, because: &str) -> Result<()> {
    let ledger = Ledger::open(&run.output, key)?;
    if let Some(parent) = run.output.join(table_path(entry.as_of, &entry.model)?).parent()
        && fs_err::symlink_metadata(incoming(run, parent)).is_ok()
    {
        disk::remove_file(&incoming(run, parent))?;
    }
    let entry =
        Entry { event: Event::Abandoned, at: lineage::now(), because: Some(because.to_owned()), ..entry.clone() };
    ledger.prepare(entry)?.commit()
}

/// Writes into a run's folder what the ledger says of it: its state and its lineage.
///
/// # Errors
/// When the folder cannot be written.
pub fn tell(run: &RunFolder, entry: &Entry) -> Result<()> {
    if let Some(events) = lineage_of(run, entry)? {
        replace(&run.path(crate::runs::folder::LINEAGE), events.as_bytes())?;
    }
    run.set(if entry.event == Event::Published { &State::Published } else { &State::Refused })?;
    step("concluded");
    Ok(())
}

fn lineage_of(run: &RunFolder, entry: &Entry) -> Result<Option<String>> {
    lineage::of_entry(entry, Manifest::read(run)?.inputs())
}

/// Puts a run's table in its place: the run keeps its own copy, as a second name of the same file.
fn put(run: &RunFolder, entry: &Entry) -> Result<()> {
    let place = table_path(entry.as_of, &entry.model)?;
    if place != entry.table {
        bail!("the table of the run {} is not where tables of its date and model are", run.id);
    }
    let table = run.output.join(place);
    let parent = table.parent().context("a published table has a folder")?;
    no_links(&run.output, parent)?;
    create_folders(parent)?;
    let incoming = incoming(run, parent);
    if fs_err::symlink_metadata(&incoming).is_ok() {
        disk::remove_file(&incoming)?;
    }
    let staged = run.path(SCORES);
    if disk::hard_link(&staged, &incoming).is_err() {
        disk::copy(&staged, &incoming)?;
        disk::sync(&incoming)?;
    }
    ensure!(hashes::file(&incoming)? == entry.scores, "the staged table of the run {} was changed", run.id);
    step("table beside its place");
    // If both are names of one file already, the rename would leave both names.
    disk::rename(&incoming, &table)?;
    if incoming.exists() {
        disk::remove_file(&incoming)?;
    }
    step("table in its place");
    sync_folder(parent)
}

fn incoming(run: &RunFolder, parent: &Path) -> PathBuf {
    parent.join(format!(".{}.incoming", run.id))
}

/// Whether a run's folder still holds what the ledger says of it, erasures included.
///
/// # Errors
/// When a file cannot be read.
pub fn is_whole(run: &RunFolder, entry: &Entry) -> Result<bool> {
    let ledger = Ledger::open(&run.output, None)?;
    let (since, erasures) =
        (ledger.of_run(&run.id).map_or(u64::MAX, |l| l.n), Erasures::of(&run.output, &ledger, None)?);
    let same = |name: &str, hash: &Hash| -> Result<bool> {
        let (path, below) = (run.path(name), format!("runs/{}/{name}", run.id));
        Ok(path.is_file() && hashes::file(&path)? == erasures.hash_now(&below, hash, since))
    };
    Ok(same(SCORES, &entry.scores)? && same(MANIFEST, &entry.manifest)?)
}
