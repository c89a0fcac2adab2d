//! Clean rows: the integer columns that feature SQL sees, made from a bucket's stored rows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::layout::{FIRST, Layout};
use super::store::BucketRows;
use crate::NULL;
use crate::contract::{Calendar, ColumnType, table_scope};
use crate::engine::frame::Integers;
use crate::engine::{Frame, Program};
use crate::expression::{Expression, Numbers};

/// How one clean column is made.
#[derive(Debug, Clone)]
enum Origin {
    /// A stored column as it is.
    Stored(usize),
    /// The day of a stored instant.
    Day(usize),
    /// Months back of a stored date, or instant.
    MonthsAgo(usize, bool),
    /// Weeks back of a stored date, or instant.
    WeeksAgo(usize, bool),
    /// The hour of a stored instant.
    Hour(usize),
    /// The day of the week of a stored date, or instant.
    Weekday(usize, bool),
    /// Reliability of the row's source, in thousandths.
    Reliability(Option<usize>),
    /// A null column, filled by the derivation.
    Null,
}

impl Origin {
    /// The stored instant whose day it needs, if it does.
    const fn instant(&self) -> Option<usize> {
        match self {
            Self::Day(c) | Self::MonthsAgo(c, true) | Self::WeeksAgo(c, true) | Self::Weekday(c, true) => Some(*c),
            _ => None,
        }
    }
}

/// The days of some stored instants, by the column of these.
type Days = Vec<(usize, Arc<Vec<i64>>)>;

/// Makes clean columns of one table.
#[derive(Debug, Clone)]
pub struct Cleaner {
    columns: Vec<(String, Origin)>,
    derived: Vec<(String, Expression)>,
    program: Program,
}

impl Cleaner {
    /// Settles how the wanted columns are made, and those their derivations read.
    ///
    /// # Errors
    /// When a wanted column does not exist or the contract's SQL is faulty.
    pub fn new(layout: &Layout, calendar: &Calendar, wanted: impl IntoIterator<Item = String>) -> Result<Self> {
        let table = &layout.table;
        let scope = table_scope(table, &layout.limits, calendar);
        let mut names: BTreeSet<String> = wanted.into_iter().collect();
        let stored = table.columns.iter().filter_map(|c| Some((&c.name, c.derived.as_ref()?, true)));
        let computed = table.computed.iter().map(|c| (&c.name, &c.derived, false));
        let mut derived = Vec::new();
        for (name, sql, has_column) in stored.chain(computed) {
            if !names.contains(name) {
                continue;
            }
            let sql = if has_column { format!("COALESCE({name}, {sql})") } else { sql.clone() };
            let expression = Expression::number(&sql, &scope, Numbers::Integer).map_err(anyhow::Error::msg)?;
            names.extend(expression.columns.iter().cloned());
            derived.push((name.clone(), expression));
        }
        let columns = names
            .into_iter()
            .map(|name| {
                let origin = origin(layout, &name).with_context(|| format!("{} has no column {name}", table.name))?;
                Ok((name, origin))
            })
            .collect::<Result<_>>()?;
        let program = Program::integers(derived.iter().map(|(_, e)| e.local.as_str()))?;
        Ok(Self { columns, derived, program })
    }

