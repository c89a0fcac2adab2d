//! One run against outcomes.

use serde::Serialize;

use super::outcomes::{Outcomes, Rows};
use super::scored::ScoredTable;
use crate::audit::quality::{Judged, Quality, Segments};
use crate::ingest::settle::outcomes::Outcome;
use crate::runs::kept::KeptRun;
use crate::score::rows::NONE;
use jiff::civil::Date;

/// How well a run's scores rank outcomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// The run.
    pub run: String,
    /// Its as-of date.
    pub as_of: Date,
    /// Its model.
    pub model: String,
    /// What became of the outcomes' rows.
    pub outcomes: Rows,
    /// By horizon, the one with most outcomes first; none where few went bad or stayed good.
    pub horizons: Vec<Quality>,
}

/// Measures a run.
#[must_use]
pub fn validate(run: &KeptRun, table: &ScoredTable, outcomes: Outcomes) -> Validation {
    let scale = table.scale(run);
    let min_cell = run.pipeline.settings.privacy.min_cell;
    let mut horizons: Vec<(i64, Judged)> = outcomes
        .outcomes
        .chunk_by(|a, b| a.horizon_days == b.horizon_days)
        .map(|group| (group[0].horizon_days, judged(table, group)))
        .collect();
    horizons.sort_by_key(|(days, judged)| (std::cmp::Reverse(judged.len()), std::cmp::Reverse(*days)));
    let subjects = table.segments.iter().copied().zip(table.scores.iter().map(|s| *s != NONE));
    let who = Segments::of(run.model.card.segment.len(), subjects);
    let quality = |(days, j): &(i64, Judged)| j.quality(*days, &run.model.card, &scale, &who, min_cell);
    let parameters = run.manifest.parameters();
    Validation {
        run: run.run.id.clone(),
        as_of: parameters.as_of,
        model: parameters.model.clone(),
        outcomes: outcomes.rows,
        horizons: horizons.iter().filter_map(quality).collect(),
    }
}

fn judged(table: &ScoredTable, outcomes: &[Outcome]) -> Judged {
    let mut judged = Judged::default();
    for outcome in outcomes {
        let s = outcome.subject as usize;
        if table.scores[s] != NONE {
            judged.push(table.scores[s], table.segments[s], table.points(s), outcome.bad);
        }
    }
    judged
}
