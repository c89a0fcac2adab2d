//! `sesame verify`: does everything still hold, and does running again give the same bytes?

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cli::{DiffFormat, PipelineArgs, VerifyArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::job::load_dates;
use crate::machine::{Limits, USUAL_MEMORY};
use crate::output::Output;
use crate::runs::folder::RunFolder;
use crate::runs::identity::identify;
use crate::runs::inputs::Memory;
use crate::runs::kept::{KeptRun, find, key_of};
use crate::runs::ledger::Key;
use crate::runs::manifest::Manifest;
use crate::runs::output_folder::OutputFolder;
use crate::runs::prepare::{RunContext, stages};
use crate::runs::publication::SCORES;
use crate::runs::run::{Ended, Run};
use crate::runs::verify::{self, Mismatch, Scope};
use crate::stages::key::BUILD;
use crate::storage::hashes;

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
pub fn run(args: &VerifyArgs, output: &Output) -> Result<ExitStatus> {
    let lines = RefCell::new(Vec::new());
    let say = |text: &str| match args.format {
        DiffFormat::Text => output.line(text),
        DiffFormat::Json => lines.borrow_mut().push(text.to_owned()),
    };
    let mismatch = match checked(args, &say, output) {
        Ok(()) => None,
        Err(error) if error.downcast_ref::<Mismatch>().is_some() => Some(format!("{error:#}")),
        Err(error) => return Err(error),
    };
    let holds = mismatch.is_none();
    match (args.format, &mismatch) {
        (DiffFormat::Json, _) => {
            let verified = Verified { holds, mismatch, checked: lines.into_inner() };
            output.data(&(serde_json::to_string_pretty(&verified)? + "\n"))?;
        }
        (DiffFormat::Text, None) => output.line("everything holds"),
        (DiffFormat::Text, Some(mismatch)) => output.error(mismatch),
    }
    Ok(if holds { ExitStatus::Success } else { ExitStatus::Gate })
}

fn checked(args: &VerifyArgs, say: &verify::Say, output: &Output) -> Result<()> {
    let stop = stop_on_signals()?;
    let scope = Scope { inputs: !args.outputs_only, stop: &stop };
    let run = args.run.as_ref().map(|name| locate(name, &args.output)).transpose()?;
    let folder = run.as_ref().map_or(args.output.as_path(), |r| r.output.as_path());
    let key = match &args.ledger_key {
        Some(source) => Some(Key::read(source, |path| Path::new(path).to_owned())?),
        None => {
            match run.clone().filter(|r| Manifest::read(r).is_ok()).map_or_else(|| newest(folder), |r| Ok(Some(r)))? {
                Some(run) => key_of(&run)?,
                None => None,
            }
        }
    };
    let ledger = verify::ledger(folder, key, say)?;
    match &run {
        Some(run) => verify::run(run, &ledger, scope, say)?,
        None => verify::all(folder, &ledger, scope, say)?,
    }
    match &run {
        Some(run) if args.replay => replay(run, args, say, output, &stop),
        _ => Ok(()),
    }
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

/// Runs a kept run again from its configuration and inputs, elsewhere and with nothing reused, and compares the tables.
fn replay(run: &RunFolder, args: &VerifyArgs, say: &verify::Say, output: &Output, stop: &AtomicBool) -> Result<()> {
    let kept = KeptRun::open(run.clone())?;
    verify::replayable(run, &kept.manifest, stop)?;
    if kept.manifest.build() != Some(BUILD) {
        output.warn(&format!("run {} was made by another build ({})", run.id, kept.manifest.program()));
    }
    let place = match &args.scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .context("a folder to replay in; see --scratch")?;
    let mut pipeline = kept.pipeline.clone();
    pipeline.settings.output = place.path().to_owned();
    // The replay has a ledger of its own, which ends with it.
    pipeline.settings.privacy.ledger_key = None;
    let parameters = kept.manifest.parameters();
    let given = PipelineArgs {
        pipeline: parameters.pipeline_file.clone(),
        as_of: None,
        known_by: Some(parameters.known_by.clone()),
        allow_future: true,
        model: Some(run.path(&parameters.model_file)),
        overrides: Vec::new(),
    };
    let job =
        load_dates(pipeline, &given, &[crate::contract::parse_day(&parameters.as_of)?])?.pop().context("no date")?;
    let limits = Limits { memory: USUAL_MEMORY, scratch: Some(place.path().to_owned()) };
    let folder = OutputFolder::open(&job.pipeline, "verify --replay", output)?;
    let context = RunContext { folder: &folder, limits: &limits, fresh: true, stop, log: output };
    let hashes = Memory::default().hashes(&job.exports, output, stop)?;
    let stages = stages(&[&job], &hashes, &context)?.pop().context("no stages")?;
    let identity = identify(&job, &hashes);
    let differ = kept.manifest.dependencies().differences(&identity.dependencies);
    if !kept.manifest.dependencies().is_empty() && differ.iter().any(|part| part != "the program") {
        return Err(Mismatch(format!("run {}: {} changed since it was made", run.id, differ.join(", "))).into());
    }
    let (job, identity, hashes, stages, context) = (&job, &identity, &hashes, &stages, &context);
    let ended = Run { job, identity, hashes, stages, accept: &[], context, started: Instant::now() }.make()?;
    let (Ended::Published { run: again } | Ended::Refused { run: again, .. }) = ended;
    if hashes::file_until(&again.path(SCORES), stop)? != hashes::file_until(&run.path(SCORES), stop)? {
        return Err(Mismatch(format!("run {}: running it again gives another {SCORES}", run.id)).into());
    }
    say(&format!("run {}: running it again gives the same bytes", run.id));
    Ok(())
}
