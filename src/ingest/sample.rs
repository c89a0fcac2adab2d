//! The first rows of an export tried out: what its `select` makes of them, and which rules they would break.
//!
//! What several rows or tables decide (unknown subjects, versions, refunds, totals) only a run tells.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::check::conservation::Class;
use super::check::rule::Rule;
use super::pass::Pass;
use super::read::batches::{Batch, read_first};
use super::read::export::Export;
use super::visibility::scan::Scan;
use crate::contract::{ColumnType, Zone, day_text};

/// Good rows that are shown.
const SHOWN: usize = 2;
/// Rows that are shown of each rule and column.
const SHOWN_BROKEN: usize = 1;
/// Words of a column that are shown.
const WORDS: usize = 8;
/// Letters of an id that are shown: enough to see how it is written, too few to find somebody by.
const ID_LETTERS: usize = 2;
/// The longest value that is shown whole.
const LONGEST: usize = 60;

/// What the first rows of an export come to.
#[derive(Debug, Default)]
pub struct Sampled {
    /// Rows that were read.
    pub rows: u64,
    /// Rows of them that the `select` leaves out.
    pub left_out: u64,
    /// Rows that it makes beyond them.
    pub multiplied: u64,
    /// Rows that happened or became known too late.
    pub not_visible: u64,
    /// Rows that break a rule, by rule and column.
    pub broken: BTreeMap<(Rule, String), u64>,
    /// Words that a column does not know, with how often each stands, the most frequent first.
    pub words: BTreeMap<String, Vec<(String, u64)>>,
    /// Columns that are null in every row.
    pub empty: Vec<String>,
    /// Columns of the contract that nothing gives.
    pub absent: Vec<String>,
    /// The first and the last day on which something happened.
    pub days: Option<(String, String)>,
    /// Some rows.
    pub shown: Vec<Shown>,
}

/// A row, before and after.
#[derive(Debug)]
pub struct Shown {
    /// The file.
    pub file: String,
    /// Its number there.
    pub row: i64,
    /// The columns that are read, as the file has them.
    pub before: Vec<(String, String)>,
    /// The contract's columns.
    pub after: Vec<(String, String)>,
    /// The rule that it breaks, and by which column.
    pub breaks: Option<(Rule, String)>,
}

/// A batch that was looked at.
struct Tried {
    first: i64,
    before: RecordBatch,
    batch: Batch,
}

impl Pass<'_> {
    /// Reads so many rows of an export, from the beginning of each of its files, and tries them out.
    ///
    /// # Errors
    /// When a file turns out corrupt, or the `select` fails.
    pub fn sample(&self, export: &Export, rows: usize) -> Result<Sampled> {
        let (setting, table) = (self.setting()?, &export.table);
        let scan = Scan::new(table, &setting)?;
        let zone = self.snapshots.first().context("no date")?.calendar.zone();
        let (mut sampled, mut tried, mut days) = (Sampled::default(), Vec::new(), BTreeSet::new());
        let each = rows.div_ceil(export.files.len().max(1));
        for (number, file) in (0_u32..).zip(&export.files) {
            let work = &mut |first: i64, before: &RecordBatch, batch: Batch| {
                sampled.rows += u64::try_from(before.num_rows())?;
                sampled.left_out += batch.left_out;
                sampled.multiplied += batch.multiplied;
                let checked = scan.check(&batch, None)?;
                if let Some((event, instant)) = scan.checks().event() {
                    let values = checked.columns[event].iter().filter(|v| **v != crate::NULL);
                    days.extend(values.map(|v| if instant { zone.day(*v) } else { *v }));
                }
                tried.push(Tried { first, before: before.clone(), batch });
                Ok(())
            };
            read_first(export, number, each, work).with_context(|| file.file.path.display().to_string())?;
        }
        let found = scan.finish()?.into_iter().next().context("no date")?;
        sampled.not_visible = found.tally.total(Class::NotVisible);
        sampled.days = days.first().zip(days.last()).map(|(a, b)| (day_text(*a), day_text(*b)));
        let mut wrong: BTreeMap<(u32, i64), (Rule, usize)> = BTreeMap::new();
        for row in &found.quarantined {
            *sampled.broken.entry((row.rule, table.columns[row.column].name.clone())).or_default() += 1;
            wrong.insert((row.file, row.row), (row.rule, row.column));
        }
        let given = |at: usize| tried.iter().filter_map(move |t| t.batch.columns[at].as_ref());
        for (at, column) in table.columns.iter().enumerate() {
            match given(at).next() {
                None => sampled.absent.push(column.name.clone()),
                Some(_) if given(at).all(|a| a.logical_null_count() == a.len()) => {
                    sampled.empty.push(column.name.clone())
                }
                Some(_) => {}
            }
            let known = |word: &str| match column.kind {
                ColumnType::Choice => column.values.iter().any(|v| v == word),
                ColumnType::Currency => word == self.currency,
                _ => true,
            };
            if matches!(column.kind, ColumnType::Choice | ColumnType::Currency) {
                let words = unknown_words(given(at), known)?;
                if !words.is_empty() {
                    sampled.words.insert(column.name.clone(), words);
                }
            }
        }
        sampled.shown = shown(export, &tried, &wrong, zone)?;
        Ok(sampled)
    }
}

