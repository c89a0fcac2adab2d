//! The whole population: everyone's score from what was rated and what friends add, and what needs everyone: baselines,
//! ranks, distributions.

use rayon::prelude::*;

use super::census::Census;
use super::friends::Bonds;
use super::points::Fits;
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
    /// Scores rated subjects, with what is known of their friends.
    ///
    /// # Errors
    /// When a score is none of the scale, which the checks of the model exclude.
    pub fn new(rated: Rated, friends: Option<&Bonds>, card: &Scorecard, caps: &Caps, model: &Model) -> Fits<Self> {
        let Rated { mut rows, contested, scored, .. } = rated;
        score_all(&mut rows, card, caps, friends, &scored)?;
        rows.scored();
        for Contested { subject, mut bins, held } in contested {
            let s = subject as usize;
            if rows.score[s] == NONE {
                continue;
            }
            if let Some(friends) = friends {
                friends.fill(card, s, &mut bins);
            }
            let score = card.score(usize::from(rows.segment[s]), &bins)?;
            rows.with_disputed[s] = held.and_then(|h| caps.capped(score, h)).unwrap_or(score);
        }
        let census = Census::of(card, model, &rows)?;
        let lower = census.lower();
        let scored: u64 = census.scores.iter().sum();
        let Census { bins, baselines, .. } = census;
        let shortfalls = Shortfalls::new(card, model.card.reasons.baseline, &baselines);
        Ok(Self { rows, baselines, shortfalls, lower, scored, bins })
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

/// Fills the relationship bins, then scores everyone whose status has a score.
fn score_all(
    rows: &mut ScoredRows,
    card: &Scorecard,
    caps: &Caps,
    friends: Option<&Bonds>,
    scored: &[bool],
) -> Fits<()> {
    let subjects = rows.status.len();
    let width = card.features.len();
    rows.score = vec![NONE; subjects];
    rows.before = vec![NONE; subjects];
    rows.policy = vec![None; subjects];
    rows.with_disputed = vec![NONE; subjects];
    if width == 0 {
        return Ok(());
    }
    let worths = Worths::of(card);
    let (segment, status, triggered) = (&rows.segment, &rows.status, &rows.triggered);
    let outcome = rows.score.par_iter_mut().zip(&mut rows.before).zip(&mut rows.policy);
    rows.bins.par_chunks_mut(width).zip(outcome).enumerate().try_for_each(|(s, (bins, ((score, before), policy)))| {
        if !scored[usize::from(status[s])] {
            return Ok(());
        }
        if let Some(friends) = friends {
            friends.fill(card, s, bins);
        }
        *score = worths.score(usize::from(segment[s]), bins)?;
        if let Some((rule, capped)) = triggered[s].and_then(|rule| Some((rule, caps.capped(*score, rule)?))) {
            (*before, *score, *policy) = (*score, capped, Some(rule));
        }
        Ok(())
    })
}

fn place(score: i16) -> Fits<usize> {
    usize::try_from(score)
}
