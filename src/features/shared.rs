//! What of a table's conditions and values is the same at several dates, so that a bucket's rows are looked at once for all.
//!
//! # Why a date comes to what it would come to alone
//!
//! Let R be the stored rows of a bucket, as the widest of the dates sees them, and R(d) the same rows as the date d sees them. A sum
//! at d runs over the rows that count then; which these are is settled for each date by itself, by the same function
//! ([`counting`](crate::ingest::settle::resolve::counting)) that one date alone asks. What is shared is what conditions and values
//! come to in a row:
//!
//! 1. A condition is split into the parts that it joins by AND ([`conjuncts`]). It is met where it is true, and it is true exactly
//!    where each part is, whatever is null. So it is met where all its parts are.
//! 2. An expression looks at one row alone, and the engine is a function: the same text over the same clean columns gives the same
//!    value. A clean column is made of one stored column, and depends on the date only when it counts back from it, or when it is
//!    derived by SQL in which the as-of date is written out.
//! 3. Of a derived column the texts at all dates are compared. Where they differ in the numbers of some `COALESCE(column, number)`
//!    alone, the column is the same at every date in each row where none of these columns is null ([`without_defaults`]); it *waits*
//!    for them. Where they differ otherwise, it is the date's own.
//! 4. A part or value is shared when several dates have its text and no clean column that it reads counts back or is the date's own.
//!    Its value in a row of R(d) is that in R, unless one of the stored columns it is made of differs between R(d) and R, or one for
//!    which a column waits is null in R(d). These rows are found one by one, and all conditions and values are evaluated for them
//!    again, as the date alone would.
//! 5. All else (months and weeks back, windows, the as-of date itself) is evaluated for each date, over R(d). The day of an event
//!    that is an instant is found once: no date turns the event itself back.
//!
//! 6. Of these conditions and values, sums of which all dates have the same, and which ask for nothing else but when the event was, are
//!    added up for all dates together: see `across`.
//!
//! So in every row that counts at d, every condition and value is what d alone finds. Rows that do not count have 0 in every
//! condition, as if they were not there: sums of the kernel look at rows that a condition lets through, in any order. Its proof that 64
//! bits suffice looks at more rows than count; where it fails therefore, the same sum is taken in 128 bits, and refused as before
//! when it does not fit.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::across::Across;
use super::plan::TablePlan;
use super::rest::Rest;
use super::sharing::{Sharing, Texts};
use crate::contract::Calendar;
use crate::engine::Program;
use crate::expression::Expression;
use crate::expression::conjuncts::{Comparison, conjuncts, named};
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::{EventColumn, Layout};

/// The column that every weight reads.
pub(super) const RELIABILITY: &str = "reliability";

/// What one date asks of a table.
pub struct Wanted<'a> {
    /// What its features add up, if they read the table.
    pub plan: Option<&'a TablePlan>,
    /// Other conditions over the rows.
    pub conditions: Vec<&'a Expression>,
    /// The date.
    pub calendar: &'a Calendar,
}

/// A table at several dates.
pub struct SharedTable<'a> {
    /// Makes the clean columns of what is shared, and the shared conditions and values, in this order.
    pub(super) cleaner: Cleaner,
    pub(super) program: Program,
    pub(super) conditions: usize,
    pub(super) calendar: &'a Calendar,
    /// The stored columns that these are made of.
    pub(super) reads: Vec<usize>,
    /// The stored columns that some of them wait for.
    pub(super) waits: Vec<usize>,
    pub(super) dates: Vec<OfDate<'a>>,
    /// What the dates add up together; each adds up the rest of its plan.
    pub(super) across: Option<Across<'a>>,
    /// The event, where it is an instant, of which each date wants the day.
    pub(super) instant: Option<EventColumn>,
}

/// A table at one of the dates.
pub(super) struct OfDate<'a> {
    pub(super) plan: Option<&'a TablePlan>,
    pub(super) calendar: &'a Calendar,
    /// What the date adds up itself of its plan.
    pub(super) rest: Option<Rest>,
    pub(super) parts: Parts,
    /// All conditions of the plan, the others, and the plan's values, for rows that are not as the others see them.
    pub(super) whole: (Cleaner, Program),
    /// Number of all conditions.
    pub(super) conditions: usize,
    /// The stored columns that these read.
    pub(super) reads: Vec<bool>,
}

