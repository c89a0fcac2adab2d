//! What changed since the earlier published run.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::migration::migration;
use super::scale::{BandRow, Cell, ScoreScale};
use super::{Audit, Facts};
use crate::disclosure::crosstab::Crosstab;
use crate::gates::counts::Shift;
use crate::gates::loss::TableChange;
use crate::ingest::check::conservation::Class;
use crate::statistics::proportion::rounded;
use jiff::civil::Date;

/// What changed since the earlier published run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// That run.
    pub previous: Earlier,
    /// What changed in the exports, by table.
    #[serde(default)]
    pub inputs: Vec<TableChange>,
    /// How far scores moved; null where that cannot be told.
    pub score: Option<Shift>,
    /// The earlier run's figures, as that run shows them.
    pub before: Before,
    /// Subjects by band then and now; null where that cannot be told.
    pub migration: Option<Crosstab>,
}

/// The earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Earlier {
    /// Its id.
    pub run: String,
    /// Its as-of date.
    #[schemars(with = "String")]
    pub as_of: Date,
    /// `name-version` of its model.
    pub model: String,
}

/// The earlier run's figures; null where it was laxer in what it shows than the pipeline is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Before {
    /// Subjects.
    pub subjects: Option<u64>,
    /// Those with a score.
    pub scored: Option<u64>,
    /// The mean score.
    pub mean: Option<f64>,
    /// Subjects by band.
    pub bands: Option<Vec<BandRow>>,
    /// Subjects by points.
    pub histogram: Option<Vec<Cell>>,
    /// Rows by table.
    pub rows: BTreeMap<String, RowsThen>,
}

/// Rows of a table then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowsThen {
    /// All of them.
    pub rows: u64,
    /// Those that were quarantined.
    pub quarantined: Option<u64>,
}

/// How far scores moved, who moved between bands, and the earlier run's figures as that run shows them; nothing when there is no
/// earlier run. What was shown of it by a laxer rule than today's is left out.
///
/// # Errors
/// When the ids of this run's subjects cannot be read.
pub(super) fn drift(facts: &Facts, scale: &ScoreScale) -> Result<Option<Drift>> {
    let Some((previous, before)) = facts.previous else { return Ok(None) };
    let told = facts.scored_shown() && previous.scored_shown(facts.min_cell());
    let shift = facts.now.shift(before).filter(|_| told).and_then(|s| {
        let shown = Shift { psi: rounded(s.psi, 4), by_chance: rounded(s.by_chance, 4), cells: s.cells };
        facts.of_many(facts.now.scored().min(before.scored()), shown)
    });
    let then = &previous.audit;
    let as_strict = then.privacy.min_cell >= facts.min_cell();
    Ok(Some(Drift {
        previous: Earlier { run: previous.run.clone(), as_of: previous.as_of, model: previous.model.clone() },
        inputs: facts.changes.iter().filter(|c| !c.is_none()).cloned().collect(),
        score: shift,
        before: Before {
            subjects: as_strict.then_some(then.coverage.subjects),
            scored: then.coverage.scored.filter(|_| as_strict),
            mean: then.scores.mean.filter(|_| as_strict),
            bands: as_strict.then(|| then.scores.bands.clone()),
            histogram: as_strict.then(|| then.scores.histogram.clone()),
            rows: rows(then),
        },
        migration: if told && as_strict && same_bands(then, scale) { migration(facts, previous)? } else { None },
    }))
}

/// Whether the earlier run's bands, as it shows them, end where today's do.
fn same_bands(then: &Audit, scale: &ScoreScale) -> bool {
    let edges = scale.band_edges();
    then.scores.bands.iter().all(|row| {
        let first = edges.iter().position(|e| e.1 == row.from);
        let same = |at: usize| {
            row.bands.iter().enumerate().all(|(n, name)| edges.get(at + n).is_some_and(|e| e.0 == name.as_str()))
        };
        first.is_some_and(same)
    })
}

/// Rows of each table, and how many of them were quarantined.
fn rows(then: &Audit) -> BTreeMap<String, RowsThen> {
    let of = |rows: &crate::audit::conservation::TableRows| RowsThen {
        rows: rows.counts.rows,
        quarantined: rows.counts.class(Class::Quarantined),
    };
    then.conservation.iter().map(|(table, rows)| (table.clone(), of(rows))).collect()
}
