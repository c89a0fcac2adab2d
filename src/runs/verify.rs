//! Proof: whether everything that runs wrote, and what they read, is still what the ledger and the manifests say.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};

use super::erasure::journal::under_way;
use super::erasure::{Erasures, receipt_path};
use super::folder::manifest::{MANIFEST, Manifest, Subject};
use super::folder::{LINEAGE, RunFolder, STATE, State};
use super::in_place::{self, LATE, Table};
use super::ledger::place::SCORES;
use super::ledger::{Event, Key, Ledger, Line};
use super::origin::{self, Now};
use super::output_folder::FOLDERS;
use super::releases::proof;
use super::remote;
use crate::job::dependencies::BUILD;
use crate::stages::store::StageStore;
use crate::storage::durable::{is_under_way, no_links};
use crate::storage::hashes::Hash;
use crate::storage::{hashes, read};

/// Something that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// What is looked at besides outputs.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whether input files that are still there must be unchanged.
    pub inputs: bool,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
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
    let erasures = erasures(&run.output, ledger)?;
    let manifest = kept(run, line, &erasures, scope.stop, &|_| true)?;
    if manifest.subject.iter().find(|f| f.name == SCORES).is_none_or(|f| f.digest.blake3 != line.entry.scores) {
        return mismatch(format!("run {}: the ledger and the manifest disagree about {SCORES}", run.id));
    }
    let encrypted = |f: &&Subject| f.annotations.is_some();
    let plain = manifest.file(SCORES).and_then(|f| f.annotations.as_ref()).and_then(|of| of.plain.as_ref());
    if plain.map(|of| &of.blake3) != line.entry.plain.as_ref() {
        return mismatch(format!(
            "run {}: the ledger and the manifest disagree about what {SCORES} is written plain",
            run.id
        ));
    }
    let late = remote::is_late(&run.output, line.n);
    if late && run.state().is_none_or(|state| !state.is_final()) {
        say(&format!("run {}: {LATE}", run.id));
    } else {
        told(run, line, &erasures)?;
    }
    let known: BTreeSet<&str> =
        manifest.subject.iter().map(|f| f.name.as_str()).chain([MANIFEST, STATE, LINEAGE]).collect();
    for name in files_below(&run.folder)?.iter().filter(|name| !known.contains(name.as_str())) {
        extra(&format!("runs/{}/{name}", run.id), say)?;
    }
    let inputs = inputs(run, &manifest, scope)?;
    table(&run.output, ledger, line, &erasures, scope, say)?;
    let program = match manifest.build() == Some(BUILD) {
        true => "made by this program",
        false => "made by another build of the program",
    };
    let changed = |f: &&Subject| erasures.hash_now(&below(run, &f.name), &f.digest.blake3, line.n) != f.digest.blake3;
    let count = |which: &dyn Fn(&&Subject) -> bool| manifest.subject.iter().filter(which).count();
    let encrypted = match count(&encrypted) {
        0 => String::new(),
        encrypted => format!(", {encrypted} of them encrypted,"),
    };
    let erased = match count(&changed) {
        0 => String::new(),
        changed => format!(" but for {changed} that subjects were erased from, which are as the receipts say"),
    };
    let files = manifest.subject.len();
    say(&format!("run {}: {files} files{encrypted} as the manifest says{erased}, {inputs}, {program}", run.id));
    Ok(())
}

