//! Carrying an order out: stages go, each file that holds somebody is written anew beside the others and renamed into its place, and the
//! ledger is told. Whatever of it a crash leaves undone is done by whoever opens the folder next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Error, Result, bail, ensure};

use super::files::{files, is_current};
use super::journal::{JOURNAL, Journal, Order, folders, ordered_by, under_way};
use super::search::{Made, Search};
use super::{Changed, RECEIPT, Receipt, name, receipt_path};
use crate::exit::{self, Interrupted};
use crate::output::Output;
use crate::runs::ledger::{Entry, Event, Key, Ledger};
use crate::runs::monitoring::lineage::now;
use crate::runs::remote;
use crate::runs::remote::lines::is_lost;
use crate::runs::remote::settle::settle;
use crate::runs::remote::store::TRIES;
use crate::runs::step::step;
use crate::storage::durable::{folder as folder_of, replace, sweep, sync_folder};
use crate::storage::encryption::{self, KeyError};
use crate::storage::hashes::Hash;
use crate::storage::{disk, hashes};

/// A file's new content, before it is in its place. The name is one of those that a crash may leave.
const NEXT: &str = ".sesame-next";

/// Said when an erasure that was ordered did not come to its end.
const LEFT: &str = "the erasure is under way: the next command that writes to the output folder goes on with it";

/// What is asked now and then while an order is carried out, and told how far it is.
#[derive(Clone, Copy)]
struct Work<'a> {
    output: &'a Path,
    key: Option<&'a Key>,
    stop: &'a AtomicBool,
    log: &'a Output,
}

/// Gives an order and carries it out.
///
/// # Errors
/// When a file cannot be read or written, or the work is interrupted; what was ordered by then is finished by whoever opens the folder next.
pub fn begin(output: &Path, order: Order, key: Option<&Key>, stop: &AtomicBool, log: &Output) -> Result<Receipt> {
    let number = order.receipt.erasure;
    let done = || -> Result<Receipt> {
        let mut journal = Journal::begin(output, order, key.cloned(), encryption::writes()?)?;
        step("erasure ordered");
        carry_out(Work { output, key, stop, log }, &mut journal)
    };
    done().map_err(|error| match under_way(output).is_ok_and(|open| open.contains(&number)) {
        true => left(error, log),
        false => error,
    })
}

/// The error of an erasure that is not finished. Of one that was interrupted people see no context.
fn left(error: Error, log: &Output) -> Error {
    if error.is::<Interrupted>() {
        log.warn(LEFT);
    }
    error.context(LEFT)
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
    let never = AtomicBool::new(false);
    for number in under_way(output)? {
        let finish = || -> Result<Receipt> {
            let mut journal = Journal::open(output, number, key)?;
            carry_out(Work { output, key, stop: &never, log }, &mut journal)
        };
        finish().with_context(|| of_whom(output, number))?;
        log.line(&format!("finished the earlier erasure {number}"));
    }
    Ok(())
}

/// Which erasure could not be finished, and who has the keys to do it.
fn of_whom(output: &Path, number: u64) -> String {
    match ordered_by(output, number) {
        Some(pipeline) => format!(
            "finishing the erasure {number}, which the pipeline {pipeline} ordered: where keys or partners are missing here, run \
             `sesame clean PIPELINE --yes` with the file of that pipeline first"
        ),
        None => format!("finishing the erasure {number}"),
    }
}

fn carry_out(work: Work, journal: &mut Journal) -> Result<Receipt> {
    for _ in 0..TRIES {
        match once(work, journal) {
            // In an object store another process was first with a line: what it published is searched as well, where it will be.
            Err(error) if is_lost(&error) => {
                remote::catch_up(work.output)?;
                if let Some(mirror) = remote::of(work.output)
                    && settle(&mirror, work.key)?
                {
                    remote::catch_up(work.output)?;
                }
            }
            done => return done,
        }
    }
    bail!("others published meanwhile again and again; the next command goes on with the erasure")
}

