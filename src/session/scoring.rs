//! Scoring: from stages to everyone's score, written to the run's folder.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::Making;
use super::run::Run;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::Quarantined;
use crate::ingest::links::ties::DroppedTies;
use crate::ingest::read::export::Export;
use crate::job::Job;
use crate::machine::resources::Resources;
use crate::output::thousands;
use crate::runs::folder::RunFolder;
use crate::runs::ledger::place::SCORES;
use crate::runs::step::step;
use crate::score::bins::Bins;
use crate::score::finished::{self, Finished};
use crate::score::friends::{self, Bonds, Friends};
use crate::score::kept::{self, OfShard};
use crate::score::points::OFF;
use crate::score::population::Population;
use crate::score::rated::{Rated, rate};
use crate::score::rows::NONE;
use crate::score::told::Told;
use crate::score::worths::Worths;
use crate::scorecard::policy::Caps;
use crate::stages::opened::StageData;
use crate::stages::shards::{Part, RatedIn, numbers, opened};
use crate::stages::store::Stage;
use crate::stages::subjects::Subjects;
use crate::stages::ties::Ties;
use crate::storage::hashes::Hash;
use crate::tables::quarantine;
use crate::tables::relationships::{self, Line, RelationshipsFile};
use crate::tables::words::Words;

/// Bins of rated subjects may take one of so many parts of the memory.
const BINS_PART: u64 = 4;

/// Everyone's score, with what it was made from and what was counted on the way.
pub(super) struct Scored {
    /// The stages.
    pub data: StageData,
    /// What was counted and quarantined, by table.
    pub findings: BTreeMap<String, Findings>,
    /// What friends tell, when propagation ran.
    pub friends: Option<Friends>,
    /// Everyone's score.
    pub population: Population,
    /// What the table's rows say, counted.
    pub told: Told,
    /// Of an encrypted table, the hash that it has where it is written plain.
    pub plain: Option<Hash>,
}

/// Everyone's score, not yet written.
pub(super) struct Everyone {
    /// The stages.
    pub data: StageData,
    /// What was counted and quarantined, by table.
    pub findings: BTreeMap<String, Findings>,
    /// What friends tell, when propagation ran.
    pub friends: Option<Friends>,
    /// Everyone's score.
    pub population: Population,
}

/// Scores everyone.
///
/// # Errors
/// When a stage is damaged, or the work is interrupted.
pub(super) fn everyone(job: &Job, stages: &[Stage], resources: &Resources) -> Result<Everyone> {
    everyone_of(job, stages, &[], resources)
}

/// Scores everyone, of whom parts may have been rated elsewhere.
fn everyone_of(job: &Job, stages: &[Stage], parts: &[Part], resources: &Resources) -> Result<Everyone> {
    let mut data = StageData::open(job, stages)?;
    let mut findings = std::mem::take(&mut data.findings);
    let caps = Caps::new(&job.policies)?;
    let mut rated = match rated_elsewhere(job, &data.subjects, parts)? {
        Some(rated) => rated,
        None => rate(job, &data, &caps, resources)?,
    };
    data.rated();
    let (subjects, of) = (rated.rows.status.len(), data.subjects.len());
    ensure!(subjects == of, "defect: {subjects} of {of} subjects are rated");
    let (bins, width) = (std::mem::take(&mut rated.rows.bins), job.card.features.len());
    let bins = Bins::of(bins, (subjects, width), resources.memory / BINS_PART, &resources.scratch)?;
    let bonds = find_friends(job, data.ties.take(), &rated, &mut findings, resources)?;
    rated.rows.told();
    let population = Population::new(rated, bins, bonds.as_ref(), &job.card, &caps, &job.model)?;
    let friends = bonds.map(Bonds::told).transpose()?;
    conserved(job, &findings)?;
    Ok(Everyone { data, findings, friends, population })
}

/// Everyone as shards rated them, if they did.
fn rated_elsewhere(job: &Job, subjects: &Subjects, parts: &[Part]) -> Result<Option<Rated>> {
    let folders: Option<Vec<&RatedIn>> = parts.iter().map(|part| part.rated.as_ref()).collect();
    let Some(folders) = folders.filter(|folders| !folders.is_empty()) else { return Ok(None) };
    folders.par_iter().try_for_each(|rated| rated.unchanged())?;
    let (numbers, subjects) = (numbers(job, parts, subjects)?, opened(job, parts)?);
    let shards = folders.into_iter().zip(numbers).zip(&subjects);
    let shards = shards.map(|((rated, numbers), subjects)| OfShard {
        folder: rated.folder.clone(),
        numbers,
        ids: Box::new(subjects.ids_by_block()),
    });
    let scored = job.model.card.status.iter().map(|status| status.get_ref().scored).collect();
    kept::read(shards.collect(), scored, job.card.features.len()).map(Some)
}

