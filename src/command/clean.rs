//! `sesame clean`: makes room, after showing what would go.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::pipeline::Pipeline;
use crate::runs::folder::{RunFolder, STATE};
use crate::runs::ledger::Ledger;
use crate::runs::output_folder::{OutputFolder, key_of, looked_at};
use crate::runs::publication::removal;
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::stages::store::StageStore;

/// Flags of `clean`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Set a key of the pipeline file to a TOML value; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Stages that were not used for so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub stages_older_than: u32,
    /// Runs that ended so many days ago and whose table is not the published one; none when not given.
    #[arg(long, value_name = "DAYS")]
    pub runs_older_than: Option<u32>,
    /// Remove them.
    #[arg(long)]
    pub yes: bool,
}

const DAY: Duration = Duration::from_secs(86_400);

/// Something that may go.
struct Old {
    what: String,
    folder: PathBuf,
    /// The run whose folder it is.
    run: Option<RunFolder>,
}

/// Removes stages and runs that have not been needed for so long; without `--yes` it only says which.
///
/// # Errors
/// When the output is locked, the ledger does not hold, or a folder cannot be removed.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let (folder, locked) = match args.yes {
        true => {
            let locked = OutputFolder::open(&pipeline, "clean", output)?;
            (locked.path.clone(), Some(locked))
        }
        false => (looked_at(&pipeline, Need::Small)?, None),
    };
    let key = key_of(&pipeline)?;
    let ledger = Ledger::open(&folder, key.clone())?;
    let old = old(args, &folder, &StageStore::of(&folder, key), &ledger)?;
    let mut bytes = 0;
    for one in &old {
        let size = match (&one.run, remote::of(&folder)) {
            (Some(run), Some(mirror)) => mirror.bytes_below(&format!("runs/{}", run.id)),
            _ => size(&one.folder)?,
        };
        bytes += size;
        output.data(&format!("{:<60} {:>15} bytes\n", one.what, thousands(size)))?;
    }
    let Some(locked) = locked else {
        let what = format!("{} folder(s), {} bytes would be removed; --yes removes them", old.len(), thousands(bytes));
        output.line(&what);
        return Ok(ExitStatus::Success);
    };
    for one in &old {
        match &one.run {
            Some(run) => removal::remove(run, locked.key.as_ref())?,
            None => fs_err::remove_dir_all(&one.folder)?,
        }
    }
    output.line(&format!("{} folder(s), {} bytes removed", old.len(), thousands(bytes)));
    Ok(ExitStatus::Success)
}

/// What may go: stages not used for so long, and runs that ended so long ago, except those whose table is published.
fn old(args: &Args, output: &Path, stages: &StageStore, ledger: &Ledger) -> Result<Vec<Old>> {
    let mut old = Vec::new();
    for stage in stages.all()? {
        if age(&stage.label_path()) >= DAY * args.stages_older_than {
            let what = format!("stage {} of {}", stage.label.key.kind.name(), stage.label.key.as_of);
            old.push(Old { what, folder: stage.folder, run: None });
        }
    }
    let Some(days) = args.runs_older_than else { return Ok(old) };
    for run in RunFolder::all(output)? {
        if removal::is_needless(&run, ledger) && age(&run.path(STATE)) >= DAY * days {
            old.push(Old { what: format!("run {}", run.id), folder: run.folder.clone(), run: Some(run) });
        }
    }
    Ok(old)
}

/// How long ago a file was changed; not at all when the clock says it will be.
fn age(path: &Path) -> Duration {
    let changed = fs_err::metadata(path).and_then(|m| m.modified()).unwrap_or_else(|_| SystemTime::now());
    SystemTime::now().duration_since(changed).unwrap_or_default()
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let of = entry.metadata()?;
        bytes += if of.is_dir() { size(&entry.path())? } else { of.len() };
    }
    Ok(bytes)
}