fn once(work: Work, journal: &mut Journal) -> Result<Receipt> {
    let (output, number) = (work.output, journal.order.receipt.erasure);
    let ledger = Ledger::open(output, work.key.cloned())?;
    sweep(&journal.folder)?;
    if ledger.last_of(&name(number)).is_some() {
        // All was done but the last.
        let receipt: Receipt = serde_json::from_str(&crate::storage::read::text(&journal.folder.join(RECEIPT))?)?;
        let of = &journal.order.receipt;
        ensure!(
            receipt.begun == of.begun && receipt.hashes == of.hashes && receipt.ids == of.ids,
            "the ledger tells of another erasure {number} than the one that was ordered here at {}, whose subjects were not erased: remove \
             {}, and order it again",
            of.begun,
            remote::shown(&journal.folder.join(JOURNAL))
        );
        journal.end()?;
        return Ok(receipt);
    }
    remove_stages(output, work.stop)?;
    step("erasure stages removed");
    let order = journal.order.clone();
    let (search, files) = (Search::new(output, &order, work.stop), files(output)?);
    let progress = work.log.stage("erase", files.len() as u64, "files");
    for path in files {
        exit::check(work.stop)?;
        treat(work, &path, &search, journal)?;
        progress.add(1);
    }
    progress.finish();
    let mut receipt = order.receipt.clone();
    receipt.tell(journal.steps.values().cloned());
    receipt.ended = now();
    let text = serde_json::to_string_pretty(&receipt)? + "\n";
    let place = journal.folder.join(RECEIPT);
    remote::record(&place, &|| replace(&place, text.as_bytes()))?;
    step("erasure receipt");
    ledger.prepare(entry(&receipt, hashes::text(&text))?)?.commit()?;
    step("erasure noted");
    journal.end()?;
    step("erasure ended");
    Ok(receipt)
}

/// Removes all stages: subjects are numbered together in them, and what later runs make has other keys.
fn remove_stages(output: &Path, stop: &AtomicBool) -> Result<()> {
    let stages = output.join("stages");
    if !stages.is_dir() {
        return Ok(());
    }
    for entry in fs_err::read_dir(&stages)? {
        exit::check(stop)?;
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => disk::remove_folder(&entry.path(), "stage.json")?,
            false => disk::remove_file(&entry.path())?,
        }
    }
    sync_folder(&stages)
}

/// Replaces a file if it holds somebody, unless that is done.
fn treat(work: Work, path: &str, search: &Search, journal: &mut Journal) -> Result<()> {
    let Some(before) = to_replace(work, path, search, journal)? else { return Ok(()) };
    let place = work.output.join(path);
    let next = journal.folder.join(NEXT);
    if fs_err::symlink_metadata(&next).is_ok() {
        disk::remove_file(&next)?;
    }
    // What runs share by several names stays one file: many copies could fill the disk.
    let twin = twin(work.output, path, &before, search, journal)?;
    let (rows, after) = match twin {
        Some(twin) if disk::hard_link(&work.output.join(&twin.path), &next).is_ok() => (twin.rows, twin.after),
        _ => match search.make(path, &next)? {
            Made::Written(rows) => (Some(rows), Some(hashes::file(&next)?)),
            Made::Removed => (None, None),
        },
    };
    journal.note(Changed { path: path.to_owned(), rows, before, after: after.clone() })?;
    step("erasure file noted");
    let object = remote::changing(&place)?;
    if after.is_some() {
        disk::rename(&next, &place)?;
    } else {
        disk::remove_file(&place)?;
    }
    sync_folder(folder_of(&place))?;
    remote::changed(&place, object, after.as_ref())?;
    step("erasure file replaced");
    Ok(())
}

/// The hash of a file that is to be replaced; nothing when it holds nobody, cannot be opened and was not to be, or was replaced already.
fn to_replace(work: Work, path: &str, search: &Search, journal: &mut Journal) -> Result<Option<Hash>> {
    let now = || hashes::file_until(&work.output.join(path), work.stop);
    let Some(step) = journal.steps.get(path).cloned() else {
        return match search.count(path) {
            Ok(0) => Ok(None),
            Ok(_) => now().map(Some),
            Err(error) if error.is::<KeyError>() && journal.order.receipt.files_not_searched.contains(path) => Ok(None),
            Err(error) => Err(error),
        };
    };
    let now = now()?;
    if Some(&now) == step.after.as_ref() {
        return Ok(None);
    }
    if journal.made(path, &now) {
        // By another process that carried this order out as well.
        journal.note(Changed { after: Some(now), ..step })?;
        return Ok(None);
    }
    if now != step.before && is_current(work.output, path, &now)? {
        // Published since: it is searched as what it is.
        return Ok((search.count(path)? > 0).then_some(now));
    }
    if now != step.before && is_proven(path) {
        bail!("{path} was changed while it was being erased from; put it back from a copy, or remove it");
    }
    // A page or a file of metrics that was made anew since: what counts is whether it holds somebody now.
    if now != step.before && search.count(path)? == 0 {
        journal.note(Changed { after: Some(now), ..step })?;
        return Ok(None);
    }
    Ok(Some(now))
}

/// Whether the ledger or a manifest says what a file must be.
fn is_proven(path: &str) -> bool {
    ["runs/", "scores/", "releases/"].iter().any(|folder| path.starts_with(folder))
}

