//! The result of a run in its folder: the scored table, its companions, the audit, the verdicts of the gates, the manifest.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::configuration;
use super::distributions::{DISTRIBUTIONS, Distributions};
use super::folder::{AUDIT, PAGE, RunFolder};
use super::ledger::{Ledger, TableSize};
use super::loss::{TableChange, changes};
use super::manifest::{Annotations, Digest, Input, Manifest, Parameters, Subject, subject};
use super::prepare::RunContext;
use super::previous::{Earlier, Previous};
use super::publication::SCORES;
use super::run::Run;
use super::step::step;
use crate::audit::Facts;
use crate::audit::summary::{Summary, summary};
use crate::audit::text::events;
use crate::contract::day_text;
use crate::exit;
use crate::ingest::conservation::Class;
use crate::ingest::scan::Findings;
use crate::ingest::store::Budget;
use crate::job::Job;
use crate::measure::policy::Caps;
use crate::output::thousands;
use crate::publish::gates::{self, Counts, Measured, TableAge, Verdict};
use crate::publish::scores::{self, Table};
use crate::publish::{quarantine, relationships};
use crate::report::page;
use crate::score::friends::{self, Friends};
use crate::score::population::Population;
use crate::score::rated::{Rated, rate};
use crate::score::stage_data::StageData;
use crate::stages::key::{BUILD, Kind};
use crate::stages::store::Stage;
use crate::stages::{features, records};
use crate::storage::durable::{self, sync_folder};
use crate::storage::hashes::Hash;

/// A result in its run's folder.
pub struct Staged {
    /// What the gates found.
    pub verdicts: Vec<Verdict>,
    /// The hash of the manifest.
    pub manifest: Hash,
    /// The hash of the table.
    pub scores: Hash,
    /// Its size.
    pub size: TableSize,
}

/// Makes everything of a run but its publication.
///
/// # Errors
/// When a stage is damaged, the disk is full, or the run is interrupted.
pub fn stage(run: &Run, folder: &RunFolder, inputs: &[Input]) -> Result<Staged> {
    let Run { job, context, .. } = *run;
    let (log, stop, label) = (context.log, context.stop, &run.identity.label);
    let mut data = StageData::open(job, run.stages)?;
    let mut findings = std::mem::take(&mut data.findings);
    let caps = Caps::new(&job.policies)?;
    let rated = rate(job, &data, &caps, log, stop)?;
    let friends = find_friends(job, &data, &rated, &mut findings, context)?;
    let population = Population::new(rated, friends.as_ref(), &job.card, &caps, &job.model);
    conserved(job, &findings)?;
    for export in job.exports.iter() {
        if let Some(found) = findings.get(&export.table.name).filter(|f| !f.quarantined.is_empty()) {
            fs_err::create_dir_all(folder.path("quarantine"))?;
            quarantine::write(&folder.path("quarantine"), export, &found.quarantined)?;
        }
    }
    let progress = log.stage("write scores", data.subjects.ids.len() as u64, "subjects");
    let table = Table { subjects: &data.subjects.ids, population: &population, card: &job.card, model: &job.model };
    let told = scores::write(&folder.path(SCORES), &table, label, &|rows| {
        progress.add(rows);
        Ok(exit::check(stop)?)
    })?;
    if let Some(friends) = &friends {
        relationships::write(&folder.path("relationships.parquet"), &table, friends)?;
    }
    progress.finish();
    step("scores written");
    let now = counts(&folder.id, &findings, &population);
    let ledger = Ledger::open(&folder.output, context.folder.key.clone())?;
    let pipeline = job.pipeline.settings.name.as_str();
    let mut earlier = Earlier { ledger: &ledger, output: &folder.output, pipeline, stop, broken: Vec::new() };
    let previous = earlier.before(&label.as_of, &label.model)?;
    let before = previous.as_ref().map(Previous::counts);
    let bands = job.model.card.band.iter().map(|b| (b.get_ref().from, b.get_ref().name.clone())).collect::<Vec<_>>();
    let converged = friends.as_ref().map(|f| f.propagated.converged());
    let ages = ages(job, &findings)?;
    let since = previous.as_ref().map(|p| changes(&p.inputs, inputs));
    // A run of a date that is published already must not lose what that one read, either.
    let published = earlier.inputs_of(&label.as_of)?;
    let lost =
        published.map(|then| changes(&then, inputs).into_iter().filter(TableChange::is_less).collect::<Vec<_>>());
    let compared = since.iter().chain(&lost).flatten().cloned().collect::<Vec<_>>();
    let measured = Measured {
        now: &now,
        before: before.as_ref(),
        broken: &earlier.broken,
        converged,
        bands: &bands,
        ages: &ages,
        changes: (since.is_some() || lost.is_some()).then_some(compared.as_slice()),
        least: job.pipeline.settings.privacy.min_cell,
    };
    let mut verdicts = gates::check(&job.pipeline.settings.gates(), &measured);
    for verdict in verdicts.iter_mut().filter(|v| !v.passed) {
        verdict.accepted = run.accept.iter().find(|a| a.gate == verdict.gate).map(|a| a.because.clone());
    }
    let distributions = Distributions::of(&job.card, &population);
    write_json(folder, DISTRIBUTIONS, &distributions)?;
    let facts = Facts {
        job,
        data: &data,
        population: &population,
        friends: friends.as_ref(),
        findings: &findings,
        verdicts: &verdicts,
        now: &now,
        told: &told,
        distributions: &distributions,
        previous: previous.as_ref().zip(before.as_ref()),
        changes: since.as_deref().unwrap_or_default(),
        ages: &ages,
        inputs,
        run: &folder.id,
        label,
        timings: log.timings(),
        seconds: run.started.elapsed().as_secs_f64(),
    };
    let progress = log.stage("sum up", facts.subjects(), "subjects");
    let Summary { json, text } = summary(&facts);
    progress.add(facts.subjects());
    write_json(folder, AUDIT, &json)?;
    match page::audit(&json) {
        Ok(page) => durable::replace(&folder.path(PAGE), page.as_bytes())?,
        // The numbers are what the run is for; the page can be built from them later.
        Err(error) => log.warn(&format!("{PAGE} could not be made, `sesame report` builds it from {AUDIT}: {error:#}")),
    }
    progress.finish();
    log.summary(&text, events(&json));
    step("audit written");
    let (files, scores) = collect(folder, job, run.stages)?;
    let parameters = Parameters {
        pipeline: job.pipeline.settings.name.clone(),
        pipeline_file: std::path::absolute(&job.pipeline.path)?,
        as_of: label.as_of.clone(),
        known_by: label.known_by.clone(),
        model: label.model.clone(),
        model_hash: label.model_hash.clone(),
        model_file: format!("configuration/model/{}", configuration::model_files(job)[0].0.display()),
    };
    let dependencies = run.identity.dependencies.clone();
    let manifest = Manifest::new(&folder.id, parameters, dependencies, inputs.to_vec(), &label.program, BUILD, files);
    let manifest = manifest.write(folder)?;
    let rows = population.rows.score.len() as u64;
    let size = TableSize { rows, bytes: fs_err::metadata(folder.path(SCORES))?.len() };
    Ok(Staged { verdicts, manifest, scores, size })
}

