//! `sesame verify`: does everything still hold, and does running again give the same bytes?

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cli::{PipelineArgs, VerifyArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::job::load_dates;
use crate::machine::{Limits, USUAL_MEMORY};
use crate::output::Output;
use crate::publish::hashes;
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

/// Verifies one run or all of them.
///
/// # Errors
/// When a file cannot be read. What does not hold is reported and ends with status 1.
pub fn run(args: &VerifyArgs, output: &Output) -> Result<ExitStatus> {
    match checked(args, output) {
        Ok(()) => {
            output.line("everything holds");
            Ok(ExitStatus::Success)
        }
        Err(error) if error.downcast_ref::<Mismatch>().is_some() => {
            output.error(&format!("{error:#}"));
            Ok(ExitStatus::Gate)
        }
        Err(error) => Err(error),
    }
}

fn checked(args: &VerifyArgs, output: &Output) -> Result<()> {
    let say = |text: &str| output.line(text);
    let scope = Scope { inputs: !args.outputs_only };
    let run = match &args.run {
        Some(name) => Some(find(name, &args.output)?),
        None => None,
    };
    let folder = run.as_ref().map_or(args.output.as_path(), |r| r.output.as_path());
    let key = match &args.ledger_key {
        Some(source) => Some(Key::read(source, |path| Path::new(path).to_owned())?),
        None => run.clone().or_else(|| newest(folder)).map(|r| key_of(&r)).transpose()?.flatten(),
    };
    let ledger = verify::ledger(folder, key, &say)?;
    match &run {
        Some(run) => verify::run(run, &ledger, scope, &say)?,
        None => verify::all(folder, &ledger, scope, &say)?,
    }
    match &run {
        Some(run) if args.replay => replay(run, args, output),
        _ => Ok(()),
    }
}

/// The newest run whose manifest is kept: it says which key the ledger has.
fn newest(folder: &Path) -> Option<RunFolder> {
    RunFolder::all(folder).into_iter().rev().find(|run| Manifest::read(run).is_ok())
}

/// Runs a kept run again from its configuration and inputs, elsewhere and with nothing reused, and compares the tables.
fn replay(run: &RunFolder, args: &VerifyArgs, output: &Output) -> Result<()> {
    let kept = KeptRun::open(run.clone())?;
    verify::replayable(run, &kept.manifest)?;
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
        model: Some(run.path(&parameters.model_file)),
        overrides: Vec::new(),
    };
    let job =
        load_dates(pipeline, &given, &[crate::contract::parse_day(&parameters.as_of)?])?.pop().context("no date")?;
    let stop = stop_on_signals()?;
    let limits = Limits { memory: USUAL_MEMORY, scratch: Some(place.path().to_owned()) };
    let folder = OutputFolder::open(&job.pipeline, "verify --replay", output)?;
    let context = RunContext { folder: &folder, limits: &limits, fresh: true, stop: &stop, log: output };
    let hashes = Memory::default().hashes(&job.exports, output, &AtomicBool::new(false))?;
    let stages = stages(&[&job], &hashes, &context)?.pop().context("no stages")?;
    let identity = identify(&job, &hashes);
    let (job, identity, hashes, stages, context) = (&job, &identity, &hashes, &stages, &context);
    let ended = Run { job, identity, hashes, stages, accept: &[], context, started: Instant::now() }.make()?;
    let (Ended::Published { run: again } | Ended::Refused { run: again, .. }) = ended;
    if hashes::file(&again.path(SCORES))? != hashes::file(&run.path(SCORES))? {
        return Err(Mismatch(format!("run {}: running it again gives another {SCORES}", run.id)).into());
    }
    output.line(&format!("run {}: running it again gives the same bytes", run.id));
    Ok(())
}
