//! What feature SQL can name: the clean columns of each table.

use super::{Calendar, ColumnType, Contract, Limits, Table};
use crate::expression::{ColumnKind, Expression, Numbers, Scope};

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

/// Thousandths in a share or a reliability of 1.
const THOUSAND: i128 = 1_000;
/// The last hour of a day, and the last day of a week.
const LAST_HOUR: i128 = 23;
const LAST_WEEKDAY: i128 = 7;
/// Days, weeks and months between plausible dates are fewer.
const MOST_DAYS: i128 = 200_000;

/// What SQL over the rows of an event table can name.
#[must_use]
pub fn table_scope(table: &Table, limits: &Limits, calendar: &Calendar) -> Scope {
    let mut scope = columns(table, limits, calendar);
    let stored = table.columns.iter().filter_map(|c| Some((&c.name, c.derived.as_ref()?)));
    let computed = table.computed.iter().map(|c| (&c.name, &c.derived));
    for (name, derived) in stored.chain(computed) {
        // The contract's own SQL; where it were faulty, the column would be one that may be anything.
        let (given, bound) = if scope.kind(name).is_some() { scope.range(name) } else { (true, 0) };
        let (nullable, most) = match Expression::number(derived, &scope, Numbers::Integer) {
            Ok(expression) => (given && expression.nullable, bound.max(expression.bound)),
            Err(_) => (true, i128::from(i64::MAX)),
        };
        scope.declare(name, ColumnKind::Number, nullable, most);
    }
    scope.declare("reliability", ColumnKind::Number, false, THOUSAND);
    scope
}

/// What SQL over a subject can name.
#[must_use]
pub fn subject_scope(subjects: &Table, limits: &Limits, calendar: &Calendar) -> Scope {
    columns(subjects, limits, calendar)
}

fn columns(table: &Table, limits: &Limits, calendar: &Calendar) -> Scope {
    let mut scope = Scope::new(&table.name);
    scope.constant("as_of_day", calendar.as_of_day());
    for column in &table.columns {
        let (kind, bound) = match column.kind {
            ColumnType::Money => (ColumnKind::Number, i128::from(limits.amount)),
            ColumnType::Count => (ColumnKind::Number, i128::from(column.max.unwrap_or(limits.count))),
            ColumnType::Share => (ColumnKind::Number, THOUSAND),
            ColumnType::Flag => (ColumnKind::Flag, 1),
            ColumnType::Choice => (ColumnKind::Choice(column.values.clone()), 1),
            ColumnType::Id if column.opaque => (ColumnKind::Code, 1),
            ColumnType::Id if column.name != "subject_id" => (ColumnKind::Id, 1),
            ColumnType::Date | ColumnType::Instant => {
                // The event of a visible row lies before the cut-off; any other time may be turned back to null.
                let known = column.required && (table.event.as_ref() == Some(&column.name) || column.future);
                for name in [&column.day, &column.months_ago, &column.weeks_ago].into_iter().flatten() {
                    scope.declare(name, ColumnKind::Number, !known, MOST_DAYS);
                }
                for (name, most) in [(&column.hour, LAST_HOUR), (&column.weekday, LAST_WEEKDAY)] {
                    name.iter().for_each(|name| scope.declare(name, ColumnKind::Number, !known, most));
                }
                continue;
            }
            ColumnType::Id | ColumnType::Currency | ColumnType::Text => continue,
        };
        // A required column can only be turned back to another value.
        scope.declare(&column.name, kind, !column.required, bound);
    }
    scope
}
