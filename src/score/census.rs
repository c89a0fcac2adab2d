//! What needs everyone, counted: scored subjects by score and by bin, and the mean shares that reasons come from. All of it are sums, so
//! what parts of the subjects come to adds up to what all of them do, in any order.

use std::ops::Range;

use rayon::prelude::*;

use super::points::Fits;
use super::reasons::Baselines;
use super::rows::{NONE, ScoredRows};
use crate::pipeline::model::{Baseline, Model, Reasons};
use crate::scorecard::card::Scorecard;

/// Subjects that are counted one after another.
const TOGETHER: usize = 1_024;

/// Scored subjects, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// By score, from 0 to the highest that somebody has.
    pub scores: Vec<u64>,
    /// By feature and bin.
    pub bins: Vec<Vec<u64>>,
    /// What shares are compared with, for the reasons.
    pub baselines: Baselines,
}

impl Census {
    /// Nobody yet.
    #[must_use]
    pub fn new(card: &Scorecard) -> Self {
        let bins = card.features.iter().map(|f| vec![0; f.shares.len()]).collect();
        Self { scores: Vec::new(), bins, baselines: Baselines::new(card) }
    }

    /// Counts the scored ones of some subjects, whose bins lie one subject after another.
    ///
    /// # Errors
    /// When a score is none of the scale.
    pub fn of(
        (card, model): (&Scorecard, &Model),
        rows: &ScoredRows,
        (subjects, bins): (Range<usize>, &[u8]),
    ) -> Fits<Self> {
        let (first, width, reasons) = (subjects.start, card.features.len(), &model.card.reasons);
        // Some at a time: what counts is handed on from one part to the next.
        let parts = subjects.len().div_ceil(TOGETHER);
        let counted = (0..parts).into_par_iter().try_fold(
            || Self::new(card),
            |mut census, part| {
                let from = first + part * TOGETHER;
                for s in (from..subjects.end.min(from + TOGETHER)).filter(|s| rows.score[*s] != NONE) {
                    let bins = &bins[(s - first) * width..(s + 1 - first) * width];
                    census.add(card, reasons, rows.score[s], (usize::from(rows.segment[s]), bins))?;
                }
                Fits::Ok(census)
            },
        );
        counted.try_reduce(
            || Self::new(card),
            |mut census, other| {
                census.merge(&other);
                Ok(census)
            },
        )
    }

    /// Adds a scored subject: its score, its segment and its bins.
    ///
    /// # Errors
    /// When the score is none of the scale.
    pub fn add(
        &mut self,
        card: &Scorecard,
        reasons: &Reasons,
        score: i16,
        (segment, bins): (usize, &[u8]),
    ) -> Fits<()> {
        let place = usize::try_from(score)?;
        self.scores.resize(self.scores.len().max(place + 1), 0);
        self.scores[place] += 1;
        for (counts, bin) in self.bins.iter_mut().zip(bins) {
            counts[usize::from(*bin)] += 1;
        }
        // Baselines are of the segment's scored subjects, or of those near the cut-off.
        let near = match (reasons.baseline, reasons.cutoff, reasons.cutoff_within) {
            (Baseline::NearCutoff, Some(cutoff), Some(within)) => (i64::from(score) - cutoff).abs() <= within,
            _ => true,
        };
        if near {
            self.baselines.add(card, segment, bins);
        }
        Ok(())
    }

    /// Adds other subjects.
    pub fn merge(&mut self, other: &Self) {
        self.scores.resize(self.scores.len().max(other.scores.len()), 0);
        self.scores.iter_mut().zip(&other.scores).for_each(|(mine, theirs)| *mine += theirs);
        for (mine, theirs) in self.bins.iter_mut().flatten().zip(other.bins.iter().flatten()) {
            *mine += theirs;
        }
        self.baselines.merge(&other.baselines);
    }

    /// Number of scored subjects with a lower score, by score, and at last the number of all.
    #[must_use]
    pub fn lower(&self) -> Vec<u64> {
        let mut lower = vec![0; self.scores.len().max(1) + 1];
        for (n, count) in self.scores.iter().enumerate() {
            lower[n + 1] = lower[n] + count;
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::basis::Basis;
    use crate::pipeline::model::Form;
    use crate::scorecard::card::{CardFeature, Origin};
    use proptest::prelude::*;

    fn card() -> Scorecard {
        let feature = |bins: i64| CardFeature {
            name: String::new(),
            origin: Origin::Plan(0),
            category: 0,
            importance: 1,
            segments: None,
            edges: Vec::new(),
            shares: (0..bins).map(|bin| 100 * bin).collect(),
            neutral: 500,
            reason: None,
            missing: 0,
        };
        Scorecard {
            form: Form::Shares,
            features: vec![feature(4), feature(7)],
            importances: Vec::new(),
            per_share: Vec::new(),
            denominator: Vec::new(),
            full: Vec::new(),
            base: 0,
            importance: Vec::new(),
            weights: vec![[0; 5]; 3],
            low: 350,
            range: 600,
            neutral_share: 500,
            reasons: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn what_parts_count_adds_up_to_what_all_count(
            subjects in proptest::collection::vec((350_i16..950, 0_usize..3, 0_u8..4, 0_u8..7), 0..200),
            parts in 1_usize..6, near in any::<bool>(),
        ) {
            let baseline = if near { Baseline::NearCutoff } else { Baseline::PopulationMean };
            let reasons = Reasons { baseline, cutoff: Some(600), cutoff_within: Some(50), basis: Basis::ExpertJudgement };
            let card = card();
            let census = |of: &dyn Fn(usize) -> bool| {
                let mut census = Census::new(&card);
                for (_, (score, segment, a, b)) in subjects.iter().enumerate().filter(|(n, _)| of(*n)) {
                    census.add(&card, &reasons, *score, (*segment, &[*a, *b])).unwrap();
                }
                census
            };
            let whole = census(&|_| true);
            let mut merged = Census::new(&card);
            for part in 0..parts {
                merged.merge(&census(&|n| n % parts == part));
            }
            prop_assert_eq!(&merged, &whole);
            let lower = whole.lower();
            prop_assert_eq!(*lower.last().unwrap(), subjects.len() as u64);
            for (score, ..) in &subjects {
                let below = subjects.iter().filter(|other| other.0 < *score).count() as u64;
                prop_assert_eq!(lower[usize::try_from(*score).unwrap()], below);
            }
        }
    }

    #[test]
    fn a_score_below_the_scale_is_refused() {
        let reasons =
            Reasons { baseline: Baseline::Max, cutoff: None, cutoff_within: None, basis: Basis::ExpertJudgement };
        assert!(Census::new(&card()).add(&card(), &reasons, NONE, (0, &[0, 0])).is_err());
    }
}
