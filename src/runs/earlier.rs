//! The published runs of a pipeline that a new one is compared with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::erasure::Erasures;
use super::folder::RunFolder;
use super::folder::manifest::Manifest;
use super::ledger::place::SCORES;
use super::ledger::{Event, Ledger, Line};
use super::verify::{Mismatch, kept};
use crate::audit::conservation::TableRows;
use crate::audit::distributions::{DISTRIBUTIONS, Distributions};
use crate::audit::previous::Previous;
use crate::audit::{AUDIT, Audit};
use crate::ingest::check::conservation::Class;
use crate::job::inputs::Input;
use crate::score::rows::NONE;
use crate::tables::ids::{self, Ids};
use crate::tables::{columns, read, scores};
use jiff::civil::Date;

/// The published runs of a pipeline, as far as they are as the ledger knows them.
pub struct Earlier<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The output folder.
    pub output: &'a Path,
    /// The pipeline.
    pub pipeline: &'a str,
    /// Who was erased since.
    pub erasures: &'a Erasures,
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
    pub fn before(&mut self, as_of: Date, model: &str) -> Result<Option<Previous>> {
        let mut earlier = self.published(&|date| date < as_of);
        earlier.sort_by_key(|l| (l.entry.as_of, l.entry.model == model, l.n));
        let wanted = |name: &str| [SCORES, AUDIT, DISTRIBUTIONS].contains(&name);
        match self.newest(&earlier, &wanted)? {
            Some((run, line, manifest)) => previous(&run, line, &manifest, self.erasures)
                .map(Some)
                .with_context(|| format!("the earlier run {}", run.id)),
            None => Ok(None),
        }
    }

    /// The input files of the run that was published last for a date, with the rows of those who are not erased; nothing when there is
    /// none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn inputs_of(&mut self, as_of: Date) -> Result<Option<Vec<Input>>> {
        let of_date = self.published(&|date| date == as_of);
        let Some((run, line, manifest)) = self.newest(&of_date, &|_| false)? else { return Ok(None) };
        // One that is not as it was, or of an older version, tells of nobody who was left out.
        let whole = kept(&run, line, self.erasures, self.stop, &|name| name == AUDIT).is_ok();
        let audit = if whole { Audit::read(&run.path(AUDIT)).ok() } else { None };
        Ok(Some(without_erased(manifest.inputs(), audit.as_ref(), self.erasures)))
    }

    /// The lines about published runs of some dates, but for those that were removed since, as the ledger tells.
    fn published<'l>(&self, of: &dyn Fn(Date) -> bool) -> Vec<&'l Line>
    where
        Self: 'l,
    {
        let ledger = self.ledger;
        let is =
            |l: &&Line| l.entry.event == Event::Published && l.entry.pipeline == self.pipeline && of(l.entry.as_of);
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
            match kept(&run, line, self.erasures, self.stop, wanted) {
                Ok(manifest) => return Ok(Some((run, line, manifest))),
                Err(error) if error.downcast_ref::<Mismatch>().is_some() => self.broken.push(format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn previous(run: &RunFolder, line: &Line, manifest: &Manifest, erasures: &Erasures) -> Result<Previous> {
    let audit = Audit::read(&run.path(AUDIT))?;
    let since = |input: &Input| erasures.carried(input).saturating_sub(left_out(&audit, input));
    let mut quarantined = quarantined(&audit)?;
    for (table, (broken, visible)) in &mut quarantined {
        let of_table = manifest.inputs().iter().filter(|input| input.annotations.table == *table);
        *broken = broken.saturating_sub(erasures.quarantined(&run.id, table));
        *visible = visible.saturating_sub(of_table.map(since).sum());
    }
    let mut previous = Previous {
        run: run.id.clone(),
        as_of: line.entry.as_of,
        model: line.entry.model.clone(),
        subjects: 0,
        scores: Vec::new(),
        ids: Ids::default(),
        by_subject: Vec::new(),
        distributions: Distributions::read(&run.path(DISTRIBUTIONS))?,
        quarantined,
        inputs: manifest.inputs().to_vec(),
        inputs_kept: without_erased(manifest.inputs(), Some(&audit), erasures),
        audit,
    };
    for batch in read::batches(&run.path(SCORES), Some(&[scores::SUBJECT_ID, scores::SCORE]))? {
        let batch = batch?;
        previous.subjects += batch.num_rows() as u64;
        ids::push(columns::named(&batch, scores::SUBJECT_ID)?, &mut previous.ids)?;
        let scores = columns::shorts(&batch, scores::SCORE)?;
        for score in scores.iter().flatten() {
            let score = usize::try_from(*score)?;
            if score >= previous.scores.len() {
                previous.scores.resize(score + 1, 0);
            }
            previous.scores[score] += 1;
        }
        previous.by_subject.extend(scores.iter().map(|s| s.unwrap_or(NONE)));
    }
    Ok(previous)
}

/// Rows of an input file that a run left out because their subjects were erased before, as its audit tells.
fn left_out(audit: &Audit, input: &Input) -> u64 {
    let of_file = || {
        let (table, label) = input.name.split_once('/')?;
        let file = audit.conservation.get(table)?.files.iter().find(|file| file.file == label)?;
        file.counts.class(Class::Erased)
    };
    of_file().unwrap_or_default()
}

/// Input files with the rows of those who are not erased: neither when they were read, nor since.
fn without_erased(inputs: &[Input], audit: Option<&Audit>, erasures: &Erasures) -> Vec<Input> {
    let kept = |input: &Input| {
        let mut kept = input.clone();
        let erased = audit.map_or(0, |audit| left_out(audit, input)).max(erasures.carried(input));
        kept.annotations.rows = kept.annotations.rows.saturating_sub(erased);
        kept
    };
    inputs.iter().map(kept).collect()
}

/// Quarantined and visible rows by table, as an audit tells them; rows of those who were erased are neither.
///
/// # Errors
/// When the audit does not count all classes of rows.
pub fn quarantined(audit: &Audit) -> Result<BTreeMap<String, (u64, u64)>> {
    let of_table = |(table, rows): (&String, &TableRows)| {
        let counted = |class: &Class| {
            let rows = rows.counts.class(*class);
            rows.with_context(|| format!("its audit does not count {} rows of {table}", class.name()))
        };
        let visible = Class::ALL.iter().filter(|c| ![Class::NotVisible, Class::Erased].contains(c));
        let visible = visible.map(counted).sum::<Result<u64>>()?;
        Ok((table.clone(), (counted(&Class::Quarantined)?, visible)))
    };
    audit.conservation.iter().map(of_table).collect()
}
