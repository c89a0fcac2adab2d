//! One run: scores a job from its stages, asks the gates, and publishes.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use super::configuration;
use super::folder::RunFolder;
use super::ledger::{Accepted, Entry, Event, Ledger};
use super::lineage::{self, Transition};
use super::manifest::{Annotations, Digest, Input, Manifest, Parameters, Subject, subject};
use super::metrics;
use super::prepare::RunContext;
use super::previous;
use super::publication::{SCORES, conclude, note_failure, table_path};
use super::step::step;
use crate::audit::summary::{Facts, Summary, summary};
use crate::exit::{self, ExitStatus};
use crate::ingest::conservation::Class;
use crate::ingest::scan::Findings;
use crate::ingest::store::Budget;
use crate::job::Job;
use crate::measure::policy::Caps;
use crate::output::thousands;
use crate::publish::gates::{self, Counts, Measured, Verdict};
use crate::publish::hashes::{self, Hash, part};
use crate::publish::scores::{self, Label, Table};
use crate::publish::{quarantine, relationships};
use crate::score::friends::{self, Friends};
use crate::score::population::Population;
use crate::score::rated::rate;
use crate::score::stage_data::StageData;
use crate::stages::key::{BUILD, Kind};
use crate::stages::store::Stage;
use crate::stages::{features, records};

/// Version of the program, as the outputs record it.
pub const PROGRAM: &str = concat!("sesame ", env!("CARGO_PKG_VERSION"));

/// A gate to override, and why.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The gate's key in the pipeline file.
    pub gate: String,
    /// Why.
    pub because: String,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// Its table is published.
    Published {
        /// The run.
        run: RunFolder,
    },
    /// Gates refused it.
    Refused {
        /// The run, which is kept.
        run: RunFolder,
        /// What they found, a line each.
        found: String,
    },
}

/// What a run would be called, and what its outputs say of it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As-of date, model, and a hash of all that the result depends on.
    pub id: String,
    /// As-of date, cut-off, model and program.
    pub label: Label,
}

/// Names a run by all that its result depends on.
#[must_use]
pub fn identify(job: &Job, hashes: &[Vec<Hash>]) -> Identity {
    let label = Label {
        as_of: job.snapshot.calendar.as_of().to_string(),
        known_by: job.snapshot.known_by.to_string(),
        model: job.model.label(),
        model_hash: hashes::model(&job.model),
        program: PROGRAM.to_owned(),
    };
    let mut hasher = blake3::Hasher::new();
    for text in [&label.as_of, &label.known_by, &label.model_hash, &label.program, &job.pipeline.text] {
        part(&mut hasher, text.as_bytes());
    }
    for (export, files) in job.exports.iter().zip(hashes) {
        part(&mut hasher, export.table.name.as_bytes());
        files.iter().for_each(|f| part(&mut hasher, f.as_bytes()));
    }
    let hash = hasher.finalize().to_hex();
    Identity { id: format!("{}-{}-{}", label.as_of, label.model, &hash[..12]), label }
}

