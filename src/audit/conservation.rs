//! What went in: every row of every file in exactly one class.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::ingest::check::conservation::{Class, Tally};
use crate::ingest::links::ties::DroppedTies;

/// Rows by class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    /// All of them.
    pub rows: u64,
    /// Those of them that a `select` made of others.
    #[serde(default, skip_serializing_if = "is_none")]
    pub multiplied: u64,
    /// Those in each class.
    #[serde(flatten)]
    pub classes: BTreeMap<String, u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_none(rows: &u64) -> bool {
    *rows == 0
}

/// Rows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileRows {
    /// The file, below the input's path.
    pub file: String,
    /// Rows that it holds.
    pub export_rows: u64,
    /// Rows by class.
    #[serde(flatten)]
    pub counts: RowCounts,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableRows {
    /// Rows by class.
    #[serde(flatten)]
    pub counts: RowCounts,
    /// The same, file by file.
    pub files: Vec<FileRows>,
    /// Why rows of links are no ties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_because: Option<DroppedBecause>,
}

/// Why rows of links are no ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DroppedBecause {
    /// The model's propagation is off.
    Off {
        /// Rows.
        category_off: u64,
    },
    /// By reason.
    Reasons(DroppedTies),
}

/// The newest visible row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Newest {
    /// Its day; null when no row is visible.
    pub day: Option<String>,
    /// Days from it to the as-of date.
    pub days_before: Option<i64>,
}

impl RowCounts {
    fn of(rows: u64, multiplied: u64, of_class: impl Fn(Class) -> u64) -> Self {
        let classes = Class::ALL.iter().map(|c| (c.name().to_owned(), of_class(*c))).collect();
        Self { rows, multiplied, classes }
    }

    /// Rows of a class; nothing when the audit does not count it.
    #[must_use]
    pub fn class(&self, class: Class) -> Option<u64> {
        self.classes.get(class.name()).copied()
    }
}

/// Rows by class, table by table and file by file.
pub(super) fn conservation(facts: &Facts) -> BTreeMap<String, TableRows> {
    let tables = facts.job.exports.iter().filter_map(|export| {
        let tally: &Tally = &facts.findings.get(&export.table.name)?.tally;
        let file = |(n, f): (usize, &crate::ingest::read::export::OpenFile)| FileRows {
            file: f.file.label.clone(),
            export_rows: f.rows,
            counts: RowCounts::of(tally.file_total(n), tally.multiplied(n), |c| tally.get(n, c)),
        };
        let sum = |of: &dyn Fn(usize) -> u64| (0..export.files.len()).map(of).sum::<u64>();
        let links = export.table.name == "friend_links";
        let off = || DroppedBecause::Off { category_off: tally.total(Class::Dropped) };
        let rows = TableRows {
            counts: RowCounts::of(sum(&|n| tally.file_total(n)), sum(&|n| tally.multiplied(n)), |c| tally.total(c)),
            files: export.files.iter().enumerate().map(file).collect(),
            dropped_because: links
                .then(|| facts.friends.map_or_else(off, |friends| DroppedBecause::Reasons(friends.summary.dropped))),
        };
        Some((export.table.name.clone(), rows))
    });
    tables.collect()
}

/// The newest visible row of each table with a limit.
pub(super) fn newest(facts: &Facts) -> BTreeMap<String, Newest> {
    let newest = |a: &crate::gates::verdicts::TableAge| Newest { day: a.newest.clone(), days_before: a.told() };
    facts.ages.iter().map(|age| (age.table.clone(), newest(age))).collect()
}
