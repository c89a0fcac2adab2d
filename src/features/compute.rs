//! The features of one bucket: clean rows → conditions and values → sums → formulas.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result};

pub use super::adding::{Sums, TooLarge};
use super::adding::{add_up, without_rows};
use super::kernel::{Evaluated, Kernel, weigh};
use super::plan::{Plan, Recency, TablePlan};
use crate::NULL;
use crate::contract::Calendar;
use crate::engine::evaluated::Evaluated as Outcome;
use crate::engine::{Frame, Program};
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::{Layout, ROW};
use crate::ingest::rows::store::BucketRows;

/// Rows evaluated at a time: few enough that their columns stay in the cache.
pub const RUN_ROWS: usize = 32_768;

/// A plan made ready to run.
pub struct Computer<'a> {
    plan: &'a Plan,
    calendar: &'a Calendar,
    tables: BTreeMap<&'a str, TableComputer<'a>>,
    values: Program,
    nones: Program,
}

/// One table of a plan made ready to run.
pub struct TableComputer<'a> {
    plan: &'a TablePlan,
    cleaner: Cleaner,
    /// The conditions, and then the values that are not columns as they are.
    program: Program,
    /// For each value, the column that it is, if it is one as it is.
    columns: Vec<Option<&'a str>>,
}

/// Features of consecutive subjects.
#[derive(Debug, Clone, Default)]
pub struct FeatureRows {
    /// One column per feature; NaN where missing.
    pub values: Vec<Vec<f64>>,
    /// One column per feature: 1 where a missing value means that there was no opportunity.
    pub nones: Vec<Vec<u8>>,
}

impl<'a> Computer<'a> {
    /// Parses every expression of a plan.
    ///
    /// # Errors
    /// When the engine does not take an expression, which the catalogue's check excludes.
    pub fn new(plan: &'a Plan, layouts: &BTreeMap<String, Layout>, calendar: &'a Calendar) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for table in &plan.tables {
            let layout = layouts.get(&table.table).with_context(|| format!("no layout for {}", table.table))?;
            let expressions = || table.predicates.iter().chain(&table.values);
            let mut wanted: BTreeSet<String> = expressions().flat_map(|e| e.columns.iter().cloned()).collect();
            wanted.extend(table.groupings.iter().map(|g| g.key.clone()));
            wanted.extend(table.weights.iter().filter(|w| !w.months_ago.is_empty()).map(|w| w.months_ago.clone()));
            wanted.insert("reliability".to_owned());
            let conditions = Program::conditions(table.predicates.iter().map(|e| e.local.as_str()))?;
            let columns: Vec<Option<&str>> =
                table.values.iter().map(|e| e.columns.get(&e.local).map(String::as_str)).collect();
            let computed = table.values.iter().zip(&columns).filter(|(_, column)| column.is_none());
            let values = Program::integers(computed.map(|(e, _)| e.local.as_str()))?;
            let cleaner = Cleaner::new(layout, calendar, wanted)?;
            tables.insert(
                table.table.as_str(),
                TableComputer { plan: table, cleaner, program: conditions.followed_by(&values), columns },
            );
        }
        let values = Program::doubles(plan.features.iter().map(|f| f.value.local.as_str()))?;
        let nones = Program::integers(plan.features.iter().map(|f| f.none.local.as_str()))?;
        Ok(Self { plan, calendar, tables, values, nones })
    }

    /// The stored columns of a table that its sums read.
    #[must_use]
    pub fn reads(&self, table: &str) -> Vec<usize> {
        self.tables.get(table).map(|t| t.cleaner.reads().collect()).unwrap_or_default()
    }

    /// The sums of one table for the subjects of a bucket.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn sums(&self, table: &str, rows: &BucketRows, subjects: usize) -> Result<Sums> {
        let Some(table) = self.tables.get(table) else { return Ok(Vec::new()) };
        table.sums(rows, subjects, self.calendar)
    }

    /// The features of a bucket's subjects from their sums, by table, and their own clean columns.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn finish(&self, subjects: usize, own: &Frame, mut sums: BTreeMap<&str, Sums>) -> Result<FeatureRows> {
        let mut columns = Vec::new();
        for table in &self.plan.tables {
            let mut found = sums.remove(table.table.as_str()).unwrap_or_default();
            for (n, accumulator) in table.accumulators.iter().enumerate() {
                let missing = if accumulator.sum.nullable() { NULL } else { 0 };
                let column = found.get_mut(n).map(std::mem::take).unwrap_or_else(|| vec![missing; subjects]);
                columns.push((accumulator.name.as_str(), column));
            }
        }
        let frame = own.clone().with_integers(columns)?;
        let values = self.values.run(&frame)?.into_iter().map(Outcome::into_doubles).collect::<Result<_>>()?;
        let flags = |e: Outcome| Ok(e.into_integers()?.iter().map(|v| u8::from(*v == 1)).collect());
        let nones = self.nones.run(&frame)?.into_iter().map(flags).collect::<Result<_>>()?;
        Ok(FeatureRows { values, nones })
    }
}

