//! Protected groups: who is in which, for the fairness page and nothing else.

use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::of_rows::OfRows;
use crate::ingest::check::rule::{Quarantined, Rule};
use crate::ingest::read::batches::Batch;
use crate::ingest::read::export::Export;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::Scan;

/// A column with more values than this names no groups.
const MOST_GROUPS: usize = 50;

/// Refuses a column with more different values than groups can have.
///
/// # Errors
/// When there are too many.
pub fn few_enough(column: &str, values: usize) -> Result<(), OfRows> {
    if values <= MOST_GROUPS {
        return Ok(());
    }
    Err(OfRows(format!(
        "groups: the column `{column}` has more than {MOST_GROUPS} different values, so it names no groups; select coarser ones, or leave it out"
    )))
}

/// A column of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupColumn {
    /// Its name.
    pub name: String,
    /// The groups, in order of their names.
    pub groups: Vec<String>,
    /// Each subject's group, by position; nothing where it is not told.
    pub of: Vec<Option<u8>>,
}

/// A row: whose, where it stands, and where its groups do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    subject: u32,
    file: u32,
    row: i64,
    at: u32,
}

/// The rows of a date, and their groups column by column, row after row.
#[derive(Debug, Clone, Default)]
struct OfDate {
    held: Vec<Held>,
    groups: Vec<Option<u8>>,
}

impl OfDate {
    /// The groups of a row of so many columns.
    fn groups(&self, row: Held, columns: usize) -> &[Option<u8>] {
        &self.groups[row.at as usize * columns..][..columns]
    }
}

/// Collects the groups at every date.
pub struct Groups<'a> {
    export: &'a Export,
    state: Mutex<State>,
}

struct State {
    /// The groups of each column, in the order they were met.
    words: Vec<Vec<String>>,
    dates: Vec<OfDate>,
}

impl<'a> Groups<'a> {
    /// None yet, at so many dates.
    #[must_use]
    pub fn new(export: &'a Export, dates: usize) -> Self {
        let state = State { words: vec![Vec::new(); export.extra.len()], dates: vec![OfDate::default(); dates] };
        Self { export, state: Mutex::new(state) }
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When a column has more values than groups can have.
    pub fn read(&self, scan: &Scan, batch: &Batch, spine: &Spine) -> Result<()> {
        let mut named = self.export.extra.iter().zip(&batch.extra);
        if let Some((name, column)) = named.find(|(_, c)| c.data_type().is_nested()) {
            let kind = column.data_type();
            let text = format!("groups: the column `{name}` is {kind}, which names no groups; leave it out");
            return Err(OfRows(text).into());
        }
        let columns = batch.extra.iter().map(|c| cast(c, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        scan.each(batch, Some(spine), &mut |date, rows| {
            let mut state = self.state.lock().map_err(|_| anyhow!("another thread failed"))?;
            let State { words, dates } = &mut *state;
            let of_date = &mut dates[date];
            for (n, at) in rows.kept.iter().enumerate() {
                let at = *at as usize;
                for (place, (column, words)) in columns.iter().zip(&mut *words).enumerate() {
                    let column = column.as_string::<i32>();
                    let told = !column.is_null(at) && !column.value(at).is_empty();
                    let group = told.then(|| self.code(words, column.value(at), place)).transpose()?;
                    of_date.groups.push(group);
                }
                let subject = spine.members(date).number(rows.owners[0][n]);
                let at = u32::try_from(of_date.held.len())?;
                of_date.held.push(Held { subject, file: rows.file, row: rows.rows[n], at });
            }
            Ok(())
        })
    }

    fn code(&self, words: &mut Vec<String>, word: &str, column: usize) -> Result<u8> {
        if let Some(code) = words.iter().position(|w| w == word) {
            return Ok(u8::try_from(code)?);
        }
        few_enough(&self.export.extra[column], words.len() + 1)?;
        words.push(word.to_owned());
        Ok(u8::try_from(words.len() - 1)?)
    }

    /// The groups at each date, of so many subjects. A subject whose rows contradict each other is in none.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn settle(self, subjects: &[usize], findings: &mut [Findings]) -> Result<Vec<Vec<GroupColumn>>> {
        let State { words, dates } = self.state.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let key = self.export.table.require("subject_id")?;
        let width = self.export.extra.len();
        let dates = dates.into_iter().zip(subjects).zip(findings).map(|((mut rows, subjects), found)| {
            rows.held.sort_unstable();
            let mut columns: Vec<GroupColumn> =
                self.export.extra.iter().zip(&words).map(|(n, w)| column(n, w, *subjects)).collect();
            for held in rows.held.chunk_by(|a, b| a.subject == b.subject) {
                let first = rows.groups(held[0], width);
                if held.iter().any(|row| rows.groups(*row, width) != first) {
                    for r in held {
                        let rule = Rule::ConflictingVersions;
                        found.quarantine(Quarantined { file: r.file, row: r.row, rule, column: key });
                    }
                    continue;
                }
                found.tally.add(held[0].file, Class::Used, 1);
                held[1..].iter().for_each(|r| found.tally.add(r.file, Class::Duplicate, 1));
                for ((column, words), group) in columns.iter_mut().zip(&words).zip(first) {
                    let place = |word: &String| column.groups.binary_search(word).ok();
                    let code = group.and_then(|g| place(&words[usize::from(g)])).and_then(|p| u8::try_from(p).ok());
                    *column.of.get_mut(held[0].subject as usize).context("a group of nobody")? = code;
                }
            }
            Ok(columns)
        });
        dates.collect()
    }
}

fn column(name: &str, words: &[String], subjects: usize) -> GroupColumn {
    let mut groups = words.to_vec();
    groups.sort();
    GroupColumn { name: name.to_owned(), groups, of: vec![None; subjects] }
}
