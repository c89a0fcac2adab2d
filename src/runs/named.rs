//! The run that a user names: by its folder, its id or the beginning of it, its as-of date, `latest` or `last`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::civil::Date;

use super::folder::RunFolder;
use super::folder::manifest::MANIFEST;
use super::ledger::{Event, Ledger, Line};
use crate::expression::did_you_mean;

/// How a run can be named, for help texts.
pub const NAMES: &str = "its folder, its id or the beginning of it, its as-of date, `latest` (the newest as-of date published) or \
`last` (the run that ended last)";

/// The folder of a run that a user names. An as-of date means what is published for it.
///
/// # Errors
/// When there is no such run, or several.
pub fn find(name: &str, output: &Path) -> Result<RunFolder> {
    let folder = Path::new(name);
    if folder.join(MANIFEST).exists() {
        let folder = std::path::absolute(folder)?;
        let id = folder.file_name().context("a run's folder has a name")?.to_string_lossy().into_owned();
        let output = folder.parent().and_then(Path::parent).unwrap_or_else(|| Path::new(".")).to_owned();
        return Ok(RunFolder { output, id, folder });
    }
    let id = match (name, name.parse::<Date>()) {
        ("latest", _) => latest(output)?,
        ("last", _) => last(output)?,
        (_, Ok(as_of)) => published(as_of, output)?,
        (beginning, _) => begins(beginning, output)?,
    };
    let run = RunFolder::of(output, &id);
    if run.path(MANIFEST).exists() {
        return Ok(run);
    }
    if run.folder.is_dir() {
        bail!("run {id} has no result; `sesame runs --output {}` says how it ended", output.display());
    }
    bail!("run {id} was removed from {}; what it published stays", output.join("runs").display())
}

/// Which runs they are does not depend on the key; `verify` asks for it.
fn ledger(output: &Path) -> Result<Ledger> {
    Ledger::open(output, None)
}

/// The run of the newest as-of date that is published; of several the one published last.
fn latest(output: &Path) -> Result<String> {
    let ledger = ledger(output)?;
    let published = ledger.lines.iter().filter(|l| l.entry.event == Event::Published);
    let newest = published.max_by_key(|line| (line.entry.as_of, line.n));
    let line = newest.with_context(|| format!("nothing was published in {} yet", output.display()))?;
    Ok(line.entry.run.clone())
}

/// The run that came to its end last, published or refused.
fn last(output: &Path) -> Result<String> {
    let ledger = ledger(output)?;
    let ended = |l: &&Line| matches!(l.entry.event, Event::Published | Event::Refused);
    let line = ledger.lines.iter().rev().find(ended);
    Ok(line.with_context(|| format!("no run has ended in {} yet", output.display()))?.entry.run.clone())
}

/// The run whose table is published for an as-of date; several models have each its own.
fn published(as_of: Date, output: &Path) -> Result<String> {
    let ledger = ledger(output)?;
    let of_date = |l: &&Line| l.entry.event == Event::Published && l.entry.as_of == as_of;
    let tables: BTreeSet<&str> = ledger.lines.iter().filter(of_date).map(|l| l.entry.table.as_str()).collect();
    let runs: Vec<String> =
        tables.iter().filter_map(|table| ledger.current(table)).map(|line| line.entry.run.clone()).collect();
    one(&as_of.to_string(), runs, || {
        let published = ledger.lines.iter().filter(|l| l.entry.event == Event::Published);
        let dates: BTreeSet<Date> = published.map(|l| l.entry.as_of).collect();
        let near = dates.range(..as_of).next_back().or_else(|| dates.first());
        let near = near.map_or_else(String::new, |near| format!("; there is {near}"));
        format!("nothing is published as of {as_of} in {}{near}", output.display())
    })
}

/// The run whose id is so, or alone begins so.
fn begins(beginning: &str, output: &Path) -> Result<String> {
    let known: Vec<String> = RunFolder::all(output)?.into_iter().map(|r| r.id).collect();
    if known.iter().any(|id| id == beginning) {
        return Ok(beginning.to_owned());
    }
    let found = known.iter().filter(|id| !beginning.is_empty() && id.starts_with(beginning)).cloned().collect();
    one(beginning, found, || {
        let hint = did_you_mean(beginning, known.iter().map(String::as_str));
        let folder = output.join("runs");
        format!(
            "there is no run {beginning} in {}{hint}; name {NAMES}, or give --output; `sesame runs` lists them",
            folder.display()
        )
    })
}

/// The only one that was found.
fn one(asked: &str, mut found: Vec<String>, none: impl FnOnce() -> String) -> Result<String> {
    match found.len() {
        0 => bail!(none()),
        1 => Ok(found.remove(0)),
        _ => bail!("{asked} can be any of {}; name one of them", found.join(", ")),
    }
}
