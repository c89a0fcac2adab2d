//! One fit: the steps of every feature, within what the model promises, drawn towards the start card.
//!
//! η = a + β·held + Σ x·t, over t ≥ 0, minimises
//! Σ w·[log(1+e^η) − good·η] + ½ (t − βt⁰)ᵀ C⁻¹ (t − βt⁰) + μ Σ_new t + κ/2 |m − βM⁰|²
//! with Σ up ≤ 7/12·m and Σ down ≤ 5/12·m of each feature (its shares stay on the scale) and the m of a category summing to its room
//! (it moves a score as much as its weight allows). C = V/s·I + Σ_f u·uᵀ + ¼ Σ_c u·uᵀ, where u holds βt⁰ on the steps of a feature or
//! category and s is the mean of Σ x²: a card may be stretched feature by feature more easily than bent step by step.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use super::matrix::{Matrix, dot};
use super::quadratic::{Constraint, Quadratic};
use super::sample::{Chosen, Sample};
use super::steps::Steps;
use super::sums::{Data, Numbering};
use super::weighting::Weighting;
use super::worth::Line;
use crate::pipeline::model::{CATEGORIES, FULL_SHARE};

/// Variance of the change of the log-odds that all single steps together are allowed.
const BENDING: f64 = 0.5;

/// Variance of a feature's stretching, over the square of its start.
const STRETCHING: f64 = 1.0;

/// Variance of a category's stretching, over the square of its start.
const STRETCHING_OF_CATEGORY: f64 = 0.25;

/// What a new cut costs per unit of log-odds, so that only those that tell something stay.
const NEW_CUT: f64 = 2.0;

/// How hard a feature's worth is held to that of the start card.
const WORTH: f64 = 0.1;

/// The most rounds of Newton's method.
const ROUNDS: u32 = 50;

/// Rounds end when one gains less than this share of the loss.
const GAIN: f64 = 1e-9;

/// A round that gains more than this share of what the one before gained is a slow one.
const SLOW: f64 = 0.25;

/// What is fitted within.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The sample.
    pub sample: &'a Sample,
    /// The line of the start card's score.
    pub line: Line,
    /// The neutral share.
    pub neutral: i64,
    /// The weights of categories.
    pub weighting: &'a Weighting,
    /// Whether the fitted features of a category may together be worth more, or less, than its weight allows.
    pub free: bool,
    /// Set when the work is to stop.
    pub stop: &'a AtomicBool,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The steps.
    pub steps: Steps,
    /// The line of the start card's score.
    pub line: Line,
    /// Log-odds of what is not known.
    pub intercept: f64,
    /// The sizes of the steps in log-odds.
    pub sizes: Vec<f64>,
    /// What each feature is worth in log-odds.
    pub worths: Vec<f64>,
    /// Whether a row has a step of the feature; one without is as in the start card.
    pub seen: Vec<bool>,
    /// What was minimised.
    pub objective: f64,
    /// Rounds of Newton's method.
    pub rounds: u32,
}

/// How much the steps of the start card stretch over the rows: the mean of Σ x².
fn spread(sample: &Sample, factors: &[Vec<f64>], chosen: &Chosen, steps: &Steps) -> f64 {
    let (mut all, mut weights) = (0.0, 0.0);
    for (rows, factors) in chosen.by_segment.iter().zip(factors) {
        for (f, feature) in sample.features.iter().enumerate() {
            let coarse = feature.coarser(&steps.edges[f]);
            let mut in_bins = vec![0.0; feature.width()];
            for row in rows {
                in_bins[usize::from(feature.bins[*row as usize])] += sample.rows.weight[*row as usize];
            }
            let length = |bin: usize| steps.paths[f][coarse[bin]].steps.len() as f64;
            all += factors[f] * factors[f] * in_bins.iter().enumerate().map(|(b, w)| w * length(b)).sum::<f64>();
        }
        weights += rows.iter().map(|r| sample.rows.weight[*r as usize]).sum::<f64>();
    }
    all / weights
}

