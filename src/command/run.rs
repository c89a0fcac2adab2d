//! `sesame run`: check → read → features → score → gates → publish → audit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use super::plan::text;
use crate::audit::summary::{Facts, summary};
use crate::cli::RunArgs;
use crate::exit::{self, ExitStatus, GateFailed};
use crate::ingest::conservation::Class;
use crate::ingest::pass::{Ingested, Pass};
use crate::ingest::scan::Findings;
use crate::ingest::store::Budget;
use crate::job::{self, Job};
use crate::machine::{Limits, limits};
use crate::output::{Output, thousands};
use crate::publish::evidence::EvidenceFile;
use crate::publish::gates::{self, Measured, Verdict};
use crate::publish::hashes::{self, Hash};
use crate::publish::manifest::{self, Provenance};
use crate::publish::quarantine;
use crate::publish::relationships;
use crate::publish::scores::{self, Label, Table};
use crate::publish::stage::Stage;
use crate::score::bucket::Scorer;
use crate::score::friends::{self, Friends};
use crate::score::population::Population;
use crate::score::rated::{self, Rated};

/// Version of the program, as the outputs record it.
pub const PROGRAM: &str = concat!("sesame ", env!("CARGO_PKG_VERSION"));

/// Scores a population and publishes the table.
///
/// # Errors
/// All findings about configuration and inputs at once; a failed gate; whatever stops the run.
pub fn run(args: &RunArgs, output: &Output) -> Result<ExitStatus> {
    let started = Instant::now();
    let job = job::load(&args.pipeline)?;
    if args.plan {
        output.data(&text(&job))?;
        return Ok(ExitStatus::Success);
    }
    for gate in job.pipeline.unchecked_gates() {
        output.warn(&format!("the gate {gate} is set, but this version does not check it yet"));
    }
    let limits = limits(&args.engine, &job.pipeline)?;
    let stop = interruptible()?;
    let hashes = hashes::inputs(&job.exports, output, &stop)?;
    let label = label(&job);
    let stage = stage(&job, &label, &hashes)?;
    let result = staged(&job, &limits, &stage, &label, &hashes, &stop, output, started);
    let scratch = stage.path("scratch");
    if scratch.exists() {
        fs_err::remove_dir_all(scratch)?;
    }
    let verdicts = result?;
    let failed: Vec<&Verdict> = verdicts.iter().filter(|v| !v.passed).collect();
    if !failed.is_empty() {
        let lines = failed.iter().map(|v| format!("gate {} (limit {}): {}", v.gate, v.limit, v.message));
        let lines = lines.collect::<Vec<_>>().join("\n");
        return Err(GateFailed(format!(
            "{lines}\nnothing was published; the result is kept in {}",
            stage.folder.display()
        ))
        .into());
    }
    exit::check(&stop)?;
    stage.publish()?;
    output.line(&format!("published {}", stage.published.display()));
    Ok(ExitStatus::Success)
}

/// Ctrl-C and SIGTERM ask the run to stop; a second one ends the process.
fn interruptible() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn label(job: &Job) -> Label {
    Label {
        as_of: job.calendar.as_of().to_string(),
        known_by: job.known_by.to_string(),
        model: job.model.label(),
        model_hash: hashes::model(&job.model),
        program: PROGRAM.to_owned(),
    }
}

/// Makes the run's folder; its id names the as-of date, the model, and a hash of all that the result depends on.
fn stage(job: &Job, label: &Label, hashes: &[Vec<Hash>]) -> Result<Stage> {
    let mut hasher = blake3::Hasher::new();
    for text in [&label.as_of, &label.known_by, &label.model_hash, &label.program, &job.pipeline.text] {
        hashes::part(&mut hasher, text.as_bytes());
    }
    for (export, files) in job.exports.iter().zip(hashes) {
        hashes::part(&mut hasher, export.table.name.as_bytes());
        files.iter().for_each(|f| hashes::part(&mut hasher, f.as_bytes()));
    }
    let hash = hasher.finalize().to_hex();
    let id = format!("{}-{}-{}", label.as_of, label.model, &hash[..12]);
    let output = job.pipeline.resolve(&job.pipeline.settings.output);
    Stage::create(&output, &id, &label.as_of, &label.model)
}

