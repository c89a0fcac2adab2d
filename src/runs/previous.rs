//! The published run that a new one is compared with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int16Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::compare::matched;
use super::distributions::{DISTRIBUTIONS, Distributions};
use super::folder::{AUDIT, RunFolder};
use super::ledger::{Event, Ledger, Line};
use super::manifest::{Input, Manifest};
use super::publication::SCORES;
use super::verify::{Mismatch, kept};
use crate::disclosure::part;
use crate::ingest::conservation::Class;
use crate::ingest::spine::Ids;
use crate::publish::gates::Counts;
use crate::score::rows::NONE;
use crate::stages::subjects::push_ids;
use crate::storage::read;

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

/// The published runs of a pipeline, as far as they are as the ledger knows them.
pub struct Earlier<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The output folder.
    pub output: &'a Path,
    /// The pipeline.
    pub pipeline: &'a str,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
    /// What does not hold of runs that should have been compared with.
    pub broken: Vec<String>,
}

impl Earlier<'_> {
    /// The newest published as-of date before a date: by the same model where there is one, of several the one published last.
    /// Nothing when none is kept any more.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn before(&mut self, as_of: &str, model: &str) -> Result<Option<Previous>> {
        let mut earlier = self.published(&|date| date < as_of);
        earlier.sort_by_key(|l| (l.entry.as_of.clone(), l.entry.model == model, l.n));
        let wanted = |name: &str| [SCORES, AUDIT, DISTRIBUTIONS].contains(&name);
        match self.newest(&earlier, &wanted)? {
            Some((run, line, manifest)) => {
                read(&run, line, &manifest).map(Some).with_context(|| format!("the earlier run {}", run.id))
            }
            None => Ok(None),
        }
    }

    /// The input files of the run that was published last for a date; nothing when there is none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn inputs_of(&mut self, as_of: &str) -> Result<Option<Vec<Input>>> {
        let of_date = self.published(&|date| date == as_of);
        Ok(self.newest(&of_date, &|_| false)?.map(|(_, _, manifest)| manifest.inputs().to_vec()))
    }

    /// The lines about published runs of some dates, but for those that were removed since, as the ledger tells.
    fn published<'l>(&self, of: &dyn Fn(&str) -> bool) -> Vec<&'l Line>
    where
        Self: 'l,
    {
        let ledger = self.ledger;
        let is = |l: &&Line| {
            l.entry.event == Event::Published && l.entry.pipeline == self.pipeline && of(l.entry.as_of.as_str())
        };
        let kept = |l: &&Line| ledger.last_of(&l.entry.run).is_some_and(|last| last.entry.event != Event::Removed);
        ledger.lines.iter().filter(is).filter(kept).collect()
    }

    /// The last of some runs whose wanted files are as they were; notes what is not.
    fn newest<'l>(
        &mut self,
        lines: &[&'l Line],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Option<(RunFolder, &'l Line, Manifest)>> {
        for line in lines.iter().rev() {
            let run = RunFolder::of(self.output, &line.entry.run);
            match kept(&run, line, self.stop, wanted) {
                Ok(manifest) => return Ok(Some((run, line, manifest))),
                Err(error) if error.downcast_ref::<Mismatch>().is_some() => self.broken.push(format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn read(run: &RunFolder, line: &Line, manifest: &Manifest) -> Result<Previous> {
    let audit: Value = serde_json::from_str(&read::text(&run.path(AUDIT))?)?;
    let file = read::open(&run.path(SCORES))?;
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
        inputs: manifest.inputs().to_vec(),
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
