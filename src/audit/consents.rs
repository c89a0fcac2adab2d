//! What subjects consent to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::disclosure::small;
use crate::ingest::settle::consents::{NETWORK, SCORE};
use crate::pipeline::model::NO_CONSENT;

/// What subjects consent to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Consents {
    /// Whether the table of consents was given.
    pub table_given: bool,
    /// What the pipeline states for everyone instead.
    pub statement: Option<String>,
    /// Subjects who consent to be scored.
    pub score: Option<u64>,
    /// Subjects who consent to the use of their friends' data.
    pub network: Option<u64>,
}

/// What subjects consent to.
pub(super) fn consents(facts: &Facts) -> Consents {
    let with =
        |bit: u8| facts.part_of_all(facts.data.subjects.consents.iter().filter(|c| **c & bit != 0).count() as u64);
    // Those without consent have a status of their own, unless they have died or left; these may be few.
    let rows = &facts.population.rows;
    let no_consent = facts.job.model.card.status.iter().position(|s| s.get_ref().name == NO_CONSENT);
    let others = (0..rows.status.len())
        .filter(|s| facts.data.subjects.consents[*s] & SCORE == 0 && Some(usize::from(rows.status[*s])) != no_consent)
        .count() as u64;
    let given = facts.job.exports.iter().any(|e| e.table.name == "consents");
    Consents {
        table_given: given,
        statement: facts.job.pipeline.settings.consent_statement.clone(),
        score: with(SCORE).filter(|_| !small(others, facts.min_cell())),
        network: with(NETWORK),
    }
}
