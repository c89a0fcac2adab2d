//! The audit: what went in, what became of it, and what came out. It reads results and changes nothing.
//!
//! [`Audit`] is `audit.json`, whoever reads it: the page, monitoring, the gates of a later run. Each of its sections has a file with the
//! section's type and what makes it from the [`Facts`] of a run. Counts of subjects that are small, or would tell a small one, are null.

pub mod consents;
pub mod conservation;
pub mod coverage;
pub mod disputes;
pub mod distributions;
pub mod drift;
mod facts;
pub mod fairness;
pub mod features;
mod migration;
pub mod policy;
pub mod previous;
pub mod propagation;
pub mod provenance;
pub mod quality;
pub mod quarantine;
pub mod scale;
pub mod scores;
pub mod text;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use facts::Facts;

use crate::gates::verdicts::Verdict;
use crate::job::inputs::Input;
use crate::pipeline::marks::Marks;
use crate::storage::read;

/// Its name in a run's folder.
pub const AUDIT: &str = "audit.json";

/// Version of the audit's shape; it grows when a key changes its meaning.
pub const SCHEMA: u32 = 2;

/// `audit.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// Version of this shape.
    pub schema: u32,
    /// The input files with their hashes.
    pub inputs: Vec<Input>,
    /// Every row of every file in exactly one class, by table.
    pub conservation: BTreeMap<String, conservation::TableRows>,
    /// The newest visible row of each table whose age is limited.
    #[serde(default)]
    pub newest: BTreeMap<String, conservation::Newest>,
    /// Quarantined rows by table and rule.
    pub quarantine: BTreeMap<String, BTreeMap<String, quarantine::BrokenRule>>,
    /// Who is scored and who is not.
    pub coverage: coverage::Coverage,
    /// How scores are distributed.
    pub scores: scores::Scores,
    /// How every scored feature is distributed.
    pub features: Vec<features::FeatureBins>,
    /// What changed since the earlier published run; null without one.
    pub drift: Option<drift::Drift>,
    /// What propagation did; null when it did not run.
    pub propagation: Option<propagation::Propagation>,
    /// What each policy rule did, by its code.
    pub policy: BTreeMap<String, policy::PolicyRule>,
    /// Records under dispute.
    pub disputes: disputes::Disputes,
    /// What subjects consent to.
    pub consents: consents::Consents,
    /// What scores open.
    pub privileges: Vec<coverage::Privilege>,
    /// What the gates found.
    pub gates: Vec<Verdict>,
    /// How well scores rank outcomes; null without enough outcomes.
    pub quality: Option<quality::OfHorizons>,
    /// Protected groups side by side; null without the table.
    pub fairness: Option<fairness::Fairness>,
    /// What counts are hidden.
    pub privacy: Privacy,
    /// Where a figure is worth a look.
    pub marks: Marks,
    /// Where the result comes from.
    pub provenance: provenance::Provenance,
    /// What it cost.
    pub timings: provenance::Timings,
}

/// What counts are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Privacy {
    /// The smallest count of subjects that is shown.
    pub min_cell: u64,
}

/// Sums up a run.
///
/// # Errors
/// When a figure is none of the scale, which the checks of the model exclude, or a stage is damaged.
pub fn audit(facts: &Facts) -> Result<Audit> {
    let scale = facts.scale();
    Ok(Audit {
        schema: SCHEMA,
        inputs: facts.inputs.to_vec(),
        conservation: conservation::conservation(facts),
        newest: conservation::newest(facts),
        quarantine: quarantine::quarantine(facts),
        coverage: coverage::coverage(facts),
        scores: scores::scores(facts, &scale),
        features: features::features(facts),
        drift: drift::drift(facts, &scale)?,
        propagation: propagation::propagation(facts)?,
        policy: policy::policy(facts),
        disputes: disputes::disputes(facts),
        consents: consents::consents(facts),
        privileges: coverage::privileges(facts, &scale),
        gates: facts.verdicts.to_vec(),
        quality: quality::of_horizons(facts, &scale)?,
        fairness: fairness::fairness(facts, &scale)?,
        privacy: Privacy { min_cell: facts.min_cell() },
        marks: facts.job.pipeline.settings.report,
        provenance: provenance::provenance(facts),
        timings: provenance::timings(facts),
    })
}

impl Audit {
    /// The audit that a file holds.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let parse = || {
            let value: Value = serde_json::from_str(&read::text(path)?)?;
            let schema = value["schema"].as_u64();
            ensure!(
                schema == Some(u64::from(SCHEMA)),
                "this audit has schema {}, and this version of the program reads schema {SCHEMA}; use the version that made it: {}",
                schema.map_or_else(|| "none".to_owned(), |s| s.to_string()),
                value["provenance"]["program"].as_str().unwrap_or("unknown")
            );
            Ok(serde_json::from_value(value)?)
        };
        parse().with_context(|| path.display().to_string())
    }

    /// The audit as a file holds it.
    ///
    /// # Errors
    /// None that an audit could cause.
    pub fn text(&self) -> Result<String> {
        // By way of a value: its keys are in order of the alphabet.
        Ok(serde_json::to_string_pretty(&serde_json::to_value(self)?)? + "\n")
    }
}