/// What a date asks for beside what is added up for all: what is shared of it, and what is its own.
pub(super) struct Parts {
    /// The conditions of the rest of the plan and then the others, each as parts that must all hold.
    pub(super) conditions: Vec<Vec<Part>>,
    /// The values of the rest of the plan.
    pub(super) values: Vec<Value>,
    /// Its keys of groups.
    pub(super) keys: Vec<Key>,
    /// Makes the clean columns of what is the date's own.
    pub(super) cleaner: Cleaner,
    pub(super) comparisons: Vec<Comparison>,
    /// Other parts and then values of its own.
    pub(super) program: Program,
    pub(super) own_conditions: usize,
}

/// A part of a condition, by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Among those that dates share.
    Shared(usize),
    /// Among the date's comparisons.
    Compared(usize),
    /// Among the other parts of the date's own.
    Own(usize),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// By its position among those that dates share.
    Shared(usize),
    /// A clean column of the date's own.
    Column(String),
    /// By its position among the date's own.
    Own(usize),
}

/// The key of a grouping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A stored column.
    Stored(usize),
    /// A clean column.
    Clean(String),
}

impl<'a> SharedTable<'a> {
    /// Finds what the dates share.
    ///
    /// # Errors
    /// When an expression is faulty, which the catalogue's check excludes.
    pub fn new(layout: &Layout, wanted: &[Wanted<'a>]) -> Result<Self> {
        let whole = wanted.iter().map(|date| Cleaner::new(layout, date.calendar, date.columns()));
        let whole: Vec<Cleaner> = whole.collect::<Result<_>>()?;
        let (calendar, first) = (wanted.last().context("no date")?.calendar, whole.first().context("no date")?);
        let columns = wanted.iter().flat_map(Wanted::columns).collect();
        let mut sharing = Sharing::of(wanted.iter().map(Wanted::texts), columns, &whole);
        let plans = wanted.iter().map(|date| Some((date.plan?, date.calendar)));
        let plans: Option<Vec<(&TablePlan, &'a Calendar)>> = plans.collect();
        let across = plans.and_then(|plans| Across::of(layout, &plans, first, &mut sharing));
        let is_rest = |at: usize| across.as_ref().is_none_or(|across| across.sums.iter().all(|(sum, _)| *sum != at));
        let rests: Vec<Option<Rest>> =
            wanted.iter().map(|date| date.plan.map(|plan| Rest::of(plan, &is_rest))).collect();
        let mut parts = Vec::with_capacity(wanted.len());
        for ((date, rest), whole) in wanted.iter().zip(&rests).zip(&whole) {
            let (plan, conditions) = (rest.as_ref().map(|rest| &rest.plan), date.conditions.clone());
            parts.push(Wanted { plan, conditions, calendar: date.calendar }.split(layout, whole, &mut sharing)?);
        }
        let (columns, waits) = sharing.reads();
        let cleaner = Cleaner::new(layout, calendar, columns.into_iter().chain([RELIABILITY.to_owned()]))?;
        let reads: BTreeSet<usize> = cleaner.reads().collect();
        let program = Program::conditions(sharing.conditions.all.iter().copied())?;
        let (conditions, values) = (program.len(), Program::integers(sharing.values.all.iter().copied())?);
        // It reads the texts of the rests, which are handed on now.
        drop(sharing);
        let mut dates = Vec::with_capacity(wanted.len());
        for ((date, rest), (parts, whole)) in wanted.iter().zip(rests).zip(parts.into_iter().zip(whole)) {
            dates.push(date.made_of(layout, rest, parts, whole)?);
        }
        Ok(Self {
            cleaner,
            conditions,
            program: program.followed_by(&values),
            calendar,
            reads: reads.into_iter().collect(),
            waits: waits.into_iter().collect(),
            dates,
            across,
            instant: layout.event.clone().filter(EventColumn::is_instant),
        })
    }
}

impl<'a> Wanted<'a> {
    /// All conditions: the plan's, then the others.
    fn all_conditions(&self) -> impl Iterator<Item = &'a Expression> {
        let of_plan = self.plan.map_or(&[][..], |plan| plan.predicates.as_slice());
        of_plan.iter().chain(self.conditions.clone())
    }

    fn values(&self) -> &'a [Expression] {
        self.plan.map_or(&[][..], |plan| plan.values.as_slice())
    }