#[allow(clippy::too_many_arguments, reason = "the parts of one run, made one after another by `run`")]
fn staged(
    job: &Job,
    limits: &Limits,
    stage: &Stage,
    label: &Label,
    hashes: &[Vec<Hash>],
    stop: &AtomicBool,
    output: &Output,
    started: Instant,
) -> Result<Vec<Verdict>> {
    let scratch = limits.scratch.clone().unwrap_or_else(|| stage.path("scratch"));
    fs_err::create_dir_all(&scratch)?;
    let budget = Budget::new(limits.memory);
    let pass = job.pass(&budget, &scratch, stop, output);
    let mut ingested = pass.run()?;
    let mut findings = std::mem::take(&mut ingested.findings);
    let scorer = scorer(job, &ingested)?;
    let mut rated = rate(job, &scorer, stage, stop, output)?;
    for (table, mut found) in std::mem::take(&mut rated.findings) {
        findings.entry(table).or_default().merge(&mut found);
    }
    let friends = friends(job, &pass, &ingested, &rated, &mut findings, output)?;
    let population = Population::new(rated, friends.as_ref(), &job.card, &scorer.caps, &job.model);
    conserved(job, &findings)?;
    for export in &job.exports {
        if let Some(found) = findings.get(&export.table.name).filter(|f| !f.quarantined.is_empty()) {
            quarantine::write(&stage.path("quarantine"), export, &found.quarantined)?;
        }
    }
    let progress = output.stage("write scores", ingested.spine.len() as u64, "subjects");
    let table = Table { spine: &ingested.spine, population: &population, card: &job.card, model: &job.model };
    scores::write(&stage.path("scores.parquet"), &table, label, &|rows| {
        progress.add(rows);
        Ok(exit::check(stop)?)
    })?;
    if let Some(friends) = &friends {
        relationships::write(&stage.path("relationships.parquet"), &table, friends)?;
    }
    progress.finish();
    let verdicts = gates::check(&job.pipeline.settings.gates, &measured(&findings, &population, friends.as_ref()));
    let inputs = inputs(job, hashes);
    let facts = Facts {
        job,
        ingested: &ingested,
        population: &population,
        friends: friends.as_ref(),
        findings: &findings,
        verdicts: &verdicts,
        inputs: &inputs,
        run: &stage.id,
        label,
        timings: output.timings(),
        seconds: started.elapsed().as_secs_f64(),
    };
    let audit = summary(&facts);
    fs_err::write(stage.path("audit.json"), serde_json::to_string_pretty(&audit.json)? + "\n")?;
    output.line(&audit.text);
    let provenance = Provenance {
        run: stage.id.clone(),
        pipeline: job.pipeline.settings.name.clone(),
        configuration: job.pipeline.text.clone(),
        model_hash: label.model_hash.clone(),
        model: label.model.clone(),
        as_of: label.as_of.clone(),
        known_by: label.known_by.clone(),
        program: label.program.clone(),
        inputs,
    };
    let outputs = ["scores.parquet", "evidence.parquet", "relationships.parquet", "audit.json"];
    let outputs: Vec<&str> = outputs.into_iter().filter(|o| stage.path(o).exists()).collect();
    manifest::write(&stage.folder, &provenance, &outputs)?;
    Ok(verdicts)
}

fn scorer<'a>(job: &'a Job, ingested: &'a Ingested<'a>) -> Result<Scorer<'a>> {
    let subjects = job.exports.iter().find(|e| e.table.name == "subjects").context("no subjects")?;
    let files: Vec<PathBuf> = subjects.files.iter().map(|f| f.file.path.clone()).collect();
    Scorer::new(
        ingested,
        &job.plan,
        &job.card,
        &job.rules,
        &job.policies,
        &job.model,
        &job.contract,
        &job.calendar,
        files,
    )
}

fn rate(job: &Job, scorer: &Scorer, stage: &Stage, stop: &AtomicBool, output: &Output) -> Result<Rated> {
    let spine = &scorer.ingested.spine;
    let mut evidence = EvidenceFile::create(&stage.path("evidence.parquet"), spine, &job.contract, &job.model)?;
    let rated = rated::rate(scorer, output, stop, &mut |records| evidence.add(records))?;
    evidence.finish()?;
    Ok(rated)
}

/// What friends tell, unless the model's propagation is off or there are no links.
fn friends(
    job: &Job,
    pass: &Pass,
    ingested: &Ingested,
    rated: &Rated,
    findings: &mut BTreeMap<String, Findings>,
    output: &Output,
) -> Result<Option<Friends>> {
    let Some(export) = job.exports.iter().find(|e| e.table.name == "friend_links") else { return Ok(None) };
    let propagation = &job.model.card.propagation;
    if !propagation.enabled {
        let mut unread = Findings::default();
        for (file, open) in (0_u32..).zip(&export.files) {
            unread.tally.add(file, Class::Dropped, open.rows());
        }
        findings.insert(export.table.name.clone(), unread);
        return Ok(None);
    }
    let (friends, found) = friends::find(pass, export, ingested, rated, propagation, output)?;
    findings.insert(export.table.name.clone(), found);
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

fn measured(findings: &BTreeMap<String, Findings>, population: &Population, friends: Option<&Friends>) -> Measured {
    let share = |found: &Findings| {
        let bad = found.tally.total(Class::Quarantined);
        let all: u64 = Class::ALL.iter().filter(|c| **c != Class::NotVisible).map(|c| found.tally.total(*c)).sum();
        (bad, all)
    };
    Measured {
        quarantined: findings.iter().map(|(t, f)| (t.clone(), share(f))).collect(),
        scored: (population.scored, population.rows.score.len() as u64),
        converged: friends.map(|f| f.propagated.converged()),
    }
}

fn inputs(job: &Job, hashes: &[Vec<Hash>]) -> Vec<serde_json::Value> {
    let mut inputs = Vec::new();
    for (export, files) in job.exports.iter().zip(hashes) {
        for (file, hash) in export.files.iter().zip(files) {
            inputs.push(json!({
                "name": format!("{}/{}", export.table.name, file.file.label),
                "uri": file.file.path,
                "digest": { "blake3": hash },
                "annotations": { "table": export.table.name, "rows": file.rows(), "bytes": file.bytes, "ignored_columns": file.ignored },
            }));
        }
    }
    inputs
}
