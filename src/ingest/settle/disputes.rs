//! Disputes: which records count for nothing because their subject contests them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::registers::Register;
use crate::contract::Table;
use crate::ingest::check::findings::Findings;
use crate::tables::ids::UNKNOWN;

/// The records under an open or upheld dispute, by table.
pub type Disputed = BTreeMap<String, Contested>;

/// The contested records of one table.
#[derive(Debug, Default)]
pub struct Contested {
    by_record: HashMap<i64, Vec<Dispute>, foldhash::fast::FixedState>,
}

#[derive(Debug)]
struct Dispute {
    /// Whose record it is; [`UNKNOWN`] when the dispute does not say.
    subject: u32,
    /// A subject whose record it matched.
    matched: AtomicU32,
    /// Whether it matched records of several subjects.
    several: AtomicBool,
}

/// What the disputes of one table came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisputeCount {
    /// Open and upheld disputes.
    pub disputes: u64,
    /// Those that match no visible record.
    pub without_record: u64,
    /// Those that name no subject and match records of several.
    pub of_several_subjects: u64,
}

impl Contested {
    /// Whether a subject's record is contested, if it `counts` at all, which is asked only when a dispute names its id.
    #[must_use]
    pub fn contains(&self, record: i64, subject: u32, counts: impl FnOnce() -> bool) -> bool {
        let Some(disputes) = self.by_record.get(&record).filter(|_| counts()) else { return false };
        let mut found = false;
        for dispute in disputes.iter().filter(|d| d.subject == UNKNOWN || d.subject == subject) {
            found = true;
            let first = dispute.matched.compare_exchange(UNKNOWN, subject, Ordering::Relaxed, Ordering::Relaxed);
            if first.is_err_and(|other| other != subject) {
                dispute.several.store(true, Ordering::Relaxed);
            }
        }
        found
    }

    /// What the disputes came to, after every record was looked up.
    #[must_use]
    pub fn count(&self) -> DisputeCount {
        let all = || self.by_record.values().flatten();
        let number = |of: &dyn Fn(&Dispute) -> bool| all().filter(|d| of(d)).count() as u64;
        DisputeCount {
            disputes: all().count() as u64,
            without_record: number(&|d| d.matched.load(Ordering::Relaxed) == UNKNOWN),
            of_several_subjects: number(&|d| d.several.load(Ordering::Relaxed)),
        }
    }
}

/// The contested records that a register of disputes names at each date.
///
/// # Errors
/// When the contract's table lacks a column.
pub fn contested(register: Register, table: &Table, findings: &mut [Findings]) -> Result<Vec<Disputed>> {
    let (tables, record, state) = (table.require("table")?, table.require("record_id")?, table.require("state")?);
    let word = |column: usize, code: i64| {
        let values = &table.columns[column].values;
        usize::try_from(code).ok().and_then(|c| values.get(c)).map_or("", String::as_str)
    };
    let dates = register.settle(table, "dispute_id", Some("opened_at"), findings)?;
    let disputed = dates.into_iter().map(|rows| {
        let mut disputed = Disputed::new();
        for row in rows.iter().filter(|row| matches!(word(state, row.values[state]), "open" | "upheld")) {
            let of_table = disputed.entry(word(tables, row.values[tables]).to_owned()).or_default();
            let (matched, several) = (AtomicU32::new(UNKNOWN), AtomicBool::new(false));
            let dispute = Dispute { subject: row.owner, matched, several };
            of_table.by_record.entry(row.values[record]).or_default().push(dispute);
        }
        disputed
    });
    Ok(disputed.collect())
}
