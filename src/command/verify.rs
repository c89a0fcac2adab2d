//! `sesame verify`: does everything still hold, and does running again give the same bytes?

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::flags::{Format, KeysArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::output::Output;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::Manifest;
use crate::runs::kept::key_of;
use crate::runs::ledger::{Event, Key, Ledger, Line};
use crate::runs::named::find;
use crate::runs::remote;
use crate::runs::remote::look::{Need, look};
use crate::runs::remote::mirror::Mirror;
use crate::runs::verify::{self, Mismatch, Scope};
use crate::session::replay::replay;

/// Flags of `verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub run: Option<String>,
    /// Every run of the output folder, and that nothing else is published there.
    #[arg(long)]
    pub all: bool,
    /// The output folder, for ids, `latest` and --all.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub output: PathBuf,
    /// Leave the inputs out, as when each night's export replaces the one before.
    #[arg(long)]
    pub outputs_only: bool,
    /// The ledger's key, env:NAME, file:PATH or cmd:COMMAND; without it the one that the run's pipeline names, unless that is a command.
    #[arg(long, value_name = "KEY")]
    pub ledger_key: Option<String>,
    /// Which keys open encrypted inputs and tables, for --replay; hashes need none.
    #[command(flatten)]
    pub keys: KeysArgs,
    /// Run it again from what its manifest says, and compare the bytes.
    #[arg(long, conflicts_with = "all")]
    pub replay: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where to replay; the system's temporary folder when not given.
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub scratch: Option<PathBuf>,
}

/// What was looked at, for programs.
#[derive(Serialize)]
struct Verified {
    holds: bool,
    mismatch: Option<String>,
    checked: Vec<String>,
}

/// Verifies one run or all of them.
///
/// # Errors
/// When a file cannot be read, or the work is interrupted. What does not hold is reported and ends with status 1.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let lines = RefCell::new(Vec::new());
    let say = |text: &str| match args.format {
        Format::Text => output.line(text),
        Format::Json => lines.borrow_mut().push(text.to_owned()),
    };
    let mismatch = match checked(args, &say, output) {
        Ok(()) => None,
        Err(error) if error.downcast_ref::<Mismatch>().is_some() => Some(format!("{error:#}")),
        Err(error) => return Err(error),
    };
    let holds = mismatch.is_none();
    match (args.format, &mismatch) {
        (Format::Json, _) => {
            let verified = Verified { holds, mismatch, checked: lines.into_inner() };
            output.data(&(serde_json::to_string_pretty(&verified)? + "\n"))?;
        }
        (Format::Text, None) => output.line("everything holds"),
        (Format::Text, Some(mismatch)) => output.error(mismatch),
    }
    Ok(if holds { ExitStatus::Success } else { ExitStatus::Gate })
}

fn checked(args: &Args, say: &verify::Say, output: &Output) -> Result<()> {
    args.keys.name()?;
    let stop = stop_on_signals()?;
    let scope = Scope { inputs: !args.outputs_only, stop: &stop };
    let output_folder = look(&args.output, if args.all { Need::Proof } else { Need::Releases })?;
    let run = args.run.as_ref().map(|name| locate(name, &output_folder)).transpose()?;
    if let Some(run) = &run {
        // Of an object store: what is there now, and not what came earlier.
        remote::bring_anew(&run.folder)?;
        remote::bring_anew(&run.output.join("releases"))?;
    }
    let folder = run.as_ref().map_or(output_folder.as_path(), |r| r.output.as_path());
    let key = match &args.ledger_key {
        Some(source) => Some(Key::read(source, |path| Path::new(path).to_owned())?),
        None => {
            match run.clone().filter(|r| Manifest::read(r).is_ok()).map_or_else(|| newest(folder), |r| Ok(Some(r)))? {
                Some(run) => key_of(&run)?,
                None => None,
            }
        }
    };
    let ledger = verify::ledger(folder, key.clone(), say)?;
    if let Some(mirror) = remote::of(folder) {
        in_store(&mirror, &ledger, run.as_ref())?;
    }
    match &run {
        Some(run) => {
            if let Some(line) = ledger.of_run(&run.id) {
                remote::bring_anew(&run.output.join(&line.entry.table))?;
            }
            verify::run(run, &ledger, scope, say)?;
            verify::releases(folder, &ledger, Some(&run.id), &stop, say)?;
        }
        None => verify::all(folder, &ledger, scope, say)?,
    }
    match &run {
        Some(run) if args.replay => {
            replay(run, key.as_ref(), args.scratch.as_deref(), &stop, output)?;
            say(&format!("run {}: running it again gives the same bytes", run.id));
        }
        _ => {}
    }
    Ok(())
}

/// Whether an object store has all that its mirror has of a run, or of all that the ledger tells of: what only this machine has proves
/// nothing.
fn in_store(mirror: &Mirror, ledger: &Ledger, only: Option<&RunFolder>) -> Result<()> {
    let ended = |line: &&Line| {
        let last = ledger.last_of(&line.entry.run).map(|last| last.entry.event);
        matches!(last, Some(Event::Published | Event::Refused)) && only.is_none_or(|run| run.id == line.entry.run)
    };
    // What is put after a line may be here alone yet, as it was left by a crash.
    let done = |line: &&Line| !remote::is_late(mirror.root(), line.n);
    let mut folders: Vec<String> =
        ledger.lines.iter().filter(ended).filter(done).map(|line| format!("runs/{}", line.entry.run)).collect();
    if only.is_none() {
        folders.extend(["scores", "releases", "erasures"].map(str::to_owned));
    }
    for folder in folders {
        if let Some(name) = mirror.only_here(&folder)? {
            return Err(Mismatch(format!("{name} is missing in {}", mirror.url())).into());
        }
    }
    Ok(())
}

/// The folder of a run that a user names, whatever is left of it.
fn locate(name: &str, output: &Path) -> Result<RunFolder> {
    let there = RunFolder::of(output, name);
    let is_id = Path::new(name).file_name().is_some_and(|file| file == name);
    if is_id && there.folder.is_dir() { Ok(there) } else { find(name, output) }
}

/// The newest run whose manifest is kept: it says which key the ledger has.
fn newest(folder: &Path) -> Result<Option<RunFolder>> {
    Ok(RunFolder::all(folder)?.into_iter().rev().find(|run| Manifest::read(run).is_ok()))
}
