//! The whole population: buckets in parallel, then what needs all of them: baselines, ranks, distributions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rayon::prelude::*;

use super::bucket::{BucketResult, NONE, ScoredRows, Scorer};
use super::evidence::Evidence;
use super::reasons::{Baselines, Shortfalls};
use crate::exit::Interrupted;
use crate::ingest::scan::Findings;
use crate::output::Output;
use crate::pipeline::model::{Baseline, Model};

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
    /// Counts and quarantined rows of the record tables and subjects.
    pub findings: BTreeMap<String, Findings>,
}

impl Population {
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

/// Scores all buckets. Adverse records are handed to `keep` in order of subject.
///
/// # Errors
/// The first error of a bucket or of `keep`, or when the run is interrupted.
pub fn score(
    scorer: &Scorer,
    model: &Model,
    output: &Output,
    stop: &AtomicBool,
    keep: &mut dyn FnMut(&[Evidence]) -> Result<()>,
) -> Result<Population> {
    let buckets: Vec<usize> = (0..scorer.ingested.buckets.count()).collect();
    let subjects = scorer.ingested.spine.len();
    let progress = output.stage("score", subjects as u64, "subjects");
    let mut rows = ScoredRows::default();
    rows.reserve(subjects, scorer.card.features.len());
    let mut findings: BTreeMap<String, Findings> = BTreeMap::new();
    // A few buckets per thread at a time: their results come in order, and only so many are held.
    for some in buckets.chunks(4 * rayon::current_num_threads()) {
        let results: Vec<BucketResult> = some
            .par_iter()
            .map(|bucket| {
                if stop.load(Ordering::Relaxed) {
                    return Err(Interrupted.into());
                }
                let result = scorer.bucket(*bucket)?;
                progress.add(result.rows.score.len() as u64);
                Ok(result)
            })
            .collect::<Result<_>>()?;
        for mut result in results {
            rows.append(&mut result.rows);
            keep(&result.evidence)?;
            for (table, mut found) in result.findings {
                findings.entry(table).or_default().merge(&mut found);
            }
        }
    }
    progress.finish();
    let width = scorer.card.features.len();
    let shortfalls = Shortfalls::new(scorer.card, model.card.reasons.baseline, &baselines(scorer, model, &rows));
    let top = place(rows.score.iter().copied().max().unwrap_or(0)) + 2;
    let mut lower = vec![0_u64; top];
    let mut scored = 0;
    let mut bins: Vec<Vec<u64>> = scorer.card.features.iter().map(|f| vec![0; f.shares.len()]).collect();
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
    Ok(Population { rows, shortfalls, lower, scored, bins, findings })
}

/// Mean shares over each segment's scored subjects, or those near the cut-off.
fn baselines(scorer: &Scorer, model: &Model, rows: &ScoredRows) -> Baselines {
    let width = scorer.card.features.len();
    let reasons = &model.card.reasons;
    let near = |score: i16| match (reasons.baseline, reasons.cutoff, reasons.cutoff_within) {
        (Baseline::NearCutoff, Some(cutoff), Some(within)) => (i64::from(score) - cutoff).abs() <= within,
        _ => true,
    };
    (0..rows.score.len())
        .into_par_iter()
        .fold(
            || Baselines::new(scorer.card),
            |mut seen, s| {
                if rows.score[s] != NONE && near(rows.score[s]) {
                    seen.add(scorer.card, usize::from(rows.segment[s]), &rows.bins[s * width..(s + 1) * width]);
                }
                seen
            },
        )
        .reduce(
            || Baselines::new(scorer.card),
            |mut a, b| {
                a.merge(&b);
                a
            },
        )
}

impl ScoredRows {
    fn reserve(&mut self, subjects: usize, features: usize) {
        self.segment.reserve(subjects);
        self.status.reserve(subjects);
        self.confidence.reserve(subjects);
        self.bins.reserve(subjects * features);
        self.score.reserve(subjects);
        self.before.reserve(subjects);
        self.policy.reserve(subjects);
        self.disputed.reserve(subjects);
        self.with_disputed.reserve(subjects);
    }

    fn append(&mut self, other: &mut Self) {
        self.segment.append(&mut other.segment);
        self.status.append(&mut other.status);
        self.confidence.append(&mut other.confidence);
        self.bins.append(&mut other.bins);
        self.score.append(&mut other.score);
        self.before.append(&mut other.before);
        self.policy.append(&mut other.policy);
        self.disputed.append(&mut other.disputed);
        self.with_disputed.append(&mut other.with_disputed);
    }
}