impl TableComputer<'_> {
    fn sums(&self, rows: &BucketRows, subjects: usize, calendar: &Calendar) -> Result<Sums> {
        let mut out = without_rows(self.plan, subjects);
        let mut kernel = Kernel::default();
        let mut first = 0;
        while first < subjects {
            let last = run_end(rows, first, subjects);
            let range = rows.starts[first] as usize..rows.starts[last] as usize;
            if !range.is_empty() {
                let mut slices: Vec<&mut [i64]> = out.iter_mut().map(|c| &mut c[first..last]).collect();
                self.add(rows, first..last, range, calendar, &mut kernel, &mut slices)?;
            }
            first = last;
        }
        Ok(out)
    }

    fn add(
        &self,
        rows: &BucketRows,
        subjects: Range<usize>,
        range: Range<usize>,
        calendar: &Calendar,
        kernel: &mut Kernel,
        out: &mut [&mut [i64]],
    ) -> Result<()> {
        let frame = self.cleaner.clean(rows, range.clone(), calendar)?;
        let reliability = frame.values("reliability")?;
        let weigh = |recency: &Recency| match recency.months_ago.as_str() {
            "" => Ok(weigh(recency, None, reliability)),
            column => Ok(weigh(recency, Some(frame.values(column)?), reliability)),
        };
        let weights = self.plan.weights.iter().map(weigh).collect::<Result<Vec<_>>>()?;
        let keys = self.plan.groupings.iter().map(|g| frame.values(&g.key)).collect::<Result<Vec<_>>>()?;
        let mut conditions = self.program.run(&frame)?;
        let computed = conditions.split_off(self.plan.predicates.len());
        let predicates = conditions.into_iter().map(Outcome::into_conditions).collect::<Result<Vec<_>>>()?;
        let computed = computed.into_iter().map(Outcome::into_integers).collect::<Result<Vec<_>>>()?;
        let mut computed = computed.iter();
        let value = |column: &Option<&str>| match column {
            Some(column) => frame.values(column),
            None => computed.next().map(Vec::as_slice).context("defect: a value that was not computed"),
        };
        let values = self.columns.iter().map(value).collect::<Result<Vec<_>>>()?;
        let ranges: Vec<Range<usize>> = subjects
            .map(|s| {
                let own = rows.of(s);
                own.start - range.start..own.end - range.start
            })
            .collect();
        let predicates: Vec<&[u8]> = predicates.iter().map(Vec::as_slice).collect();
        let evaluated = Evaluated { predicates: &predicates, values: &values, weights: &weights, keys: &keys };
        let place = |subject: usize| {
            let first = range.start + ranges[subject].start;
            (rows.files[first], rows.value(ROW, first))
        };
        add_up(self.plan, &evaluated, &ranges, &place, kernel, out)
    }
}

/// The subject after the last one whose rows still fit into a run.
fn run_end(rows: &BucketRows, first: usize, subjects: usize) -> usize {
    let start = rows.starts[first] as usize;
    let fits = |s: &usize| rows.starts[*s] as usize - start <= RUN_ROWS;
    (first + 1..=subjects).take_while(fits).last().unwrap_or(first + 1)
}
