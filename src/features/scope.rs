//! What feature SQL can name: the clean columns of each table.

use crate::contract::{Calendar, ColumnType, Contract, Table};
use crate::expression::{ColumnKind, Scope};

/// The integer columns of a table's event time.
#[derive(Debug, Clone)]
pub struct EventColumns {
    /// Its day number.
    pub day: String,
    /// Its months back.
    pub months_ago: String,
    /// Its weeks back, where the table has them.
    pub weeks_ago: Option<String>,
}

/// The event's integer columns of a table.
///
/// # Errors
/// When the table has no event time.
pub fn event_columns(contract: &Contract, table: &str) -> Result<EventColumns, String> {
    let table = contract.table(table).map_err(|e| e.to_string())?;
    let event = table.event.as_ref().and_then(|e| table.position(e)).map(|i| &table.columns[i]);
    match event.and_then(|e| Some((e.day.clone()?, e.months_ago.clone()?, e.weeks_ago.clone()))) {
        Some((day, months_ago, weeks_ago)) => Ok(EventColumns { day, months_ago, weeks_ago }),
        None => Err(format!("{} has no event time", table.name)),
    }
}

/// What SQL over the rows of an event table can name.
#[must_use]
pub fn table_scope(table: &Table, calendar: &Calendar) -> Scope {
    let mut scope = columns(table, calendar);
    for computed in &table.computed {
        scope.column(&computed.name, ColumnKind::Number);
    }
    scope.column("reliability", ColumnKind::Number);
    scope
}

/// What SQL over a subject can name.
#[must_use]
pub fn subject_scope(subjects: &Table, calendar: &Calendar) -> Scope {
    columns(subjects, calendar)
}

fn columns(table: &Table, calendar: &Calendar) -> Scope {
    let mut scope = Scope::new(&table.name);
    scope.constant("as_of_day", calendar.as_of_day());
    for column in &table.columns {
        let kind = match column.kind {
            ColumnType::Money | ColumnType::Count | ColumnType::Share => ColumnKind::Number,
            ColumnType::Flag => ColumnKind::Flag,
            ColumnType::Choice => ColumnKind::Choice(column.values.clone()),
            ColumnType::Id if column.opaque => ColumnKind::Code,
            ColumnType::Id if column.name != "subject_id" => ColumnKind::Id,
            ColumnType::Date | ColumnType::Instant => {
                for name in [&column.day, &column.months_ago, &column.weeks_ago].into_iter().flatten() {
                    scope.column(name, ColumnKind::Number);
                }
                continue;
            }
            ColumnType::Id | ColumnType::Currency | ColumnType::Text => continue,
        };
        scope.column(&column.name, kind);
    }
    scope
}
