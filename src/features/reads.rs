//! What features read of the record tables: conditions, windows, values, weights and sums, each kept once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::plan::{Accumulator, Grouping, RECENCY_ONE, Recency, Sum, TablePlan};
use crate::contract::{Calendar, Contract, EventColumns, event_columns, table_scope};
use crate::expression::{ColumnKind, Expression, Numbers, Scope, Type, did_you_mean, requires};
use crate::ingest::read::decode::text_key;
use crate::pipeline::catalogue::Declaration;

/// A mistake and where it stands.
pub(super) type Mistake = (Range<usize>, String);

/// The record tables as the features so far read them.
pub(super) struct Reads<'a> {
    contract: &'a Contract,
    calendar: &'a Calendar,
    present: &'a BTreeSet<String>,
    scopes: BTreeMap<String, Scope>,
    tables: BTreeMap<String, TablePlan>,
}

/// A window: the condition on the event, and its length in months where weights need it.
struct Window {
    predicate: Expression,
    first_day: i64,
    months: Option<usize>,
}

/// The rows a feature reads.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) table: String,
    /// The condition by its position in the table's plan.
    pub(super) filter: usize,
    pub(super) condition: Expression,
    months: Option<usize>,
}

impl<'a> Reads<'a> {
    /// Nothing is read yet. Features of tables that are not among `present` read nothing.
    pub(super) fn new(contract: &'a Contract, calendar: &'a Calendar, present: &'a BTreeSet<String>) -> Self {
        let records = contract.tables.iter().filter(|t| t.has_records());
        let scopes = records.map(|t| (t.name.clone(), table_scope(t, &contract.limits, calendar))).collect();
        Self { contract, calendar, present, scopes, tables: BTreeMap::new() }
    }

    /// Whether the feature that follows may compare opaque codes with literals.
    pub(super) fn name_codes(&mut self, named: bool) {
        self.scopes.values_mut().for_each(|scope| scope.code_key = named.then_some(text_key));
    }

    /// The integer columns of a table's event time.
    pub(super) fn event(&self, table: &str) -> Result<EventColumns, String> {
        event_columns(self.contract, table)
    }

    pub(super) fn grouping(&mut self, table: &str, grouping: Grouping) -> usize {
        position_or_push(&mut self.table_mut(table).groupings, grouping)
    }

    /// What is read, in order of the contract.
    pub(super) fn finish(mut self) -> Vec<TablePlan> {
        self.contract.tables.iter().filter_map(|t| self.tables.remove(&t.name)).collect()
    }

    /// The rows a feature reads, or nothing when their table is not given.
    pub(super) fn rows(
        &mut self,
        table: &str,
        condition: Option<&Spanned<String>>,
        window: Option<&Spanned<String>>,
        span: &Range<usize>,
    ) -> Result<Option<Rows>, Mistake> {
        if !self.scopes.contains_key(table) {
            let hint = did_you_mean(table, self.scopes.keys().map(String::as_str));
            return Err((span.clone(), format!("there is no table `{table}` of records{hint}")));
        }
        let window = window.map(|w| self.window(table, w)).transpose()?;
        let months = window.as_ref().and_then(|w| w.months);
        let condition = condition.map(|c| self.predicate(table, c)).transpose()?;
        let first_day = window.as_ref().map(|w| w.first_day);
        let condition = match (condition, window.map(|w| w.predicate)) {
            (Some(a), Some(b)) => b.and(&a),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => everything(),
        };
        if !self.present.contains(table) {
            return Ok(None);
        }
        let plan = self.table_mut(table);
        plan.first_day = match (plan.first_day, first_day) {
            (Some(a), Some(b)) => Some(a.min(b)),
            _ => None,
        };
        let filter = self.add_predicate(table, &condition);
        Ok(Some(Rows { table: table.to_owned(), filter, condition, months }))
    }

    /// The rows for which a value or a condition is known.
    pub(super) fn known(&mut self, read: &Rows, of: &Expression) -> Rows {
        let condition = if of.nullable { read.condition.and(&of.known()) } else { read.condition.clone() };
        let filter = self.add_predicate(&read.table, &condition);
        Rows { table: read.table.clone(), filter, condition, months: read.months }
    }

    /// The rows that belong to a group: one whose `per` is null belongs to none. `written` is the feature's own condition.
    pub(super) fn grouped(
        &mut self,
        read: &Rows,
        per: &Spanned<String>,
        written: Option<&Spanned<String>>,
    ) -> Result<Rows, Mistake> {
        let key = self.group_key(&read.table, per)?;
        let asked = written.is_some_and(|condition| requires(condition.get_ref(), &key));
        let key = Expression::parse(&key, &self.scopes[&read.table], Numbers::Integer).map_err(|m| (per.span(), m))?;
        Ok(if asked { read.clone() } else { self.known(read, &key) })
    }

    fn window(&self, table: &str, window: &Spanned<String>) -> Result<Window, Mistake> {
        let event = self.event(table).map_err(|m| (window.span(), m))?;
        let (count, unit) = length(window)?;
        let as_of = self.calendar.as_of_day();
        let (text, first_day, months) = match unit {
            "months" => {
                let months = i32::try_from(count).map_err(|e| (window.span(), e.to_string()))?;
                let first = self.calendar.months_back(months).map_err(|e| (window.span(), e.to_string()))?;
                (format!("{} < {count}", event.months_ago), first, usize::try_from(count).ok())
            }
            "weeks" => {
                let Some(weeks_ago) = event.weeks_ago else {
                    return Err((window.span(), format!("{table} has no weeks; write the window in days")));
                };
                (format!("{weeks_ago} < {count}"), as_of - 7 * count + 1, None)
            }
            _ => (format!("{} > {}", event.day, as_of - count), as_of - count + 1, None),
        };
        let predicate =
            Expression::predicate(&text, &self.scopes[table], Numbers::Integer).map_err(|m| (window.span(), m))?;
        Ok(Window { predicate, first_day, months })
    }

