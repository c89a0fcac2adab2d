//! Which of several rows about one thing counts, for the rows of one subject: as `ingest::settle` says it of all.

use std::collections::BTreeMap;

use super::parts::{OwnRow, Standing};
use crate::NULL;
use crate::contract::{ColumnType, Table, Zone};
use crate::ingest::check::rule::Rule;

/// A row with what it decodes to.
pub(super) struct Read {
    /// The row.
    pub row: OwnRow,
    /// The integers by column of the contract; empty where the row does not count.
    pub values: Vec<i64>,
    /// The id that versions of one thing share.
    pub key: String,
}

impl Read {
    /// The integer of a column.
    pub(super) fn value(&self, column: usize) -> i64 {
        self.values.get(column).copied().unwrap_or(NULL)
    }

    /// Quarantines it.
    pub(super) fn quarantine(&mut self, rule: Rule, column: &str) {
        self.row.standing = Standing::Quarantined;
        self.row.rule = Some(rule.name());
        self.row.column = Some(column.to_owned());
    }
}

/// When a row became known: what does not say was known when it happened, a day by its end.
fn known(row: &Read, table: &Table, zone: &Zone) -> i64 {
    let said = table.position("known_at").map_or(NULL, |at| row.value(at));
    let Some(event) = table.event.as_deref().and_then(|e| table.position(e)).filter(|_| said == NULL) else {
        return said;
    };
    match (row.value(event), table.columns[event].kind) {
        (NULL, _) => NULL,
        (day, ColumnType::Date) => zone.start(day.saturating_add(1)) - 1,
        (instant, _) => instant,
    }
}

/// Settles versions: of those that count the latest known stays.
pub(super) fn settle(rows: &mut [Read], table: &Table, key: &str, zone: &Zone) {
    let content = |name: &str| !matches!(name, "known_at" | "source_id" | "subject_id" | "currency");
    let content: Vec<usize> = (0..table.columns.len()).filter(|at| content(&table.columns[*at].name)).collect();
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.row.standing == Standing::Counts) {
        groups.entry(row.key.clone()).or_default().push(at);
    }
    for group in groups.values().filter(|group| group.len() > 1) {
        let latest = group.iter().map(|at| known(&rows[*at], table, zone)).max().unwrap_or(NULL);
        let newest: Vec<usize> = group.iter().copied().filter(|at| known(&rows[*at], table, zone) == latest).collect();
        let Some(kept) = newest.first().copied() else { continue };
        let same = |rows: &[Read], at: usize| content.iter().all(|c| rows[at].value(*c) == rows[kept].value(*c));
        let conflict = newest.iter().any(|at| !same(rows, *at));
        for at in group.iter().copied().filter(|at| conflict || *at != kept) {
            if conflict {
                rows[at].quarantine(Rule::ConflictingVersions, key);
            } else {
                rows[at].row.standing = if same(rows, at) { Standing::Duplicate } else { Standing::Superseded };
            }
        }
    }
    refunds(rows, table);
}

/// Refunds of one order that add up to more than the order are quarantined.
fn refunds(rows: &mut [Read], table: &Table) {
    let mut refund = table.columns.iter().enumerate();
    let refund = refund.find_map(|(at, c)| Some((at, table.position(c.refund_amount.as_deref()?)?)));
    let (Some((refund_of, amount)), Some(record)) = (refund, table.position("record_id")) else { return };
    let counts = |row: &Read| row.row.standing == Standing::Counts;
    let mut totals: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| counts(row) && row.value(refund_of) != NULL) {
        let total = totals.entry(row.value(refund_of)).or_default();
        *total = total.saturating_add(row.value(amount));
    }
    let original =
        |of: i64| rows.iter().find(|row| counts(row) && row.value(record) == of).map(|row| row.value(amount));
    totals.retain(|of, total| original(*of).is_some_and(|most| *total > most));
    for row in rows.iter_mut().filter(|row| counts(row) && totals.contains_key(&row.value(refund_of))) {
        row.quarantine(Rule::RefundAboveOriginal, &table.columns[refund_of].name);
    }
}
