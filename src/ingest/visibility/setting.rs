//! What every table's scan needs to know of the pass.

use crate::contract::{DateSet, Limits, Snapshot};
use crate::ingest::read::decode::{IdColumn, KeyMap};
use crate::storage::erased::Erased;

/// What every table's scan needs to know of the pass.
pub struct Setting<'a> {
    /// The dates to score for, at most as many as a [`DateSet`] holds.
    pub snapshots: &'a [Snapshot],
    /// All of them.
    pub every_date: DateSet,
    /// What one of them sees.
    pub widest: Snapshot,
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The contract's limits.
    pub limits: &'a Limits,
    /// Reliability of each source, in thousandths.
    pub reliability: KeyMap<i64>,
    /// Whose rows are left out because they were erased.
    pub erased: &'a Erased,
}

/// Dense numbers by owner column; empty where no spine was given.
pub type Owners = Vec<Vec<u32>>;
/// The id columns of the owners.
pub type OwnerIds = Vec<Option<IdColumn>>;
