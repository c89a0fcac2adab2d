//! Every subject rated by its own categories: blocks in parallel.

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::points::{Fits, Fraction};
use super::rows::ScoredRows;
use super::worths::Worths;
use crate::engine::Frame;
use crate::features::compute::FeatureRows;
use crate::graph::Parameters;
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::Layout;
use crate::ingest::settle::consents::SCORE;
use crate::job::Job;
use crate::machine::resources::Resources;
use crate::measure::bucket::RecordCounts;
use crate::pipeline::model::{NO_CONSENT, RELATIONSHIPS};
use crate::scorecard::card::{Origin, Scorecard};
use crate::scorecard::policy::Caps;
use crate::stages::opened::StageData;
use crate::tables::blocks::BLOCK_ROWS;

/// Every subject rated by its own categories, in order of id; scores come when friends are known.
pub struct Rated {
    /// One entry per subject.
    pub rows: ScoredRows,
    /// Subjects with contested records, as they would be rated with them.
    pub contested: Vec<Contested>,
    /// Which statuses have a score.
    pub scored: Vec<bool>,
}

/// A subject with contested records, as it would be rated with them.
#[derive(Debug, Clone)]
pub struct Contested {
    /// The subject.
    pub subject: u32,
    /// Its bins.
    pub bins: Vec<u8>,
    /// The policy rule that a record triggers.
    pub held: Option<u8>,
}

impl Rated {
    /// Whether a subject lends its score to friends and gets from them: scored, and sure enough of it.
    #[must_use]
    pub fn counts(&self, subject: usize, parameters: &Parameters) -> bool {
        let sure = u32::try_from(self.rows.confidence[subject]).is_ok_and(|c| c >= parameters.floor);
        sure && self.scored[usize::from(self.rows.status[subject])]
    }
}

/// Subjects whose bins are found together.
const NEAR_SUBJECTS: usize = 256;

/// What rating shares over all blocks.
struct Rater<'a> {
    job: &'a Job,
    data: &'a StageData,
    own: Cleaner,
    worths: Worths<'a>,
    caps: &'a Caps,
    /// Which statuses have a score.
    scored: Vec<bool>,
    /// The status of those who do not consent.
    no_consent: u8,
}

/// Rates everyone.
///
/// # Errors
/// When a stage is damaged, the engine fails, or the run is interrupted.
pub fn rate(job: &Job, data: &StageData, caps: &Caps, resources: &Resources) -> Result<Rated> {
    let subjects = data.subjects.len();
    let progress = resources.log.stage("rate", subjects as u64, "subjects");
    let card = &job.model.card;
    let no_consent = card.status.iter().position(|s| s.get_ref().name == NO_CONSENT);
    let layout = Layout::new(job.contract.table("subjects")?, &job.contract.limits, job.snapshot.calendar.zone())?;
    let rater = Rater {
        job,
        data,
        own: Cleaner::new(&layout, &job.snapshot.calendar, job.rules.subject_columns.clone())?,
        worths: Worths::of(&job.card),
        caps,
        scored: card.status.iter().map(|s| s.get_ref().scored).collect(),
        no_consent: u8::try_from(no_consent.context("the model has no status for those who do not consent")?)?,
    };
    let mut rows = ScoredRows::default();
    rows.reserve(subjects, job.card.features.len());
    let mut contested = Vec::new();
    let all: Vec<usize> = (0..data.subjects.blocks()).collect();
    // A few blocks per thread at a time: while one waits for the engine its thread begins another on the same stack.
    for some in all.chunks(8 * rayon::current_num_threads()) {
        let blocks = some.par_iter().map(|at| {
            resources.check()?;
            let block = rater.block(*at)?;
            progress.add(block.0.status.len() as u64);
            Ok(block)
        });
        for (mut block, mut of_block) in blocks.collect::<Result<Vec<_>>>()? {
            rows.append(&mut block);
            contested.append(&mut of_block);
        }
    }
    progress.finish();
    Ok(Rated { rows, contested, scored: rater.scored })
}

