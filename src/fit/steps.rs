//! A feature's bins as steps from one to the next, away from neutral: what is fitted, for a step that is never negative is a promise.

use std::ops::Range;

use super::sample::{Feature, Sample};
use crate::pipeline::model::FULL_SHARE;

/// The steps of all features, one after another.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Where each feature's bins end.
    pub edges: Vec<Vec<f64>>,
    /// The steps of each feature.
    pub of: Vec<Range<usize>>,
    /// Points of each step in the start card.
    pub start: Vec<f64>,
    /// Whether a step is at a cut that the start card does not have.
    pub new: Vec<bool>,
    /// Whether a step leads up from neutral, or down.
    pub up: Vec<bool>,
    /// Whether it may be negative too: that of a missing value, which has no place between better and worse.
    pub signed: Vec<bool>,
    /// By feature and bin: which steps lie between neutral and it. No opportunity and what was not told are the bins after the last; they
    /// have a step of their own where they are fitted, and none otherwise.
    pub paths: Vec<Vec<Path>>,
}

/// The steps between neutral and a bin; all of them lead up, or all down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The steps.
    pub steps: Range<usize>,
    /// Whether they lead up.
    pub up: bool,
}

impl Path {
    /// 1 or −1: what a step adds.
    #[must_use]
    pub const fn sign(&self) -> f64 {
        if self.up { 1.0 } else { -1.0 }
    }
}

impl Steps {
    /// Lays steps over bins with these edges, by feature; `neutral` is the neutral share.
    #[must_use]
    pub fn new(sample: &Sample, edges: Vec<Vec<f64>>, neutral: i64) -> Self {
        let mut steps = Self {
            edges: Vec::new(),
            of: Vec::new(),
            start: Vec::new(),
            new: Vec::new(),
            up: Vec::new(),
            signed: Vec::new(),
            paths: Vec::new(),
        };
        for (feature, edges) in sample.features.iter().zip(edges) {
            steps.add(feature, &edges, neutral);
            steps.edges.push(edges);
        }
        steps
    }

    fn add(&mut self, feature: &Feature, edges: &[f64], neutral: i64) {
        let bins = edges.len() + 1;
        let points = |bin: usize| {
            let lowest = if bin == 0 { f64::NEG_INFINITY } else { edges[bin - 1] };
            let share = feature.shares[feature.edges.partition_point(|e| *e <= lowest)] - neutral;
            feature.whole / FULL_SHARE as f64 * share as f64
        };
        // From the worst bin to the best.
        let order: Vec<usize> = if feature.rising { (0..bins).collect() } else { (0..bins).rev().collect() };
        let points: Vec<f64> = order.iter().map(|b| points(*b)).collect();
        let worse = points.iter().filter(|p| **p < 0.0).count();
        let fresh = |k: usize| !feature.edges.contains(&edges[order[k].min(order[k + 1])]);
        let first = self.start.len();
        let mut paths = vec![Path { steps: first..first, up: true }; bins + 2];
        for k in worse..bins {
            self.start.push(points[k] - if k > worse { points[k - 1] } else { 0.0 });
            self.new.push(k > worse && fresh(k - 1));
            self.up.push(true);
            paths[order[k]] = Path { steps: first..self.start.len(), up: true };
        }
        let down = self.start.len();
        for k in (0..worse).rev() {
            self.start.push(if k + 1 < worse { points[k + 1] } else { 0.0 } - points[k]);
            self.new.push(k + 1 < worse && fresh(k));
            self.up.push(false);
            paths[order[k]] = Path { steps: down..self.start.len(), up: false };
        }
        self.signed.resize(self.start.len(), false);
        for (n, share) in feature.missing_shares.iter().enumerate().filter(|_| feature.free_missing) {
            let step = self.start.len();
            self.start.push(feature.whole / FULL_SHARE as f64 * (share - neutral) as f64);
            self.new.push(false);
            self.up.push(true);
            self.signed.push(true);
            paths[bins + n] = Path { steps: step..step + 1, up: true };
        }
        self.of.push(first..self.start.len());
        self.paths.push(paths);
    }

    /// Number of steps.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// What every bin of a feature is worth against neutral; the last two are those of missing values.
    #[must_use]
    pub fn worth(&self, feature: usize, steps: &[f64]) -> Vec<f64> {
        self.paths[feature].iter().map(|path| path.sign() * steps[path.steps.clone()].iter().sum::<f64>()).collect()
    }
}