/// The words of a column that are not known, the most frequent first.
fn unknown_words<'a>(
    arrays: impl Iterator<Item = &'a ArrayRef>,
    known: impl Fn(&str) -> bool,
) -> Result<Vec<(String, u64)>> {
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for array in arrays.filter(|a| *a.data_type() != DataType::Null) {
        let views = cast(array, &DataType::Utf8View)?;
        for word in views.as_string_view().iter().flatten().filter(|w| !known(w)) {
            *words.entry(cut(word)).or_default() += 1;
        }
    }
    let mut words: Vec<(String, u64)> = words.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    words.truncate(WORDS);
    Ok(words)
}

/// Some good rows, and one of each rule and column that is broken.
fn shown(
    export: &Export,
    tried: &[Tried],
    wrong: &BTreeMap<(u32, i64), (Rule, usize)>,
    zone: &Zone,
) -> Result<Vec<Shown>> {
    let (mut good, mut broken) = (0, BTreeMap::new());
    let mut shown = Vec::new();
    for Tried { first, before, batch } in tried {
        for at in 0..batch.len {
            let row = batch.rows.get(at);
            let breaks = wrong.get(&(batch.file, row)).copied();
            let (count, most) = match breaks {
                None => (&mut good, SHOWN),
                Some(rule) => (broken.entry(rule).or_insert(0), SHOWN_BROKEN),
            };
            if *count >= most {
                continue;
            }
            *count += 1;
            let (mut after, mut ids) = (Vec::new(), Vec::new());
            for (column, array) in export.table.columns.iter().zip(&batch.columns) {
                let Some(array) = array else { continue };
                let text = text_of(array, at, zone)?;
                if column.kind == ColumnType::Id && array.is_valid(at) {
                    ids.push(text.clone());
                    after.push((column.name.clone(), id_shown(&text)));
                } else {
                    after.push((column.name.clone(), cut(&text)));
                }
            }
            let place = usize::try_from(row - first)?;
            let mut columns = Vec::new();
            for (field, array) in before.schema().fields().iter().zip(before.columns()) {
                let text = text_of(array, place, zone)?;
                let is_id = ids.iter().any(|id| id.len() > ID_LETTERS && text.contains(id.as_str()));
                columns.push((field.name().clone(), if is_id { id_shown(&text) } else { cut(&text) }));
            }
            let column = |at: usize| export.table.columns[at].name.clone();
            shown.push(Shown {
                file: export.files[batch.file as usize].file.label.clone(),
                row,
                before: columns,
                after,
                breaks: breaks.map(|(rule, at)| (rule, column(at))),
            });
        }
    }
    Ok(shown)
}

/// A value as people read it; an instant as the clocks of the time zone show it.
///
/// # Errors
/// When values of its type cannot be shown.
pub fn text_of(array: &ArrayRef, row: usize, zone: &Zone) -> Result<String> {
    if array.is_null(row) {
        return Ok("null".to_owned());
    }
    if let DataType::Timestamp(_, Some(to)) = array.data_type() {
        let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(to.clone())))?;
        let micros = cast(&micros, &DataType::Int64)?.as_primitive::<Int64Type>().value(row);
        let clock = jiff::Timestamp::from_microsecond(zone.clock(micros))?;
        return Ok(format!("{} {zone}", clock.strftime("%Y-%m-%d %H:%M:%S%.f")));
    }
    Ok(ArrayFormatter::try_new(array, &FormatOptions::default())?.value(row).try_to_string()?)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// How an id is written, without telling which it is.
fn id_shown(id: &str) -> String {
    let letters = id.chars().count();
    match id.char_indices().nth(ID_LETTERS) {
        None => id.to_owned(),
        Some((at, _)) => format!("{}… ({letters} characters)", &id[..at]),
    }
}
