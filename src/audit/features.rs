//! How every feature is distributed over its bins, and how far that moved since the earlier run (characteristic stability index).

use serde_json::{Value, json};

use super::Facts;
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};
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
        let bins: Vec<Value> = facts
            .of_scored(counts, &known)
            .into_iter()
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
            "drift": drift(facts, &feature.name),
        })
    });
    Value::Array(features.collect())
}

/// How far a feature moved; null when there is no earlier run, or its bins were others.
fn drift(facts: &Facts, feature: &str) -> Value {
    let Some((previous, _)) = facts.previous else { return Value::Null };
    let before = previous.distributions.as_ref().and_then(|d| d.features.get(feature));
    let (Some(before), Some(now)) = (before, facts.distributions.features.get(feature)) else { return Value::Null };
    let (n, m) = (before.subjects.iter().sum::<u64>(), now.subjects.iter().sum::<u64>());
    if before.bins != now.bins || n < facts.least().max(1) || m < facts.least().max(1) {
        return Value::Null;
    }
    let used = before.subjects.iter().zip(&now.subjects).filter(|(a, b)| **a + **b > 0).count();
    json!({
        "csi": psi(&before.subjects, &now.subjects),
        "by_chance": psi_by_chance(used, n, m),
        "cells": used,
    })
}
