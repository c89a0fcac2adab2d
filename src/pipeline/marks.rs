//! What the audit's page marks as worth a look; nothing here stops a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a figure is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Marks {
    /// Stability index (PSI, CSI) from which something moved; 0.1 by custom (Siddiqi, Credit Risk Scorecards, 2006).
    pub moved: f64,
    /// Stability index from which it moved far; 0.25 by custom.
    pub moved_far: f64,
    /// Share by which the rows of a table are more or fewer than the last time.
    pub rows_changed: f64,
    /// Ratio of a group's share above a cut-off to the best group's below which it is a signal; 0.8 by the four-fifths rule of the
    /// US Uniform Guidelines (1978).
    pub fairness_ratio: f64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { moved: 0.1, moved_far: 0.25, rows_changed: 0.2, fairness_ratio: 0.8 }
    }
}

impl Marks {
    /// What is wrong with them, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let all = [self.moved, self.moved_far, self.rows_changed, self.fairness_ratio];
        if all.iter().any(|m| !m.is_finite() || *m < 0.0) {
            return Some("the numbers of [report] are 0 or more".to_owned());
        }
        (self.moved > self.moved_far).then(|| "`report.moved` is above `report.moved_far`".to_owned())
    }
}
