//! What follows from lines of the ledger, done after they were put, and by whoever comes next if need be: the table in its fixed place,
//! a run's state and lineage, a release where its partner looks, and objects that go. All of it can be done twice.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};

use super::mirror::Mirror;
use crate::exit::Interrupted;
use crate::runs::erasure::Erasures;
use crate::runs::folder::manifest::MANIFEST;
use crate::runs::folder::{LINEAGE, RunFolder, STATE};
use crate::runs::ledger::place::SCORES;
use crate::runs::ledger::{Event, Given, Key, Ledger, Line};
use crate::runs::publication::tell;
use crate::runs::releases::{self, RECEIPT, RELEASE, WITHDRAWN};
use crate::runs::step::step;
use crate::storage::hashes::{self, Hash};

/// Does what follows from lines for which that is not noted to be done; whether there was any.
///
/// # Errors
/// When the ledger does not hold, or the store does not answer; the lines stand, and the next command goes on.
pub fn settle(mirror: &Mirror, key: Option<&Key>) -> Result<bool> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    let (count, settled) = (ledger.lines.len() as u64, mirror.settled()?);
    if settled >= count {
        return Ok(false);
    }
    for line in ledger.lines.iter().filter(|line| line.n > settled) {
        one(mirror, &ledger, line).with_context(|| format!("line {} of the ledger of {}", line.n, mirror.url()))?;
    }
    mirror.settled_to(count)?;
    step("settled");
    Ok(true)
}

/// Does what follows from a line that was put just now. What fails then is told as what it is: the line stands.
///
/// # Errors
/// When something could not be done, with `what` the line says; never one that says that nothing was done.
pub fn settled_after(mirror: &Mirror, key: Option<&Key>, what: &str) -> Result<()> {
    let told = |error: anyhow::Error| match error.is::<Interrupted>() {
        true => anyhow!("{what}; the rest was interrupted, the next command does that"),
        false => anyhow!("{what}, and the rest could not be done; the next command does that: {error:#}"),
    };
    settle(mirror, key).map(drop).map_err(told)
}

fn one(mirror: &Mirror, ledger: &Ledger, line: &Line) -> Result<()> {
    let entry = &line.entry;
    let folder = format!("runs/{}", entry.run);
    match entry.event {
        Event::Published | Event::Refused => {
            let removed = ledger.last_of(&entry.run).is_some_and(|last| last.entry.event == Event::Removed);
            if !removed {
                ended(mirror, line)?;
            }
            if entry.event == Event::Published { table(mirror, &entry.table) } else { Ok(()) }
        }
        // The line comes before the removal, here as in a folder: whoever meant to publish the run finds it.
        Event::Removed | Event::Abandoned => mirror.remove_below(&folder),
        Event::Released => match &entry.given {
            Some(given) => released(mirror, line, given),
            None => Ok(()),
        },
        // The journal goes with the erasure's end.
        Event::Erased => not_as_before(mirror, ledger),
        Event::Announced => Ok(()),
    }
}

/// A run's state and lineage, as the ledger tells them.
fn ended(mirror: &Mirror, line: &Line) -> Result<()> {
    let run = RunFolder::of(mirror.root(), &line.entry.run);
    mirror.bring_below(&format!("runs/{}/{MANIFEST}", run.id))?;
    tell(&run, &line.entry)?;
    for name in [LINEAGE, STATE] {
        if run.path(name).is_file() {
            mirror.push(&format!("runs/{}/{name}", run.id))?;
        }
    }
    Ok(())
}

/// A table that was put into its fixed place while subjects were erased from its run is put there anew: it is the one of before.
fn not_as_before(mirror: &Mirror, ledger: &Ledger) -> Result<()> {
    let erasures = Erasures::of(mirror.root(), ledger, None)?;
    let published = ledger.lines.iter().filter(|line| line.entry.event == Event::Published);
    for place in published.map(|line| line.entry.table.as_str()).collect::<BTreeSet<_>>() {
        let Some(current) = ledger.current(place) else { continue };
        let (then, path) = (&current.entry.scores, mirror.root().join(place));
        if erasures.tables_now(current).contains(then) {
            continue;
        }
        mirror.bring_below(place)?;
        if path.is_file() && hashes::file(&path)? == *then {
            table(mirror, place)?;
        }
    }
    Ok(())
}

/// The table that is published last goes into its fixed place, whichever line was the occasion.
fn table(mirror: &Mirror, table: &str) -> Result<()> {
    let current = || -> Result<Option<(PathBuf, Hash)>> {
        // Asked after the object was looked at: a later line whose table is there already is seen, and one that comes yet replaces it.
        mirror.bring_ledger()?;
        let ledger = Ledger::open(mirror.root(), None)?;
        let Some(line) = ledger.current(table) else { return Ok(None) };
        let (run, name) = (&line.entry.run, format!("runs/{}/{SCORES}", line.entry.run));
        let path = mirror.root().join(&name);
        if !path.is_file() {
            mirror.look()?;
            mirror.bring_below(&name)?;
        }
        let now = Erasures::of(mirror.root(), &ledger, None)?.hash_now(&name, &line.entry.scores, line.n);
        let whole = path.is_file() && hashes::file(&path)? == now;
        ensure!(whole, "the table of the run {run} is missing or was changed: {table} cannot be put in its place");
        Ok(Some((path, now)))
    };
    let put = mirror.replace(table, &current)?;
    step("table replaced");
    if let Some((path, tag)) = put {
        mirror.twin(&path, table, tag)?;
    }
    Ok(())
}

/// A release goes where its partner looks, unless another was given since; the receipt, which has the hashes of the others, last.
fn released(mirror: &Mirror, line: &Line, given: &Given) -> Result<()> {
    let place = releases::place(line, given)?;
    for (name, hash) in [(RELEASE, &given.release), (WITHDRAWN, &given.withdrawn), (RECEIPT, &given.receipt)] {
        let from = format!("{}/{name}", place.earlier_name(&given.receipt));
        let current = || -> Result<Option<(PathBuf, Hash)>> {
            mirror.bring_ledger()?;
            let ledger = Ledger::open(mirror.root(), None)?;
            let mut last = None;
            for (line, given) in releases::lines(&ledger) {
                if releases::place(line, given)? == place {
                    last = Some(line.n);
                }
            }
            if last != Some(line.n) {
                return Ok(None);
            }
            mirror.look()?;
            mirror.bring_below(&from)?;
            let path = mirror.root().join(&from);
            let now = Erasures::of(mirror.root(), &ledger, None)?.hash_now(&from, hash, line.n);
            ensure!(
                path.is_file() && hashes::file(&path)? == now,
                "{}/{from} is missing or was changed: the release cannot be put in its place",
                mirror.url()
            );
            Ok(Some((path, now)))
        };
        mirror.replace(&format!("{}/{name}", place.name()), &current)?;
    }
    step("release replaced");
    Ok(())
}
