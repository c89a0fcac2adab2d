//! The published run that a new one is compared with.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int16Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::compare::matched;
use super::distributions::Distributions;
use super::folder::{AUDIT, RunFolder};
use super::ledger::{Event, Ledger, Line};
use super::manifest::{Input, MANIFEST, Manifest};
use super::publication::SCORES;
use crate::disclosure::part;
use crate::ingest::conservation::Class;
use crate::ingest::spine::Ids;
use crate::publish::gates::Counts;
use crate::score::rows::NONE;
use crate::stages::subjects::push_ids;

/// What is known of the earlier run.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its id.
    pub run: String,
    /// Its as-of date.
    pub as_of: String,
    /// `name-version` of its model.
    pub model: String,
    /// Number of subjects.
    pub subjects: u64,
    /// Subjects by score.
    pub scores: Vec<u64>,
    /// The subjects, in order.
    ids: Ids,
    /// Each one's score, or none.
    pub by_subject: Vec<i16>,
    /// Subjects by feature and bin; nothing when the run kept none.
    pub distributions: Option<Distributions>,
    /// Quarantined and visible rows by table.
    pub quarantined: BTreeMap<String, (u64, u64)>,
    /// Its input files.
    pub inputs: Vec<Input>,
    /// Its audit.
    pub audit: Value,
}

/// The newest published as-of date of a pipeline before a date: by the same model where there is one, of several the one
/// published last. Nothing when none is there any more.
///
/// # Errors
/// When its table is damaged.
pub fn find(
    ledger: &Ledger,
    output: &std::path::Path,
    pipeline: &str,
    as_of: &str,
    model: &str,
) -> Result<Option<Previous>> {
    let mut earlier: Vec<&Line> = ledger
        .lines
        .iter()
        .filter(|l| l.entry.event == Event::Published && l.entry.pipeline == pipeline && l.entry.as_of.as_str() < as_of)
        .collect();
    earlier.sort_by_key(|l| (l.entry.as_of.clone(), l.entry.model == model, l.n));
    for line in earlier.iter().rev() {
        let run = RunFolder::of(output, &line.entry.run);
        if [SCORES, AUDIT, MANIFEST].iter().all(|name| run.path(name).exists()) {
            return read(&run, line).map(Some).with_context(|| format!("the earlier run {}", run.id));
        }
    }
    Ok(None)
}

/// The input files of the run of a pipeline that was published last for a date; nothing when there is none.
///
/// # Errors
/// When its manifest is damaged.
pub fn inputs_of_date(
    ledger: &Ledger,
    output: &std::path::Path,
    pipeline: &str,
    as_of: &str,
) -> Result<Option<Vec<Input>>> {
    let of_date =
        |l: &&Line| l.entry.event == Event::Published && l.entry.pipeline == pipeline && l.entry.as_of == as_of;
    let runs = ledger.lines.iter().rev().filter(of_date).map(|l| RunFolder::of(output, &l.entry.run));
    let Some(run) = runs.into_iter().find(|run| run.path(MANIFEST).exists()) else { return Ok(None) };
    Ok(Some(Manifest::read(&run)?.inputs().to_vec()))
}

fn read(run: &RunFolder, line: &Line) -> Result<Previous> {
    let audit: Value = serde_json::from_str(&fs_err::read_to_string(run.path(AUDIT))?)?;
    let file = fs_err::File::open(run.path(SCORES))?.into_parts().0;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["subject_id", "score"]);
    let mut previous = Previous {
        run: run.id.clone(),
        as_of: line.entry.as_of.clone(),
        model: line.entry.model.clone(),
        subjects: 0,
        scores: Vec::new(),
        ids: Ids::default(),
        by_subject: Vec::new(),
        distributions: Distributions::read(run)?,
        quarantined: quarantined(&audit)?,
        inputs: Manifest::read(run)?.inputs().to_vec(),
        audit,
    };
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        previous.subjects += batch.num_rows() as u64;
        push_ids(batch.column(0), &mut previous.ids)?;
        let scores = batch.column(1).as_primitive::<Int16Type>();
        previous.by_subject.extend(scores.iter().map(|s| s.unwrap_or(NONE)));
        for score in scores.iter().flatten() {
            let score = usize::try_from(score)?;
            if score >= previous.scores.len() {
                previous.scores.resize(score + 1, 0);
            }
            previous.scores[score] += 1;
        }
    }
    Ok(previous)
}

/// Quarantined and visible rows by table, as an audit tells them.
fn quarantined(audit: &Value) -> Result<BTreeMap<String, (u64, u64)>> {
    let tables = audit["conservation"].as_object().context("its audit has no `conservation`")?;
    let of_table = |(table, classes): (&String, &Value)| {
        let rows = |class: &Class| {
            classes[class.name()]
                .as_u64()
                .with_context(|| format!("its audit does not count {} rows of {table}", class.name()))
        };
        let visible = Class::ALL.iter().filter(|c| **c != Class::NotVisible).map(rows).sum::<Result<u64>>()?;
        Ok((table.clone(), (rows(&Class::Quarantined)?, visible)))
    };
    tables.iter().map(of_table).collect()
}

impl Previous {
    /// Whether the number of its scored subjects may be told.
    #[must_use]
    pub fn scored_shown(&self, least: u64) -> bool {
        part(self.scores.iter().sum(), self.subjects, least).is_some()
    }

    /// Calls `seen` with the place of every subject of either run in this one and in a later one; both are in order.
    pub fn matched(&self, later: &Ids, mut seen: impl FnMut(Option<usize>, Option<usize>)) {
        matched(&self.ids, later, &mut seen);
    }

    /// Its counts, for the gates.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            of: format!("{} (run {})", self.as_of, self.run),
            quarantined: self.quarantined.clone(),
            scores: self.scores.clone(),
            subjects: self.subjects,
        }
    }
}