    /// The texts of values, and of the parts of conditions.
    fn texts(&self) -> BTreeSet<&'a str> {
        let parts = self.all_conditions().flat_map(|e| conjuncts(&e.local));
        parts.chain(self.values().iter().map(|e| e.local.as_str())).collect()
    }

    /// Every clean column that the date reads.
    fn columns(&self) -> BTreeSet<String> {
        let read = self.all_conditions().chain(self.values()).flat_map(|e| e.columns.iter().cloned());
        let mut columns: BTreeSet<String> = read.collect();
        if let Some(plan) = self.plan {
            columns.extend(plan.groupings.iter().map(|grouping| grouping.key.clone()));
            columns.extend(months(plan));
        }
        columns.insert(RELIABILITY.to_owned());
        columns
    }

    /// Divides what the date asks for into what is shared and what is its own. `whole` makes all its clean columns.
    fn split(&self, layout: &Layout, whole: &Cleaner, sharing: &mut Sharing<'a>) -> Result<Parts> {
        let mut columns = BTreeSet::new();
        let (mut comparisons, mut own, mut own_values) = (Vec::new(), Texts::default(), Texts::default());
        let mut conditions = Vec::new();
        for condition in self.all_conditions() {
            let mut parts = Vec::new();
            for text in conjuncts(&condition.local) {
                let read = named(text, &condition.columns);
                parts.push(match (sharing.shares(text, &read), Comparison::parse(text)) {
                    (true, _) => Part::Shared(sharing.conditions.place(text, &read)),
                    (false, Some(comparison)) => Part::Compared(place(&mut comparisons, comparison)),
                    (false, None) => Part::Own(own.place(text, &read)),
                });
            }
            conditions.push(parts);
        }
        let values = self.values().iter().map(|value| {
            let text = value.local.as_str();
            match sharing.shares(text, &value.columns) {
                true => Value::Shared(sharing.values.place(text, &value.columns)),
                false if value.columns.contains(text) => {
                    columns.insert(text.to_owned());
                    Value::Column(text.to_owned())
                }
                false => Value::Own(own_values.place(text, &value.columns)),
            }
        });
        let values = values.collect();
        let mut keys = Vec::new();
        if let Some(plan) = self.plan {
            for grouping in &plan.groupings {
                keys.push(match whole.stored(&grouping.key) {
                    Some(column) => Key::Stored(column),
                    None => {
                        columns.insert(grouping.key.clone());
                        Key::Clean(grouping.key.clone())
                    }
                });
            }
            columns.extend(months(plan));
            columns.extend((!plan.weights.is_empty()).then(|| RELIABILITY.to_owned()));
        }
        columns.extend(comparisons.iter().map(|comparison: &Comparison| comparison.column.clone()));
        columns.extend(own.columns);
        columns.extend(own_values.columns);
        let program = Program::conditions(own.all.iter().copied())?;
        let mut cleaner = Cleaner::new(layout, self.calendar, columns)?;
        if let Some(event) = layout.event.as_ref().filter(|event| event.is_instant()) {
            cleaner.read_days(event.column, layout.width);
        }
        Ok(Parts {
            conditions,
            values,
            keys,
            cleaner,
            comparisons,
            own_conditions: program.len(),
            program: program.followed_by(&Program::integers(own_values.all.iter().copied())?),
        })
    }

    /// The table at this date, of what the date asks for in parts.
    fn made_of(&self, layout: &Layout, rest: Option<Rest>, parts: Parts, whole: Cleaner) -> Result<OfDate<'a>> {
        let all = Program::conditions(self.all_conditions().map(|e| e.local.as_str()))?;
        let conditions = all.len();
        let all = all.followed_by(&Program::integers(self.values().iter().map(|e| e.local.as_str()))?);
        let mut reads = vec![false; layout.width];
        whole.reads().for_each(|column| reads[column] = true);
        Ok(OfDate { plan: self.plan, calendar: self.calendar, rest, parts, whole: (whole, all), conditions, reads })
    }
}

/// The columns of months back that a plan's weights read.
fn months(plan: &TablePlan) -> impl Iterator<Item = String> {
    plan.weights.iter().map(|weight| weight.months_ago.clone()).filter(|column| !column.is_empty())
}

fn place<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|other| *other == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}
