//! What runs hold of the subject: scores, features, reasons, and the records that count against it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::parts::{Named, OfRun, Reason, named};
use crate::contract::Zone;
use crate::explain::records;
use crate::pipeline::Model;
use crate::runs::folder::RunFolder;
use crate::runs::kept::KeptRun;
use crate::runs::ledger::place::SCORES;
use crate::runs::ledger::{Event, Ledger, Line};
use crate::tables::find::SubjectTable;
use crate::tables::{relationships, scores};

/// What every run of an output folder holds of a subject, by as-of date; runs that do not know it are left out.
///
/// # Errors
/// When a table is damaged.
pub fn runs(output: &Path, ledger: &Ledger, pipeline: &str, subject: &str, zone: &Zone) -> Result<Vec<OfRun>> {
    let mut found = Vec::new();
    let of_pipeline = ledger.lines.iter().filter(|line| line.entry.pipeline == pipeline);
    for line in of_pipeline.filter(|line| matches!(line.entry.event, Event::Published | Event::Refused)) {
        found.extend(one(output, ledger, line, subject, zone)?);
    }
    found.sort_by(|a, b| (a.as_of, &a.at).cmp(&(b.as_of, &b.at)));
    Ok(found)
}

fn one(output: &Path, ledger: &Ledger, line: &Line, subject: &str, zone: &Zone) -> Result<Option<OfRun>> {
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
    let table = SubjectTable::open(&path)?;
    // What cannot be one of the table's ids is not in it.
    let Ok(id) = table.id(subject) else { return Ok(None) };
    let Some(rows) = table.find(&id)?.first().copied() else { return Ok(None) };
    let row = table.read(rows, None)?;
    let score = named(&row, 0, zone, &[scores::SUBJECT_ID])?;
    let model = if kept { KeptRun::open(run.clone()).ok().map(|kept| kept.model) } else { None };
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

/// The features of the row that has the same number in every table.
fn features(run: &RunFolder, place: usize, zone: &Zone) -> Result<BTreeMap<String, Vec<Named>>> {
    let mut found = BTreeMap::new();
    let folder = run.path("features");
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let category = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
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
