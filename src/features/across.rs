//! Sums that several dates add up together, looking at each row once: which they are, and what they read.
//!
//! # Why a date comes to what it would come to alone
//!
//! A sum at a date runs over rows that count then and meet its condition. So for one condition a row has a set of dates, one bit each,
//! and every sum of the kernel is a sum, a least or a largest over such sets. A sum is added up so when
//!
//! 1. each part of its conditions is one that the dates share (see [`shared`](super::shared)), or holds the event's day, or its months
//!    or weeks back, against a number: at which dates that holds is a matter of the day alone ([`Window`]);
//! 2. its value is one that the dates share; or, where only values are compared with each other, the event's months back. When all
//!    dates divide days into the same months ([`Calendar::months_after`]), these are the months back from the last date less the months
//!    between the two dates, so the row with the least is the same one, and distances are the same;
//! 3. its weight is the same at every date, or goes by the event's months back, where dates divide days so;
//! 4. its groups are the values of a stored column, or the event's months, where dates divide days so; or its weeks, where groups are
//!    only counted and added up: each date counts them from its own day.
//!
//! Rows that are not at a date what they are at others are taken out of its bit, and stand once more for this date alone, with what
//! all conditions and values come to then. Where 64 bits cannot be proven to suffice, nothing is added up so; nor where a column that
//! is read as it is stored (event, keys, sources) is another one at some date. All other sums are added up date by date.

use super::across_times::{Counted, DATES, Weighing, Window};
use super::plan::{Sum, TablePlan};
use super::rest::Read;
use super::sharing::Sharing;
use crate::contract::Calendar;
use crate::expression::conjuncts::{Comparison, conjuncts, named};
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::Layout;

/// What several dates add up together of a table.
pub(super) struct Across<'a> {
    /// Number of dates.
    pub(super) dates: usize,
    /// The sums, with their positions in the plan; those of one grouping follow each other.
    pub(super) sums: Vec<(usize, Sum)>,
    /// What they read of the plan, by position in it; nothing for what none of them reads.
    pub(super) conditions: Vec<Option<Condition>>,
    pub(super) values: Vec<Option<Of>>,
    pub(super) weights: Vec<Option<Weighing>>,
    pub(super) groupings: Vec<Option<Grouped>>,
    /// What groups are made by, once each.
    pub(super) keys: Vec<Of>,
    pub(super) windows: Vec<Window<'a>>,
    pub(super) calendars: Vec<&'a Calendar>,
    /// The last date.
    pub(super) last: &'a Calendar,
    /// Months between each date and the last, where these are the same for every day.
    pub(super) back: Option<Vec<i64>>,
    /// The stored column of the event's day, and that of the source's reliability.
    pub(super) day: Option<usize>,
    pub(super) source: Option<usize>,
}

/// At which dates a condition is met: all of the shared ones must be, and the window.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// By position among those that dates share.
    pub(super) shared: Vec<usize>,
    pub(super) window: Option<usize>,
}

/// A number of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A value by its position among those that dates share.
    Shared(usize),
    /// A stored column.
    Stored(usize),
    /// The event's months back from the last date.
    Months,
    /// The event's weeks back from each date.
    Weeks,
}

/// A grouping: the condition of rows that take part, and the key by its position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouped {
    pub(super) filter: usize,
    pub(super) key: usize,
}

/// The clean columns that tell when the event was.
struct Event<'t> {
    day: Option<&'t str>,
    months: Option<&'t str>,
    weeks: Option<&'t str>,
}

impl<'t> Event<'t> {
    /// Those of a table, as one of the dates makes them; none that is derived.
    fn of(layout: &'t Layout, whole: &Cleaner) -> Self {
        let event = layout.table.event.as_deref().and_then(|event| layout.table.position(event));
        let event = event.map(|at| &layout.table.columns[at]);
        let name = |name: Option<&'t String>| name.map(String::as_str).filter(|name| whole.derived(name).is_none());
        Self {
            day: event.and_then(|event| name(event.day.as_ref())),
            months: event.and_then(|event| name(event.months_ago.as_ref())),
            weeks: event.and_then(|event| name(event.weeks_ago.as_ref())),
        }
    }