/// Of each feature, whether a row has a step of it.
fn seen(sample: &Sample, chosen: &Chosen, steps: &Steps) -> Vec<bool> {
    let of = |f: usize| {
        let feature = &sample.features[f];
        let coarse = feature.coarser(&steps.edges[f]);
        let told = |row: usize| {
            let bin = coarse[usize::from(feature.bins[row])];
            bin <= steps.edges[f].len() && !steps.paths[f][bin].steps.is_empty()
        };
        chosen
            .by_segment
            .iter()
            .zip(&sample.factors)
            .any(|(rows, k)| k[f] > 0.0 && rows.iter().any(|r| told(*r as usize)))
    };
    (0..sample.features.len()).map(of).collect()
}

impl Frame<'_> {
    /// Fits steps over bins with some edges to the chosen rows. New cuts cost something when `choosing`.
    ///
    /// # Errors
    /// When the work is interrupted, or no fit is found.
    pub fn fit(&self, chosen: &Chosen, edges: Vec<Vec<f64>>, choosing: bool) -> Result<Fitted> {
        let sample = self.sample;
        let start = Steps::new(sample, sample.features.iter().map(|f| f.edges.clone()).collect(), self.neutral);
        let steps = Steps::new(sample, edges, self.neutral);
        let seen = seen(sample, chosen, &steps);
        let unknowns = Unknowns::new(sample, &steps, &seen);
        let beta = self.line.beta;
        let target = unknowns.target(sample, &steps, beta);
        let prior = unknowns.prior(
            sample,
            &target,
            spread(sample, &self.weighting.factors(sample), chosen, &start) / BENDING,
        )?;
        let mut cost = vec![0.0; unknowns.len()];
        for (n, _) in unknowns.steps.iter().enumerate().filter(|(_, step)| choosing && steps.new[**step]) {
            cost[1 + n] = NEW_CUT;
        }
        let constraints = unknowns.constraints(self, &steps);
        let numbering = Numbering::new(sample, &steps)?;
        let data = Data { sample, chosen, steps: &steps, weighting: self.weighting, beta, stop: self.stop };
        let held = |x: &[f64]| {
            let away: Vec<f64> = x.iter().zip(&target).map(|(x, t)| x - t).collect();
            let slope = prior.times(&away);
            (0.5 * dot(&away, &slope) + dot(&cost, x), slope)
        };
        let mut x = target.clone();
        x[0] = self.line.intercept;
        let mut all: Option<f64> = None;
        let (mut every, mut gained) = (data.usual_every(), f64::INFINITY);
        for round in 1..=ROUNDS {
            let sums = data.sums(&numbering, every, x[0], &unknowns.spread_out(&x, &steps, beta))?;
            let (of_prior, slope) = held(&x);
            let now = all.unwrap_or(sums.loss + of_prior);
            let mut curvature = prior.clone();
            let mut gradient: Vec<f64> = slope.iter().zip(&cost).map(|(s, c)| s + c).collect();
            let place = |n: usize| if n == 0 { 0 } else { 1 + unknowns.steps[n - 1] };
            for i in 0..=unknowns.steps.len() {
                gradient[i] += sums.gradient[place(i)];
                for j in 0..=unknowns.steps.len() {
                    curvature[(i, j)] += sums.curvature[(place(i), place(j))];
                }
            }
            let linear: Vec<f64> = curvature.times(&x).iter().zip(&gradient).map(|(h, g)| h - g).collect();
            let best = Quadratic { curvature, linear, constraints: constraints.clone() }.solve()?.x;
            let step: Vec<f64> = best.iter().zip(&x).map(|(b, x)| b - x).collect();
            let downhill = dot(&gradient, &step);
            let mut part = 1.0;
            let (reached, loss) = loop {
                let next: Vec<f64> = match part {
                    1.0 => best.clone(),
                    part => x.iter().zip(&step).map(|(x, s)| x + part * s).collect(),
                };
                let loss = data.loss(next[0], &unknowns.spread_out(&next, &steps, beta))? + held(&next).0;
                if loss <= now + 1e-4 * part * downhill + 1e-10 * now.abs() || part < 1e-6 {
                    break (next, loss);
                }
                part /= 2.0;
            };
            x = reached;
            all = Some(loss);
            // A curvature that says too little of the way is told by more rows from now on.
            if now - loss > SLOW * gained {
                every = (every / 2).max(1);
            }
            gained = now - loss;
            if gained < GAIN * loss.abs() {
                let worths = unknowns.worths(&x, sample, beta);
                let sizes = unknowns.spread_out(&x, &steps, beta);
                let (line, intercept) = (self.line, x[0]);
                return Ok(Fitted { line, intercept, sizes, worths, seen, objective: loss, rounds: round, steps });
            }
        }
        bail!("the fit does not settle in {ROUNDS} rounds")
    }
}

