//! Where things stand in a stored row of a table.

use anyhow::Result;

use super::store::BucketRows;
use crate::NULL;
use crate::contract::{ColumnType, Limits, RELIABILITY_ONE, Table, Zone};
use crate::ingest::check::rule::{Quarantined, Rule};

/// The first of the columns that every stored row has before those of the contract: its number in the file.
pub const ROW: usize = 0;
/// The dates at which the record is under an open or upheld dispute, one bit each.
pub const DISPUTED: usize = 1;
/// The dates at which the row breaks a rule and is quarantined, one bit each.
pub const FAULTY: usize = 2;
/// The first column of the contract.
pub const FIRST: usize = 3;

/// Where things stand in a stored row of a table.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The table.
    pub table: Table,
    /// Number of stored columns.
    pub width: usize,
    /// The contract's position of the subject's id.
    pub subject: usize,
    /// The record's key.
    pub record: Option<usize>,
    /// When the thing happened.
    pub event: Option<EventColumn>,
    /// When the row became known.
    pub known_at: Option<usize>,
    /// The reliability of each row's source.
    pub source: Option<usize>,
    /// What makes two rows the same: everything but when and from where it is known.
    pub content: Vec<usize>,
    /// Amounts.
    pub money: Vec<usize>,
    /// Which record a row refunds, and by how much.
    pub refund: Option<(usize, usize)>,
    /// The contract's limits.
    pub limits: Limits,
}

/// The column that says when the thing happened: a day, or an instant.
#[derive(Debug, Clone)]
pub struct EventColumn {
    /// The column.
    pub column: usize,
    instant: bool,
    zone: Zone,
}

impl EventColumn {
    /// Whether it holds instants.
    #[must_use]
    pub const fn is_instant(&self) -> bool {
        self.instant
    }

    /// The day of a value.
    #[must_use]
    pub fn day(&self, value: i64) -> i64 {
        if self.instant { self.zone.day(value) } else { value }
    }

    /// The first value of a day.
    #[must_use]
    pub fn first_of(&self, day: i64) -> i64 {
        if self.instant { self.zone.start(day) } else { day }
    }

    /// The last instant of a value, which is all of an instant and the end of a day.
    #[must_use]
    pub fn end(&self, value: i64) -> i64 {
        if self.instant { value } else { self.zone.start(value.saturating_add(1)) - 1 }
    }
}

impl Layout {
    /// The layout of a table's stored rows, whose days are those of a time zone.
    ///
    /// # Errors
    /// When they are of no subject.
    pub fn new(table: &Table, limits: &Limits, zone: &Zone) -> Result<Self> {
        let at = |name: &str| table.position(name).map(|p| p + FIRST);
        let event = table.event.as_deref().and_then(|e| {
            let position = table.position(e)?;
            let instant = table.columns[position].kind == ColumnType::Instant;
            Some(EventColumn { column: position + FIRST, instant, zone: zone.clone() })
        });
        let content = |c: &str| !matches!(c, "known_at" | "source_id" | "subject_id" | "currency");
        let refund =
            table.columns.iter().enumerate().find_map(|(p, c)| Some((p + FIRST, at(c.refund_amount.as_deref()?)?)));
        Ok(Self {
            width: table.columns.len() + FIRST,
            subject: table.require("subject_id")?,
            record: at("record_id"),
            event,
            known_at: at("known_at"),
            source: at("source_id"),
            content: (0..table.columns.len()).filter(|p| content(&table.columns[*p].name)).map(|p| p + FIRST).collect(),
            money: (0..table.columns.len())
                .filter(|p| table.columns[*p].kind == ColumnType::Money)
                .map(|p| p + FIRST)
                .collect(),
            refund,
            limits: limits.clone(),
            table: table.clone(),
        })
    }

    /// When a row became known, microseconds since 1970; what does not say was known when it happened, a day by its end.
    #[must_use]
    pub fn known(&self, rows: &BucketRows, row: usize) -> i64 {
        let known = self.known_at.map_or(NULL, |c| rows.value(c, row));
        match &self.event {
            Some(event) if known == NULL => match rows.value(event.column, row) {
                NULL => NULL,
                value => event.end(value),
            },
            _ => known,
        }
    }

    /// The reliability of a row's source, in thousandths.
    #[must_use]
    pub fn reliability(&self, rows: &BucketRows, row: usize) -> i64 {
        match self.source.map_or(NULL, |c| rows.value(c, row)) {
            NULL => RELIABILITY_ONE,
            known => known,
        }
    }

    /// Whether two rows say the same.
    #[must_use]
    pub fn same(&self, rows: &BucketRows, a: usize, b: usize) -> bool {
        self.content.iter().all(|c| rows.value(*c, a) == rows.value(*c, b))
            && rows.records.get(a) == rows.records.get(b)
    }

    /// The file and row of a stored row.
    #[must_use]
    pub fn place(&self, rows: &BucketRows, row: usize) -> (u32, i64) {
        (rows.files[row], rows.value(ROW, row))
    }

    /// A stored row that breaks a rule by a stored column.
    #[must_use]
    pub fn quarantined(&self, rows: &BucketRows, row: usize, rule: Rule, column: usize) -> Quarantined {
        let (file, number) = self.place(rows, row);
        Quarantined { file, row: number, rule, column: column - FIRST }
    }
}
