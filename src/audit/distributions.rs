//! `distributions.json`: subjects by feature and bin, exactly, for the next run to compare with, and the mean shares that reasons
//! come from, for `explain`. It is no report: like the features beside it, it stays in the run's folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::score::population::Population;
use crate::score::reasons::Baselines;
use crate::scorecard::Scorecard;
use crate::storage::read;

/// Its name in a run's folder.
pub const DISTRIBUTIONS: &str = "distributions.json";

/// Scored subjects by feature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distributions {
    /// By name of the feature.
    pub features: BTreeMap<String, Distribution>,
    /// What shares are compared with, by segment and feature in order of the model file.
    pub baselines: Baselines,
}

/// Scored subjects by bin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// What the bins are called, with their edges.
    pub bins: Vec<String>,
    /// Subjects in each.
    pub subjects: Vec<u64>,
}

impl Distributions {
    /// Those of a scored population.
    #[must_use]
    pub fn of(card: &Scorecard, population: &Population) -> Self {
        let one = |(feature, counts): (&crate::scorecard::card::CardFeature, &Vec<u64>)| {
            let bins = (0..counts.len()).map(|bin| feature.label(bin)).collect();
            (feature.name.clone(), Distribution { bins, subjects: counts.clone() })
        };
        let features = card.features.iter().zip(&population.bins).map(one).collect();
        Self { features, baselines: population.baselines.clone() }
    }

    /// Those that a run kept in a file; nothing when there is none.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = read::text(path)?;
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }
}
