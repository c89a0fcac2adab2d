//! The rows that count, as feature SQL sees them: for comparing the kernel with other engines over the same rows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::compute::{Computer, FeatureRows, Sums};
use super::plan::Plan;
use crate::NULL;
use crate::contract::{Calendar, ColumnType, Table};
use crate::engine::Frame;
use crate::ingest::check::findings::Findings;
use crate::ingest::pass::Ingested;
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::resolve::{Counting, counting};
use crate::ingest::settle::subjects;

/// One bucket's rows and what the kernel makes of them.
pub struct Comparable {
    /// The tables the statement reads; words and Booleans instead of codes, `subject_id` the dense number.
    pub tables: BTreeMap<String, DataFrame>,
    /// The kernel's features of the bucket's subjects.
    pub features: FeatureRows,
}

/// Takes the rows of a bucket out, as the first date sees them, and computes the features over them; everyone counts as
/// consenting.
///
/// # Errors
/// When the scratch file cannot be read or the engine fails.
pub fn comparable(
    ingested: &Ingested,
    plan: &Plan,
    computer: &Computer,
    calendar: &Calendar,
    bucket: usize,
) -> Result<Comparable> {
    let dense = ingested.buckets.subjects(bucket);
    let (first, count) = (i64::try_from(dense.start)?, dense.len());
    let layout_of = |table: &str| ingested.layouts.get(table).with_context(|| format!("no {table}"));
    let mut tables = BTreeMap::new();
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    for table in &plan.tables {
        let layout = layout_of(&table.table)?;
        let mut rows = BucketRows::default();
        ingested.take(&table.table, bucket, &mut |date, seen, related, _| {
            if date == 0 {
                let (consents, mut found) = (vec![true; count], Findings::default());
                let chosen = counting(&seen, related, layout, &consents, None, &mut found)?;
                let Counting { rows: chosen, starts, .. } = chosen;
                rows = seen.rows.pick(&chosen, starts);
            }
            Ok(())
        })?;
        let read = table.predicates.iter().chain(&table.values).flat_map(|e| e.columns.iter().cloned());
        let keys = table.groupings.iter().map(|g| g.key.clone());
        let months = table.weights.iter().map(|w| w.months_ago.clone()).filter(|c| !c.is_empty());
        let wanted: BTreeSet<String> = read.chain(keys).chain(months).chain(["reliability".to_owned()]).collect();
        let clean = Cleaner::new(layout, calendar, wanted)?.clean(&rows, 0..rows.len(), calendar)?;
        sums.insert(&table.table, computer.sums(&table.table, &rows, count)?);
        tables.insert(table.table.clone(), in_words(&layout.table, &clean, &rows, first)?);
    }
    let layout = layout_of("subjects")?;
    let mut rows = BucketRows::default();
    ingested.take("subjects", bucket, &mut |date, seen, _, _| {
        if date == 0 {
            let paths = vec!["subjects".into(); 1 + max_file(&seen.rows)];
            rows = subjects::latest(&seen, layout, &paths, &mut Findings::default())?;
        }
        Ok(())
    })?;
    let own = Cleaner::new(layout, calendar, plan.subject_columns.iter().cloned())?.clean(&rows, 0..count, calendar)?;
    let features = computer.finish(count, &own, sums)?;
    tables.insert("subjects".to_owned(), in_words(&layout.table, &own, &rows, first)?);
    Ok(Comparable { tables, features })
}

fn max_file(rows: &BucketRows) -> usize {
    rows.files.iter().copied().max().unwrap_or(0) as usize
}

fn in_words(table: &Table, clean: &Frame, rows: &BucketRows, first: i64) -> Result<DataFrame> {
    let owners: Vec<i64> =
        (first..).zip(rows.starts.windows(2)).flat_map(|(s, w)| (w[0]..w[1]).map(move |_| s)).collect();
    let mut columns = vec![Column::from(Series::new("subject_id".into(), owners))];
    for name in clean.names() {
        let values = clean.values(name)?;
        let known = |v: &i64| (*v != NULL).then_some(*v);
        let declared = table.columns.iter().find(|c| c.name == name);
        let series = match declared.map(|c| (c.kind, &c.values)) {
            Some((ColumnType::Choice, words)) => {
                let word = |v: &i64| usize::try_from(known(v)?).ok().and_then(|v| words.get(v)).map(String::as_str);
                Series::new(name.into(), values.iter().map(word).collect::<Vec<_>>())
            }
            Some((ColumnType::Flag, _)) => {
                Series::new(name.into(), values.iter().map(|v| known(v).map(|v| v == 1)).collect::<Vec<_>>())
            }
            _ => Series::new(name.into(), values.iter().map(known).collect::<Vec<_>>()),
        };
        columns.push(series.into());
    }
    Ok(DataFrame::new(rows.len(), columns)?)
}
