//! How friends' scores are propagated, as a plan of shards tells it.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::graph::Parameters;
use crate::job::Job;

/// How friends' scores are propagated; see `graph::parameters`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FriendsSpec {
    min_tie_age_days: u32,
    min_friends: u32,
    max_ties: usize,
    confidence_floor: u32,
    sender_budget: u64,
    anchor: u64,
    influence: u64,
    rounds: u32,
    /// Strength by interactions, and of ties whose interactions are not told.
    strengths: Vec<u8>,
    strength_untold: u8,
    /// The trust gate: where it begins, and how wide it is.
    trust: Option<(u64, u64)>,
}

impl FriendsSpec {
    /// Those of a job; nothing when nothing is propagated.
    ///
    /// # Errors
    /// When the model's numbers do not fit the graph's units.
    pub(super) fn of(job: &Job) -> Result<Option<Self>> {
        let model = &job.model.card.propagation;
        if !model.enabled || job.export("friend_links").is_none() {
            return Ok(None);
        }
        let parameters = Parameters::new(model)?;
        Ok(Some(Self {
            min_tie_age_days: model.min_tie_age_days,
            min_friends: model.min_friends,
            max_ties: parameters.max_ties,
            confidence_floor: parameters.floor,
            sender_budget: parameters.budget,
            anchor: parameters.anchor,
            influence: parameters.influence,
            rounds: parameters.rounds,
            strengths: parameters.strengths.to_vec(),
            strength_untold: parameters.untold,
            trust: parameters.trust,
        }))
    }
}