    fn counted(&self, column: &str) -> Option<Counted> {
        let columns = [(self.day, Counted::Days), (self.months, Counted::Months), (self.weeks, Counted::Weeks)];
        columns.into_iter().find(|(name, _)| *name == Some(column)).map(|(_, counted)| counted)
    }
}

/// A plan at each date, and the date.
pub(super) type Plans<'t, 'a> = [(&'t TablePlan, &'a Calendar)];

/// A condition of the plan in parts: texts that the dates share, and what each date asks of the event's day.
struct Parts<'t> {
    shared: Vec<&'t str>,
    by_date: Vec<Vec<(Counted, Comparison)>>,
}

impl<'t> Parts<'t> {
    /// Nothing when there are other parts, or the dates share other texts, or only some of them ask for a day.
    fn of(plans: &Plans<'t, '_>, at: usize, event: &Event, sharing: &Sharing) -> Option<Self> {
        let mut parts = Self { shared: Vec::new(), by_date: Vec::with_capacity(plans.len()) };
        for (date, (plan, _)) in plans.iter().enumerate() {
            let condition = &plan.predicates[at];
            let (mut shared, mut compared) = (Vec::new(), Vec::new());
            for text in conjuncts(&condition.local) {
                if sharing.shares(text, &named(text, &condition.columns)) {
                    shared.push(text);
                } else {
                    let comparison = Comparison::parse(text)?;
                    compared.push((event.counted(&comparison.column)?, comparison));
                }
            }
            if date == 0 {
                parts.shared = shared;
            } else if shared != parts.shared {
                return None;
            }
            parts.by_date.push(compared);
        }
        let asking = parts.by_date.iter().filter(|asked| !asked.is_empty()).count();
        (asking == 0 || asking == plans.len()).then_some(parts)
    }
}

