//! What a fit came to: the start model and the fitted one on rows that neither was fitted to, and feature by feature.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use super::facts::Facts;
use super::groups::GroupShare;
use super::load::{Bins, Missing, Weights};
use super::newton::Fitted;
use super::sample::Sample;
use super::training::{Mean, Seen, loss};
use crate::disclosure::{DECIMALS, small};
use crate::pipeline::fitted::Validated;
use crate::pipeline::model::{CATEGORIES, FULL_SHARE};
use crate::statistics::clustered::{Outcomes, line, paired};
use crate::statistics::proportion::{Z95, rounded};
use crate::statistics::ranking::{Difference, Levels, Ranking};

/// The report of a fit.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The start model, `name-version`.
    pub start: String,
    /// The fitted one.
    pub name: String,
    /// Whether it was written: whether the gain is beyond its standard error.
    pub adopted: bool,
    /// What was fitted to.
    pub data: DataUsed,
    /// How the figures were measured.
    pub validated: Validated,
    /// By how much the log-loss of a row is less in cross-validation.
    pub gain: f64,
    /// Its standard error.
    pub gain_error: f64,
    /// The start model on the rows it is measured on.
    pub before: Option<Measures>,
    /// The fitted one on the same rows.
    pub after: Option<Measures>,
    /// The fitted area less the start's.
    pub difference: Option<Difference>,
    /// Points that double the odds, by the outcomes.
    pub points_to_double: f64,
    /// The segment whose points are told.
    pub reference: String,
    /// The features, in order of the model file.
    pub features: Vec<OfFeature>,
    /// Features that were left as they are, with why.
    pub held: Vec<(String, &'static str)>,
    /// Protected groups at every privilege, before and after, on the rows that the models are measured on.
    pub groups: Vec<GroupShare>,
    /// Features that were accepted although each tells the outcome nearly alone.
    pub accepted_leaks: Vec<String>,
    /// Why they were.
    pub because: Option<String>,
    /// What was minimised.
    pub objective: f64,
    /// What was minimised without the bounds of the weights, where those are free.
    pub freed: Option<f64>,
    /// By segment the weights of its categories in percent, where they are free.
    pub weights: Option<BTreeMap<String, [i64; 5]>>,
    /// Rounds of Newton's method.
    pub rounds: u32,
}

/// What was fitted to.
#[derive(Debug, Clone, Serialize)]
pub struct DataUsed {
    /// The hash of the training set.
    pub hash: String,
    /// Its dates, and whether each was trained on.
    pub dates: Vec<(Date, bool)>,
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// Which bins could be used.
    pub bins: Bins,
    /// Whether categories kept their weights.
    pub weights: Weights,
    /// Whether what is missing is fitted too.
    pub missing: Missing,
    /// Days after which an older row weighed half as much.
    pub half_life_days: Option<f64>,
    /// Rows that were trained on.
    pub rows: u64,
    /// Those that went bad.
    pub bad: u64,
    /// Subjects they are of.
    pub subjects: u64,
    /// Rows left out because a policy rule lowered their score.
    pub overridden: u64,
    /// Scored subjects without an outcome, at all dates; what they would have done is not inferred.
    pub without_outcome: u64,
}

/// How good scores are on some rows.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measures {
    /// How well they rank.
    #[serde(flatten)]
    pub ranking: Ranking,
    /// Mean negative log-likelihood by the line of the score.
    pub log_loss: f64,
    /// What to multiply the log-odds by; 1 when they are right.
    pub slope: Option<f64>,
    /// Lower end of its 95 % interval.
    pub slope_low: Option<f64>,
    /// Upper end.
    pub slope_high: Option<f64>,
}

/// What became of a feature.
#[derive(Debug, Clone, Serialize)]
pub struct OfFeature {
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: &'static str,
    /// Its importance in the start model.
    pub importance_before: i64,
    /// In the fitted one.
    pub importance: i64,
    /// Whether any row told of it; one without is as it was.
    pub seen: bool,
    /// Whether outcomes run against its direction, so that it lost all of its steps.
    pub contradicted: bool,
    /// The bins of the fitted model; the last two are of missing values.
    pub bins: Vec<OfBin>,
}

/// A bin of the fitted model.
#[derive(Debug, Clone, Serialize)]
pub struct OfBin {
    /// What it holds.
    pub label: String,
    /// Rows that were trained on; nothing where they are few.
    pub rows: Option<u64>,
    /// The share of them that went bad; nothing where few did, or few did not.
    pub bad_rate: Option<f64>,
    /// Points against neutral in the start model.
    pub before: f64,
    /// In the fitted one.
    pub after: f64,
}