/// The manifest of a run that the ledger knows, and the files of it that are wanted, found to be as they were.
///
/// # Errors
/// [`Mismatch`] with the first thing that does not hold.
pub fn kept(
    run: &RunFolder,
    line: &Line,
    erasures: &Erasures,
    stop: &AtomicBool,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Manifest> {
    let now = |name: &str, then: &Hash| erasures.hash_now(&below(run, name), then, line.n);
    if !run.path(MANIFEST).exists() {
        return mismatch(format!("run {}: its {MANIFEST} is missing", run.id));
    }
    if hashes::file(&run.path(MANIFEST))? != now(MANIFEST, &line.entry.manifest) {
        return mismatch(format!("run {}: its {MANIFEST} is not the one the ledger knows", run.id));
    }
    let manifest = Manifest::read(run)?;
    for file in manifest.subject.iter().filter(|file| wanted(&file.name)) {
        let path = run.path(&file.name);
        remote::bring(&path)?;
        if !path.is_file() || path.is_symlink() {
            return mismatch(format!("run {}: {} is missing", run.id, file.name));
        }
        if hashes::file_until(&path, stop)? != now(&file.name, &file.digest.blake3) {
            return mismatch(format!("run {}: {} was changed", run.id, file.name));
        }
    }
    Ok(manifest)
}

/// The erasures that the ledger tells of, their receipts found to be as they were.
fn erasures(output: &Path, ledger: &Ledger) -> Result<Erasures> {
    Erasures::of(output, ledger, None).or_else(|error| mismatch(format!("{error:#}")))
}

/// Tells of erasures, and checks that nothing else is among their receipts.
fn receipts(output: &Path, erasures: &Erasures, say: &Say) -> Result<()> {
    let mut known = BTreeSet::new();
    for (_, receipt) in erasures.receipts() {
        known.insert(receipt_path(receipt.erasure));
        say(&format!(
            "erasure {}: {} id(s) at {}, {} file(s) changed, as the ledger says",
            receipt.erasure,
            receipt.ids,
            receipt.ended,
            receipt.files.len()
        ));
    }
    let open: Vec<String> = under_way(output)?.iter().map(|number| format!("erasures/{number}/")).collect();
    for name in files_below(&output.join("erasures"))? {
        let name = format!("erasures/{name}");
        if !known.contains(&name) && !open.iter().any(|folder| name.starts_with(folder)) {
            extra(&name, say)?;
        }
    }
    Ok(())
}

/// A file of a run by its path below the output folder.
fn below(run: &RunFolder, name: &str) -> String {
    format!("runs/{}/{name}", run.id)
}

/// What a run's folder says of its end, which must be what the ledger says.
fn told(run: &RunFolder, line: &Line, erasures: &Erasures) -> Result<()> {
    let state = if line.entry.event == Event::Published { State::Published } else { State::Refused };
    let said = read::text(&run.path(STATE)).unwrap_or_default();
    if said != state.text()? {
        return mismatch(format!("run {}: its {STATE} does not say what the ledger says", run.id));
    }
    if let Some(told) = &line.entry.lineage
        && (!run.path(LINEAGE).is_file()
            || hashes::file(&run.path(LINEAGE))? != erasures.hash_now(&below(run, LINEAGE), told, line.n))
    {
        return mismatch(format!("run {}: its {LINEAGE} was changed", run.id));
    }
    Ok(())
}

/// A file that nothing tells of: one that a crash left is told, any other does not hold.
fn extra(name: &str, say: &Say) -> Result<()> {
    let file = name.rsplit('/').next().unwrap_or(name);
    if is_under_way(file) || (file.starts_with('.') && file.ends_with(".incoming")) || name.contains("/.new-") {
        say(&format!("{name}: left by a crash; the next run removes it"));
        return Ok(());
    }
    mismatch(format!("{name} is there, and nothing tells of it"))
}

/// The files below a folder, by their path there, in order; none when there is no folder. Links are not followed.
fn files_below(folder: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, below: &str, files: &mut Vec<String>) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), files)?
            } else {
                files.push(name)
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    if folder.is_dir() {
        walk(folder, "", &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn inputs(run: &RunFolder, manifest: &Manifest, scope: Scope) -> Result<String> {
    if !scope.inputs {
        return Ok("inputs not looked at".to_owned());
    }
    let (mut same, mut gone, mut by_version) = (0, 0, 0);
    for input in manifest.inputs() {
        match origin::now(input, scope.stop)? {
            Now::Gone => gone += 1,
            Now::Same => same += 1,
            Now::ByVersion => by_version += 1,
            Now::Other(what) => {
                let path = input.uri.display();
                return mismatch(format!("run {}: the input {path} {what}; --outputs-only leaves inputs out", run.id));
            }
        }
    }
    let looked = match gone {
        0 => format!("{same} input files as they were"),
        gone => format!("{same} input files as they were and {gone} no longer there"),
    };
    Ok(match (by_version, same + gone) {
        (0, _) => looked,
        (n, 0) => format!("{n} input files by version, not looked at"),
        (n, _) => format!("{looked}, {n} by version, not looked at"),
    })
}

/// The table that a run published, unless another replaced it.
fn table(output: &Path, ledger: &Ledger, line: &Line, erasures: &Erasures, scope: Scope, say: &Say) -> Result<()> {
    let (run, table) = (&line.entry.run, &line.entry.table);
    match in_place::table(output, ledger, line, erasures, scope.stop)? {
        Table::Right => Ok(()),
        Table::Late => {
            say(&format!("run {run}: {LATE}"));
            Ok(())
        }
        Table::Missing => mismatch(format!("run {run}: its table {table} is missing")),
        Table::Changed => mismatch(format!("run {run}: its table {table} was changed after it was published")),
    }
}

/// Checks every run that the ledger tells of, and that nothing is there which it does not tell of.
///
/// # Errors
/// [`Mismatch`] with the first thing that does not hold.
pub fn all(output: &Path, ledger: &Ledger, scope: Scope, say: &Say) -> Result<()> {
    for number in under_way(output)? {
        say(&format!(
            "erasure {number}: under way; until the next run finishes it, files are other than the ledger says"
        ));
    }
    let (mut seen, erasures) = (BTreeSet::new(), erasures(output, ledger)?);
    for line in ledger.lines.iter().filter(|l| seen.insert(l.entry.run.as_str())) {
        let id = &line.entry.run;
        let Some(last) = ledger.last_of(id) else { continue };
        let folder = RunFolder::of(output, id);
        match (last.entry.event, folder.folder.exists()) {
            (Event::Removed, there) => {
                if let Some(line) = ledger.of_run(id) {
                    table(output, ledger, line, &erasures, scope, say)?;
                }
                let how = if there { "is being" } else { "was" };
                say(&format!("run {id}: {how} removed by `sesame clean`, as the ledger says"));
            }
            (Event::Announced, _) => {
                say(&format!("run {id}: its publication was announced and is not finished; the next run does that"))
            }
            // Told of below, by its receipt.
            (Event::Erased, _) => {}
            (Event::Abandoned, _) => say(&format!("run {id}: its publication was given up, as the ledger says")),
            (Event::Published | Event::Refused, false) => return mismatch(format!("run {id}: its folder is missing")),
            (Event::Published | Event::Refused, true) => run(&folder, ledger, scope, say)?,
            // Held against its files below; it says nothing of the run.
            (Event::Released, _) => {}
        }
    }
    for run in RunFolder::all(output)?.iter().filter(|run| ledger.last_of(&run.id).is_none()) {
        untold(run, say)?;
    }
    receipts(output, &erasures, say)?;
    if let Some(mirror) = remote::of(output) {
        for name in mirror.strangers().iter().filter(|name| name.starts_with("runs/")) {
            extra(name, say)?;
        }
    }
    nothing_else(output, ledger, say)?;
    releases(output, ledger, None, scope.stop, say)
}

/// Checks what partners were given: of one run, or of all, and then that nothing else is there.
///
/// # Errors
/// [`Mismatch`] with the first thing that does not hold.
pub fn releases(output: &Path, ledger: &Ledger, run: Option<&str>, stop: &AtomicBool, say: &Say) -> Result<()> {
    let proof = proof::prove(output, ledger, run, stop)?;
    proof.said.iter().for_each(|text| say(text));
    proof.mismatch.map_or(Ok(()), mismatch)
}

/// A folder that the ledger does not tell of: the record of a run that came to nothing, or it does not hold.
fn untold(run: &RunFolder, say: &Say) -> Result<()> {
    match run.state() {
        Some(State::Failed { .. } | State::Interrupted) => {
            for name in files_below(&run.folder)?.iter().filter(|name| ![STATE, LINEAGE].contains(&name.as_str())) {
                say(&format!("runs/{}/{name}: left by a run that came to nothing; the next run removes it", run.id));
            }
            Ok(())
        }
        Some(State::Staging) => {
            say(&format!("run {}: under way, or ended without a word", run.id));
            Ok(())
        }
        None if run.names()?.is_empty() => {
            say(&format!("runs/{}: left empty by a run that could write nothing; the next run removes it", run.id));
            Ok(())
        }
        _ => mismatch(format!("run {}: the ledger does not know it", run.id)),
    }
}

/// Checks that below `scores`, `runs` and `stages` there is no file that nothing tells of.
fn nothing_else(output: &Path, ledger: &Ledger, say: &Say) -> Result<()> {
    for folder in FOLDERS {
        if let Err(link) = no_links(output, &output.join(folder)) {
            return mismatch(format!("{link:#}"));
        }
    }
    for name in files_below(&output.join("scores"))? {
        let below = format!("scores/{name}");
        if ledger.current(&below).is_none() {
            match name.ends_with(".parquet") {
                true => return mismatch(format!("{below} is published, and the ledger does not know it")),
                false => extra(&below, say)?,
            }
        }
    }
    if output.join("runs").is_dir() {
        for entry in fs_err::read_dir(output.join("runs"))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                extra(&format!("runs/{}", entry.file_name().to_string_lossy()), say)?;
            }
        }
    }
    let known: BTreeSet<String> = StageStore::of(output, None).files()?;
    for name in files_below(&output.join("stages"))?.iter().filter(|name| !known.contains(*name)) {
        extra(&format!("stages/{name}"), say)?;
    }
    Ok(())
}

/// The inputs of a run for running it again: all must be there as they were.
///
/// # Errors
/// When one is gone or was changed.
pub fn replayable(run: &RunFolder, manifest: &Manifest, stop: &AtomicBool) -> Result<()> {
    for input in manifest.inputs() {
        if origin::is_by_version(input) {
            let path = input.uri.display();
            bail!("run {} cannot be replayed: its input {path} is read by another engine alone", run.id);
        }
        if origin::is_gone(input)? {
            let path = input.uri.display();
            bail!("run {} cannot be replayed: its input {path} is no longer there", run.id);
        }
    }
    inputs(run, manifest, Scope { inputs: true, stop }).map(|_| ())
}
