//! The runs of an output folder, a line each: how each ended and why, and its main figures.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::folder::{LINEAGE, RunFolder, State};
use super::ledger::{Event, Ledger};
use crate::audit::{AUDIT, Audit};
use crate::gates::verdicts::Verdict;
use crate::storage::read;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its table is the published one.
    Published,
    /// Its table was published, and another one took its place since.
    Replaced,
    /// A gate refused it.
    Refused,
    /// An error ended it.
    Failed,
    /// A signal stopped it.
    Interrupted,
    /// It is under way, or was killed.
    Unfinished,
}

impl Standing {
    /// As people read it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Replaced => "replaced",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A run, summed up. What it does not tell, or hides, is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// Its id.
    pub run: String,
    /// How it stands.
    pub state: Standing,
    /// Its as-of date.
    pub as_of: Option<Date>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The pipeline's name.
    pub pipeline: Option<String>,
    /// `name-version` of the model.
    pub model: Option<String>,
    /// Visible subjects.
    pub subjects: Option<u64>,
    /// Those with a score.
    pub scored: Option<u64>,
    /// Their mean score.
    pub mean: Option<f64>,
    /// Population stability index against the run before it.
    pub psi: Option<f64>,
    /// Area under the ROC curve, where outcomes are known.
    pub auc: Option<f64>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Why it ended without publishing, or which gates were overridden.
    pub because: Option<String>,
    /// What its gates found.
    pub gates: Vec<Verdict>,
    /// Whether its folder is there; `clean` removes folders and leaves what is published.
    pub kept: bool,
    /// Why its audit cannot be read.
    pub unreadable: Option<String>,
}

/// When an event of a run's lineage came to be.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "eventTime")]
    event_time: Timestamp,
}

/// All runs, by as-of date and then as they ended; those without a date come last.
///
/// # Errors
/// When the ledger does not hold, or a folder cannot be read.
pub fn overview(output: &Path) -> Result<Vec<Overview>> {
    let ledger = Ledger::open(output, None)?;
    let folders = RunFolder::all(output)?.into_iter().map(|run| run.id);
    let runs = ledger.lines.iter().filter(|l| l.entry.event != Event::Erased);
    let ids: BTreeSet<String> = folders.chain(runs.map(|l| l.entry.run.clone())).collect();
    let runs: Result<Vec<_>> = ids.par_iter().map(|id| one(&ledger, &RunFolder::of(output, id))).collect();
    let mut runs = runs?;
    runs.sort_by(|a, b| {
        (a.as_of.is_none(), a.as_of, &a.ended, &a.run).cmp(&(b.as_of.is_none(), b.as_of, &b.ended, &b.run))
    });
    Ok(runs)
}

fn one(ledger: &Ledger, run: &RunFolder) -> Result<Overview> {
    let kept = run.folder.is_dir();
    let mut found = Overview {
        state: Standing::Unfinished,
        as_of: run.id.get(..10).and_then(|day| day.parse().ok()),
        ended: None,
        pipeline: None,
        model: None,
        subjects: None,
        scored: None,
        mean: None,
        psi: None,
        auc: None,
        seconds: None,
        because: None,
        gates: Vec::new(),
        kept,
        unreadable: None,
        run: run.id.clone(),
    };
    // The ledger tells how a run ended; what its folder says counts only where the ledger says nothing.
    if let Some(line) = ledger.of_run(&run.id) {
        let entry = &line.entry;
        found.state = match entry.event {
            Event::Refused => Standing::Refused,
            _ if ledger.current(&entry.table).is_some_and(|current| current.n == line.n) => Standing::Published,
            _ => Standing::Replaced,
        };
        (found.as_of, found.ended) = (
            Some(entry.as_of),
            Some(entry.at.parse().with_context(|| format!("the ledger: {} is no instant", entry.at))?),
        );
        (found.pipeline, found.model) = (Some(entry.pipeline.clone()), Some(entry.model.clone()));
        let accepted = entry.accepted.iter().map(|a| format!("{} accepted: {}", a.gate, a.because));
        let because: Vec<String> = entry.because.iter().cloned().chain(accepted).collect();
        found.because = (!because.is_empty()).then(|| because.join("; "));
    } else if kept {
        (found.state, found.because) = match run.state() {
            Some(State::Failed { error }) => (Standing::Failed, Some(error)),
            Some(State::Interrupted) => (Standing::Interrupted, None),
            Some(_) => (Standing::Unfinished, None),
            None => (Standing::Unfinished, Some("its folder does not say how it stands".to_owned())),
        };
        found.ended = ended(run)?;
    }
    if kept && run.path(AUDIT).exists() {
        match Audit::read(&run.path(AUDIT)) {
            Ok(audit) => found.figures(&audit),
            Err(error) => found.unreadable = Some(format!("{error:#}")),
        }
    }
    Ok(found)
}

/// When the last event of a run's lineage came to be.
fn ended(run: &RunFolder) -> Result<Option<Timestamp>> {
    let path = run.path(LINEAGE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read::text(&path)?;
    let last = text.lines().last().map(serde_json::from_str::<Told>).transpose();
    Ok(last.with_context(|| format!("{}: the last line is no event", path.display()))?.map(|told| told.event_time))
}

impl Overview {
    fn figures(&mut self, audit: &Audit) {
        let of = &audit.provenance;
        (self.pipeline, self.model) = (Some(of.pipeline.clone()), Some(of.model.clone()));
        (self.subjects, self.scored) = (Some(audit.coverage.subjects), audit.coverage.scored);
        self.mean = audit.scores.mean;
        self.psi = audit.drift.as_ref().and_then(|d| d.score).map(|shift| shift.psi);
        self.auc = audit.quality.as_ref().map(|q| q.main.ranking.auc);
        self.seconds = Some(audit.timings.seconds);
        self.gates.clone_from(&audit.gates);
    }
}
