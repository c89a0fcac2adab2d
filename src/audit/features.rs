//! How every feature is distributed over its bins, and how far that moved since the earlier run (characteristic stability index).

use serde_json::{Value, json};

use super::Facts;
use crate::disclosure::cells;
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};
use crate::statistics::proportion::rounded;
use crate::statistics::stability::{psi, psi_by_chance};

/// Every scored feature, in order of the model file.
pub fn features(facts: &Facts) -> Value {
    let neutral = facts.friends.is_some();
    let features = facts.job.card.features.iter().zip(&facts.population.bins).map(|(feature, counts)| {
        let declared = facts.job.model.catalogue.feature(&feature.name).map(|f| &f.declared);
        // How many have too few friends is told beside propagation, so it can hide nothing here.
        let of_friends = |n: usize| neutral && feature.category == RELATIONSHIPS && n == feature.none();
        let known: Vec<bool> =
            (0..counts.len()).map(|n| of_friends(n) && facts.part_of_scored(counts[n]).is_some()).collect();
        let shown = facts.of_scored(counts, &known);
        let bins: Vec<Value> = shown
            .iter()
            .enumerate()
            .map(|(n, c)| json!({ "bin": feature.label(n), "share": feature.shares[n], "subjects": c }))
            .collect();
        json!({
            "feature": feature.name,
            "category": CATEGORIES[feature.category],
            "about": declared.map(|d| d.about.as_str()),
            "unit": declared.map(|d| d.unit.word()),
            "reason": declared.and_then(|d| d.reason.as_deref()),
            "importance": feature.importance,
            "names_codes": declared.and_then(|d| d.names_codes.as_deref()),
            "bins": bins,
            "drift": drift(facts, &feature.name, &shown),
        })
    });
    Value::Array(features.collect())
}

/// How far a feature moved, over the bins as they are shown: what is hidden now, or was then, counts as one bin. Null when there is
/// no earlier run, its bins were others, or the number of scored subjects may not be told.
fn drift(facts: &Facts, feature: &str, shown: &[Option<u64>]) -> Value {
    let Some((previous, _)) = facts.previous.filter(|(p, _)| p.scored_shown(facts.least())) else { return Value::Null };
    let before = previous.distributions.as_ref().and_then(|d| d.features.get(feature));
    let (Some(before), Some(now)) = (before, facts.distributions.features.get(feature)) else { return Value::Null };
    let (n, m) = (before.subjects.iter().sum::<u64>(), now.subjects.iter().sum::<u64>());
    if before.bins != now.bins || n < facts.least().max(1) || m < facts.least().max(1) || !facts.scored_shown() {
        return Value::Null;
    }
    let shown_before = cells::shown(&before.subjects, &[], facts.least());
    let told: Vec<bool> = shown.iter().zip(&shown_before).map(|(now, then)| now.is_some() && then.is_some()).collect();
    let joined = |counts: &[u64]| -> Vec<u64> {
        let of = |which: bool| counts.iter().zip(&told).filter(move |(_, told)| **told == which).map(|(c, _)| *c);
        of(true).chain(std::iter::once(of(false).sum())).collect()
    };
    let (before, now) = (joined(&before.subjects), joined(&now.subjects));
    let used = before.iter().zip(&now).filter(|(a, b)| **a + **b > 0).count();
    json!({
        "csi": rounded(psi(&before, &now), 4),
        "by_chance": rounded(psi_by_chance(used, n, m), 4),
        "cells": used,
    })
}
