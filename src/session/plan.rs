//! What a run would do and why; nothing is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::guard::leave_out_erased;
use super::identity::{Standing, identify, published};
use crate::audit::{AUDIT, Audit};
use crate::graph::Parameters;
use crate::ingest::pass::table_of;
use crate::job::Job;
use crate::output::{Output, thousands};
use crate::runs::backfill::{Backfill, Fate};
use crate::runs::folder::RunFolder;
use crate::runs::inputs::Memory;
use crate::runs::output_folder::{key_of, looked_at, output_of};
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::scorecard::card::Origin;
use crate::stages::key::{Key, Kind, keys};
use crate::stages::make::MEASURE;
use crate::stages::store::StageStore;
use crate::storage::hashes::Hash;

/// The plan as text. Input files that are not remembered are hashed for it.
///
/// # Errors
/// When a file cannot be read.
pub fn text(job: &Job, log: &Output) -> Result<String> {
    let folder = looked_at(&job.pipeline, Need::Small)?;
    let key = key_of(&job.pipeline)?;
    let mut job = job.clone();
    leave_out_erased(std::slice::from_mut(&mut job), &folder, key.as_ref())?;
    let job = &job;
    let stop = AtomicBool::new(false);
    let hashes = Memory::of(&folder, key.as_ref()).hashes(&job.exports, log, &stop)?;
    let identity = identify(job, &hashes);
    let standing = match published(&identity, &folder, key.clone(), &stop)? {
        Standing::Same(run) => format!("published as the run {}; nothing it depends on has changed", run.id),
        Standing::Other(parts) => format!("published before; {} changed", parts.join(", ")),
        Standing::Nothing => "not published yet".to_owned(),
    };
    let snapshot = &job.snapshot;
    let mut lines = vec![
        format!(
            "pipeline  {} as of {}, known by {}",
            job.pipeline.settings.name,
            snapshot.calendar.as_of(),
            snapshot.known_by
        ),
        format!("model     {}", job.model.label()),
        format!("output    {}", remote::shown(&folder)),
        format!("run       {}", identity.id),
        format!("table     {standing}"),
        String::new(),
    ];
    for export in job.exports.iter() {
        let rows = export.files.iter().map(|f| f.rows).sum();
        let bytes = export.files.iter().map(|f| f.bytes()).sum();
        lines.push(format!(
            "input     {:<18} {:>13} rows, {:>15} bytes, {} file(s)",
            export.table.name,
            thousands(rows),
            thousands(bytes),
            export.files.len()
        ));
    }
    let (stages, missing) = stages(job, &hashes, &StageStore::of(&folder, key))?;
    lines.extend(stages);
    lines.extend(scoring(job)?);
    lines.push(expected(&folder, &job.pipeline.settings.name, &missing)?);
    Ok(lines.join("\n") + "\n")
}

/// A line for each stage: reused, or why not; and the keys of those that would be made.
fn stages(job: &Job, hashes: &[Vec<Hash>], store: &StageStore) -> Result<(Vec<String>, Vec<Key>)> {
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    for key in keys(job, hashes)? {
        let name = key.kind.name();
        match store.find(&key) {
            Some(_) => lines.push(format!("reuse     {name}")),
            None => {
                lines.push(format!("make      {name:<36} {}", store.missing(&key)?));
                missing.push(key);
            }
        }
    }
    Ok((lines, missing))
}

fn scoring(job: &Job) -> Result<Vec<String>> {
    let propagation = &job.model.card.propagation;
    let of_friends = job.card.features.iter().filter(|f| matches!(f.origin, Origin::Friends(_))).count();
    let friends = match (propagation.enabled, job.export("friend_links").is_some()) {
        (true, true) => {
            let rounds = Parameters::new(propagation)?.rounds;
            format!("propagate {rounds} rounds over the ties of friends, {of_friends} features")
        }
        (true, false) => "propagate nothing: no friend_links, so the relationship category is neutral".to_owned(),
        (false, _) => "propagate nothing: the model's propagation is off".to_owned(),
    };
    Ok(vec![friends, format!("score     {} features in {} segments", job.card.features.len(), job.card.weights.len())])
}

/// How long the work would take by what the latest runs of the pipeline took for the same.
fn expected(folder: &Path, pipeline: &str, missing: &[Key]) -> Result<String> {
    let mut took: BTreeMap<String, f64> = BTreeMap::new();
    for run in RunFolder::all(folder)?.iter().filter(|run| run.path(AUDIT).exists()) {
        // What an older version wrote tells nothing of this one.
        let Ok(audit) = Audit::read(&run.path(AUDIT)) else { continue };
        if audit.provenance.pipeline == pipeline {
            took.extend(audit.timings.stages.into_iter().map(|step| (step.stage, step.seconds)));
        }
    }
    if took.is_empty() {
        return Ok("time      unknown: no run of this pipeline is kept".to_owned());
    }
    let in_buckets = |k: &Key| matches!(k.kind, Kind::Subjects | Kind::Records(_) | Kind::Features(_));
    let needed = |name: &str| match table_of(name) {
        Some(table) => missing.iter().any(|k| k.reads(table)),
        None if name == MEASURE => missing.iter().any(in_buckets),
        None => true,
    };
    let seconds: f64 = took.iter().filter(|(name, _)| needed(name)).map(|(_, s)| s).sum();
    Ok(format!("time      about {seconds:.0} s, by what the latest runs took for the same stages"))
}

/// The plan of a backfill: what each date would reuse and make.
///
/// # Errors
/// When an input file cannot be read.
pub fn of_backfill(backfill: &Backfill, jobs: &[Job], log: &Output) -> Result<String> {
    let Some(first) = jobs.first() else { return Ok(String::new()) };
    let folder = output_of(&first.pipeline);
    let key = key_of(&first.pipeline)?;
    let hashes = Memory::of(&folder, key.as_ref()).hashes(&first.exports, log, &AtomicBool::new(false))?;
    let store = StageStore::of(&folder, key);
    let mut lines =
        vec![format!("backfill  {} with {}, into {}", backfill.pipeline, backfill.model, remote::shown(&folder))];
    for (slot, job) in backfill.slots.iter().zip(jobs) {
        let (stages, missing) = stages(job, &hashes, &store)?;
        let state = match &slot.fate {
            Fate::Pending => "pending",
            Fate::Done { .. } => "done",
            Fate::Failed { .. } => "failed",
            Fate::Skipped { .. } => "skipped",
        };
        let kept = stages.len() - missing.len();
        lines.push(format!("{}  {state:<8} {kept} of {} stages kept", slot.as_of, stages.len()));
    }
    Ok(lines.join("\n") + "\n")
}
