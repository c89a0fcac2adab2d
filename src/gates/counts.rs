//! Scores and quarantined rows of a run, counted, and how far they are from an earlier run's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::disclosure::{part, small};
use crate::statistics::stability::{grew, in_cells, psi, psi_by_chance, quantile_cells};

/// Scores and quarantined rows of a run.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// The run they are of, in words.
    pub of: String,
    /// Quarantined and visible rows by table.
    pub quarantined: BTreeMap<String, (u64, u64)>,
    /// Subjects by score.
    pub scores: Vec<u64>,
    /// Number of subjects.
    pub subjects: u64,
}

/// How far scores moved since an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shift {
    /// Population stability index over tenths of the earlier scores.
    pub psi: f64,
    /// What two samples of one population of these sizes exceed once in a thousand times.
    pub by_chance: f64,
    /// Number of cells.
    pub cells: usize,
}

impl Counts {
    /// Number of scored subjects.
    #[must_use]
    pub fn scored(&self) -> u64 {
        self.scores.iter().sum()
    }

    /// Whether the number of scored subjects may be told.
    pub(super) fn told(&self, min_cell: u64) -> bool {
        part(self.scored(), self.subjects, min_cell).is_some()
    }

    /// Whether the number of subjects of every band may be.
    pub(super) fn bands_told(&self, bands: &[(i64, String)], min_cell: u64) -> bool {
        (0..bands.len()).all(|n| !small(self.within(bands, n), min_cell))
    }

    /// Subjects in a band.
    pub(super) fn within(&self, bands: &[(i64, String)], n: usize) -> u64 {
        let (from, below) = (bands[n].0, bands.get(n + 1).map_or(i64::MAX, |b| b.0));
        (0_i64..).zip(&self.scores).filter(|(score, _)| (from..below).contains(score)).map(|(_, count)| count).sum()
    }

    /// How far scores moved since an earlier run; nothing when one of the two has none.
    #[must_use]
    pub fn shift(&self, before: &Self) -> Option<Shift> {
        if self.scored() == 0 || before.scored() == 0 {
            return None;
        }
        let (mut old, mut new) = (before.scores.clone(), self.scores.clone());
        let values = old.len().max(new.len());
        old.resize(values, 0);
        new.resize(values, 0);
        let starts = quantile_cells(&old, 10);
        Some(Shift {
            psi: psi(&in_cells(&old, &starts), &in_cells(&new, &starts)),
            by_chance: psi_by_chance(starts.len(), before.scored(), self.scored()),
            cells: starts.len(),
        })
    }
}

pub(super) fn share((part, all): (u64, u64)) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// The table whose quarantined share grew most, by what factor, and whether that is too much and more than chance.
pub(super) fn worst_growth<'a>(before: &Counts, now: &'a Counts, limit: f64) -> (Option<&'a str>, f64, bool) {
    let growths = now.quarantined.iter().filter(|(_, c)| c.0 > 0).map(|(table, counts)| {
        let earlier = before.quarantined.get(table).copied().unwrap_or((0, counts.1));
        // A share of nothing counts as that of one row, so that growth is a number.
        let min_cell = 1.0 / earlier.1.max(1) as f64;
        let growth = share(*counts) / share(earlier).max(min_cell);
        (Some(table.as_str()), growth, growth >= limit && grew(earlier, *counts))
    });
    // One that fails comes before one that only looks worse.
    growths.max_by(|a, b| a.2.cmp(&b.2).then(a.1.total_cmp(&b.1))).unwrap_or((None, 0.0, false))
}

/// The band whose share changed most, by how much, and whether that is too much and more than chance.
pub(super) fn worst_jump<'a>(
    before: &Counts,
    now: &Counts,
    bands: &'a [(i64, String)],
    limit: f64,
) -> (&'a str, f64, bool) {
    let count = |counts: &Counts, n: usize| counts.within(bands, n);
    let jumps = (0..bands.len()).map(|n| {
        let (old, new) = ((count(before, n), before.scored()), (count(now, n), now.scored()));
        let jump = (share(new) - share(old)).abs();
        (bands[n].1.as_str(), jump, jump > limit && (grew(old, new) || grew(new, old)))
    });
    jumps.max_by(|a, b| a.2.cmp(&b.2).then(a.1.total_cmp(&b.1))).unwrap_or(("", 0.0, false))
}