impl Facts<'_> {
    /// The start model and the fitted one on rows that neither was fitted to, and the difference of their areas.
    #[must_use]
    pub fn measures(&self) -> Option<(Measures, Measures, Difference)> {
        let rows = &self.loaded.sample.rows;
        let (seen, _) = self.measured();
        let (before, after): (Vec<i64>, Vec<i64>) = seen.iter().map(|s| (s.before, s.after)).unzip();
        let bad: Vec<bool> = seen.iter().map(|s| rows.bad[s.row]).collect();
        let subject: Vec<u32> = seen.iter().map(|s| rows.subject[s.row]).collect();
        let of = Outcomes { bad: &bad, subject: &subject };
        let paired = paired(&before, &after, &of)?;
        let measures = |ranking: Ranking, eta: &dyn Fn(&Seen) -> f64| {
            let eta: Vec<f64> = seen.iter().map(eta).collect();
            let weight = |s: &Seen| rows.weight[s.row];
            let sum: f64 = seen.iter().zip(&eta).map(|(s, eta)| weight(s) * loss(*eta, rows.bad[s.row])).sum();
            let line = line(&eta, &of);
            Measures {
                ranking,
                log_loss: sum / seen.iter().map(weight).sum::<f64>(),
                slope: line.map(|l| l.slope),
                slope_low: line.map(|l| l.slope - Z95 * l.slope_error),
                slope_high: line.map(|l| l.slope + Z95 * l.slope_error),
            }
        };
        let of_start = measures(paired.first, &|s| s.eta_before);
        Some((of_start, measures(paired.second, &|s| s.eta_after), paired.difference))
    }

    /// What became of every feature.
    #[must_use]
    pub fn features(&self) -> Vec<OfFeature> {
        let (sample, rows) = (&self.loaded.sample, &self.loaded.sample.rows);
        let on: Vec<usize> = (0..rows.bad.len()).filter(|n| self.trained[usize::from(rows.date[*n])]).collect();
        (0..sample.features.len()).map(|f| self.feature(sample, &self.training.trained.fitted, &on, f)).collect()
    }

    fn feature(&self, sample: &Sample, fitted: &Fitted, on: &[usize], f: usize) -> OfFeature {
        let (feature, new) = (&sample.features[f], &self.training.trained.card.features[f]);
        let coarse = feature.coarser(&new.edges);
        let mut counts = vec![[0_u64; 2]; new.edges.len() + 3];
        // By the start's points of the value: do better ones go bad less often?
        let old = feature.coarser(&feature.edges);
        let mut by_points = Vec::with_capacity(on.len());
        for row in on {
            let bin = usize::from(feature.bins[*row]);
            let bad = sample.rows.bad[*row];
            counts[coarse[bin]][usize::from(bad)] += 1;
            if let Some(share) = feature.shares.get(old[bin]) {
                by_points.push((*share, bad));
            }
        }
        let against = Levels::of(by_points.iter().copied()).ranking().and_then(|r| r.auc_high).is_some_and(|h| h < 0.5);
        let flat = fitted.sizes[fitted.steps.of[f].clone()].iter().all(|s| *s < 1e-9);
        let points = |whole: f64, share: Option<&i64>| {
            share.map_or(0.0, |s| whole * (s - self.scale.neutral) as f64 / FULL_SHARE as f64)
        };
        let weighting = &self.training.trained.card.weighting;
        let whole = weighting.whole(feature) / feature.importance as f64 * new.importance as f64;
        let bins = counts.iter().enumerate().map(|(bin, [good, bad])| {
            let label = match (bin.checked_sub(1).and_then(|n| new.edges.get(n)), new.edges.get(bin)) {
                _ if bin == new.edges.len() + 1 => "none".to_owned(),
                _ if bin == new.edges.len() + 2 => "unknown".to_owned(),
                (None, None) => "any".to_owned(),
                (None, Some(below)) => format!("< {below}"),
                (Some(from), None) => format!(">= {from}"),
                (Some(from), Some(below)) => format!("[{from}, {below})"),
            };
            let lowest = if bin == 0 { f64::NEG_INFINITY } else { new.edges.get(bin - 1).copied().unwrap_or(0.0) };
            let old_bin = feature.edges.partition_point(|e| *e <= lowest);
            let few = small(*good, self.min_cell) || small(*bad, self.min_cell);
            let told = good + bad > 0 && !few && !small(good + bad, self.min_cell);
            let missing = bin.checked_sub(new.shares.len());
            let was = missing.map_or_else(|| feature.shares.get(old_bin), |n| feature.missing_shares.get(n));
            let is = missing.map_or_else(|| new.shares.get(bin), |n| new.missing.get(n));
            OfBin {
                label,
                rows: (!small(good + bad, self.min_cell)).then_some(good + bad),
                bad_rate: told.then(|| rounded(*bad as f64 / (good + bad) as f64, DECIMALS)),
                before: points(feature.whole, was),
                after: points(whole, is),
            }
        });
        OfFeature {
            name: feature.name.clone(),
            category: CATEGORIES[feature.category],
            importance_before: feature.importance,
            importance: new.importance,
            seen: fitted.seen[f],
            contradicted: fitted.seen[f] && flat && against,
            bins: bins.collect(),
        }
    }
}

/// Whether a gain is beyond its standard error.
#[must_use]
pub fn supported(gain: Mean) -> bool {
    gain.mean > gain.error
}