impl<'a> Across<'a> {
    /// What some dates, the last of them last, add up together of a table, each by its plan; nothing when it is no sum at all. What is
    /// shared for it is placed. `whole` makes the clean columns of one of them.
    pub(super) fn of<'t>(
        layout: &Layout,
        plans: &Plans<'t, 'a>,
        whole: &Cleaner,
        sharing: &mut Sharing<'t>,
    ) -> Option<Self> {
        let (plan, last) = (plans.first()?.0, plans.last()?.1);
        let alike = |(other, _): &(&TablePlan, &Calendar)| {
            other.accumulators == plan.accumulators
                && (&other.weights, &other.groupings) == (&plan.weights, &plan.groupings)
                && (other.predicates.len(), other.values.len()) == (plan.predicates.len(), plan.values.len())
        };
        if !(2..=DATES).contains(&plans.len()) || !plans.iter().all(alike) {
            return None;
        }
        let event = Event::of(layout, whole);
        let back = plans.iter().map(|(_, calendar)| last.months_after(calendar).filter(|months| *months >= 0));
        let back: Option<Vec<i64>> = back.collect();
        let is_months = |name: &str| back.is_some() && event.months == Some(name);
        let known: &Sharing = sharing;
        let parts = (0..plan.predicates.len()).map(|at| Parts::of(plans, at, &event, known));
        let parts: Vec<Option<Parts>> = parts.collect();
        let value = |at: usize| {
            let text = plan.values[at].local.as_str();
            let same = plans.iter().all(|(other, _)| other.values[at].local == text);
            match same && known.shares(text, &plan.values[at].columns) {
                true => Some(false),
                false => (same && is_months(text)).then_some(true),
            }
        };
        // Whether each value is the event's months back; nothing for one that is neither this nor shared.
        let months: Vec<Option<bool>> = (0..plan.values.len()).map(value).collect();
        let key = |name: &str| match whole.stored(name) {
            Some(column) => Some(Of::Stored(column)),
            None if event.weeks == Some(name) => Some(Of::Weeks),
            None => is_months(name).then_some(Of::Months),
        };
        let is_added = |sum: &Sum| {
            let read = Read::of(plan, sum);
            let totals = !matches!(sum, Sum::Spans { .. } | Sum::Overlap { .. });
            let compares = matches!(sum, Sum::Smallest { .. } | Sum::Largest { .. } | Sum::Spans { .. });
            read.conditions.iter().all(|at| parts[*at].is_some())
                && read.value.is_none_or(|at| months[at].is_some_and(|months| compares || !months))
                && read.weight.map(|at| &plan.weights[at].months_ago).is_none_or(|m| m.is_empty() || is_months(m))
                && read
                    .grouping
                    .is_none_or(|at| key(&plan.groupings[at].key).is_some_and(|of| totals || of != Of::Weeks))
        };
        let sums = plan.accumulators.iter().enumerate().map(|(at, accumulator)| (at, accumulator.sum.clone()));
        let mut sums: Vec<(usize, Sum)> = sums.filter(|(_, sum)| is_added(sum)).collect();
        sums.sort_by_key(|(at, sum)| (Read::of(plan, sum).grouping, *at));
        let mut across = Self {
            dates: plans.len(),
            sums: Vec::new(),
            conditions: plan.predicates.iter().map(|_| None).collect(),
            values: vec![None; plan.values.len()],
            weights: plan.weights.iter().map(|_| None).collect(),
            groupings: vec![None; plan.groupings.len()],
            keys: Vec::new(),
            windows: Vec::new(),
            calendars: plans.iter().map(|(_, calendar)| *calendar).collect(),
            last,
            back: None,
            day: layout.event.as_ref().map(|e| if e.is_instant() { layout.width } else { e.column }),
            source: layout.source,
        };
        for (_, sum) in &sums {
            let read = Read::of(plan, sum);
            for at in read.conditions {
                across.conditions[at] = Some(across.condition(plans, at, parts[at].as_ref()?, sharing));
            }
            if let Some(at) = read.value {
                let value = &plan.values[at];
                across.values[at] = Some(match months[at]? {
                    true => Of::Months,
                    false => Of::Shared(sharing.values.place(&value.local, &value.columns)),
                });
            }
            if let Some(at) = read.weight {
                across.weights[at] = Some(Weighing::of(&plan.weights[at], back.as_deref()));
            }
            if let Some(at) = read.grouping {
                let key = key(&plan.groupings[at].key)?;
                let key = across.keys.iter().position(|other| *other == key).unwrap_or_else(|| {
                    across.keys.push(key);
                    across.keys.len() - 1
                });
                across.groupings[at] = Some(Grouped { filter: plan.groupings[at].filter, key });
            }
        }
        across.back = back;
        across.sums = sums;
        (!across.sums.is_empty()).then_some(across)
    }

    /// A condition made ready, with what is shared for it.
    fn condition<'t>(
        &mut self,
        plans: &Plans<'t, 'a>,
        at: usize,
        parts: &Parts<'t>,
        sharing: &mut Sharing<'t>,
    ) -> Condition {
        let columns = plans.first().map(|(plan, _)| &plan.predicates[at].columns);
        let read = |text: &str| columns.map(|columns| named(text, columns)).unwrap_or_default();
        let shared = parts.shared.iter().copied().map(|text| sharing.conditions.place(text, &read(text))).collect();
        if parts.by_date.iter().all(Vec::is_empty) {
            return Condition { shared, window: None };
        }
        let asks = |window: &Window| window.asks(&parts.by_date);
        let window = self.windows.iter().position(asks).unwrap_or_else(|| {
            let by_date = parts.by_date.iter().cloned().zip(plans.iter().map(|(_, calendar)| *calendar));
            self.windows.push(Window::new(by_date.collect()));
            self.windows.len() - 1
        });
        Condition { shared, window: Some(window) }
    }

    /// The stored columns that must be the same at every date.
    pub(super) fn stored(&self) -> impl Iterator<Item = usize> {
        let key = |of: &Of| match of {
            Of::Stored(column) => Some(*column),
            Of::Shared(_) | Of::Months | Of::Weeks => None,
        };
        self.keys.iter().filter_map(key).chain(self.day).chain(self.source)
    }

    /// Whether a value or key is the event's months back.
    pub(super) fn reads_months(&self) -> bool {
        let by_months = |weighing: &Weighing| matches!(weighing, Weighing::Months(_));
        self.values.iter().flatten().chain(&self.keys).any(|of| *of == Of::Months)
            || self.weights.iter().flatten().any(by_months)
    }
}
