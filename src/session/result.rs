//! The result of a run in its folder: scored, judged, summed up, and sealed with a manifest.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::judging::{Judged, judge};
use super::run::Run;
use super::scoring::Scored;
use crate::audit::distributions::{DISTRIBUTIONS, Distributions};
use crate::audit::text::{events, text};
use crate::audit::{AUDIT, Audit, Facts, audit};
use crate::gates::verdicts::Verdict;
use crate::job::Job;
use crate::job::dependencies::BUILD;
use crate::job::inputs::{Digest, Input};
use crate::report::page;
use crate::runs::folder::manifest::{Encrypted, Manifest, Parameters, Subject, subject};
use crate::runs::folder::{PAGE, RunFolder, configuration};
use crate::runs::ledger::TableSize;
use crate::runs::ledger::place::SCORES;
use crate::runs::step::step;
use crate::stages::key::Kind;
use crate::stages::store::Stage;
use crate::stages::{features, records};
use crate::storage::durable::{self, sync_folder};
use crate::storage::hashes::Hash;
use crate::storage::{encryption, read};
use crate::tables::{quarantine, relationships};

/// A result in its run's folder.
pub(super) struct Made {
    /// What the gates found.
    pub verdicts: Vec<Verdict>,
    /// The hash of the manifest.
    pub manifest: Hash,
    /// The hash of the table.
    pub scores: Hash,
    /// The hash that it has where it is written plain, of an encrypted one.
    pub plain: Option<Hash>,
    /// Its size.
    pub size: TableSize,
}

/// Makes everything of a run that is scored but its publication; again when what it is compared with has changed.
///
/// # Errors
/// When a stage is damaged, the disk is full, or the run is interrupted.
pub(super) fn make_result(run: &Run, folder: &RunFolder, inputs: &[Input], scored: &Scored) -> Result<Made> {
    let judged = judge(run, folder, inputs, scored)?;
    sum_up(run, folder, inputs, scored, &judged)?;
    let (manifest, scores) = seal(run, folder, inputs, scored.plain.as_ref())?;
    let rows = scored.population.rows.score.len() as u64;
    let size = TableSize { rows, bytes: fs_err::metadata(folder.path(SCORES))?.len() };
    Ok(Made { verdicts: judged.verdicts, manifest, scores, plain: scored.plain.clone(), size })
}

/// Writes the audit and its page, and says what they say.
fn sum_up(run: &Run, folder: &RunFolder, inputs: &[Input], scored: &Scored, judged: &Judged) -> Result<()> {
    let log = run.session.resources.log;
    let distributions = Distributions::of(&run.job.card, &scored.population);
    write_json(folder, DISTRIBUTIONS, &distributions)?;
    let facts = Facts {
        job: run.job,
        data: &scored.data,
        population: &scored.population,
        friends: scored.friends.as_ref(),
        findings: &scored.findings,
        told: &scored.told,
        verdicts: &judged.verdicts,
        now: &judged.now,
        previous: judged.previous.as_ref().map(|(previous, before)| (previous, before)),
        changes: &judged.changes,
        ages: &judged.ages,
        distributions: &distributions,
        inputs,
        run: &folder.id,
        label: &run.identity.label,
        timings: log.timings(),
        seconds: run.started.elapsed().as_secs_f64(),
    };
    let progress = log.stage("sum up", facts.subjects(), "subjects");
    let audit: Audit = audit(&facts).context("defect: a figure is outside the model's scale")?;
    progress.add(facts.subjects());
    durable::replace(&folder.path(AUDIT), audit.text()?.as_bytes())?;
    match page::audit(&audit) {
        Ok(page) => durable::replace(&folder.path(PAGE), page.as_bytes())?,
        // The numbers are what the run is for; the page can be built from them later.
        Err(error) => log.warn(&format!("{PAGE} could not be made, `sesame report` builds it from {AUDIT}: {error:#}")),
    }
    progress.finish();
    log.summary(&text(&audit), events(&audit));
    step("audit written");
    Ok(())
}

fn write_json(folder: &RunFolder, name: &str, content: &impl Serialize) -> Result<()> {
    durable::replace(&folder.path(name), (serde_json::to_string_pretty(content)? + "\n").as_bytes())
}

/// Lists what is in the folder and what it was made from; returns the hashes of the manifest and of the table.
fn seal(run: &Run, folder: &RunFolder, inputs: &[Input], plain: Option<&Hash>) -> Result<(Hash, Hash)> {
    let (job, label) = (run.job, &run.identity.label);
    let (files, scores) = collect(folder, job, run.stages, plain)?;
    let parameters = Parameters {
        pipeline: job.pipeline.settings.name.clone(),
        pipeline_file: std::path::absolute(&job.pipeline.path)?,
        as_of: label.as_of,
        known_by: label.known_by.clone(),
        model: label.model.clone(),
        model_hash: label.model_hash.clone(),
        model_file: format!("configuration/model/{}", configuration::model_files(job)[0].0.display()),
    };
    let dependencies = run.identity.dependencies.clone();
    let manifest = Manifest::new(&folder.id, parameters, dependencies, inputs.to_vec(), &label.program, BUILD, files);
    Ok((manifest.write(folder)?, scores))
}

/// Puts into the run's folder what explains it, makes all of it durable, and lists its files with their hashes; the second is
/// the table's. `plain` is the hash that an encrypted table has where it is written plain.
fn collect(folder: &RunFolder, job: &Job, stages: &[Stage], plain: Option<&Hash>) -> Result<(Vec<Subject>, Hash)> {
    let mut names = configuration::keep(folder, job)?;
    names.extend([SCORES, AUDIT, PAGE, DISTRIBUTIONS, relationships::FILE].map(ToOwned::to_owned));
    names.extend(job.exports.iter().map(|e| quarantine::file(&e.table.name)));
    names.retain(|name| folder.path(name).exists());
    let mut files = names.iter().map(|name| subject(folder, name)).collect::<Result<Vec<_>>>()?;
    if let Some(key) = encryption::write_id() {
        let tables = files.iter_mut().filter(|file| Path::new(&file.name).extension().is_some_and(|e| e == "parquet"));
        for file in tables {
            let plain = plain.filter(|_| file.name == SCORES).map(|hash| Digest { blake3: hash.clone() });
            file.annotations = Some(Encrypted { key: key.clone(), plain });
        }
    }
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
        let annotations = stage.label.encrypted.clone().map(|key| Encrypted { key, plain: None });
        files.push(Subject { name, digest: Digest { blake3 }, annotations });
    }
    for file in &files {
        let path = folder.path(&file.name);
        read::open(&path)?.sync_all().with_context(|| format!("making {} durable", path.display()))?;
        sync_folder(path.parent().unwrap_or(&folder.folder))?;
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let scores = files.iter().find(|f| f.name == SCORES).context("the table was not written")?.digest.blake3.clone();
    Ok((files, scores))
}
