//! Where a number of a model comes from.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a number comes from. Every part of a model file that holds numbers says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Basis {
    /// Stated in public descriptions of the score.
    #[serde(rename = "published fact")]
    PublishedFact,
    /// Chosen by people who know credit; not fitted to outcomes.
    #[serde(rename = "expert judgement")]
    ExpertJudgement,
    /// Fitted to outcomes; the model's `[fitted]` says to which.
    #[serde(rename = "fitted")]
    Fitted,
    /// Taken from a scorecard that another tool made.
    #[serde(rename = "foreign")]
    Foreign,
}
