//! What a row must satisfy, as positions in the table instead of names.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::bounds::{Bounds, each, each_after, in_order};
use super::rule::{Fault, Quarantined, Rule};
use crate::NULL;
use crate::contract::{Calendar, ColumnType, Limits, Snapshot, Table};

/// Columns of one batch: one vector per contract column, empty where all rows are null.
pub type Columns = Vec<Vec<i64>>;

/// A column's checks.
#[derive(Debug, Clone)]
struct Check {
    required: bool,
    time: Option<Time>,
    smallest: Option<i64>,
    largest: Option<i64>,
    money: bool,
    not_before: Option<usize>,
}

/// A column of days or instants.
#[derive(Debug, Clone)]
struct Time {
    instant: bool,
    future: bool,
    reset: Vec<(usize, i64)>,
}

/// A column that can be changed; one that dates share is copied first.
pub trait Editable: Deref<Target = Vec<i64>> {
    /// The values to change.
    fn edit(&mut self) -> &mut Vec<i64>;
}

impl Editable for Arc<Vec<i64>> {
    fn edit(&mut self) -> &mut Vec<i64> {
        Self::make_mut(self)
    }
}

impl Editable for &mut Vec<i64> {
    fn edit(&mut self) -> &mut Vec<i64> {
        self
    }
}

/// The row checks of a table.
#[derive(Debug, Clone)]
pub struct Checks {
    columns: Vec<Check>,
    event: Option<usize>,
    pub(super) known_at: Option<usize>,
}

