//! Gates: what a staged result must meet before it is published.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::file::Gates;

/// One gate's verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its key in the pipeline file.
    pub gate: &'static str,
    /// Whether the result meets it.
    pub passed: bool,
    /// What was measured.
    pub measured: f64,
    /// The limit.
    pub limit: f64,
    /// What was measured, in words, and where to look when it failed.
    pub message: String,
}

/// What gates are checked on.
pub struct Measured {
    /// Quarantined and visible rows by table.
    pub quarantined: BTreeMap<String, (u64, u64)>,
    /// Subjects with a score, and all.
    pub scored: (u64, u64),
    /// Whether propagation stayed within its bound in every round; nothing when there was none.
    pub converged: Option<bool>,
}

/// Checks every gate that is set.
#[must_use]
pub fn check(gates: &Gates, measured: &Measured) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if let Some(limit) = gates.max_quarantined_share {
        let share = |(bad, all): &(u64, u64)| if *all == 0 { 0.0 } else { *bad as f64 / *all as f64 };
        let worst = measured.quarantined.iter().max_by(|a, b| share(a.1).total_cmp(&share(b.1)));
        let (table, share) = worst.map_or(("", 0.0), |(t, c)| (t.as_str(), share(c)));
        verdicts.push(Verdict {
            gate: "max_quarantined_share",
            passed: share <= limit,
            measured: share,
            limit,
            message: format!(
                "{:.2} % of the visible rows of {table} are quarantined; see quarantine/{table}.parquet",
                100.0 * share
            ),
        });
    }
    if let Some(limit) = gates.min_scored_share {
        let (scored, all) = measured.scored;
        let share = if all == 0 { 0.0 } else { scored as f64 / all as f64 };
        verdicts.push(Verdict {
            gate: "min_scored_share",
            passed: share >= limit,
            measured: share,
            limit,
            message: format!(
                "{:.1} % of the subjects have a score; see coverage in audit.json for why the others have none",
                100.0 * share
            ),
        });
    }
    if let (Some(true), Some(converged)) = (gates.propagation_converged, measured.converged) {
        verdicts.push(Verdict {
            gate: "propagation_converged",
            passed: converged,
            measured: f64::from(u8::from(converged)),
            limit: 1.0,
            message: "a round of propagation changed more than its bound allows; see propagation in audit.json".into(),
        });
    }
    verdicts
}
