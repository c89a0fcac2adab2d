//! The whole of it: a fit to all rows that are trained on, held against rows that it has not seen, and adopted only when these say so.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::load::{Bins, Loaded, Weights};
use super::newton::{Fitted, Frame};
use super::reweighing::asked;
use super::rounding::{Rounded, rounded};
use super::sample::{Chosen, FOLDS, Sample};
use super::scale::Scale;
use super::weighting::Weighting;
use super::worth::{ByScore, Line, line};

/// A step that is no larger than this in log-odds is no reason for a cut.
const MERGE: f64 = 0.02;

/// What is trained.
#[derive(Debug, Clone, Copy)]
pub struct Trainer<'a> {
    /// What was read.
    pub loaded: &'a Loaded,
    /// By date, whether it is trained on.
    pub trained: &'a [bool],
    /// Which bins may be used.
    pub bins: Bins,
    /// Whether categories may get other weights.
    pub weights: Weights,
    /// Lowest score, points of the scale, and the neutral share.
    pub scale: Scale,
    /// What a point is nominally worth in log-odds.
    pub nominal: f64,
    /// Set when the work is to stop.
    pub stop: &'a AtomicBool,
}

/// A fit with its card in integers.
#[derive(Debug)]
pub struct Trained {
    /// The fit.
    pub fitted: Fitted,
    /// Its card.
    pub card: Rounded,
    /// What was minimised without the bounds of the weights, where those are free.
    pub freed: Option<f64>,
}

/// A row that a card has not seen, scored by it and by the start card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The row.
    pub row: usize,
    /// The score of the start card.
    pub before: i64,
    /// That of the fitted card.
    pub after: i64,
    /// The log-odds that the start card's line says.
    pub eta_before: f64,
    /// Those that the fitted card's says.
    pub eta_after: f64,
}

impl Seen {
    /// By how much the fitted card's log-loss is less.
    #[must_use]
    pub fn gain(&self, bad: bool) -> f64 {
        loss(self.eta_before, bad) - loss(self.eta_after, bad)
    }
}

/// The loss of log-odds of staying good.
#[must_use]
pub fn loss(eta: f64, bad: bool) -> f64 {
    let against = if bad { eta } else { -eta };
    against.max(0.0) + libm::log1p(libm::exp(-against.abs()))
}

/// A mean with its standard error, rows of one subject counted together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

/// What was trained, and what rows say of it that it has not seen.
#[derive(Debug)]
pub struct Training {
    /// The fit to all rows that are trained on.
    pub trained: Trained,
    /// Cross-validation: every row that is trained on, scored by the card of the other folds.
    pub folds: Vec<Seen>,
    /// The gain of log-loss over them.
    pub gain: Mean,
    /// The rows of later dates, scored by the card of all.
    pub later: Vec<Seen>,
}