    /// The stored columns it reads.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().filter_map(|(_, origin)| match origin {
            Origin::Stored(c) | Origin::Day(c) | Origin::Hour(c) => Some(*c),
            Origin::MonthsAgo(c, _) | Origin::WeeksAgo(c, _) | Origin::Weekday(c, _) => Some(*c),
            Origin::Reliability(c) => *c,
            Origin::Null => None,
        })
    }

    /// The SQL that makes a column of others, if it is derived.
    #[must_use]
    pub fn derived(&self, name: &str) -> Option<&Expression> {
        self.derived.iter().find(|(derived, _)| derived == name).map(|(_, expression)| expression)
    }

    /// Whether a column is counted back from the as-of date. Of one that is derived, what stands in the row.
    #[must_use]
    pub fn counts_back(&self, name: &str) -> bool {
        self.origin(name).is_none_or(|origin| matches!(origin, Origin::MonthsAgo(..) | Origin::WeeksAgo(..)))
    }

    /// The stored column that a clean one is, as it is.
    #[must_use]
    pub fn stored(&self, name: &str) -> Option<usize> {
        match self.origin(name)? {
            Origin::Stored(column) if self.derived(name).is_none() => Some(*column),
            _ => None,
        }
    }

    /// The stored column that is null where a clean one is.
    #[must_use]
    pub fn null_with(&self, name: &str) -> Option<usize> {
        match self.origin(name)? {
            Origin::Stored(column) | Origin::Day(column) => Some(*column),
            _ => None,
        }
    }

    /// Reads the days of an instant from another stored column, which has them already.
    pub fn read_days(&mut self, instant: usize, days: usize) {
        for (_, origin) in &mut self.columns {
            let of_days = match origin {
                Origin::Day(column) if *column == instant => Origin::Stored(days),
                Origin::MonthsAgo(column, true) if *column == instant => Origin::MonthsAgo(days, false),
                Origin::WeeksAgo(column, true) if *column == instant => Origin::WeeksAgo(days, false),
                Origin::Weekday(column, true) if *column == instant => Origin::Weekday(days, false),
                _ => continue,
            };
            *origin = of_days;
        }
    }

    /// The days of instants that more than one column is made of, found once.
    fn days(&self, rows: &BucketRows, range: &Range<usize>, calendar: &Calendar) -> Days {
        let mut instants: Vec<usize> = self.columns.iter().filter_map(|(_, origin)| origin.instant()).collect();
        instants.sort_unstable();
        let several = instants.chunk_by(|one, next| one == next).filter(|same| same.len() > 1).map(|same| same[0]);
        let days = several.filter_map(|column| {
            let instants = rows.columns[column].get(range.clone())?;
            let day = |instant: &i64| if *instant == NULL { NULL } else { calendar.zone().day(*instant) };
            Some((column, Arc::new(instants.iter().map(day).collect::<Vec<i64>>())))
        });
        days.collect()
    }

    fn origin(&self, name: &str) -> Option<&Origin> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, origin)| origin)
    }

    /// The clean columns of some rows.
    ///
    /// # Errors
    /// When a derivation fails.
    pub fn clean(&self, rows: &BucketRows, range: Range<usize>, calendar: &Calendar) -> Result<Frame> {
        let days = self.days(rows, &range, calendar);
        let columns = self
            .columns
            .iter()
            .map(|(name, origin)| (name.as_str(), make(origin, (rows, &days), range.clone(), calendar)));
        let frame = Frame::sharing(range.len(), columns)?;
        if self.derived.is_empty() {
            return Ok(frame);
        }
        let derived = self.program.run(&frame)?;
        let named = self.derived.iter().zip(derived).map(|((name, _), e)| Ok((name.as_str(), e.into_integers()?)));
        frame.with_integers(named.collect::<Result<Vec<_>>>()?)
    }
}

fn origin(layout: &Layout, name: &str) -> Option<Origin> {
    if name == "reliability" {
        return Some(Origin::Reliability(layout.table.position("source_id").map(|p| p + FIRST)));
    }
    for (at, column) in layout.table.columns.iter().enumerate() {
        let instant = column.kind == ColumnType::Instant;
        let is = |other: &Option<String>| other.as_deref() == Some(name);
        if is(&column.day) {
            return Some(if instant { Origin::Day(at + FIRST) } else { Origin::Stored(at + FIRST) });
        }
        if is(&column.months_ago) {
            return Some(Origin::MonthsAgo(at + FIRST, instant));
        }
        if is(&column.weeks_ago) {
            return Some(Origin::WeeksAgo(at + FIRST, instant));
        }
        if is(&column.hour) {
            return Some(Origin::Hour(at + FIRST));
        }
        if is(&column.weekday) {
            return Some(Origin::Weekday(at + FIRST, instant));
        }
        if column.name == name {
            return Some(Origin::Stored(at + FIRST));
        }
    }
    layout.table.computed.iter().any(|c| c.name == name).then_some(Origin::Null)
}

