//! Gates: what a staged result must meet before it is published.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::Contract;
use crate::expression::did_you_mean;

/// Conditions that a staged result must meet before it is published. Without a section `[gates]` all of them hold with their usual
/// limits; in a section, one that is not set is not checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Largest share of quarantined rows among the visible rows of any table.
    pub max_quarantined_share: Option<f64>,
    /// Smallest share of subjects with a score.
    pub min_scored_share: Option<f64>,
    /// Largest population stability index against the previous published run.
    pub max_psi: Option<f64>,
    /// Largest growth of the quarantined share against the previous published run.
    pub max_quarantined_growth: Option<f64>,
    /// Largest change of a band's share against the previous published run.
    pub max_band_jump: Option<f64>,
    /// Whether propagation must end within its bound.
    pub propagation_converged: Option<bool>,
    /// Most days from the newest visible row of a table to the as-of date: one number for the tables that grow all the time, or
    /// one for each table named.
    pub max_age_days: Option<AgeLimit>,
    /// Largest share of a table's rows that may be fewer than in the previous published run; a table, column or partition that
    /// vanished always fails.
    pub max_rows_lost: Option<f64>,
}

/// Most days from a table's newest visible row to the as-of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AgeLimit {
    /// For every table that grows all the time.
    Of(u32),
    /// By table.
    By(BTreeMap<String, u32>),
}

impl AgeLimit {
    /// The limit of a table, if it has one; `regular` says whether it grows all the time.
    #[must_use]
    pub fn of(&self, table: &str, regular: bool) -> Option<u32> {
        match self {
            Self::Of(days) => regular.then_some(*days),
            Self::By(tables) => tables.get(table).copied(),
        }
    }
}

impl Gates {
    /// All gates with their usual limits.
    #[must_use]
    pub const fn usual() -> Self {
        Self {
            max_quarantined_share: Some(0.01),
            min_scored_share: Some(0.5),
            max_psi: Some(0.25),
            max_quarantined_growth: Some(2.0),
            max_band_jump: Some(0.1),
            propagation_converged: Some(true),
            max_age_days: Some(AgeLimit::Of(45)),
            max_rows_lost: Some(0.05),
        }
    }

    /// The gates that are not checked.
    #[must_use]
    pub fn unset(&self) -> Vec<&'static str> {
        let set = [
            ("max_quarantined_share", self.max_quarantined_share.is_some()),
            ("min_scored_share", self.min_scored_share.is_some()),
            ("max_psi", self.max_psi.is_some()),
            ("max_quarantined_growth", self.max_quarantined_growth.is_some()),
            ("max_band_jump", self.max_band_jump.is_some()),
            ("propagation_converged", self.propagation_converged == Some(true)),
            ("max_age_days", self.max_age_days.is_some()),
            ("max_rows_lost", self.max_rows_lost.is_some()),
        ];
        set.into_iter().filter(|(_, set)| !set).map(|(gate, _)| gate).collect()
    }

    /// What is wrong with the limits, by key.
    #[must_use]
    pub fn faults(&self, contract: &Contract) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let limits = [
            ("max_quarantined_share", self.max_quarantined_share, 1.0),
            ("min_scored_share", self.min_scored_share, 1.0),
            ("max_psi", self.max_psi, f64::MAX),
            ("max_quarantined_growth", self.max_quarantined_growth, f64::MAX),
            ("max_band_jump", self.max_band_jump, 1.0),
            ("max_rows_lost", self.max_rows_lost, 1.0),
        ];
        for (key, limit, most) in limits {
            if let Some(limit) = limit.filter(|l| !(0.0..=most).contains(l)) {
                let range = if most == 1.0 { "0 to 1" } else { "0 upwards" };
                faults.push((key, format!("`gates.{key} = {limit}` is out of range: {range}")));
            }
        }
        if let Some(AgeLimit::By(tables)) = &self.max_age_days {
            if tables.is_empty() {
                let message = "`gates.max_age_days` names no table; leave it out to check the age of none";
                faults.push(("max_age_days", message.to_owned()));
            }
            let known: Vec<&str> =
                contract.tables.iter().filter(|t| t.has_records()).map(|t| t.name.as_str()).collect();
            for table in tables.keys().filter(|t| !known.contains(&t.as_str())) {
                let hint = did_you_mean(table, known.iter().copied());
                faults.push((
                    "max_age_days",
                    format!(
                        "`gates.max_age_days.{table}` is no table of records{hint}; there are {}",
                        known.join(", ")
                    ),
                ));
            }
        }
        faults
    }
}