impl Trainer<'_> {
    /// Trains, cross-validates and validates.
    ///
    /// # Errors
    /// When there is too little to fit to, the work is interrupted, or no fit is found.
    pub fn train(&self, progress: &(dyn Fn() + Sync)) -> Result<Training> {
        let (sample, rows) = (&self.loaded.sample, &self.loaded.sample.rows);
        let on = |row: usize| self.trained[usize::from(rows.date[row])];
        let all = sample.choose(&on);
        let trained = self.one(&all, &self.loaded.cuts[usize::from(FOLDS)])?;
        progress();
        let mut folds = Vec::new();
        for fold in 0..FOLDS {
            let rest = sample.choose(&|row| on(row) && rows.fold[row] != fold);
            let card = self.one(&rest, &self.loaded.cuts[usize::from(fold)])?;
            self.scored(&card, &sample.choose(&|row| on(row) && rows.fold[row] == fold), &mut folds);
            progress();
        }
        folds.sort_unstable_by_key(|seen| seen.row);
        let mut later = Vec::new();
        self.scored(&trained, &sample.choose(&|row| !on(row)), &mut later);
        later.sort_unstable_by_key(|seen| seen.row);
        let gain = self.gain(&folds);
        Ok(Training { trained, folds, gain, later })
    }

    /// One fit to some rows.
    fn one(&self, chosen: &Chosen, cuts: &[Vec<f64>]) -> Result<Trained> {
        let sample = &self.loaded.sample;
        let line = self.line(chosen)?;
        ensure!(
            line.beta > 0.0,
            "by these outcomes a higher score of the start model goes with more bad; check what `bad` means, and the model's directions"
        );
        let (neutral, stop) = (self.scale.neutral, self.stop);
        let fit = |weighting: &Weighting, free: bool| {
            let frame = Frame { sample, line, neutral, weighting, free, stop };
            match self.bins {
                Bins::Given => frame.fit(chosen, cuts.to_vec(), false),
                Bins::New => {
                    let first = frame.fit(chosen, cuts.to_vec(), true)?;
                    frame.fit(chosen, kept(sample, &first), false)
                }
            }
        };
        let mut weighting = Weighting::kept(sample);
        let mut freed = None;
        if self.weights == Weights::Free {
            let free = fit(&weighting, true)?;
            weighting = asked(sample, &free, neutral);
            freed = Some(free.objective);
        }
        let fitted = fit(&weighting, false)?;
        let card = rounded(sample, weighting, &fitted, neutral);
        Ok(Trained { fitted, card, freed })
    }

    fn line(&self, chosen: &Chosen) -> Result<Line> {
        let rows = &self.loaded.sample.rows;
        let mut by_score = ByScore::default();
        chosen.rows().for_each(|row| by_score.add(rows.score[row], rows.bad[row], rows.weight[row]));
        line(&by_score.weighed(self.scale.zero()), self.nominal)
    }

    /// Scores rows by a card, and by the start card.
    fn scored(&self, card: &Trained, chosen: &Chosen, into: &mut Vec<Seen>) {
        let rows = &self.loaded.sample.rows;
        let scores = card.card.scores(&self.loaded.sample, chosen, &self.scale);
        let (zero, fitted) = (self.scale.zero(), &card.fitted);
        into.extend(chosen.rows().zip(scores).map(|(row, after)| {
            let before = i64::from(rows.score[row]);
            let eta = |intercept: f64, score: i64| intercept + fitted.line.beta * (score as f64 - zero);
            let (eta_before, eta_after) = (eta(fitted.line.intercept, before), eta(fitted.intercept, after));
            Seen { row, before, after, eta_before, eta_after }
        }));
    }

    /// The mean gain of log-loss.
    fn gain(&self, seen: &[Seen]) -> Mean {
        let rows = &self.loaded.sample.rows;
        let subjects = rows.subject.iter().max().map_or(0, |s| *s as usize + 1);
        let mut sums = vec![(0.0, 0.0); subjects];
        for s in seen {
            let (sum, weight) = &mut sums[rows.subject[s.row] as usize];
            *sum += rows.weight[s.row] * s.gain(rows.bad[s.row]);
            *weight += rows.weight[s.row];
        }
        sums.retain(|(_, weight)| *weight > 0.0);
        let (count, all) = (sums.len() as f64, sums.iter().map(|s| s.1).sum::<f64>());
        let mean = sums.iter().map(|s| s.0).sum::<f64>() / all;
        let square = sums.iter().map(|(s, w)| (s - w * mean) * (s - w * mean)).sum::<f64>();
        Mean { mean, error: (square * count / (count - 1.0).max(1.0)).sqrt() / all }
    }
}

/// The cuts whose steps tell something; those of the start card stay.
fn kept(sample: &Sample, fitted: &Fitted) -> Vec<Vec<f64>> {
    let of = |(f, edges): (usize, &Vec<f64>)| {
        let worth = fitted.steps.worth(f, &fitted.sizes);
        let tells =
            |n: &usize| sample.features[f].edges.contains(&edges[*n]) || (worth[n + 1] - worth[*n]).abs() >= MERGE;
        (0..edges.len()).filter(tells).map(|n| edges[n]).collect()
    };
    fitted.steps.edges.iter().enumerate().map(of).collect()
}