/// The run whose table is published where this one's would be, if it is the same: of the same id and build, with its table
/// as it was published.
///
/// # Errors
/// When the ledger does not hold, or the table cannot be read.
pub fn published(identity: &Identity, context: &RunContext) -> Result<Option<String>> {
    let ledger = Ledger::open(&context.folder.path, context.folder.key.clone())?;
    let table = table_path(&identity.label.as_of, &identity.label.model);
    let Some(line) = ledger.current(&table) else { return Ok(None) };
    let of_id = line.entry.run.strip_prefix(&identity.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if !of_id {
        return Ok(None);
    }
    let run = RunFolder::of(&context.folder.path, &line.entry.run);
    let built = Manifest::read(&run).ok().and_then(|m| m.build().map(|b| b == BUILD)).unwrap_or(false);
    let path = context.folder.path.join(&table);
    let same = built && path.exists() && hashes::file_until(&path, context.stop)? == line.entry.scores;
    Ok(same.then(|| line.entry.run.clone()))
}

/// Scores a job from its stages and publishes the table, unless a gate refuses it.
///
/// # Errors
/// Whatever stops the run; what is published stays, and the run's folder says how it ended.
pub fn run(
    job: &Job,
    identity: &Identity,
    hashes: &[Vec<Hash>],
    stages: &[Stage],
    accept: &[Accept],
    context: &RunContext,
    started: Instant,
) -> Result<Ended> {
    let run = RunFolder::create(&context.folder.path, &identity.id)?;
    step("run folder");
    lineage::emit(&run, job, identity, &Transition::Start)?;
    let result = stage_and_conclude(&run, job, identity, hashes, stages, accept, context, started);
    if let Err(error) = &result {
        note_failure(&run, error);
    }
    if let Err(error) = tell(&run, job, identity, &result, context, started) {
        // The table is published, or the reason why not is on its way: this is not worth another ending.
        context.log.warn(&format!("the run's metrics or lineage could not be written: {error:#}"));
    }
    result
}

/// Tells monitoring and lineage how the run ended.
fn tell(
    run: &RunFolder,
    job: &Job,
    identity: &Identity,
    result: &Result<Ended>,
    context: &RunContext,
    started: Instant,
) -> Result<()> {
    let audit = fs_err::read_to_string(run.path("audit.json")).ok().and_then(|t| serde_json::from_str(&t).ok());
    let (transition, exit) = match result {
        Ok(Ended::Published { .. }) => {
            let bytes = fs_err::metadata(run.path(SCORES))?.len();
            let rows = audit.as_ref().and_then(|a: &serde_json::Value| a["coverage"]["subjects"].as_u64());
            (Transition::Complete { rows: rows.unwrap_or(0), bytes }, ExitStatus::Success)
        }
        Ok(Ended::Refused { found, .. }) => (Transition::Fail { because: found.clone() }, ExitStatus::Gate),
        Err(error) => match ExitStatus::of(error) {
            ExitStatus::Interrupted => (Transition::Abort, ExitStatus::Interrupted),
            status => (Transition::Fail { because: exit::message(error) }, status),
        },
    };
    let outcome = metrics::Outcome {
        pipeline: &job.pipeline.settings.name,
        exit: exit.code(),
        seconds: started.elapsed().as_secs_f64(),
        audit: audit.as_ref(),
    };
    metrics::write(&context.folder.path, &outcome)?;
    lineage::emit(run, job, identity, &transition)
}

#[allow(clippy::too_many_arguments, reason = "one call, from `run`, which adds the folder")]
fn stage_and_conclude(
    run: &RunFolder,
    job: &Job,
    identity: &Identity,
    hashes: &[Vec<Hash>],
    stages: &[Stage],
    accept: &[Accept],
    context: &RunContext,
    started: Instant,
) -> Result<Ended> {
    let staged = stage(run, job, identity, stages, accept, hashes, context, started)?;
    step("staged");
    let failed: Vec<&Verdict> = staged.verdicts.iter().filter(|v| !v.passed && v.accepted.is_none()).collect();
    let event = if failed.is_empty() { Event::Published } else { Event::Refused };
    let accepted = staged.verdicts.iter().filter_map(|v| {
        let because = v.accepted.clone()?;
        Some(Accepted { gate: v.gate.to_owned(), found: v.message.clone(), because })
    });
    let entry = Entry {
        at: jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string(),
        event,
        run: run.id.clone(),
        pipeline: job.pipeline.settings.name.clone(),
        as_of: identity.label.as_of.clone(),
        known_by: identity.label.known_by.clone(),
        model: identity.label.model.clone(),
        program: identity.label.program.clone(),
        manifest: staged.manifest,
        scores: staged.scores,
        table: table_path(&identity.label.as_of, &identity.label.model),
        replaces: None,
        accepted: accepted.collect(),
    };
    exit::check(context.stop)?;
    conclude(run, entry, context.folder.key.clone())?;
    if failed.is_empty() {
        return Ok(Ended::Published { run: run.clone() });
    }
    let found = failed.iter().map(|v| format!("gate {} (limit {}): {}", v.gate, v.limit, v.message));
    Ok(Ended::Refused { run: run.clone(), found: found.collect::<Vec<_>>().join("\n") })
}

/// A result in its run's folder.
struct Staged {
    verdicts: Vec<Verdict>,
    manifest: Hash,
    scores: Hash,
}

#[allow(clippy::too_many_arguments, reason = "the parts of one run, each made by its own module")]
fn stage(
    run: &RunFolder,
    job: &Job,
    identity: &Identity,
    stages: &[Stage],
    accept: &[Accept],
    hashes: &[Vec<Hash>],
    context: &RunContext,
    started: Instant,
) -> Result<Staged> {
    let (log, stop, label) = (context.log, context.stop, &identity.label);
    let mut data = StageData::open(job, stages)?;
    let mut findings = std::mem::take(&mut data.findings);
    let caps = Caps::new(&job.policies)?;
    let rated = rate(job, &data, &caps, log, stop)?;
    let friends = find_friends(job, &data, &rated, &mut findings, context)?;
    let population = Population::new(rated, friends.as_ref(), &job.card, &caps, &job.model);
    conserved(job, &findings)?;
    for export in job.exports.iter() {
        if let Some(found) = findings.get(&export.table.name).filter(|f| !f.quarantined.is_empty()) {
            fs_err::create_dir_all(run.path("quarantine"))?;
            quarantine::write(&run.path("quarantine"), export, &found.quarantined)?;
        }
    }
    let progress = log.stage("write scores", data.subjects.ids.len() as u64, "subjects");
    let table = Table { subjects: &data.subjects.ids, population: &population, card: &job.card, model: &job.model };
    scores::write(&run.path(SCORES), &table, label, &|rows| {
        progress.add(rows);
        Ok(exit::check(stop)?)
    })?;
    if let Some(friends) = &friends {
        relationships::write(&run.path("relationships.parquet"), &table, friends)?;
    }
    progress.finish();
    step("scores written");
    let now = counts(&run.id, &findings, &population);
    let ledger = Ledger::open(&run.output, context.folder.key.clone())?;
    let previous = previous::find(&ledger, &run.output, &job.pipeline.settings.name, &label.as_of, &label.model)?;
    let before = previous.as_ref().map(previous::Previous::counts);
    let bands = job.model.card.band.iter().map(|b| (b.get_ref().from, b.get_ref().name.clone())).collect::<Vec<_>>();
    let converged = friends.as_ref().map(|f| f.propagated.converged());
    let measured = Measured { now: &now, before: before.as_ref(), converged, bands: &bands };
    let mut verdicts = gates::check(&job.pipeline.settings.gates, &measured);
    for verdict in verdicts.iter_mut().filter(|v| !v.passed) {
        verdict.accepted = accept.iter().find(|a| a.gate == verdict.gate).map(|a| a.because.clone());
    }
    let inputs = inputs(job, hashes);
    let facts = Facts {
        job,
        data: &data,
        population: &population,
        friends: friends.as_ref(),
        findings: &findings,
        verdicts: &verdicts,
        now: &now,
        previous: previous.as_ref().zip(before.as_ref()),
        inputs: &inputs,
        run: &run.id,
        label,
        timings: log.timings(),
        seconds: started.elapsed().as_secs_f64(),
    };
    let Summary { json, text } = summary(&facts);
    super::durable::replace(&run.path("audit.json"), (serde_json::to_string_pretty(&json)? + "\n").as_bytes())?;
    log.line(&text);
    step("audit written");
    let (files, scores) = collect(run, job, stages)?;
    let parameters = Parameters {
        pipeline: job.pipeline.settings.name.clone(),
        pipeline_file: std::path::absolute(&job.pipeline.path)?,
        as_of: label.as_of.clone(),
        known_by: label.known_by.clone(),
        model: label.model.clone(),
        model_hash: label.model_hash.clone(),
        model_file: format!("configuration/model/{}", configuration::model_files(job)[0].0.display()),
    };
    let manifest = Manifest::new(&run.id, parameters, inputs, &label.program, BUILD, files).write(run)?;
    Ok(Staged { verdicts, manifest, scores })
}

/// Puts into the run's folder what explains it, and lists its files with their hashes; the second is the table's.
fn collect(run: &RunFolder, job: &Job, stages: &[Stage]) -> Result<(Vec<Subject>, Hash)> {
    let mut names = configuration::keep(run, job)?;
    names.extend([SCORES, "audit.json", "relationships.parquet"].map(ToOwned::to_owned));
    let quarantined = fs_err::read_dir(run.path("quarantine")).into_iter().flatten().flatten();
    names.extend(quarantined.map(|e| format!("quarantine/{}", e.file_name().to_string_lossy())));
    names.retain(|name| run.path(name).exists());
    let mut files = names.iter().map(|name| subject(run, name)).collect::<Result<Vec<_>>>()?;
    let scores = files.iter().find(|f| f.name == SCORES).map(|f| f.digest.blake3.clone()).unwrap_or_default();
    for stage in stages {
        let (from, name) = match &stage.label.key.kind {
            Kind::Features(category) => (features::table(stage), format!("features/{category}.parquet")),
            Kind::Records(table) => (records::evidence(stage), format!("evidence/{table}.parquet")),
            _ => continue,
        };
        run.take(&from, &name)?;
        // The stage's own hash: it was verified when it was found, or just written.
        let of = from.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let blake3 = stage.label.files.get(&of).cloned().unwrap_or_default();
        files.push(Subject { name, digest: Digest { blake3 } });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((files, scores))
}

/// What friends tell, unless the model's propagation is off or there are no links.
fn find_friends(
    job: &Job,
    data: &StageData,
    rated: &crate::score::rated::Rated,
    findings: &mut BTreeMap<String, Findings>,
    context: &RunContext,
) -> Result<Option<Friends>> {
    let Some(export) = job.export("friend_links") else { return Ok(None) };
    let Some(ties) = &data.ties else {
        let mut unread = Findings::default();
        for (file, open) in (0_u32..).zip(&export.files) {
            unread.tally.add(file, Class::Dropped, open.rows());
        }
        findings.insert(export.table.name.clone(), unread);
        return Ok(None);
    };
    let budget = Budget::new(context.limits.memory);
    let scratch = context.scratch();
    let engine = friends::Engine { budget: &budget, scratch: &scratch, stop: context.stop, output: context.log };
    let propagation = &job.model.card.propagation;
    let (friends, mut found) = friends::find(ties, export.files.len(), rated, propagation, &engine)?;
    findings.entry(export.table.name.clone()).or_default().merge(&mut found);
    Ok(Some(friends))
}

/// The conservation law: every row of every file is in exactly one class.
fn conserved(job: &Job, findings: &BTreeMap<String, Findings>) -> Result<()> {
    for export in job.exports.iter().filter(|e| e.select.is_none()) {
        let Some(found) = findings.get(&export.table.name) else { continue };
        for (n, file) in export.files.iter().enumerate() {
            let counted = found.tally.file_total(n);
            anyhow::ensure!(
                counted == file.rows(),
                "defect: {} rows of {} are accounted for, but it holds {}",
                thousands(counted),
                file.file.path.display(),
                thousands(file.rows())
            );
        }
    }
    Ok(())
}

fn counts(run: &str, findings: &BTreeMap<String, Findings>, population: &Population) -> Counts {
    let of_table = |found: &Findings| {
        let visible = Class::ALL.iter().filter(|c| **c != Class::NotVisible).map(|c| found.tally.total(*c)).sum();
        (found.tally.total(Class::Quarantined), visible)
    };
    Counts {
        of: run.to_owned(),
        quarantined: findings.iter().map(|(t, f)| (t.clone(), of_table(f))).collect(),
        scores: population.by_score(),
        subjects: population.rows.score.len() as u64,
    }
}

fn inputs(job: &Job, hashes: &[Vec<Hash>]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (export, files) in job.exports.iter().zip(hashes) {
        for (file, hash) in export.files.iter().zip(files) {
            inputs.push(Input {
                name: format!("{}/{}", export.table.name, file.file.label),
                uri: std::path::absolute(&file.file.path).unwrap_or_else(|_| file.file.path.clone()),
                digest: Digest { blake3: hash.clone() },
                annotations: Annotations {
                    table: export.table.name.clone(),
                    rows: file.rows(),
                    bytes: file.bytes,
                    ignored_columns: file.ignored.clone(),
                },
            });
        }
    }
    inputs
}
