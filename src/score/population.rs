//! The whole population: everyone's score from what was rated and what friends add, and what needs everyone: baselines,
//! ranks, distributions.

use std::ops::Range;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::bins::Bins;
use super::census::Census;
use super::friends::Bonds;
use super::points::{Fits, OFF};
use super::rated::{Contested, Rated};
use super::reasons::{Baselines, Shortfalls};
use super::rows::{NONE, ScoredRows};
use super::worths::Worths;
use crate::pipeline::model::Model;
use crate::scorecard::card::Scorecard;
use crate::scorecard::policy::Caps;

/// Every subject's score, in order of id.
pub struct Population {
    /// One entry per subject.
    pub rows: ScoredRows,
    /// The bins of every subject.
    pub subject_bins: Bins,
    /// What shares are compared with, for the reasons.
    pub baselines: Baselines,
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
    /// Scores rated subjects, whose bins are given, with what is known of their friends.
    ///
    /// # Errors
    /// When a score is none of the scale, which the checks of the model exclude; when bins that are spilled cannot be read or written.
    pub fn new(
        rated: Rated,
        mut bins: Bins,
        friends: Option<&Bonds>,
        card: &Scorecard,
        caps: &Caps,
        model: &Model,
    ) -> Result<Self> {
        let Rated { mut rows, contested, scored, .. } = rated;
        rows.unscored();
        let scorer = Scorer { card, worths: Worths::of(card), caps, friends, scored: &scored };
        let mut census = Census::new(card);
        bins.change(|of, bins| {
            scorer.score(&mut rows, of.clone(), bins).context(OFF)?;
            census.merge(&Census::of((card, model), &rows, (of, &*bins)).context(OFF)?);
            Ok(())
        })?;
        for Contested { subject, mut bins, held } in contested {
            let s = subject as usize;
            if rows.score[s] == NONE {
                continue;
            }
            if let Some(friends) = friends {
                friends.fill(card, s, &mut bins);
            }
            let score = card.score(usize::from(rows.segment[s]), &bins).context(OFF)?;
            rows.with_disputed[s] = held.and_then(|h| caps.capped(score, h)).unwrap_or(score);
        }
        rows.scored();
        let lower = census.lower();
        let scored: u64 = census.scores.iter().sum();
        let Census { bins: by_bin, baselines, .. } = census;
        let shortfalls = Shortfalls::new(card, model.card.reasons.baseline, &baselines);
        Ok(Self { rows, subject_bins: bins, baselines, shortfalls, lower, scored, bins: by_bin })
    }

    /// Scored subjects by score.
    #[must_use]
    pub fn by_score(&self) -> Vec<u64> {
        self.lower.windows(2).map(|w| w[1] - w[0]).collect()
    }

    /// 1 + the number of scored subjects with a higher score than one that a subject has.
    ///
    /// # Errors
    /// When it is no score.
    pub fn rank(&self, score: i16) -> Fits<i64> {
        i64::try_from(1 + self.scored - self.lower[place(score)? + 1])
    }

    /// 100 times the number of scored subjects with a lower score than one that a subject has over their number, rounded down.
    ///
    /// # Errors
    /// When it is no score.
    pub fn percentile(&self, score: i16) -> Fits<i16> {
        i16::try_from(100 * self.lower[place(score)?] / self.scored)
    }
}

/// Fills the relationship bins, then scores those whose status has a score.
struct Scorer<'a> {
    card: &'a Scorecard,
    worths: Worths<'a>,
    caps: &'a Caps,
    friends: Option<&'a Bonds>,
    /// Which statuses have a score.
    scored: &'a [bool],
}

impl Scorer<'_> {
    /// Scores some subjects, whose bins lie one subject after another.
    fn score(&self, rows: &mut ScoredRows, of: Range<usize>, bins: &mut [u8]) -> Fits<()> {
        let width = self.card.features.len();
        if width == 0 {
            return Ok(());
        }
        let first = of.start;
        let (segment, status) = (&rows.segment[of.clone()], &rows.status[of.clone()]);
        let triggered = &rows.triggered[of.clone()];
        let before = rows.before[of.clone()].par_iter_mut();
        let outcome = rows.score[of.clone()].par_iter_mut().zip(before).zip(rows.policy[of].par_iter_mut());
        bins.par_chunks_mut(width).zip(outcome).enumerate().try_for_each(|(n, (bins, ((score, before), policy)))| {
            if !self.scored[usize::from(status[n])] {
                return Ok(());
            }
            if let Some(friends) = self.friends {
                friends.fill(self.card, first + n, bins);
            }
            *score = self.worths.score(usize::from(segment[n]), bins)?;
            if let Some((rule, capped)) = triggered[n].and_then(|rule| Some((rule, self.caps.capped(*score, rule)?))) {
                (*before, *score, *policy) = (*score, capped, Some(rule));
            }
            Ok(())
        })
    }
}

fn place(score: i16) -> Fits<usize> {
    usize::try_from(score)
}
