//! What the audit is made from, and what of it may be shown.

use std::collections::BTreeMap;

use super::distributions::Distributions;
use super::previous::Previous;
use super::scale::ScoreScale;
use crate::disclosure::quantiles::quantiles;
use crate::disclosure::{cells, part, small};
use crate::gates::counts::Counts;
use crate::gates::loss::TableChange;
use crate::gates::verdicts::{TableAge, Verdict};
use crate::ingest::check::findings::Findings;
use crate::job::Job;
use crate::job::inputs::Input;
use crate::score::finished::Finished;
use crate::score::friends::Friends;
use crate::score::population::Population;
use crate::score::rows::NONE;
use crate::score::told::Told;
use crate::stages::opened::StageData;
use crate::statistics::proportion::rounded;
use crate::tables::scores::Label;

/// What the audit is made from.
pub struct Facts<'a> {
    /// Configuration and inputs.
    pub job: &'a Job,
    /// The stages it was scored from.
    pub data: &'a StageData,
    /// What was scored.
    pub population: &'a Population,
    /// What friends told, when propagation ran.
    pub friends: Option<&'a Friends>,
    /// What was counted and quarantined, by table.
    pub findings: &'a BTreeMap<String, Findings>,
    /// The gates.
    pub verdicts: &'a [Verdict],
    /// Scores and quarantined rows.
    pub now: &'a Counts,
    /// What the table's rows say, counted.
    pub told: &'a Told,
    /// Subjects by feature and bin, as they are kept for the next run.
    pub distributions: &'a Distributions,
    /// The earlier published run, and its counts.
    pub previous: Option<(&'a Previous, &'a Counts)>,
    /// What changed in the exports since that run, by table.
    pub changes: &'a [TableChange],
    /// How old the newest record of tables is.
    pub ages: &'a [TableAge],
    /// Input files with their hashes.
    pub inputs: &'a [Input],
    /// The run's id.
    pub run: &'a str,
    /// As-of date, cut-off, model and program.
    pub label: &'a Label,
    /// Seconds by stage.
    pub timings: Vec<(String, f64)>,
    /// Seconds of the whole run so far.
    pub seconds: f64,
}

impl Facts<'_> {
    /// The smallest count of subjects that is shown.
    pub fn min_cell(&self) -> u64 {
        self.job.pipeline.settings.privacy.min_cell
    }

    /// Number of subjects.
    pub fn subjects(&self) -> u64 {
        self.population.rows.score.len() as u64
    }

    /// Number of subjects without a score.
    pub fn unscored(&self) -> u64 {
        self.subjects() - self.population.scored
    }

    /// Whether the number of scored subjects may be shown. Where it may not, nothing else may tell it: no sum, share or mean of them.
    pub fn scored_shown(&self) -> bool {
        self.part_of_all(self.population.scored).is_some()
    }

    /// How many of all subjects, if that may be shown.
    pub fn part_of_all(&self, count: u64) -> Option<u64> {
        part(count, self.subjects(), self.min_cell())
    }

    /// How many of the scored subjects, if that may be shown.
    pub fn part_of_scored(&self, count: u64) -> Option<u64> {
        self.of_scored(&[count, self.population.scored - count], &[])[0]
    }

    /// What is shown of cells that the scored subjects are divided into. Where few subjects are not scored, their number must
    /// not follow from the others'.
    pub fn of_scored(&self, counts: &[u64], known: &[bool]) -> Vec<Option<u64>> {
        if small(self.population.scored, self.min_cell()) {
            return vec![None; counts.len()];
        }
        let mut counts = counts.to_vec();
        counts.extend(Some(self.unscored()).filter(|u| small(*u, self.min_cell())));
        let mut known = known.to_vec();
        known.resize(counts.len(), false);
        let mut shown = cells::shown(&counts, &known, self.min_cell());
        if small(self.unscored(), self.min_cell()) {
            shown.pop();
        }
        shown
    }

    /// The score of every scored subject, with its number.
    pub fn scored(&self) -> impl Iterator<Item = (usize, i64)> {
        self.population.rows.score.iter().enumerate().filter(|(_, s)| **s != NONE).map(|(n, s)| (n, i64::from(*s)))
    }

    /// The scale of the scores, in cells that may be shown.
    pub fn scale(&self) -> ScoreScale {
        ScoreScale::new(&self.job.model.card, &self.population.by_score(), self.unscored(), self.min_cell())
    }

    /// A figure over so many scored subjects, or nothing where they are few or it could tell how few are not scored.
    pub fn of_many<T>(&self, subjects: u64, figure: T) -> Option<T> {
        (subjects >= self.min_cell().max(1) && self.scored_shown()).then_some(figure)
    }

    /// Quantiles of sorted values, where they may be shown.
    pub fn quantiles(&self, sorted: &[i64]) -> BTreeMap<String, Option<i64>> {
        quantiles(sorted, self.min_cell()).into_iter().map(|(name, q)| (name.to_owned(), q)).collect()
    }

    /// The subjects as the rows of the table.
    pub fn finished(&self) -> Finished<'_> {
        Finished { population: self.population, card: &self.job.card, model: &self.job.model }
    }
}

/// A figure to two decimals.
pub(super) fn hundredths(figure: f64) -> f64 {
    rounded(figure, 2)
}