fn write_json(folder: &RunFolder, name: &str, content: &impl serde::Serialize) -> Result<()> {
    durable::replace(&folder.path(name), (serde_json::to_string_pretty(content)? + "\n").as_bytes())
}

/// Puts into the run's folder what explains it, makes all of it durable, and lists its files with their hashes; the second is
/// the table's.
fn collect(folder: &RunFolder, job: &Job, stages: &[Stage]) -> Result<(Vec<Subject>, Hash)> {
    let mut names = configuration::keep(folder, job)?;
    names.extend([SCORES, AUDIT, PAGE, DISTRIBUTIONS, "relationships.parquet"].map(ToOwned::to_owned));
    names.extend(job.exports.iter().map(|e| format!("quarantine/{}.parquet", e.table.name)));
    names.retain(|name| folder.path(name).exists());
    let mut files = names.iter().map(|name| subject(folder, name)).collect::<Result<Vec<_>>>()?;
    for stage in stages {
        let (from, name) = match &stage.label.key.kind {
            Kind::Features(category) => (features::table(stage), format!("features/{category}.parquet")),
            Kind::Records(table) => (records::evidence(stage), format!("evidence/{table}.parquet")),
            _ => continue,
        };
        folder.take(&from, &name)?;
        // The stage's own hash: it was verified when it was found, or just written.
        let of = from.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let blake3 = stage.label.files.get(&of).with_context(|| format!("{} has no hash", from.display()))?.clone();
        files.push(Subject { name, digest: Digest { blake3 } });
    }
    for file in &files {
        let path = folder.path(&file.name);
        fs_err::File::open(&path)?.sync_all().with_context(|| format!("making {} durable", path.display()))?;
        sync_folder(path.parent().unwrap_or(&folder.folder))?;
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let scores = files.iter().find(|f| f.name == SCORES).context("the table was not written")?.digest.blake3.clone();
    Ok((files, scores))
}

/// What friends tell, unless the model's propagation is off or there are no links.
fn find_friends(
    job: &Job,
    data: &StageData,
    rated: &Rated,
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
    for export in job.exports.iter() {
        let Some(found) = findings.get(&export.table.name) else { continue };
        for (n, file) in export.files.iter().enumerate() {
            let counted = found.tally.file_total(n);
            anyhow::ensure!(
                counted == file.rows() + found.tally.multiplied(n),
                "defect: {} rows of {} are accounted for, but it holds {} and its `select` adds {}",
                thousands(counted),
                file.file.path.display(),
                thousands(file.rows()),
                thousands(found.tally.multiplied(n))
            );
        }
    }
    Ok(())
}

/// How old the newest record of each table is that has a limit.
fn ages(job: &Job, findings: &BTreeMap<String, Findings>) -> Result<Vec<TableAge>> {
    let Some(limits) = job.pipeline.settings.gates().max_age_days else { return Ok(Vec::new()) };
    let mut ages = Vec::new();
    for export in job.exports.iter() {
        let table = &export.table;
        let Some(limit) = limits.of(&table.name, table.regular) else { continue };
        let newest = findings.get(&table.name).with_context(|| format!("{} was not counted", table.name))?.newest;
        let calendar = &job.snapshot.calendar;
        let days = newest.map(|day| calendar.as_of_day() - day);
        ages.push(TableAge { table: table.name.clone(), newest: newest.map(day_text), days, limit });
    }
    Ok(ages)
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

/// The input files of a job with their hashes.
#[must_use]
pub fn inputs(job: &Job, hashes: &[Vec<Hash>]) -> Vec<Input> {
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
                    bytes: file.bytes(),
                    checksums: Some(file.checksums),
                    columns: file.columns(&export.table),
                    ignored_columns: file.ignored.iter().filter(|c| !export.extra.contains(c)).cloned().collect(),
                },
            });
        }
    }
    inputs
}
