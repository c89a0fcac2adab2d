//! Carrying an order out: stages go, each file that holds somebody is written anew beside the others and renamed into its place, and the
//! ledger is told. Whatever of it a crash leaves undone is done by whoever opens the folder next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::journal::{Journal, Order, folders, under_way};
use super::search::{Made, Search, files};
use super::{Changed, RECEIPT, Receipt, name, receipt_path};
use crate::output::Output;
use crate::runs::ledger::{Entry, Event, Key, Ledger};
use crate::runs::monitoring::lineage::now;
use crate::runs::step::step;
use crate::storage::durable::{folder as folder_of, replace, sweep, sync_folder};
use crate::storage::hashes::Hash;
use crate::storage::{disk, hashes};

/// A file's new content, before it is in its place. The name is one of those that a crash may leave.
const NEXT: &str = ".sesame-next";

/// Gives an order and carries it out.
///
/// # Errors
/// When a file cannot be read or written; what was ordered is then finished by whoever opens the folder next.
pub fn begin(output: &Path, order: Order, key: Option<&Key>) -> Result<Receipt> {
    let mut journal = Journal::begin(output, order, key.cloned())?;
    step("erasure ordered");
    carry_out(output, &mut journal, key)
}

/// Finishes erasures that were left undone. Only while the output is locked.
///
/// # Errors
/// When a journal does not hold, or what it orders cannot be done.
pub fn recover(output: &Path, key: Option<&Key>, log: &Output) -> Result<()> {
    // What was written beside an order may hold ids as the order does.
    for folder in folders(output)? {
        sweep(&folder)?;
    }
    for number in under_way(output)? {
        let mut journal = Journal::open(output, number, key)?;
        carry_out(output, &mut journal, key).with_context(|| format!("finishing the erasure {number}"))?;
        log.line(&format!("finished the earlier erasure {number}"));
    }
    Ok(())
}

fn carry_out(output: &Path, journal: &mut Journal, key: Option<&Key>) -> Result<Receipt> {
    let ledger = Ledger::open(output, key.cloned())?;
    let number = journal.order.receipt.erasure;
    sweep(&journal.folder)?;
    if ledger.last_of(&name(number)).is_some() {
        // All was done but the last.
        let receipt = serde_json::from_str(&crate::storage::read::text(&journal.folder.join(RECEIPT))?)?;
        journal.end()?;
        return Ok(receipt);
    }
    remove_stages(output)?;
    step("erasure stages removed");
    let order = journal.order.clone();
    let search = Search::new(output, &order);
    for path in files(output)? {
        treat(output, &path, &search, journal)?;
    }
    let mut receipt = order.receipt.clone();
    receipt.files = journal.steps.values().cloned().collect();
    receipt.ended = now();
    let text = serde_json::to_string_pretty(&receipt)? + "\n";
    replace(&journal.folder.join(RECEIPT), text.as_bytes())?;
    step("erasure receipt");
    ledger.prepare(entry(&receipt, hashes::text(&text))?)?.commit()?;
    step("erasure noted");
    journal.end()?;
    step("erasure ended");
    Ok(receipt)
}

/// Removes all stages: subjects are numbered together in them, and what later runs make has other keys.
fn remove_stages(output: &Path) -> Result<()> {
    let stages = output.join("stages");
    if !stages.is_dir() {
        return Ok(());
    }
    for entry in fs_err::read_dir(&stages)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => disk::remove_folder(&entry.path(), "stage.json")?,
            false => disk::remove_file(&entry.path())?,
        }
    }
    sync_folder(&stages)
}

/// Replaces a file if it holds somebody, unless that is done.
fn treat(output: &Path, path: &str, search: &Search, journal: &mut Journal) -> Result<()> {
    let place = output.join(path);
    let done = journal.steps.get(path).cloned();
    let before = match &done {
        None if search.count(path)? == 0 => return Ok(()),
        None => hashes::file(&place)?,
        Some(step) => match hashes::file(&place)? {
            now if Some(&now) == step.after.as_ref() => return Ok(()),
            now if now == step.before => now,
            _ => bail!("{path} was changed while it was being erased from; put it back from a copy, or remove it"),
        },
    };
    let next = journal.folder.join(NEXT);
    if fs_err::symlink_metadata(&next).is_ok() {
        disk::remove_file(&next)?;
    }
    // A published table is the run's by another name: it stays so.
    let twin = twins(journal, &before, path).into_iter().find(|twin| same_as(output, twin));
    let (rows, after) = match twin {
        Some(twin) if disk::hard_link(&output.join(&twin.path), &next).is_ok() => (twin.rows, twin.after),
        _ => match search.make(path, &next)? {
            Made::Written(rows) => (rows, Some(hashes::file(&next)?)),
            Made::Removed => (0, None),
        },
    };
    let written = after.is_some();
    journal.note(Changed { path: path.to_owned(), rows, before, after })?;
    step("erasure file noted");
    if written {
        disk::rename(&next, &place)?;
    } else {
        disk::remove_file(&place)?;
    }
    sync_folder(folder_of(&place))?;
    step("erasure file replaced");
    Ok(())
}

/// Files that had the same content before and are treated already; rows that are told by places depend on more than their content.
fn twins(journal: &Journal, before: &Hash, path: &str) -> Vec<Changed> {
    let is_table = |path: &str| path.ends_with("/scores.parquet");
    let same = |step: &&Changed| step.before == *before && step.path != path && is_table(&step.path);
    if is_table(path) { journal.steps.values().filter(same).cloned().collect() } else { Vec::new() }
}

fn same_as(output: &Path, step: &Changed) -> bool {
    let place: PathBuf = output.join(&step.path);
    step.after.is_some() && hashes::file(&place).ok() == step.after
}

/// The line of the ledger about an erasure: of no run, date or model, and where its receipt is.
fn entry(receipt: &Receipt, hash: Hash) -> Result<Entry> {
    let begun: jiff::Timestamp = receipt.begun.parse().context("an erasure begins at an instant")?;
    Ok(Entry {
        at: now(),
        event: Event::Erased,
        run: name(receipt.erasure),
        pipeline: receipt.pipeline.clone(),
        as_of: begun.to_zoned(jiff::tz::TimeZone::UTC).date(),
        known_by: receipt.begun.clone(),
        model: String::new(),
        program: receipt.program.clone(),
        manifest: hash.clone(),
        scores: hash,
        table: receipt_path(receipt.erasure),
        replaces: None,
        begun: None,
        size: None,
        because: None,
        lineage: None,
        given: None,
        plain: None,
        accepted: Vec::new(),
    })
}

/// Files that hold somebody, with how many rows, or places in a text.
///
/// # Errors
/// When a table is damaged or cannot be told apart by subjects.
pub fn survey(output: &Path, order: &Order) -> Result<BTreeMap<String, u64>> {
    let search = Search::new(output, order);
    let mut found = BTreeMap::new();
    for path in files(output)? {
        let count = search.count(&path)?;
        if count > 0 {
            found.insert(path, count);
        }
    }
    Ok(found)
}