impl Rater<'_> {
    fn block(&self, at: usize) -> Result<(ScoredRows, Vec<Contested>)> {
        let first = at * BLOCK_ROWS;
        let own = self.data.subjects.own(at)?;
        let count = own.len();
        let own = self.own.clean(&own, 0..count, &self.job.snapshot.calendar)?;
        let consents = &self.data.subjects.consents[first..first + count];
        let features = self.data.features(at)?;
        let records = self.data.records(at)?;
        let sum = |of: &dyn Fn(&RecordCounts) -> &Vec<i32>| -> Vec<i64> {
            let mut sums = vec![0_i64; count];
            for r in &records {
                sums.iter_mut().zip(&of(r)[..count]).for_each(|(sum, records)| *sum += i64::from(*records));
            }
            sums
        };
        let disputed = sum(&|r| &r.disputed);
        let facts = vec![
            ("score_consent", consents.iter().map(|c| i64::from(c & SCORE != 0)).collect()),
            ("disputed_records", disputed.clone()),
            ("used_records", sum(&|r| &r.used)),
        ];
        let mut rows = self.rate(consents, own.with_integers(facts)?, &features)?;
        rows.triggered = vec![None; count];
        for r in &records {
            for (held, rule) in rows.triggered.iter_mut().zip(&r.triggered[..count]) {
                if let Some(rule) = rule {
                    *held = self.caps.stricter(*held, *rule);
                }
            }
        }
        rows.disputed = disputed.iter().map(|d| i32::try_from(*d)).collect::<Fits<_>>()?;
        let scored = |s: &usize| disputed[*s] > 0 && self.scored[usize::from(rows.status[*s])];
        let chosen: Vec<usize> = (0..count).filter(scored).collect();
        if chosen.is_empty() {
            return Ok((rows, Vec::new()));
        }
        let first = u32::try_from(first)?;
        let bins = self.bins(chosen.len(), &self.data.with_disputed(&features, first, &chosen)?);
        let width = self.job.card.features.len();
        let contested = chosen.iter().enumerate().map(|(n, s)| {
            Ok(Contested {
                subject: first + u32::try_from(*s)?,
                bins: bins[n * width..(n + 1) * width].to_vec(),
                held: records
                    .iter()
                    .filter_map(|r| r.triggered_with[*s])
                    .fold(None, |held, rule| self.caps.stricter(held, rule)),
            })
        });
        let contested = contested.collect::<Result<_>>()?;
        Ok((rows, contested))
    }

    /// Segment, confidence, status, bins and own share of subjects from their features.
    fn rate(&self, consents: &[u8], facts: Frame, features: &FeatureRows) -> Result<ScoredRows> {
        let (count, card, rules) = (consents.len(), &self.job.card, &self.job.rules);
        let named = self.job.plan.features.iter().map(|f| &f.name).zip(&features.values);
        let read = named.filter(|(name, _)| rules.features.contains(name));
        let frame = facts.with_doubles(read.map(|(name, values)| (name.as_str(), values.as_slice())))?;
        let segment = rules.segments(&frame, count)?;
        let by_category = rules.confidences(&frame, count)?;
        let confidence: Vec<i16> = (0..count)
            .map(|s| {
                // Confidence is a subject's own: friends neither add to it nor take from it.
                let weights = &card.weights[usize::from(segment[s])][..RELATIONSHIPS];
                let sum: i64 = weights.iter().zip(&by_category).map(|(w, c)| w * c[s]).sum();
                let all: i64 = weights.iter().sum::<i64>().max(1);
                let mean = Fraction { numerator: i128::from(sum), denominator: i128::from(all) }.round_half_even()?;
                i16::try_from(mean)
            })
            .collect::<Fits<_>>()?;
        let shares: Vec<f64> = confidence.iter().map(|c| f64::from(*c) / 1000.0).collect();
        let frame = frame.with_doubles([("confidence", shares.as_slice())])?;
        let mut status = rules.statuses(&frame, count)?;
        for (status, consent) in status.iter_mut().zip(consents) {
            // Whatever the model's rules say, nobody is scored without consent.
            if consent & SCORE == 0 && self.scored[usize::from(*status)] {
                *status = self.no_consent;
            }
        }
        let bins = self.bins(count, features);
        let width = card.features.len();
        let own_share = (0..count)
            .map(|s| self.worths.own_share(usize::from(segment[s]), &bins[s * width..(s + 1) * width]))
            .collect::<Fits<_>>()?;
        let marks = rules.marks(&frame, count)?;
        Ok(ScoredRows { segment, status, confidence, bins, own_share, marks, ..ScoredRows::default() })
    }

    fn bins(&self, count: usize, features: &FeatureRows) -> Vec<u8> {
        let card: &Scorecard = &self.job.card;
        let width = card.features.len();
        let mut bins = vec![0; count * width];
        let mut of_feature = [0; NEAR_SUBJECTS];
        // Some subjects at a time, whose bins stay in the nearest cache until all their features are there.
        for first in (0..count).step_by(NEAR_SUBJECTS) {
            let some = first..count.min(first + NEAR_SUBJECTS);
            let of_feature = &mut of_feature[..some.len()];
            for (n, feature) in card.features.iter().enumerate() {
                match feature.origin {
                    Origin::Plan(at) => {
                        feature.fill(of_feature, &features.values[at][some.clone()], &features.nones[at][some.clone()]);
                    }
                    // Friends come later; until then there are none.
                    Origin::Friends(_) => of_feature.fill(feature.bin(f64::NAN, true)),
                }
                let places = bins[some.start * width..some.end * width].iter_mut().skip(n).step_by(width);
                places.zip(&*of_feature).for_each(|(to, bin)| *to = *bin);
            }
        }
        bins
    }
}
