//! What the catalogue compiles to: exact integer accumulators per subject, and features over them.

use std::collections::BTreeMap;

use serde::Serialize;

pub use crate::contract::RELIABILITY_ONE;
use crate::expression::Expression;

/// Millionths in a recency weight of 1.
pub const RECENCY_ONE: i64 = 1_000_000;
/// Units in the weight of a fresh row from a fully reliable source.
pub const WEIGHT_ONE: f64 = 1e9;

/// The compiled catalogue.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Event tables that at least one feature reads, in order of the contract.
    pub tables: Vec<TablePlan>,
    /// The features, in order of the catalogue.
    pub features: Vec<CompiledFeature>,
    /// The columns of `subjects` that features read.
    pub subject_columns: Vec<String>,
}

/// What one event table contributes.
#[derive(Debug, Clone, Serialize)]
pub struct TablePlan {
    /// The table's name.
    pub table: String,
    /// Every condition, once.
    pub predicates: Vec<Expression>,
    /// Every value, once.
    pub values: Vec<Expression>,
    /// Every recency weighting, once.
    pub weights: Vec<Recency>,
    /// Every way of grouping rows, once.
    pub groupings: Vec<Grouping>,
    /// The sums, in the order of their columns.
    pub accumulators: Vec<Accumulator>,
    /// The earliest day any of them reads; `None` when one reads all rows.
    pub first_day: Option<i64>,
}

/// Weights by whole months back, in millionths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recency {
    /// The column that holds months back.
    pub months_ago: String,
    /// Weight per month; months beyond the end weigh 0. Empty means that every month weighs 1.
    pub millionths: Vec<i64>,
}

/// Rows of a subject grouped by a column first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grouping {
    /// The column whose values make the groups.
    pub key: String,
    /// Which rows take part: a position in `predicates`.
    pub filter: usize,
}

/// One integer per subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accumulator {
    /// The name of its column.
    pub name: String,
    /// What it adds up.
    pub sum: Sum,
}

/// What an accumulator adds up. Positions refer to the table's predicates, values, weights and groupings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are the positions the enum's own text speaks of")]
pub enum Sum {
    /// Rows.
    Rows { filter: usize },
    /// Values.
    Values { filter: usize, value: usize },
    /// The smallest value, or null.
    Smallest { filter: usize, value: usize },
    /// The largest value, or null.
    Largest { filter: usize, value: usize },
    /// Weights.
    Weights { filter: usize, weight: usize },
    /// Values times weights.
    WeightedValues { filter: usize, value: usize, weight: usize },
    /// Groups with a row.
    Groups { grouping: usize },
    /// Groups whose values add up to 0.
    ZeroGroups { grouping: usize, value: usize },
    /// Σ|n·x − S| over the groups; x is the group's rows or values, n the groups with a row or the given number.
    Deviations { grouping: usize, value: Option<usize>, periods: Option<i64> },
    /// The largest group's rows or values.
    LargestGroup { grouping: usize, value: Option<usize> },
    /// Σ(largest − smallest value) over the groups.
    Spans { grouping: usize, value: usize },
    /// Σ min(a·B, b·A) over the groups, a and b being rows for which the split holds and does not.
    Overlap { grouping: usize, split: usize },
}

impl Sum {
    /// Whether a subject without rows has null here rather than 0.
    #[must_use]
    pub const fn nullable(&self) -> bool {
        matches!(self, Self::Smallest { .. } | Self::Largest { .. })
    }
}

/// A feature over one row of accumulators and the subject's own columns.
#[derive(Debug, Clone, Serialize)]
pub struct CompiledFeature {
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: String,
    /// Its value as a double; null when missing.
    pub value: Expression,
    /// 1 where a missing value means that there was no opportunity, 0 where it was not told.
    pub none: Expression,
}

impl Plan {
    /// The position of a feature by name.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<&str, usize> {
        self.features.iter().enumerate().map(|(i, f)| (f.name.as_str(), i)).collect()
    }
}

impl CompiledFeature {
    /// The name of the column that tells `none` from `unknown`.
    #[must_use]
    pub fn none_column(&self) -> String {
        crate::tables::features::none_column(&self.name)
    }
}
