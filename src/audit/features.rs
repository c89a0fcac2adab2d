//! How every feature is distributed over its bins, and how far that moved since the earlier run (characteristic stability index).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::disclosure::cells;
use crate::pipeline::model::{CATEGORIES, Form, RELATIONSHIPS};
use crate::pipeline::units::POINT;
use crate::scorecard::card::CardFeature;
use crate::statistics::proportion::rounded;
use crate::statistics::stability::{psi, psi_by_chance};

/// How a feature is distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureBins {
    /// The feature.
    pub feature: String,
    /// Its category.
    pub category: String,
    /// One line about it.
    pub about: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Its reason code.
    pub reason: Option<String>,
    /// Its weight within the category.
    pub importance: i64,
    /// The segments in which it counts; all when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<Vec<String>>,
    /// Why it names codes, if it does.
    pub names_codes: Option<String>,
    /// Subjects by bin.
    pub bins: Vec<BinCount>,
    /// How far it moved since the earlier run; null where that cannot be told.
    pub drift: Option<FeatureDrift>,
}

/// Subjects of a bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BinCount {
    /// What it is called.
    pub bin: String,
    /// Its share, in twelve hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<i64>,
    /// In a card of points: its points above the least bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Scored subjects in it.
    pub subjects: Option<u64>,
}

/// How far a feature moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureDrift {
    /// Characteristic stability index.
    pub csi: f64,
    /// What two samples of one population of these sizes exceed once in a thousand times.
    pub by_chance: f64,
    /// Bins it is over.
    pub cells: usize,
}

/// Every scored feature, in order of the model file.
pub(super) fn features(facts: &Facts) -> Vec<FeatureBins> {
    let neutral = facts.friends.is_some();
    let segment = |at: &usize| facts.job.model.card.segment.get(*at).map(|s| s.get_ref().name.clone());
    let named = |segments: &Vec<usize>| segments.iter().filter_map(segment).collect();
    let of = |(feature, counts): (&CardFeature, &Vec<u64>)| {
        let declared = facts.job.model.catalogue.feature(&feature.name).map(|f| &f.declared);
        // How many have too few friends is told beside propagation, so it can hide nothing here.
        let of_friends = |n: usize| neutral && feature.category == RELATIONSHIPS && n == feature.none();
        let known: Vec<bool> =
            (0..counts.len()).map(|n| of_friends(n) && facts.part_of_scored(counts[n]).is_some()).collect();
        let shown = facts.of_scored(counts, &known);
        let bin = |(n, subjects): (usize, &Option<u64>)| BinCount {
            bin: feature.label(n),
            share: (facts.job.card.form == Form::Shares).then_some(feature.shares[n]),
            points: (facts.job.card.form == Form::Points).then_some(feature.shares[n] as f64 / POINT as f64),
            subjects: *subjects,
        };
        FeatureBins {
            feature: feature.name.clone(),
            category: CATEGORIES[feature.category].to_owned(),
            about: declared.map(|d| d.about.clone()),
            unit: declared.map(|d| d.unit.word().to_owned()),
            reason: declared.and_then(|d| d.reason.clone()),
            importance: feature.importance,
            segments: feature.segments.as_ref().map(named),
            names_codes: declared.and_then(|d| d.names_codes.clone()),
            bins: shown.iter().enumerate().map(bin).collect(),
            drift: drift(facts, &feature.name, &shown),
        }
    };
    facts.job.card.features.iter().zip(&facts.population.bins).map(of).collect()
}

/// How far a feature moved, over the bins as they are shown: what is hidden now, or was then, counts as one bin. Nothing when
/// there is no earlier run, its bins were others, or the number of scored subjects may not be told.
fn drift(facts: &Facts, feature: &str, shown: &[Option<u64>]) -> Option<FeatureDrift> {
    let (previous, _) = facts.previous.filter(|(p, _)| p.scored_shown(facts.min_cell()))?;
    let before = previous.distributions.as_ref()?.features.get(feature)?;
    let now = facts.distributions.features.get(feature)?;
    let (n, m) = (before.subjects.iter().sum::<u64>(), now.subjects.iter().sum::<u64>());
    if before.bins != now.bins || n < facts.min_cell().max(1) || m < facts.min_cell().max(1) || !facts.scored_shown() {
        return None;
    }
    let shown_before = cells::shown(&before.subjects, &[], facts.min_cell());
    let told: Vec<bool> = shown.iter().zip(&shown_before).map(|(now, then)| now.is_some() && then.is_some()).collect();
    let joined = |counts: &[u64]| -> Vec<u64> {
        let of = |which: bool| counts.iter().zip(&told).filter(move |(_, told)| **told == which).map(|(c, _)| *c);
        of(true).chain(std::iter::once(of(false).sum())).collect()
    };
    let (before, now) = (joined(&before.subjects), joined(&now.subjects));
    let used = before.iter().zip(&now).filter(|(a, b)| **a + **b > 0).count();
    Some(FeatureDrift {
        csi: rounded(psi(&before, &now), 4),
        by_chance: rounded(psi_by_chance(used, n, m), 4),
        cells: used,
    })
}
