//! The published tables of a pipeline, date by date: what their audits tell, side by side.
//!
//! The ledger says which tables are published now, and the audit of each one's run what they hold. [`figures`] takes
//! from an audit what the page shows, `shift` compares with the first date, [`charts`] says what is drawn.

pub(super) mod charts;
pub mod figures;
mod shift;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow, bail};
use jiff::civil::Date;
use rayon::prelude::*;
use serde::Serialize;

use self::figures::Figures;
use self::shift::{is_told, shift};
use crate::audit::drift::Earlier;
use crate::audit::scale::Cell;
use crate::audit::{AUDIT, Audit};
use crate::runs::erasure::Erasures;
use crate::runs::folder::RunFolder;
use crate::runs::ledger::{Event, Ledger, Line};
use crate::runs::verify;

/// The published tables of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run that `psi_first` compares with: the first whose histogram is told; null when there is none.
    pub first: Option<Earlier>,
    /// One for each published table, by as-of date and model.
    pub entries: Vec<Entry>,
}

/// A published table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its as-of date.
    pub as_of: Date,
    /// `name-version` of its model.
    pub model: String,
    /// The run that published it.
    pub run: String,
    /// Whether that run's folder is there.
    pub kept: bool,
    /// Why figures are missing; null when none are.
    pub note: Option<String>,
    /// Gates that failed and were overridden.
    pub accepted: Vec<Overridden>,
    /// What the run's audit tells; null when it cannot be read.
    pub figures: Option<Figures>,
}

/// A gate that failed and was overridden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overridden {
    /// The gate.
    pub gate: String,
    /// Why it was overridden.
    pub because: String,
}

impl History {
    /// The tables that a pipeline has published in an output folder. Where an audit shows counts of subjects below
    /// `min_cell`, its figures about subjects are left out.
    ///
    /// # Errors
    /// When the ledger does not hold, or nothing is published by that pipeline.
    pub fn of(output: &Path, pipeline: &str, min_cell: u64) -> Result<Self> {
        // Which tables they are does not depend on the key; `verify` asks for it.
        let ledger = Ledger::open(output, None)?;
        let mut tables: BTreeMap<&str, &Line> = BTreeMap::new();
        for line in ledger.lines.iter().filter(|l| l.entry.event == Event::Published) {
            tables.insert(line.entry.table.as_str(), line);
        }
        let of_pipeline = |line: &&Line| line.entry.pipeline == pipeline;
        let mut lines: Vec<&Line> = tables.values().copied().filter(of_pipeline).collect();
        if lines.is_empty() {
            let others: BTreeSet<&str> = tables.values().map(|line| line.entry.pipeline.as_str()).collect();
            let others = others.into_iter().collect::<Vec<_>>().join(", ");
            match others.as_str() {
                "" => bail!("nothing is published in {} yet", output.display()),
                others => bail!(
                    "nothing is published by a pipeline named {pipeline} in {}; there is {others}",
                    output.display()
                ),
            }
        }
        lines.sort_by(|a, b| (a.entry.as_of, &a.entry.model).cmp(&(b.entry.as_of, &b.entry.model)));
        let erasures = Erasures::of(output, &ledger, None);
        let mut found: Vec<(Entry, Vec<Cell>)> =
            lines.par_iter().map(|line| entry(output, line, &erasures, min_cell)).collect();
        let first = found.iter().position(|(_, cells)| is_told(cells));
        if let Some(first) = first {
            let then = found[first].1.clone();
            for (entry, cells) in found.iter_mut().skip(first + 1) {
                if let Some(figures) = &mut entry.figures {
                    figures.psi_first = shift(&then, cells);
                }
            }
        }
        let entries: Vec<Entry> = found.into_iter().map(|(entry, _)| entry).collect();
        Ok(Self { pipeline: pipeline.to_owned(), first: first.map(|first| entries[first].named()), entries })
    }

    /// The models, in the order in which they come.
    pub(super) fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for entry in &self.entries {
            if !models.contains(&entry.model.as_str()) {
                models.push(&entry.model);
            }
        }
        models
    }

    /// The tables of which rows were read.
    pub(super) fn tables(&self) -> BTreeSet<&str> {
        self.figures().flat_map(|figures| figures.tables.keys()).map(String::as_str).collect()
    }

    /// The names of quantiles.
    pub(super) fn quantiles(&self) -> BTreeSet<&str> {
        self.figures().flat_map(|figures| figures.quantiles.keys()).map(String::as_str).collect()
    }

    fn figures(&self) -> impl DoubleEndedIterator<Item = &Figures> {
        self.entries.iter().filter_map(|entry| entry.figures.as_ref())
    }
}

impl Entry {
    fn named(&self) -> Earlier {
        Earlier { run: self.run.clone(), as_of: self.as_of, model: self.model.clone() }
    }
}

/// A published table, and the histogram of its scores if that may be shown.
fn entry(output: &Path, line: &Line, erasures: &Result<Erasures>, min_cell: u64) -> (Entry, Vec<Cell>) {
    let (run, of) = (RunFolder::of(output, &line.entry.run), &line.entry);
    let accepted = of.accepted.iter().map(|a| Overridden { gate: a.gate.clone(), because: a.because.clone() });
    let mut entry = Entry {
        as_of: of.as_of,
        model: of.model.clone(),
        run: of.run.clone(),
        kept: run.folder.is_dir(),
        note: None,
        accepted: accepted.collect(),
        figures: None,
    };
    if !entry.kept {
        entry.note = Some("its run's folder was removed".to_owned());
        return (entry, Vec::new());
    }
    let (mut figures, audit) = match told(&run, line, erasures) {
        Ok(told) => told,
        Err(error) => {
            // The same folder gives the same page wherever it lies.
            let error = format!("{error:#}").replace(&format!("{}/", output.display()), "");
            entry.note = Some(format!("its audit cannot be read: {error}"));
            return (entry, Vec::new());
        }
    };
    let shown = audit.privacy.min_cell;
    let mut cells = audit.scores.histogram;
    if shown < min_cell {
        figures.hide_subjects();
        cells.clear();
        entry.note = Some(format!(
            "its audit shows counts of subjects from {shown} on, and the pipeline shows none below {min_cell} now: what \
             it says of subjects is left out"
        ));
    }
    entry.figures = Some(figures);
    (entry, cells)
}

/// What the audit of a run tells, if it is as it was when its table was published.
fn told(run: &RunFolder, line: &Line, erasures: &Result<Erasures>) -> Result<(Figures, Audit)> {
    let erasures = erasures.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    verify::kept(run, line, erasures, &AtomicBool::new(false), &|name| name == AUDIT)?;
    let audit = Audit::read(&run.path(AUDIT))?;
    Ok((Figures::of(&audit)?, audit))
}
