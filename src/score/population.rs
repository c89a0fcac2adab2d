//! The whole population: buckets in parallel, then what friends add, then what needs everyone: baselines, ranks,
//! distributions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rayon::prelude::*;

use super::bucket::{BucketResult, Contested, Scorer};
use super::card::Scorecard;
use super::evidence::Evidence;
use super::friends::Friends;
use super::policy::Caps;
use super::reasons::{Baselines, Shortfalls};
use super::rows::{NONE, ScoredRows};
use crate::exit::Interrupted;
use crate::graph::Parameters;
use crate::ingest::scan::Findings;
use crate::output::Output;
use crate::pipeline::model::{Baseline, Model};

/// Every subject rated by its own categories, in order of id; scores come when friends are known.
pub struct Rated {
    /// One entry per subject.
    pub rows: ScoredRows,
    /// Subjects with contested records, as they would be rated with them.
    contested: Vec<Contested>,
    /// Which statuses have a score.
    scored: Vec<bool>,
    /// Counts and quarantined rows of the record tables and subjects.
    pub findings: BTreeMap<String, Findings>,
}

impl Rated {
    /// Whether a subject lends its score to friends and gets from them: scored, and sure enough of it.
    #[must_use]
    pub fn counts(&self, subject: usize, parameters: &Parameters) -> bool {
        let sure = u32::try_from(self.rows.confidence[subject]).is_ok_and(|c| c >= parameters.floor);
        sure && self.scored[usize::from(self.rows.status[subject])]
    }
}

/// Rates all buckets. Adverse records are handed to `keep` in order of subject.
///
/// # Errors
/// The first error of a bucket or of `keep`, or when the run is interrupted.
pub fn rate(
    scorer: &Scorer,
    output: &Output,
    stop: &AtomicBool,
    keep: &mut dyn FnMut(&[Evidence]) -> Result<()>,
) -> Result<Rated> {
    let buckets: Vec<usize> = (0..scorer.ingested.buckets.count()).collect();
    let subjects = scorer.ingested.spine.len();
    let progress = output.stage("rate", subjects as u64, "subjects");
    let mut rows = ScoredRows::default();
    rows.reserve(subjects, scorer.card.features.len());
    let mut findings: BTreeMap<String, Findings> = BTreeMap::new();
    let mut contested = Vec::new();
    // A few buckets per thread at a time: their results come in order, and only so many are held.
    for some in buckets.chunks(4 * rayon::current_num_threads()) {
        let results: Vec<BucketResult> = some
            .par_iter()
            .map(|bucket| {
                if stop.load(Ordering::Relaxed) {
                    return Err(Interrupted.into());
                }
                let result = scorer.bucket(*bucket)?;
                progress.add(result.rows.status.len() as u64);
                Ok(result)
            })
            .collect::<Result<_>>()?;
        for mut result in results {
            rows.append(&mut result.rows);
            contested.append(&mut result.contested);
            keep(&result.evidence)?;
            for (table, mut found) in result.findings {
                findings.entry(table).or_default().merge(&mut found);
            }
        }
    }
    progress.finish();
    Ok(Rated { rows, contested, scored: scorer.scored.clone(), findings })
}

/// Every subject's score, in order of id.
pub struct Population {
    /// One entry per subject.
    pub rows: ScoredRows,
    /// What each bin costs, for the reasons.
    pub shortfalls: Shortfalls,
    /// Number of scored subjects with a lower score, by score.
    lower: Vec<u64>,
    /// Number of scored subjects.
    pub scored: u64,
    /// Scored subjects by feature and bin.
    pub bins: Vec<Vec<u64>>,
}

impl Population {
    /// Scores rated subjects, with what is known of their friends.
    #[must_use]
    pub fn new(rated: Rated, friends: Option<&Friends>, card: &Scorecard, caps: &Caps, model: &Model) -> Self {
        let Rated { mut rows, contested, scored, .. } = rated;
        let width = card.features.len();
        rows.score_all(card, caps, friends, &scored);
        for Contested { subject, mut bins, held } in contested {
            let s = subject as usize;
            if rows.score[s] == NONE {
                continue;
            }
            if let Some(friends) = friends {
                friends.fill(card, s, &mut bins);
            }
            let score = card.score(usize::from(rows.segment[s]), &bins);
            rows.with_disputed[s] = held.and_then(|h| caps.capped(score, h)).unwrap_or(score);
        }
        let shortfalls = Shortfalls::new(card, model.card.reasons.baseline, &baselines(card, model, &rows));
        let top = place(rows.score.iter().copied().max().unwrap_or(0)) + 2;
        let mut lower = vec![0_u64; top];
        let mut scored = 0;
        let mut bins: Vec<Vec<u64>> = card.features.iter().map(|f| vec![0; f.shares.len()]).collect();
        for (s, score) in rows.score.iter().enumerate().filter(|(_, score)| **score != NONE) {
            lower[place(*score) + 1] += 1;
            scored += 1;
            for (counts, bin) in bins.iter_mut().zip(&rows.bins[s * width..]) {
                counts[usize::from(*bin)] += 1;
            }
        }
        for n in 1..lower.len() {
            lower[n] += lower[n - 1];
        }
        Self { rows, shortfalls, lower, scored, bins }
    }

    /// 1 + the number of scored subjects with a higher score.
    #[must_use]
    pub fn rank(&self, score: i16) -> u64 {
        let above = self.lower.get(place(score) + 1).copied().unwrap_or(self.scored);
        1 + self.scored - above
    }

    /// 100 times the number of scored subjects with a lower score over their number, rounded down.
    #[must_use]
    pub fn percentile(&self, score: i16) -> u64 {
        (100 * self.lower[place(score)]).checked_div(self.scored).unwrap_or(0)
    }
}

fn place(score: i16) -> usize {
    usize::try_from(score).unwrap_or(0)
}

/// Mean shares over each segment's scored subjects, or those near the cut-off.
fn baselines(card: &Scorecard, model: &Model, rows: &ScoredRows) -> Baselines {
    let width = card.features.len();
    let reasons = &model.card.reasons;
    let near = |score: i16| match (reasons.baseline, reasons.cutoff, reasons.cutoff_within) {
        (Baseline::NearCutoff, Some(cutoff), Some(within)) => (i64::from(score) - cutoff).abs() <= within,
        _ => true,
    };
    (0..rows.score.len())
        .into_par_iter()
        .fold(
            || Baselines::new(card),
            |mut seen, s| {
                if rows.score[s] != NONE && near(rows.score[s]) {
                    seen.add(card, usize::from(rows.segment[s]), &rows.bins[s * width..(s + 1) * width]);
                }
                seen
            },
        )
        .reduce(
            || Baselines::new(card),
            |mut a, b| {
                a.merge(&b);
                a
            },
        )
}