/// A file that had the same content before, is treated already and is now what this one is to be.
fn twin(output: &Path, path: &str, before: &Hash, search: &Search, journal: &Journal) -> Result<Option<Changed>> {
    let same = |step: &&Changed| step.before == *before && step.path != path && step.after.is_some();
    for step in journal.steps.values().filter(same) {
        let there = || hashes::file(&output.join(&step.path)).ok() == step.after;
        if search.are_alike(path, &step.path)? && there() {
            return Ok(Some(step.clone()));
        }
    }
    Ok(None)
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

/// What of an output folder holds somebody.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Files, with how many rows, or places in a text.
    pub files: BTreeMap<String, u64>,
    /// Those that cannot be opened, for want of the key they are encrypted with.
    pub unsearched: BTreeSet<String>,
    /// Ids that were met in them.
    pub met: BTreeSet<String>,
}

/// Looks through an output folder.
///
/// # Errors
/// When a table is damaged or cannot be told apart by subjects, an id stands where it cannot be taken out, or the work is interrupted.
pub fn survey(output: &Path, order: &Order, stop: &AtomicBool, log: &Output) -> Result<Survey> {
    let (search, files) = (Search::new(output, order, stop), files(output)?);
    let progress = log.stage("look through the folder", files.len() as u64, "files");
    let mut found = Survey::default();
    for path in files {
        exit::check(stop)?;
        match search.count(&path) {
            Ok(0) => {}
            Ok(count) => {
                found.files.insert(path, count);
            }
            Err(error) if error.is::<KeyError>() => {
                found.unsearched.insert(path);
            }
            Err(error) => return Err(error),
        }
        progress.add(1);
    }
    progress.finish();
    found.met = search.met();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::LogFormat;

    fn order() -> Order {
        let receipt = serde_json::from_value(serde_json::json!({
            "schema": 1, "erasure": 1, "begun": "2026-01-01T00:00:00Z", "ended": "", "pipeline": "nightly", "program": "s", "ids": 1,
            "hashes": [], "guard": "", "stages": 0, "files": [], "inputs": [], "inputs_not_searched": null, "notified": [],
            "releases_not_searched": [], "ledger_lines": 0,
        }));
        Order {
            ids: BTreeSet::from(["ab12cd34".to_owned()]),
            pseudonyms: BTreeSet::new(),
            places: BTreeMap::new(),
            receipt: receipt.unwrap(),
        }
    }

    /// An erasure that noted a file, after which the file was written by somebody else.
    fn overwritten(path: &str, text: &str) -> (tempfile::TempDir, Result<()>) {
        let output = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(output.path(), order(), None, None).unwrap();
        let (before, after) = ("before".to_owned(), Some("after".to_owned()));
        journal.note(Changed { path: path.to_owned(), rows: Some(1), before, after }).unwrap();
        let place = output.path().join(path);
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        fs_err::write(&place, text).unwrap();
        let done = recover(output.path(), None, &Output::new(true, LogFormat::Json));
        (output, done)
    }

    #[test]
    fn what_no_proof_depends_on_may_be_written_anew_meanwhile() {
        for (text, then) in [("rows{file=\"ab12cd34\"} 1\n", "rows{file=\"erased\"} 1\n"), ("rows 1\n", "rows 1\n")] {
            let (output, done) = overwritten("metrics.prom", text);
            done.unwrap();
            assert_eq!(fs_err::read_to_string(output.path().join("metrics.prom")).unwrap(), then);
            assert!(under_way(output.path()).unwrap().is_empty());
            let receipt = fs_err::read_to_string(output.path().join(receipt_path(1))).unwrap();
            let receipt: Receipt = serde_json::from_str(&receipt).unwrap();
            assert_eq!(receipt.files[0].after, Some(hashes::text(then)));
        }
    }

    #[test]
    fn what_cannot_be_finished_names_the_pipeline_that_ordered_it() {
        let (output, done) = overwritten("runs/a/audit.json", "{}");
        let error = format!("{:#}", done.unwrap_err());
        assert!(error.contains("audit.json was changed while it was being erased from"), "{error}");
        assert!(error.contains("the pipeline nightly ordered"), "{error}");
        assert_eq!(under_way(output.path()).unwrap(), [1]);
    }

    #[test]
    fn an_order_that_was_not_given_is_not_under_way() {
        let (file, never) = (tempfile::NamedTempFile::new().unwrap(), AtomicBool::new(false));
        let log = Output::new(true, LogFormat::Json);
        // Nothing can be made below a file.
        let error = begin(file.path(), order(), None, &never, &log).unwrap_err();
        assert!(!format!("{error:#}").contains("under way"), "{error:#}");
        let output = tempfile::tempdir().unwrap();
        fs_err::write(output.path().join("more.txt"), "id=ab12cd34").unwrap();
        let error = begin(output.path(), order(), None, &AtomicBool::new(true), &log).unwrap_err();
        assert!(error.is::<Interrupted>() && format!("{error:#}").contains("under way"), "{error:#}");
        recover(output.path(), None, &log).unwrap();
        assert_eq!(fs_err::read_to_string(output.path().join("more.txt")).unwrap(), "id=erased");
    }
}
