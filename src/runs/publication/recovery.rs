//! What earlier processes left undone: finished or removed by whoever locks the output folder next. Only what the ledger announced
//! is published; what a folder says of itself decides nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{finish, give_up, is_whole, tell};
use crate::exit;
use crate::output::Output;
use crate::runs::folder::{LINEAGE, RunFolder, STATE, State};
use crate::runs::ledger::{Event, Key, Ledger, Line};
use crate::runs::remote;
use crate::storage::durable::sweep;

/// Records of runs that came to nothing are kept for so many, the newest.
const RECORDS: usize = 50;

/// Finishes what was left undone, and removes what was left behind. Only while the output is locked.
///
/// # Errors
/// When the ledger is missing or does not hold, a publication cannot be finished, or a folder cannot be removed.
pub fn recover(output: &Path, key: Option<&Key>, log: &Output) -> Result<()> {
    let ledger = Ledger::open(output, key.cloned())?;
    ledger.open_to_lines()?;
    not_lost(output, &ledger)?;
    sweep(output)?;
    if ledger.behind {
        ledger.mend()?;
    }
    for line in ledger.announced() {
        let run = RunFolder::of(output, &line.entry.run);
        if run.folder.is_dir() && is_whole(&run, &line.entry)? {
            finish(&run, line.entry.clone(), key.cloned())?;
            log.line(&format!("finished the publication of the earlier run {}", run.id));
        } else {
            give_up(&run, &line.entry, key.cloned(), "its result was damaged before it was published")?;
            log.warn(&format!("the run {} was being published and is damaged; it is not published", run.id));
        }
    }
    let ledger = Ledger::open(output, key.cloned())?;
    let mut records = Vec::new();
    for run in RunFolder::all(output)? {
        sweep(&run.folder)?;
        match ledger.last_of(&run.id) {
            Some(line) => told(&run, line, log)?,
            None => untold(&run, &mut records, log)?,
        }
    }
    expire(records)
}

/// Refuses to begin a new ledger where tables are published.
fn not_lost(output: &Path, ledger: &Ledger) -> Result<()> {
    if !ledger.lines.is_empty() {
        return Ok(());
    }
    let pattern = output.join("scores/as_of=*/model=*/scores.parquet");
    let published = glob::glob(pattern.to_str().context("a path that is no text")?)?.next().transpose()?;
    let kept = RunFolder::all(output)?.into_iter().find(|run| run.state().is_some_and(|s| s.is_final()));
    if let Some(path) = published.or(kept.map(|run| run.folder)) {
        bail!(
            "{} is there and the ledger is missing: put ledger.ndjson and ledger.head.json back from a copy, \
             or publish into another folder",
            path.display()
        );
    }
    Ok(())
}

/// A run that the ledger tells of.
fn told(run: &RunFolder, line: &Line, log: &Output) -> Result<()> {
    match line.entry.event {
        // The ledger tells of a removal before it happens.
        Event::Removed => run.remove(),
        Event::Published | Event::Refused => {
            let state = if line.entry.event == Event::Published { State::Published } else { State::Refused };
            if run.state() == Some(state) {
                return Ok(());
            }
            if !is_whole(run, &line.entry)? {
                log.warn(&format!("the run {} is in the ledger and its folder is damaged; it is left alone", run.id));
                return Ok(());
            }
            log.line(&format!("the {STATE} of the run {} says again what the ledger does", run.id));
            tell(run, &line.entry)
        }
        Event::Abandoned => {
            let error = line.entry.because.clone().unwrap_or_default();
            if !matches!(run.state(), Some(State::Failed { .. })) {
                run.set(&State::Failed { error })?;
            }
            run.strip()
        }
        Event::Announced | Event::Released | Event::Erased => Ok(()),
    }
}

/// A folder that the ledger does not tell of: the record of a run that came to nothing, or what somebody put there.
fn untold(run: &RunFolder, records: &mut Vec<RunFolder>, log: &Output) -> Result<()> {
    match run.state() {
        Some(State::Staging) => {
            run.set(&State::Failed { error: "it ended without a word, as when it is killed".to_owned() })?
        }
        Some(State::Failed { .. } | State::Interrupted) => {}
        Some(_) => {
            log.warn(&format!(
                "the ledger does not know the run {}, whatever its {STATE} says; it is left alone",
                run.id
            ));
            return Ok(());
        }
        None if run.names()?.is_empty() => return run.remove(),
        None => {
            log.warn(&format!("{} is no run's folder; it is left alone", run.folder.display()));
            return Ok(());
        }
    }
    run.strip()?;
    records.push(run.clone());
    Ok(())
}

/// Removes the oldest records beyond those that are kept.
fn expire(mut records: Vec<RunFolder>) -> Result<()> {
    let changed = |run: &RunFolder| fs_err::metadata(run.path(STATE)).and_then(|m| m.modified()).ok();
    records.sort_by_key(|run| std::cmp::Reverse(changed(run)));
    for run in records.iter().skip(RECORDS) {
        for name in [STATE, LINEAGE] {
            remote::remove(&run.path(name))?;
        }
        run.remove()?;
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
    if run.state().is_none_or(|s| !s.is_final()) {
        let _ = run.set(&state);
    }
}
