//! What runs hold of the subject: scores, features, reasons, and the records that count against it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::parts::{Named, OfRun, Reason, named};
use crate::contract::Zone;
use crate::explain::records;
use crate::output::Output;
use crate::pipeline::Model;
use crate::runs::erasure::undisturbed::Undisturbed;
use crate::runs::folder::RunFolder;
use crate::runs::kept::{KeptRun, arrived};
use crate::runs::ledger::place::SCORES;
use crate::runs::ledger::{Event, Ledger, Line};
use crate::tables::find::SubjectTable;
use crate::tables::without::outline;
use crate::tables::{relationships, scores};

/// About whom, and where.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The output folder.
    pub output: &'a Path,
    /// Its ledger.
    pub ledger: &'a Ledger,
    /// The subject.
    pub subject: &'a str,
    /// The pipeline's time zone.
    pub zone: &'a Zone,
    /// Where the operator is warned.
    pub log: &'a Output,
}

/// What every run of a pipeline holds of a subject, by as-of date; runs that do not know it are left out.
///
/// # Errors
/// When a table is damaged, or its key is not to be had; when subjects are erased meanwhile: another one's features could be told as this
/// one's.
pub fn runs(asked: &Asked, pipeline: &str) -> Result<Vec<OfRun>> {
    let reading = Undisturbed::begin(asked.output)?;
    let mut found = Vec::new();
    let of_pipeline = asked.ledger.lines.iter().filter(|line| line.entry.pipeline == pipeline);
    for line in of_pipeline.filter(|line| matches!(line.entry.event, Event::Published | Event::Refused)) {
        found.extend(one(asked, line)?);
    }
    found.sort_by(|a, b| (a.as_of, &a.at).cmp(&(b.as_of, &b.at)));
    reading.end()?;
    Ok(found)
}

fn one(asked: &Asked, line: &Line) -> Result<Option<OfRun>> {
    let Asked { output, ledger, subject, zone, .. } = *asked;
    let run = RunFolder::of(output, &line.entry.run);
    let current = ledger.current(&line.entry.table).is_some_and(|c| c.n == line.n);
    let kept = run.path(SCORES).is_file();
    let path: PathBuf = match (kept, current) {
        (true, _) => run.path(SCORES),
        (false, true) => output.join(&line.entry.table),
        // Its folder was removed, and another table is where its own was.
        (false, false) => return Ok(None),
    };
    if !path.is_file() {
        return Ok(None);
    }
    if kept {
        arrived(&run)?;
    }
    // It names the keys of the run's files.
    let model = if kept { model(&run, asked.log) } else { None };
    let table = SubjectTable::open(&path)?;
    // What cannot be one of the table's ids is not in it.
    let Ok(id) = table.id(subject) else { return Ok(None) };
    let Some(rows) = table.find(&id)?.first().copied() else { return Ok(None) };
    let row = table.read(rows, None)?;
    let score = named(&row, 0, zone, &[scores::SUBJECT_ID])?;
    Ok(Some(OfRun {
        run: run.id.clone(),
        as_of: line.entry.as_of,
        model: line.entry.model.clone(),
        state: match (line.entry.event, current) {
            (Event::Refused, _) => "refused",
            (_, true) => "published",
            (_, false) => "replaced",
        },
        at: line.entry.at.clone(),
        kept,
        reasons: reasons(&score, model.as_ref()),
        features: if kept { features(&run, rows.place, zone)? } else { BTreeMap::new() },
        records: if kept { records::of(&run, &id)? } else { Vec::new() },
        friends: if kept { friends(&run, subject, zone)? } else { Vec::new() },
        score,
    }))
}

/// The model of a kept run; what it cannot be read for is warned of, and reasons are told without their words.
fn model(run: &RunFolder, log: &Output) -> Option<Model> {
    match KeptRun::open(run.clone()) {
        Ok(kept) => Some(kept.model),
        Err(error) => {
            log.warn(&format!("run {}: its reasons are told by their codes alone: {error:#}", run.id));
            None
        }
    }
}

/// The features of the row that has the same number in every table.
fn features(run: &RunFolder, place: usize, zone: &Zone) -> Result<BTreeMap<String, Vec<Named>>> {
    let mut found = BTreeMap::new();
    let folder = run.path("features");
    if !folder.is_dir() {
        return Ok(found);
    }
    let (_, rows) = outline(&run.path(SCORES))?;
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let category = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        ensure!(outline(&path)?.1 == rows, "{} has other rows than {SCORES}, which has {rows}", path.display());
        let row = SubjectTable::open(&path)?.row(place, None)?;
        let row = row.with_context(|| format!("{} has no row {place}", path.display()))?;
        // That there was an opportunity for a value goes without saying.
        let said = named(&row, 0, zone, &[scores::SUBJECT_ID])?;
        let said: Vec<Named> =
            said.into_iter().filter(|v| !(v.name.ends_with("__none") && v.value == "false")).collect();
        found.insert(category, said);
    }
    Ok(found)
}

fn reasons(score: &[Named], model: Option<&Model>) -> Vec<Reason> {
    let codes = score.iter().filter(|v| v.name.starts_with("reason_")).map(|v| v.value.clone());
    let text = |code: &str| {
        let all = model?.card.reason.iter().map(toml::Spanned::get_ref);
        all.into_iter().find(|r| r.code == code).map(|r| r.text.clone())
    };
    codes.map(|code| Reason { text: text(&code).unwrap_or_default(), code }).collect()
}

/// What may be said of friends: coarse, and of no single one; only where they are enough.
fn friends(run: &RunFolder, subject: &str, zone: &Zone) -> Result<Vec<Named>> {
    let path = run.path(relationships::FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let table = SubjectTable::open(&path)?;
    let Some(rows) = table.find(&table.id(subject)?)?.first().copied() else { return Ok(Vec::new()) };
    named(&table.read(rows, None)?, 0, zone, &[scores::SUBJECT_ID])
}
