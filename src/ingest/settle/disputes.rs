//! Disputes: which records count for nothing because their subject contests them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::registers::Register;
use crate::contract::Table;
use crate::ingest::check::findings::Findings;
use crate::tables::ids::UNKNOWN;

/// The records under an open or upheld dispute, by table.
pub type Disputed = BTreeMap<String, Contested>;

/// Stands for a subject of another shard.
pub const ELSEWHERE: u32 = UNKNOWN - 1;

/// The contested records of one table.
#[derive(Debug, Default)]
pub struct Contested {
    /// In order of their ids.
    disputes: Vec<Dispute>,
    /// The disputes about each record, by position.
    by_record: HashMap<i64, Vec<usize>, foldhash::fast::FixedState>,
    /// Which records may be among them.
    named: Named,
}

/// A bit for each of the records that are named, which fewer than one in eight of the others has as well: nearly all rows are of none, and
/// a bit is sooner looked at than a table. Of no records yet, it tells that any may be named.
#[derive(Debug, Default)]
struct Named {
    words: Vec<u64>,
    /// How far a product is shifted to the number of its bit.
    shift: u32,
}

impl Named {
    /// The bits of some records.
    fn of<'a>(records: impl ExactSizeIterator<Item = &'a i64>) -> Self {
        let bits = (8 * records.len()).next_power_of_two().max(64);
        let mut named = Self { words: vec![0; bits / 64], shift: u64::BITS - bits.ilog2() };
        for record in records {
            let (word, bit) = named.place(*record);
            named.words[word] |= bit;
        }
        named
    }

    /// Whether a record may be one of them.
    fn may_be(&self, record: i64) -> bool {
        let (word, bit) = self.place(record);
        self.words.get(word).is_none_or(|word| word & bit != 0)
    }

    /// The word of a record, and its bit in it.
    #[allow(clippy::cast_possible_truncation, reason = "less than the number of bits, which is one of memory")]
    fn place(&self, record: i64) -> (usize, u64) {
        let number = record.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        ((number / 64) as usize, 1_u64 << (number % 64))
    }
}

#[derive(Debug)]
struct Dispute {
    /// Whose record it is; [`UNKNOWN`] when the dispute does not say, [`ELSEWHERE`] when none of this shard's.
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
    /// Notes which records disputes name, once they are all there.
    fn mark(&mut self) {
        self.named = Named::of(self.by_record.keys());
    }

    /// Whether a subject's record is contested, if it `counts` at all, which is asked only when a dispute names its id.
    #[must_use]
    pub fn contains(&self, record: i64, subject: u32, counts: impl FnOnce() -> bool) -> bool {
        if !self.named.may_be(record) {
            return false;
        }
        let Some(disputes) = self.by_record.get(&record).filter(|_| counts()) else { return false };
        let mut found = false;
        let disputes = disputes.iter().filter_map(|at| self.disputes.get(*at));
        for dispute in disputes.filter(|d| d.subject == UNKNOWN || d.subject == subject) {
            found = true;
            let first = dispute.matched.compare_exchange(UNKNOWN, subject, Ordering::Relaxed, Ordering::Relaxed);
            if first.is_err_and(|other| other != subject) {
                dispute.several.store(true, Ordering::Relaxed);
            }
        }
        found
    }

    /// What records the disputes match, after every record was looked up.
    #[must_use]
    pub fn matches(&self) -> Matches {
        let of = |dispute: &Dispute| match dispute.matched.load(Ordering::Relaxed) {
            UNKNOWN => Matched::Nobody,
            _ if dispute.several.load(Ordering::Relaxed) => Matched::Several,
            _ => Matched::One,
        };
        Matches(self.disputes.iter().map(of).collect())
    }
}

/// Whose records one dispute matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matched {
    /// No visible record.
    Nobody,
    /// Records of one subject.
    One,
    /// Records of several.
    Several,
}

/// Whose records the disputes of one table match, dispute by dispute in order of their ids. A dispute that names no subject is in every
/// shard, and may match nobody in one and somebody in another: what is counted is disputes, not what shards say of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Matches(Vec<Matched>);

impl Matches {
    /// Adds what another shard says of the same disputes.
    ///
    /// # Errors
    /// When it says so of other disputes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        ensure!(
            self.0.len() == other.0.len(),
            "the shards read different disputes: {} and {}",
            self.0.len(),
            other.0.len()
        );
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = match (*mine, *theirs) {
                (matched, Matched::Nobody) | (Matched::Nobody, matched) => matched,
                // Subjects of two shards are two.
                _ => Matched::Several,
            };
        }
        Ok(())
    }

    /// What the disputes came to.
    #[must_use]
    pub fn count(&self) -> DisputeCount {
        let number = |which: Matched| self.0.iter().filter(|matched| **matched == which).count() as u64;
        DisputeCount {
            disputes: self.0.len() as u64,
            without_record: number(Matched::Nobody),
            of_several_subjects: number(Matched::Several),
        }
    }
}

/// The contested records that a register of disputes names at each date; `number` is that of an owner in the spine that records are
/// looked up in.
///
/// # Errors
/// When the contract's table lacks a column.
pub fn contested(
    register: Register,
    table: &Table,
    number: &dyn Fn(u32) -> u32,
    findings: &mut [Findings],
) -> Result<Vec<Disputed>> {
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
            of_table.by_record.entry(row.values[record]).or_default().push(of_table.disputes.len());
            of_table.disputes.push(Dispute { subject: number(row.owner), matched, several });
        }
        disputed.values_mut().for_each(Contested::mark);
        disputed
    });
    Ok(disputed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Disputes that name no subject, and the records they match in one place.
    fn all(disputes: usize, records: &[(i64, u32)]) -> Matches {
        let new = || Dispute { subject: UNKNOWN, matched: AtomicU32::new(UNKNOWN), several: AtomicBool::new(false) };
        let mut contested = Contested::default();
        for record in 0_i64..i64::try_from(disputes).unwrap() {
            contested.by_record.insert(record, vec![contested.disputes.len()]);
            contested.disputes.push(new());
        }
        contested.mark();
        for (record, subject) in records {
            let _ = contested.contains(*record, *subject, || true);
        }
        contested.matches()
    }

    proptest! {
        #[test]
        fn what_shards_say_together_is_what_one_would_say(
            records in proptest::collection::vec((0_i64..12, 0_u32..20), 0..60), shards in 1_u32..6,
        ) {
            let whole = all(12, &records);
            let mut merged = all(12, &[]);
            for shard in 0..shards {
                let own: Vec<_> = records.iter().copied().filter(|(_, subject)| subject % shards == shard).collect();
                merged.merge(&all(12, &own)).unwrap();
            }
            prop_assert_eq!(merged.count(), whole.count());
            prop_assert_eq!(merged, whole);
        }
    }

    proptest! {
        #[test]
        fn a_record_that_is_named_is_looked_for_and_few_others_are(
            records in proptest::collection::hash_set(any::<i64>(), 0..400),
        ) {
            let named = Named::of(records.iter());
            prop_assert!(records.iter().all(|record| named.may_be(*record)));
            let others = (0_i64..10_000).filter(|record| !records.contains(record)).filter(|other| named.may_be(*other));
            prop_assert!(others.count() < 2_500);
        }
    }

    #[test]
    fn before_records_are_noted_any_may_be_named() {
        assert!([i64::MIN, -1, 0, 1, i64::MAX].into_iter().all(|record| Named::default().may_be(record)));
    }

    #[test]
    fn shards_that_read_other_disputes_are_not_put_together() {
        assert!(all(3, &[]).merge(&all(4, &[])).is_err());
    }
}