impl Checks {
    /// Settles the checks of a table.
    ///
    /// # Errors
    /// When the contract names a column it does not have.
    pub fn new(table: &Table, limits: &Limits) -> Result<Self> {
        let find = |name: &str| table.require(name);
        let columns = table
            .columns
            .iter()
            .map(|c| {
                let time = matches!(c.kind, ColumnType::Date | ColumnType::Instant).then(|| -> Result<Time> {
                    let reset = c.reset.iter().map(|(name, to)| Ok((find(name)?, reset_value(table, name, to)?)));
                    let reset = reset.collect::<Result<_>>()?;
                    Ok(Time { instant: c.kind == ColumnType::Instant, future: c.future || c.name == "known_at", reset })
                });
                Ok(Check {
                    required: c.required,
                    time: time.transpose()?,
                    smallest: c.smallest(),
                    largest: match c.kind {
                        ColumnType::Money => Some(limits.amount),
                        ColumnType::Count => Some(c.max.unwrap_or(limits.count)),
                        _ => c.max,
                    },
                    money: c.kind == ColumnType::Money,
                    not_before: c.not_before.as_deref().map(find).transpose()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { columns, event: table.event.as_deref().map(find).transpose()?, known_at: table.position("known_at") })
    }

    /// The event column's position and whether it holds instants.
    #[must_use]
    pub fn event(&self) -> Option<(usize, bool)> {
        let at = self.event?;
        Some((at, self.columns[at].time.as_ref().is_some_and(|t| t.instant)))
    }

    /// Which rows are visible: the event before the cut-off, known no later than the knowledge cut-off.
    /// `None` when all are.
    #[must_use]
    pub fn visible(&self, columns: &[Vec<i64>], rows: usize, snapshot: &Snapshot) -> Option<Vec<bool>> {
        let mut mask: Option<Vec<bool>> = None;
        self.hidden(|at| &columns[at], snapshot, |row| mask.get_or_insert_with(|| vec![true; rows])[row] = false);
        mask
    }

    /// Calls `hide` for every row that a date does not see, given the columns, which are empty where all rows are null. A row
    /// without `known_at` became known when it happened.
    pub fn hidden<'v>(&self, column: impl Fn(usize) -> &'v [i64], snapshot: &Snapshot, mut hide: impl FnMut(usize)) {
        if let Some((at, instant)) = self.event() {
            let last = snapshot.last(instant);
            each_after(column(at), last, &mut hide);
        }
        let known = self.known_at.map_or(&[][..], &column);
        each_after(known, snapshot.known_by.as_microsecond(), &mut hide);
        if let Some((at, instant)) = self.event().filter(|_| snapshot.looks_back()) {
            let last = snapshot.last_known(instant);
            let unsaid = |row: usize| known.get(row).is_none_or(|k| *k == NULL);
            each_after(column(at), last, |row| {
                if unsaid(row) {
                    hide(row)
                }
            });
        }
    }

    /// Whether a date sees a row, given its values by column, `None` where all are null.
    #[must_use]
    pub fn sees<'v>(&self, value: impl Fn(usize) -> Option<&'v i64>, snapshot: &Snapshot) -> bool {
        let mut seen = true;
        self.hidden(|at| value(at).map_or(&[][..], std::slice::from_ref), snapshot, |_| seen = false);
        seen
    }

    /// Turns back what a row says about times that had not come, or could not be known, and drops the faults of what was turned back.
    /// The event itself stands: whoever sees the row at all was told of it. Rows that are not `seen` may be left as they are.
    pub fn turn_back<C: Editable>(
        &self,
        columns: &mut [C],
        (rows, seen): (usize, &dyn Fn(usize) -> bool),
        snapshot: &Snapshot,
        faults: &mut Vec<Fault>,
    ) {
        for at in (0..self.columns.len()).filter(|at| self.event != Some(*at)) {
            let Some(time) = self.columns[at].time.as_ref().filter(|t| !t.future) else { continue };
            let last = snapshot.last_known(time.instant);
            let mut late: Vec<usize> = Vec::new();
            each_after(&columns[at], last, |row| {
                if seen(row) {
                    late.push(row);
                }
            });
            if late.is_empty() {
                continue;
            }
            let times = columns[at].edit();
            late.iter().for_each(|row| times[*row] = NULL);
            for (target, value) in &time.reset {
                if columns[*target].is_empty() {
                    if *value == NULL {
                        continue;
                    }
                    *columns[*target].edit() = vec![NULL; rows];
                }
                let values = columns[*target].edit();
                late.iter().for_each(|row| values[*row] = *value);
            }
            faults.retain(|f| !(time.reset.iter().any(|(t, _)| *t == f.column) && late.binary_search(&f.row).is_ok()));
        }
    }

    /// Adds the faults of null, range, date and order to those of form.
    pub fn faults(&self, columns: &[Vec<i64>], rows: usize, calendar: &Calendar, faults: &mut Vec<Fault>) {
        // What stands for a value that has no form is not held against the column's range.
        let formless: BTreeSet<(usize, usize)> = faults.iter().map(|f| (f.column, f.row)).collect();
        for (at, check) in self.columns.iter().enumerate() {
            let values = &columns[at];
            let mut fault = |row, rule| {
                if formless.is_empty() || !formless.contains(&(at, row)) {
                    faults.push(Fault { row, column: at, rule });
                }
            };
            if values.is_empty() {
                if check.required {
                    (0..rows).for_each(|row| fault(row, Rule::NullValue));
                }
                continue;
            }
            // Usually nothing is wrong, which bounds of all values tell.
            let bounds = Bounds::of(values);
            if check.required && bounds.nulls() {
                each(values, |v| v == NULL, |row| fault(row, Rule::NullValue));
            }
            if let Some(time) = &check.time {
                let day = |v: i64| if time.instant { calendar.zone().day(v) } else { v };
                let plausible = |v: i64| calendar.plausible(day(v));
                if !bounds.within(|low, high| surely(low, high, &day, calendar)) {
                    each(values, |v| v != NULL && !plausible(v), |row| fault(row, Rule::ImplausibleDate));
                }
            }
            if let Some(smallest) = check.smallest.filter(|smallest| !bounds.within(|low, _| low >= *smallest)) {
                each(values, |v| v < smallest && v != NULL && v < 0, |row| fault(row, Rule::NegativeAmount));
                each(values, |v| v < smallest && v >= 0, |row| fault(row, Rule::OutOfRange));
            }
            let fits = |largest: &i64| bounds.within(|low, high| low >= -*largest && high <= *largest);
            if let Some(largest) = check.largest.filter(|largest| !fits(largest)) {
                let rule = if check.money { Rule::AmountTooLarge } else { Rule::OutOfRange };
                each(values, |v| v > largest || (v < -largest && v != NULL), |row| fault(row, rule));
            }
            if let Some(before) = check.not_before {
                let starts = &columns[before];
                let wrong = |(v, s): (&i64, &i64)| (v < s) & (*v != NULL);
                if !(bounds.within(|low, _| low >= 0) && in_order(values, starts)) {
                    let paired = values.iter().zip(starts).enumerate();
                    paired.filter(|(_, pair)| wrong(*pair)).for_each(|(row, _)| fault(row, Rule::EndBeforeStart));
                }
            }
        }
    }
}

/// Whether all times between two are of days that the contract allows, with room for clocks that are put back over midnight.
fn surely(low: i64, high: i64, day: &dyn Fn(i64) -> i64, calendar: &Calendar) -> bool {
    let near = |v: i64, days: i64| day(v).checked_add(days).is_some_and(|day| calendar.plausible(day));
    near(low, -2) && near(low, 0) && near(high, 0) && near(high, 2)
}

fn reset_value(table: &Table, column: &str, to: &str) -> Result<i64> {
    if to == "null" {
        return Ok(NULL);
    }
    let target = table.columns.iter().find(|c| c.name == column).context("contract: reset of an unknown column")?;
    if target.kind == ColumnType::Choice {
        let code =
            target.values.iter().position(|v| v == to).with_context(|| format!("contract: {column} is never {to}"))?;
        return Ok(i64::try_from(code)?);
    }
    to.parse().with_context(|| format!("contract: reset of {column} to {to}"))
}

/// The quarantine entries of a batch: one per row, the first rule in order of precedence, then of columns.
#[must_use]
pub fn first_faults(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_unstable_by_key(|f| (f.row, f.rule, f.column));
    faults.dedup_by_key(|f| f.row);
    faults
}

/// A fault with its place in the file.
#[must_use]
pub fn quarantined(fault: &Fault, file: u32, row: i64) -> Quarantined {
    Quarantined { file, row, rule: fault.rule, column: fault.column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Contract, DAY_MICROS, Zone, parse_day};
    use proptest::prelude::*;

    /// Values on both sides of what columns of any kind allow.
    fn value() -> impl Strategy<Value = i64> {
        let days = prop_oneof![-25_575_i64..-25_555, 83_995_i64..84_015];
        prop_oneof![
            Just(NULL),
            -3_i64..70_000,
            prop_oneof![Just(10_000_000_000_000_i64), Just(10_000_000_000_001), Just(-10_000_000_000_001)],
            prop_oneof![Just(1_000_000_000_i64), Just(1_000_000_001), Just(i64::MAX), Just(NULL + 1)],
            days.clone(),
            days.prop_flat_map(|day| (0..DAY_MICROS).prop_map(move |within| day * DAY_MICROS + within)),
        ]
    }

    proptest! {
        #[test]
        fn rows_together_break_the_rules_that_each_breaks_alone(
            rows in proptest::collection::vec(proptest::collection::vec(value(), 20), 1..10),
            zone in prop_oneof![Just("UTC"), Just("Asia/Shanghai"), Just("Pacific/Apia")],
        ) {
            let contract = Contract::load().unwrap();
            let calendar = contract.calendar(parse_day("2025-10-31").unwrap(), &Zone::named(zone).unwrap()).unwrap();
            for table in contract.tables.iter().filter(|table| table.has_records()) {
                let checks = Checks::new(table, &contract.limits).unwrap();
                let of = |some: &[Vec<i64>]| -> Vec<Fault> {
                    let column = |at: usize| some.iter().map(|row| row[at]).collect();
                    let columns: Vec<Vec<i64>> = (0..table.columns.len()).map(column).collect();
                    let mut faults = Vec::new();
                    checks.faults(&columns, some.len(), &calendar, &mut faults);
                    faults.sort_unstable_by_key(|f| (f.row, f.column, f.rule));
                    faults
                };
                let alone = rows.iter().enumerate().flat_map(|(at, row)| {
                    of(std::slice::from_ref(row)).into_iter().map(move |fault| Fault { row: at, ..fault })
                });
                prop_assert_eq!(of(&rows), alone.collect::<Vec<_>>());
            }
        }
    }
}
