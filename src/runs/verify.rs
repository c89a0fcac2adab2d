//! Proof: whether everything that runs wrote, and what they read, is still what the ledger and the manifests say.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::folder::{RunFolder, State};
use super::ledger::{Event, Key, Ledger, Line};
use super::manifest::{MANIFEST, Manifest};
use super::publication::SCORES;
use crate::publish::hashes;
use crate::stages::key::BUILD;

/// Something that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// What is looked at besides outputs.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Whether input files that are still there must be unchanged.
    pub inputs: bool,
}

/// Says what holds, line by line.
pub type Say<'a> = dyn Fn(&str) + 'a;

fn mismatch<T>(text: String) -> Result<T> {
    Err(Mismatch(text).into())
}

/// Checks the ledger of an output folder.
///
/// # Errors
/// [`Mismatch`] with the first line that does not hold.
pub fn ledger(output: &Path, key: Option<Key>, say: &Say) -> Result<Ledger> {
    let ledger = match Ledger::open(output, key) {
        Ok(ledger) => ledger,
        Err(error) => return mismatch(format!("{error:#}")),
    };
    let keyed = if ledger.keyed() { "keyed" } else { "not keyed: who can write here could rewrite it as a whole" };
    say(&format!("ledger: {} line(s) hold, {keyed}", ledger.lines.len()));
    if ledger.behind {
        say("ledger: its head is one line behind, as a crash leaves it; the next run mends that");
    }
    Ok(ledger)
}

/// Checks one run: manifest, outputs, configuration, inputs, and its published table if that is the current one.
///
/// # Errors
/// [`Mismatch`] with the first thing that does not hold.
pub fn run(run: &RunFolder, ledger: &Ledger, scope: Scope, say: &Say) -> Result<()> {
    let Some(line) = ledger.of_run(&run.id) else {
        return mismatch(format!("run {}: the ledger does not know it", run.id));
    };
    if !run.path(MANIFEST).exists() {
        return mismatch(format!("run {}: its {MANIFEST} is missing", run.id));
    }
    if hashes::file(&run.path(MANIFEST))? != line.entry.manifest {
        return mismatch(format!("run {}: its {MANIFEST} is not the one the ledger knows", run.id));
    }
    let manifest = Manifest::read(run)?;
    for file in &manifest.subject {
        let path = run.path(&file.name);
        if !path.exists() {
            return mismatch(format!("run {}: {} is missing", run.id, file.name));
        }
        if hashes::file(&path)? != file.digest.blake3 {
            return mismatch(format!("run {}: {} was changed", run.id, file.name));
        }
    }
    if manifest.subject.iter().find(|f| f.name == SCORES).is_none_or(|f| f.digest.blake3 != line.entry.scores) {
        return mismatch(format!("run {}: the ledger and the manifest disagree about {SCORES}", run.id));
    }
    let inputs = inputs(run, &manifest, scope)?;
    table(&run.output, ledger, line)?;
    let program = match manifest.build() == Some(BUILD) {
        true => "made by this program",
        false => "made by another build of the program",
    };
    let files = manifest.subject.len();
    say(&format!("run {}: {files} files as the manifest says, {inputs}, {program}", run.id));
    Ok(())
}

fn inputs(run: &RunFolder, manifest: &Manifest, scope: Scope) -> Result<String> {
    if !scope.inputs {
        return Ok("inputs not looked at".to_owned());
    }
    let (mut same, mut gone) = (0, 0);
    for input in manifest.inputs() {
        let path = &input.uri;
        if !path.exists() {
            gone += 1;
        } else if hashes::file(path)? == input.digest.blake3 {
            same += 1;
        } else {
            return mismatch(format!(
                "run {}: the input {} is not what it was; --outputs-only leaves inputs out",
                run.id,
                path.display()
            ));
        }
    }
    Ok(match gone {
        0 => format!("{same} input files as they were"),
        gone => format!("{same} input files as they were and {gone} no longer there"),
    })
}

/// The table that a run published, unless another replaced it.
fn table(output: &Path, ledger: &Ledger, line: &Line) -> Result<()> {
    let current = ledger.current(&line.entry.table);
    if line.entry.event != Event::Published || current.is_none_or(|c| c.n != line.n) {
        return Ok(());
    }
    let path = output.join(&line.entry.table);
    if !path.exists() {
        return mismatch(format!("run {}: its table {} is missing", line.entry.run, line.entry.table));
    }
    if hashes::file(&path)? != line.entry.scores {
        return mismatch(format!(
            "run {}: its table {} was changed after it was published",
            line.entry.run, line.entry.table
        ));
    }
    Ok(())
}

/// Checks every run that the ledger tells of, and that nothing is there which it does not tell of.
///
/// # Errors
/// [`Mismatch`] with the first thing that does not hold.
pub fn all(output: &Path, ledger: &Ledger, scope: Scope, say: &Say) -> Result<()> {
    for line in &ledger.lines {
        let folder = RunFolder::of(output, &line.entry.run);
        if line.entry.event == Event::Removed {
            continue;
        }
        let removed = ledger.lines.iter().any(|l| l.entry.event == Event::Removed && l.entry.run == line.entry.run);
        match (folder.folder.exists(), removed) {
            (false, true) => {
                table(output, ledger, line)?;
                say(&format!("run {}: removed by `sesame clean`, as the ledger says", line.entry.run));
            }
            (false, false) => return mismatch(format!("run {}: its folder is missing", line.entry.run)),
            (true, _) => run(&folder, ledger, scope, say)?,
        }
    }
    for run in RunFolder::all(output) {
        let concluded = matches!(run.state(), Some(State::Published | State::Refused));
        if concluded && ledger.of_run(&run.id).is_none() {
            return mismatch(format!("run {}: the ledger does not know it", run.id));
        }
    }
    let pattern = output.join("scores/as_of=*/model=*/scores.parquet");
    for path in glob::glob(pattern.to_str().context("a path that is no text")?)? {
        let path = path?;
        let below = path.strip_prefix(output).unwrap_or(&path).to_string_lossy().into_owned();
        if ledger.current(&below).is_none() {
            return mismatch(format!("{below} is published, and the ledger does not know it"));
        }
    }
    Ok(())
}

/// The inputs of a run for running it again: all must be there as they were.
///
/// # Errors
/// When one is gone or was changed.
pub fn replayable(run: &RunFolder, manifest: &Manifest) -> Result<()> {
    for input in manifest.inputs() {
        let path = &input.uri;
        if !path.exists() {
            bail!("run {} cannot be replayed: its input {} is no longer there", run.id, path.display());
        }
    }
    inputs(run, manifest, Scope { inputs: true }).map(|_| ())
}