    pub(super) fn weight(&mut self, read: &Rows, d: &Declaration) -> Result<usize, Mistake> {
        let table = read.table.as_str();
        let recency = match &d.half_life {
            None => Recency { months_ago: String::new(), millionths: Vec::new() },
            Some(half_life) => {
                let event = self.event(table).map_err(|m| (half_life.span(), m))?;
                let (count, unit) = length(half_life)?;
                if unit != "months" {
                    return Err((half_life.span(), "a half-life is in months".into()));
                }
                Recency { months_ago: event.months_ago, millionths: recency(count, read.months) }
            }
        };
        Ok(position_or_push(&mut self.table_mut(table).weights, recency))
    }

    pub(super) fn predicate(&self, table: &str, text: &Spanned<String>) -> Result<Expression, Mistake> {
        Expression::predicate(text.get_ref(), &self.scopes[table], Numbers::Integer).map_err(|m| (text.span(), m))
    }

    pub(super) fn number(&self, table: &str, of: &Spanned<String>) -> Result<Expression, Mistake> {
        self.number_text(table, of.get_ref()).map_err(|m| (of.span(), m))
    }

    pub(super) fn number_text(&self, table: &str, of: &str) -> Result<Expression, String> {
        Expression::number(of, &self.scopes[table], Numbers::Integer)
    }

    /// The position of a value among the table's values.
    pub(super) fn add_value(&mut self, table: &str, value: &Expression) -> usize {
        position_or_push(&mut self.table_mut(table).values, value.clone())
    }

    pub(super) fn group_key(&self, table: &str, per: &Spanned<String>) -> Result<String, Mistake> {
        let here = |m: String| (per.span(), m);
        let event = self.event(table).map_err(here)?;
        match per.get_ref().as_str() {
            "month" => Ok(event.months_ago),
            "week" => event.weeks_ago.ok_or_else(|| here(format!("{table} has no weeks"))),
            column => match self.scopes[table].kind(column) {
                Some(ColumnKind::Id | ColumnKind::Code | ColumnKind::Choice(_)) => Ok(column.to_owned()),
                _ => Err(here(format!(
                    "rows are grouped by month, week, or a column of ids or words; `{column}` is none"
                ))),
            },
        }
    }

    pub(super) fn add_predicate(&mut self, table: &str, condition: &Expression) -> usize {
        position_or_push(&mut self.table_mut(table).predicates, condition.clone())
    }

    /// The column of a sum, shared with any feature that already has the same one.
    pub(super) fn accumulate(&mut self, table: &str, feature: &str, label: &str, sum: Sum) -> Expression {
        let accumulators = &mut self.table_mut(table).accumulators;
        let index = accumulators.iter().position(|a| a.sum == sum).unwrap_or_else(|| {
            accumulators.push(Accumulator { name: format!("{feature}__{label}"), sum });
            accumulators.len() - 1
        });
        let name = accumulators[index].name.clone();
        let sum = Expression::literal(&name, Type::Number);
        Expression { nullable: true, bound: i128::from(i64::MAX), columns: BTreeSet::from([name]), ..sum }
    }

    fn table_mut(&mut self, table: &str) -> &mut TablePlan {
        self.tables.entry(table.to_owned()).or_insert_with(|| TablePlan {
            table: table.to_owned(),
            predicates: Vec::new(),
            values: Vec::new(),
            weights: Vec::new(),
            groupings: Vec::new(),
            accumulators: Vec::new(),
            first_day: Some(i64::MAX),
        })
    }
}

/// A condition that every row meets.
fn everything() -> Expression {
    Expression { local: "(1 = 1)".into(), ..Expression::literal("TRUE", Type::Boolean) }
}

/// A length of time: a number and `days`, `weeks` or `months`.
pub(super) fn length(text: &Spanned<String>) -> Result<(i64, &str), Mistake> {
    let mistake = || {
        (
            text.span(),
            format!("`{}` is no length of time; write \"12 months\", \"26 weeks\" or \"90 days\"", text.get_ref()),
        )
    };
    let (count, unit) = text.get_ref().split_once(' ').ok_or_else(mistake)?;
    let count: i64 = count.parse().map_err(|_| mistake())?;
    let unit = match unit {
        "month" | "months" => "months",
        "week" | "weeks" => "weeks",
        "day" | "days" => "days",
        _ => return Err(mistake()),
    };
    if !(1..=100_000).contains(&count) {
        return Err(mistake());
    }
    Ok((count, unit))
}

/// 2^(−m/h) in millionths for m = 0, 1, …, as far as the window or the last weight above zero.
fn recency(half_life: i64, months: Option<usize>) -> Vec<i64> {
    let most = months.unwrap_or(1200);
    let mut weights = Vec::new();
    for month in 0..most {
        #[allow(clippy::cast_possible_truncation, reason = "between 0 and a million")]
        let weight = (RECENCY_ONE as f64 * (-(month as f64) / half_life as f64).exp2()).round() as i64;
        if weight == 0 {
            break;
        }
        weights.push(weight);
    }
    weights
}

fn position_or_push<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|x| *x == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}
