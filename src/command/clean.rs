//! `sesame clean`: makes room, after showing what would go.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::cli::CleanArgs;
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::pipeline::Pipeline;
use crate::runs::folder::RunFolder;
use crate::runs::ledger::{Entry, Event, Ledger};
use crate::runs::output_folder::{OutputFolder, key_of, output_of};
use crate::stages::store::StageStore;

const DAY: Duration = Duration::from_secs(86_400);

/// Something that may go.
struct Old {
    what: String,
    folder: PathBuf,
    /// The run whose folder it is.
    run: Option<String>,
}

/// Removes stages and runs that have not been needed for so long; without `--yes` it only says which.
///
/// # Errors
/// When the output is locked, the ledger does not hold, or a folder cannot be removed.
pub fn run(args: &CleanArgs, output: &Output) -> Result<ExitStatus> {
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let folder = output_of(&pipeline);
    let locked = match args.yes {
        true => Some(OutputFolder::open(&pipeline, "clean", output)?),
        false => None,
    };
    let old = old(args, &folder, &Ledger::open(&folder, key_of(&pipeline)?)?);
    let mut bytes = 0;
    for one in &old {
        let size = size(&one.folder);
        bytes += size;
        output.data(&format!("{:<60} {:>15} bytes\n", one.what, thousands(size)))?;
    }
    let Some(locked) = locked else {
        let what = format!("{} folder(s), {} bytes would be removed; --yes removes them", old.len(), thousands(bytes));
        output.line(&what);
        return Ok(ExitStatus::Success);
    };
    for one in &old {
        if let Some(run) = &one.run {
            note_removal(&locked, run)?;
        }
        fs_err::remove_dir_all(&one.folder)?;
    }
    output.line(&format!("{} folder(s), {} bytes removed", old.len(), thousands(bytes)));
    Ok(ExitStatus::Success)
}

/// What may go: stages not used for so long, and runs that ended so long ago, except those whose table is published.
fn old(args: &CleanArgs, output: &Path, ledger: &Ledger) -> Vec<Old> {
    let mut old = Vec::new();
    for stage in StageStore::of(output).all() {
        if age(&stage.label_path()) >= DAY * args.stages_older_than {
            let what = format!("stage {} of {}", stage.label.key.kind.name(), stage.label.key.as_of);
            old.push(Old { what, folder: stage.folder, run: None });
        }
    }
    let Some(days) = args.runs_older_than else { return old };
    for run in RunFolder::all(output) {
        let Some(line) = ledger.of_run(&run.id) else { continue };
        let current = ledger.current(&line.entry.table).is_some_and(|c| c.entry.run == run.id);
        if !current && age(&run.path("state.json")) >= DAY * days {
            old.push(Old { what: format!("run {}", run.id), folder: run.folder.clone(), run: Some(run.id) });
        }
    }
    old
}

/// The ledger tells of a removal before it happens, so that a missing folder is never taken for tampering.
fn note_removal(folder: &OutputFolder, run: &str) -> Result<()> {
    let ledger = Ledger::open(&folder.path, folder.key.clone())?;
    let Some(line) = ledger.of_run(run) else { return Ok(()) };
    let at = jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string();
    ledger.prepare(Entry { at, event: Event::Removed, replaces: None, ..line.entry.clone() })?.commit()
}

/// How long ago a file was changed; not at all when the clock says it will be.
fn age(path: &Path) -> Duration {
    let changed = fs_err::metadata(path).and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
    SystemTime::now().duration_since(changed).unwrap_or_default()
}

fn size(folder: &Path) -> u64 {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}