/// The unknowns of a fit: the intercept, the steps of the features that were seen, and what each of these is worth.
struct Unknowns {
    /// Positions of the steps.
    steps: Vec<usize>,
    /// The feature of each.
    feature: Vec<usize>,
    /// Positions of the features.
    features: Vec<usize>,
}

impl Unknowns {
    fn new(sample: &Sample, steps: &Steps, seen: &[bool]) -> Self {
        let features: Vec<usize> = (0..sample.features.len()).filter(|f| seen[*f]).collect();
        let of = |f: &usize| steps.of[*f].clone().map(|step| (step, *f)).collect::<Vec<_>>();
        let (steps, feature) = features.iter().flat_map(of).unzip();
        Self { steps, feature, features }
    }

    fn len(&self) -> usize {
        1 + self.steps.len() + self.features.len()
    }

    /// Where the worth of the n-th feature stands.
    fn worth(&self, n: usize) -> usize {
        1 + self.steps.len() + n
    }

    /// The start card in log-odds.
    fn target(&self, sample: &Sample, steps: &Steps, beta: f64) -> Vec<f64> {
        let mut target = vec![0.0];
        let start = |s: &usize| if steps.signed[*s] { steps.start[*s] } else { steps.start[*s].max(0.0) };
        target.extend(self.steps.iter().map(|s| beta * start(s)));
        target.extend(self.features.iter().map(|f| beta * sample.features[*f].whole));
        target
    }

    /// What draws the unknowns towards the start card: the inverse of how far they may be from it.
    fn prior(&self, sample: &Sample, target: &[f64], narrowness: f64) -> Result<Matrix> {
        let count = self.steps.len();
        let mut covariance = Matrix::zero(count);
        for n in 0..count {
            covariance[(n, n)] = 1.0 / narrowness;
        }
        let some = |wanted: &dyn Fn(usize) -> bool| -> Vec<(usize, f64)> {
            (0..count).filter(|n| wanted(self.feature[*n])).map(|n| (n, target[1 + n])).collect()
        };
        for feature in &self.features {
            covariance.add_outer(&some(&|f| f == *feature), STRETCHING);
        }
        for category in 0..CATEGORIES.len() {
            covariance.add_outer(&some(&|f| sample.features[f].category == category), STRETCHING_OF_CATEGORY);
        }
        let inverse = covariance.inverse().context("the prior of the fit is no covariance")?;
        let mut prior = Matrix::zero(self.len());
        for i in 0..count {
            for j in 0..count {
                prior[(1 + i, 1 + j)] = inverse[(i, j)];
            }
        }
        for n in 0..self.features.len() {
            prior[(self.worth(n), self.worth(n))] = WORTH;
        }
        Ok(prior)
    }

