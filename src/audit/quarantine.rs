//! Quarantined rows by rule, with where some of them stand.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::ingest::check::rule::Quarantined;

/// Rows whose places are told.
const SAMPLES: usize = 5;

/// What broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenRule {
    /// Rows.
    pub rows: u64,
    /// What the rule says.
    pub about: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// Where the first of them stand.
    pub samples: Vec<Place>,
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The file, below the input's path.
    pub file: String,
    /// The row, from 0.
    pub row: i64,
    /// The column; null when the row as a whole is meant.
    pub column: Option<String>,
}

/// Quarantined rows by table and rule.
pub(super) fn quarantine(facts: &Facts) -> BTreeMap<String, BTreeMap<String, BrokenRule>> {
    let mut tables = BTreeMap::new();
    for export in facts.job.exports.iter() {
        let Some(found) = facts.findings.get(&export.table.name).filter(|f| !f.quarantined.is_empty()) else {
            continue;
        };
        let place = |q: &Quarantined| Place {
            file: export.files[q.file as usize].file.label.clone(),
            row: q.row,
            column: export.table.columns.get(q.column).map(|c| c.name.clone()),
        };
        let mut rows = found.quarantined.clone();
        rows.sort_unstable();
        let mut rules: BTreeMap<String, BrokenRule> = BTreeMap::new();
        for q in &rows {
            let rule = rules.entry(q.rule.name().to_owned()).or_insert_with(|| {
                let text = facts.job.contract.rules.iter().find(|r| r.name == q.rule.name());
                let (about, remedy) = (text.map(|t| t.about.clone()), text.map(|t| t.remedy.clone()));
                BrokenRule { rows: 0, about, remedy, samples: Vec::new() }
            });
            rule.rows += 1;
            if rule.samples.len() < SAMPLES {
                rule.samples.push(place(q));
            }
        }
        tables.insert(export.table.name.clone(), rules);
    }
    tables
}