fn make(origin: &Origin, (rows, days): (&BucketRows, &Days), range: Range<usize>, calendar: &Calendar) -> Integers {
    let len = range.len();
    let stored = |column: usize| rows.columns[column].get(range.clone());
    let found = |column: usize| days.iter().find(|(of, _)| *of == column).map(|(_, days)| days);
    // What a column of days is made of: these if they were found, else dates, or instants.
    let dated = |column: usize, instant: bool| match found(column).filter(|_| instant) {
        Some(days) => (Some(days.as_slice()), false),
        None => (stored(column), instant),
    };
    let day = |v: i64, instant: bool| if instant { calendar.zone().day(v) } else { v };
    match origin {
        Origin::Stored(c) if stored(*c).is_some() => Integers::shared(&rows.columns[*c], range.start),
        Origin::Stored(_) | Origin::Null => vec![NULL; len].into(),
        Origin::Day(c) => match found(*c) {
            Some(days) => Integers::shared(days, 0),
            None => mapped(stored(*c), len, |v| day(v, true)),
        },
        Origin::MonthsAgo(c, instant) => {
            let (values, instant) = dated(*c, *instant);
            mapped(values, len, |v| calendar.months_ago(day(v, instant)).unwrap_or(NULL))
        }
        Origin::WeeksAgo(c, instant) => {
            let (values, instant) = dated(*c, *instant);
            mapped(values, len, |v| calendar.weeks_ago(day(v, instant)))
        }
        Origin::Hour(c) => mapped(stored(*c), len, |v| calendar.zone().hour(v)),
        Origin::Weekday(c, instant) => {
            let (values, instant) = dated(*c, *instant);
            mapped(values, len, |v| Calendar::weekday(day(v, instant)))
        }
        Origin::Reliability(column) => match column.and_then(stored) {
            Some(values) => values.iter().map(|v| if *v == NULL { 1000 } else { *v }).collect::<Vec<_>>().into(),
            None => vec![1000; len].into(),
        },
    }
}

/// Stored values, each converted where it is not null.
fn mapped(values: Option<&[i64]>, len: usize, convert: impl Fn(i64) -> i64) -> Integers {
    let values = values.map_or_else(
        || vec![NULL; len],
        |values| values.iter().map(|v| if *v == NULL { NULL } else { convert(*v) }).collect(),
    );
    values.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::contract::{Contract, Zone, parse_day};

    proptest! {
        #[test]
        fn columns_of_one_instant_are_what_each_is_alone(
            // Minutes around 2025, of which some are outside what the contract allows.
            instants in proptest::collection::vec(
                proptest::option::of(prop_oneof![28_900_000_i64..29_400_000, -40_000_000_i64..130_000_000]), 0..60),
            zone in prop_oneof![Just("UTC"), Just("Asia/Shanghai"), Just("Europe/Berlin")],
        ) {
            let (contract, zone) = (Contract::load().unwrap(), Zone::named(zone).unwrap());
            let calendar = contract.calendar(parse_day("2025-10-31").unwrap(), &zone).unwrap();
            let layout = Layout::new(contract.table("purchases").unwrap(), &contract.limits, &zone).unwrap();
            let count = instants.len();
            let values: Vec<i64> = instants.iter().map(|at| at.map_or(NULL, |minutes| minutes * 60_000_000)).collect();
            let mut columns = vec![Arc::default(); layout.width];
            columns[layout.event.as_ref().unwrap().column] = Arc::new(values);
            let rows = BucketRows { files: vec![0; count], columns, ..BucketRows::default() };
            let clean = |names: &[&str]| {
                let cleaner = Cleaner::new(&layout, &calendar, names.iter().map(|name| (*name).to_owned())).unwrap();
                cleaner.clean(&rows, count / 3..count, &calendar).unwrap()
            };
            let names =
                ["occurred_day", "occurred_months_ago", "occurred_weeks_ago", "occurred_weekday", "occurred_hour"];
            let (all, without_day) = (clean(&names), clean(&names[1..]));
            for name in names {
                let alone = clean(&[name]);
                prop_assert_eq!(all.values(name).unwrap(), alone.values(name).unwrap());
                if name != names[0] {
                    prop_assert_eq!(without_day.values(name).unwrap(), alone.values(name).unwrap());
                }
            }
        }
    }
}