    fn constraints(&self, frame: &Frame, steps: &Steps) -> Vec<Constraint> {
        let (sample, beta) = (frame.sample, frame.line.beta);
        let room = (!frame.free).then(|| frame.weighting.room(sample));
        let mut constraints = Vec::new();
        for (category, room) in room.into_iter().flat_map(|room| room.into_iter().enumerate()) {
            let of = |f: &usize| sample.features[*f].category == category;
            let here: Vec<usize> = (0..self.features.len()).filter(|n| of(&self.features[*n])).collect();
            let unseen = (0..sample.features.len()).filter(|f| of(f) && !self.features.contains(f));
            let rest = room - unseen.map(|f| frame.weighting.whole(&sample.features[f])).sum::<f64>();
            if !here.is_empty() {
                let of = here.iter().map(|n| (self.worth(*n), 1.0)).collect();
                constraints.push(Constraint { of, bound: beta * rest, equal: true });
            }
        }
        for n in (0..self.steps.len()).filter(|n| !steps.signed[self.steps[*n]]) {
            constraints.push(Constraint { of: vec![(1 + n, 1.0)], bound: 0.0, equal: false });
        }
        self.first_good(sample, steps, frame.neutral, &mut constraints);
        let neutral = frame.neutral as f64;
        for (n, feature) in self.features.iter().enumerate().filter(|_| room.is_some()) {
            for (up, most) in [(true, FULL_SHARE as f64 - neutral), (false, neutral)] {
                let here =
                    |m: &usize, signed: bool| self.feature[*m] == *feature && steps.signed[self.steps[*m]] == signed;
                let of = |m: &usize| here(m, false) && steps.up[self.steps[*m]] == up;
                let mut of: Vec<(usize, f64)> = (0..self.steps.len()).filter(of).map(|m| (1 + m, -1.0)).collect();
                of.push((self.worth(n), most / FULL_SHARE as f64));
                constraints.push(Constraint { of, bound: 0.0, equal: false });
                for m in (0..self.steps.len()).filter(|m| here(m, true)) {
                    let sign = if up { -1.0 } else { 1.0 };
                    let of = vec![(1 + m, sign), (self.worth(n), most / FULL_SHARE as f64)];
                    constraints.push(Constraint { of, bound: 0.0, equal: false });
                }
            }
        }
        constraints
    }

    /// A first good event is worth no less than no opportunity.
    fn first_good(&self, sample: &Sample, steps: &Steps, neutral: i64, constraints: &mut Vec<Constraint>) {
        let place = |step: usize| self.steps.iter().position(|s| *s == step);
        for (n, f) in self.features.iter().enumerate() {
            let (feature, edges) = (&sample.features[*f], &steps.edges[*f]);
            for value in &feature.first_good {
                let path = &steps.paths[*f][edges.partition_point(|e| e <= value)];
                let free = steps.paths[*f][edges.len() + 1].steps.clone().find_map(place);
                // One that is not fitted keeps its share of what the feature is worth.
                let held = (neutral - feature.missing_shares[0]) as f64 / FULL_SHARE as f64;
                let mut of = vec![free.map_or((self.worth(n), held), |none| (1 + none, -1.0))];
                of.extend(path.steps.clone().filter_map(place).map(|n| (1 + n, path.sign())));
                constraints.push(Constraint { of, bound: 0.0, equal: false });
            }
        }
    }

    /// The sizes of all steps. Those of features that were not seen are 0, for no row has them, or for missing values the start card's.
    fn spread_out(&self, x: &[f64], steps: &Steps, beta: f64) -> Vec<f64> {
        let held =
            steps.start.iter().zip(&steps.signed).map(|(start, signed)| if *signed { beta * start } else { 0.0 });
        let mut sizes: Vec<f64> = held.collect();
        self.steps.iter().zip(&x[1..]).for_each(|(step, size)| sizes[*step] = *size);
        sizes
    }

    fn worths(&self, x: &[f64], sample: &Sample, beta: f64) -> Vec<f64> {
        let mut worths: Vec<f64> = sample.features.iter().map(|f| beta * f.whole).collect();
        self.features.iter().enumerate().for_each(|(n, f)| worths[*f] = x[self.worth(n)]);
        worths
    }
}
