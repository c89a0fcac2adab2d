//! Every subject rated by its own categories: buckets in parallel.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rayon::prelude::*;

use super::bucket::{BucketResult, Contested, Scorer};
use super::evidence::Evidence;
use super::rows::ScoredRows;
use crate::exit;
use crate::graph::Parameters;
use crate::ingest::scan::Findings;
use crate::output::Output;

/// Every subject rated by its own categories, in order of id; scores come when friends are known.
pub struct Rated {
    /// One entry per subject.
    pub rows: ScoredRows,
    /// Subjects with contested records, as they would be rated with them.
    pub contested: Vec<Contested>,
    /// Which statuses have a score.
    pub scored: Vec<bool>,
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
                exit::check(stop)?;
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
