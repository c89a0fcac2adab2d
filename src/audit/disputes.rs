//! Records under dispute.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::ingest::settle::disputes::DisputeCount;

/// Records under dispute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disputes {
    /// Records that count for nothing because of one.
    pub records: i64,
    /// Subjects who have such records.
    pub subjects: Option<u64>,
    /// What the disputes about each table came to.
    pub by_table: BTreeMap<String, DisputeCount>,
}

/// Records under dispute.
pub(super) fn disputes(facts: &Facts) -> Disputes {
    let rows = &facts.population.rows;
    let subjects = rows.disputed.iter().filter(|d| **d > 0).count() as u64;
    Disputes {
        records: rows.disputed.iter().map(|d| i64::from(*d)).sum(),
        subjects: facts.part_of_all(subjects),
        by_table: facts.data.disputes.clone(),
    }
}
