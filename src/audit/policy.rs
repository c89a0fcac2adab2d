//! What policy rules did.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;

/// What a policy rule did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRule {
    /// What it is for.
    pub about: String,
    /// The highest score that it leaves.
    pub cap: i64,
    /// Subjects whose score it lowered.
    pub subjects: Option<u64>,
}

/// What each policy rule did, by its code.
pub(super) fn policy(facts: &Facts) -> BTreeMap<String, PolicyRule> {
    let rules = facts.job.model.card.policy.iter().enumerate().map(|(n, rule)| {
        let rule = rule.get_ref();
        let hit = facts.population.rows.policy.iter().filter(|p| p.is_some_and(|p| usize::from(p) == n)).count();
        let did = PolicyRule { about: rule.about.clone(), cap: rule.cap, subjects: facts.part_of_scored(hit as u64) };
        (rule.code.clone(), did)
    });
    rules.collect()
}