/// Scores everyone and writes the tables.
///
/// # Errors
/// When a stage is damaged, the disk is full, or the run is interrupted.
pub(super) fn score(run: &Run, folder: &RunFolder) -> Result<Scored> {
    let (job, resources) = (run.job, &run.session.resources);
    let parts: &[Part] = match &run.session.making {
        Making::Of(parts) => parts.as_slice(),
        Making::AtOnce | Making::InShards(_) => &[],
    };
    let Everyone { data, findings, friends, population } = everyone_of(job, run.stages, parts, resources)?;
    for export in job.exports.iter() {
        if let Some(found) = findings.get(&export.table.name).filter(|f| !f.quarantined.is_empty()) {
            write_quarantine(folder, export, &found.quarantined)?;
        }
    }
    let subjects = &data.subjects.ids()?;
    let progress = resources.log.stage("write scores", subjects.len() as u64, "subjects");
    let finished = Finished { population: &population, card: &job.card, model: &job.model };
    let (told, plain) = finished::write(&folder.path(SCORES), subjects, &finished, &run.identity.label, &|rows| {
        progress.add(rows);
        Ok(resources.check()?)
    })?;
    if let Some(friends) = &friends {
        let (steps, worths) = (friends.summary.step_names(), Worths::of(&job.card));
        let steps = Words::of(steps.iter().map(String::as_str));
        let mut file = RelationshipsFile::create(&folder.path(relationships::FILE), subjects, steps)?;
        for piece in population.subject_bins.pieces() {
            file.add(of_friends(friends, &finished, &worths, &piece)?)?;
        }
        file.finish()?;
    }
    progress.finish();
    step("scores written");
    Ok(Scored { data, findings, friends, population, told, plain })
}

/// What is told of the friends of a piece's subjects, by subject.
fn of_friends(friends: &Friends, finished: &Finished, worths: &Worths, piece: &Range<usize>) -> Result<Vec<Line>> {
    let (bins, width) = (finished.population.subject_bins.piece(piece)?, finished.card.features.len());
    let rows = &finished.population.rows;
    let line = |s: usize| -> Result<Line> {
        let at = s - piece.start;
        let lift = worths.lift(usize::from(rows.segment[s]), &bins[at * width..(at + 1) * width]).context(OFF)?;
        friends.line(s, lift)
    };
    let is_told = |s: &usize| rows.score[*s] != NONE && friends.enough(*s);
    piece.clone().into_par_iter().filter(is_told).map(line).collect()
}

fn write_quarantine(folder: &RunFolder, export: &Export, rows: &[Quarantined]) -> Result<()> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let column = |q: &Quarantined| export.table.columns.get(q.column).map_or("", |c| c.name.as_str());
    let row = |q: &Quarantined| quarantine::Row {
        file: export.files[q.file as usize].file.label.as_str(),
        row: q.row,
        rule: q.rule.name(),
        column: column(q),
    };
    let path = folder.path(&quarantine::file(&export.table.name));
    fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
    quarantine::write(&path, &rows.iter().map(row).collect::<Vec<_>>())
}

/// What friends tell, unless the model's propagation is off or there are no links.
fn find_friends(
    job: &Job,
    ties: Option<(Ties, DroppedTies)>,
    rated: &Rated,
    findings: &mut BTreeMap<String, Findings>,
    resources: &Resources,
) -> Result<Option<Bonds>> {
    let Some(export) = job.export("friend_links") else { return Ok(None) };
    let Some(ties) = ties else {
        let mut unread = Findings::default();
        for (file, open) in (0_u32..).zip(&export.files) {
            unread.tally.add(file, Class::Dropped, open.rows);
        }
        findings.insert(export.table.name.clone(), unread);
        return Ok(None);
    };
    let propagation = &job.model.card.propagation;
    let (bonds, mut found) = friends::propagate_scores(ties, export.files.len(), rated, propagation, resources)?;
    findings.entry(export.table.name.clone()).or_default().merge(&mut found);
    Ok(Some(bonds))
}

/// The conservation law: every row of every file is in exactly one class.
fn conserved(job: &Job, findings: &BTreeMap<String, Findings>) -> Result<()> {
    for export in job.exports.iter() {
        let Some(found) = findings.get(&export.table.name) else { continue };
        for (n, file) in export.files.iter().enumerate() {
            let counted = found.tally.file_total(n);
            ensure!(
                counted == file.rows + found.tally.multiplied(n),
                "defect: {} rows of {} are accounted for, but it holds {} and its `select` adds {}",
                thousands(counted),
                file.file.path.display(),
                thousands(file.rows),
                thousands(found.tally.multiplied(n))
            );
        }
    }
    Ok(())
}
