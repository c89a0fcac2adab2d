//! Two kept runs side by side: who is only in one, whose score moved, and what moved it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, RecordBatch};
use serde::Serialize;

use crate::disclosure::crosstab::{Crosstab, crosstab};
use crate::disclosure::neighbours::{merged, sum};
use crate::disclosure::quantiles::quantiles;
use crate::disclosure::{part, small};
use crate::pipeline::model::{CATEGORIES, RELATIONSHIPS};
use crate::runs::erasure::undisturbed::Undisturbed;
use crate::runs::kept::KeptRun;
use crate::scorecard::card::Origin;
use crate::statistics::proportion::rounded;
use crate::tables::ids::{self, Ids};
use crate::tables::scores::{self, REASONS};
use crate::tables::{columns, features, read};

/// Points in a cell of the histogram of moves.
const CELL: i64 = 10;

/// A column that only one table has, or that has another type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    /// The column.
    pub column: String,
    /// Its type in A, if it is there.
    pub a: Option<String>,
    /// Its type in B, if it is there.
    pub b: Option<String>,
}

/// Points that something moved scores by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contribution {
    /// The category, or feature.
    pub name: String,
    /// Mean of the points moved, over everyone scored in both; nothing where it moved few, or all but few.
    pub mean: Option<f64>,
    /// Mean of their size, likewise.
    pub mean_size: Option<f64>,
    /// Subjects for whom it moved.
    pub subjects: Option<u64>,
}

/// How often a reason is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonChange {
    /// The code.
    pub reason: String,
    /// Subjects who have it in B and not in A.
    pub gained: Option<u64>,
    /// Subjects who have it in A and not in B.
    pub lost: Option<u64>,
}

/// Subjects whose score moved by so many points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The smallest move, B less A.
    pub from: i64,
    /// The largest.
    pub to: i64,
    /// Subjects.
    pub subjects: Option<u64>,
}

/// What differs between two runs. Counts of subjects that are small, or would tell a small one, are null or shown together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs' ids.
    pub runs: [String; 2],
    /// Columns that differ.
    pub schema: Vec<SchemaChange>,
    /// Subjects only in A.
    pub only_a: Option<u64>,
    /// Subjects only in B.
    pub only_b: Option<u64>,
    /// Subjects in both.
    pub both: Option<u64>,
    /// Subjects in both by status.
    pub statuses: Option<Crosstab>,
    /// Subjects scored in both.
    pub scored: Option<u64>,
    /// Those whose score did not move.
    pub unmoved: Option<u64>,
    /// Mean of the moves in points, B less A; nothing where few moved, or all but few.
    pub mean: Option<f64>,
    /// Mean of their size.
    pub mean_size: Option<f64>,
    /// Quantiles of the moves; none beyond which only few subjects are.
    pub quantiles: BTreeMap<String, i64>,
    /// Subjects by move.
    pub histogram: Vec<Moved>,
    /// Subjects scored in both by band.
    pub bands: Option<Crosstab>,
    /// What each category moved, overrides last; together they are the move.
    pub categories: Vec<Contribution>,
    /// What each feature moved, the largest first; before the one rounding, so they add up to about the category's.
    pub features: Vec<Contribution>,
    /// Reasons by how many gained or lost them.
    pub reasons: Vec<ReasonChange>,
}

/// A scored table in memory.
struct Table {
    ids: Ids,
    columns: RecordBatch,
}

/// Compares two runs.
///
/// # Errors
/// When a table cannot be read, the ids of the two are written differently, or subjects are erased meanwhile.
pub fn compare(a: &KeptRun, b: &KeptRun) -> Result<Comparison> {
    let reading = [a, b].map(|run| Undisturbed::begin(&run.run.output));
    let compared = side_by_side(a, b);
    for reading in reading {
        reading?.end()?;
    }
    compared
}

fn side_by_side(a: &KeptRun, b: &KeptRun) -> Result<Comparison> {
    let (one, other) = (table(a)?, table(b)?);
    let min_cell = a.pipeline.settings.privacy.min_cell.max(b.pipeline.settings.privacy.min_cell);
    let (mut pairs, mut only_a, mut only_b) = (Vec::new(), 0, 0);
    ids::matched(&one.ids, &other.ids, &mut |i, j| match (i, j) {
        (Some(i), Some(j)) => pairs.push((i, j)),
        (Some(_), None) => only_a += 1,
        (None, _) => only_b += 1,
    });
    let score = |t: &Table| -> Result<Vec<Option<i16>>> { columns::shorts(&t.columns, scores::SCORE) };
    let (sa, sb) = (score(&one)?, score(&other)?);
    let scored: Vec<(usize, usize)> =
        pairs.iter().copied().filter(|(i, j)| sa[*i].is_some() && sb[*j].is_some()).collect();
    let value = |v: &[Option<i16>], at: usize| i64::from(v[at].unwrap_or(0));
    let mut moves: Vec<i64> = scored.iter().map(|(i, j)| value(&sb, *j) - value(&sa, *i)).collect();
    let (matching, all) = (pairs.len() as u64, moves.len() as u64);
    let enough = all >= min_cell.max(1) && part(all, matching, min_cell).is_some();
    let of_scored = |count: u64| part(count, all, min_cell);
    let total = contribution("", moves.iter().map(|m| *m as f64), &of_scored);
    let categories = if enough { categories(&one, &other, &scored, &moves, &of_scored)? } else { Vec::new() };
    let features = if enough { moved_features(a, b, &one, &other, &scored, &of_scored)? } else { Vec::new() };
    moves.sort_unstable();
    // The two tables' sizes are known, so the one tells the other.
    let only = part(only_a, only_a + matching, min_cell).zip(part(only_b, only_b + matching, min_cell));
    // Where few of the subjects in both are not scored in both, or the other way round, no sum or mean may tell how many.
    let told = part(all, matching, min_cell).is_some();
    let histogram = if told { histogram(&moves, min_cell) } else { Vec::new() };
    let statuses = |run: &KeptRun| run.model.card.status.iter().map(|s| s.get_ref().name.clone()).collect::<Vec<_>>();
    let bands = |run: &KeptRun| run.model.card.band.iter().map(|b| b.get_ref().name.clone()).collect::<Vec<_>>();
    let (by_status, by_band) = ((statuses(a), statuses(b)), (bands(a), bands(b)));
    Ok(Comparison {
        runs: [a.run.id.clone(), b.run.id.clone()],
        schema: schema(&one.columns, &other.columns),
        only_a: only.map(|o| o.0),
        only_b: only.map(|o| o.1),
        both: only.map(|_| matching),
        statuses: counted(&one, &other, &pairs, scores::STATUS, &by_status, min_cell)?.filter(|_| only.is_some()),
        scored: part(all, matching, min_cell),
        unmoved: histogram.iter().find(|m| m.from == 0 && m.to == 0).and_then(|m| m.subjects),
        mean: total.mean.filter(|_| enough),
        mean_size: total.mean_size.filter(|_| enough),
        quantiles: quantiles(&moves, min_cell)
            .into_iter()
            .filter_map(|(name, q)| Some((name.to_owned(), q.filter(|_| enough)?)))
            .collect(),
        histogram,
        bands: counted(&one, &other, &scored, scores::BAND, &by_band, min_cell)?.filter(|_| told),
        categories,
        features,
        reasons: reasons(&one, &other, &pairs, &|count| part(count, matching, min_cell))?,
    })
}

/// Sorted moves in cells: who did not move, and so many points up or down.
fn histogram(moves: &[i64], min_cell: u64) -> Vec<Moved> {
    let cell = |m: i64| m.signum() * ((m.abs() + CELL - 1) / CELL);
    let cells: Vec<&[i64]> = moves.chunk_by(|a, b| cell(*a) == cell(*b)).collect();
    let counts: Vec<[u64; 1]> = cells.iter().map(|c| [c.len() as u64]).collect();
    let ends = |m: i64| match cell(m) {
        0 => (0, 0),
        n if n > 0 => (CELL * (n - 1) + 1, CELL * n),
        n => (CELL * n, CELL * (n + 1) - 1),
    };
    let runs = merged(&counts, min_cell).into_iter().filter(|run| !run.is_empty());
    let moved = |run: std::ops::Range<usize>| {
        let subjects = sum(&counts, run.clone())[0];
        let (from, to) = (ends(cells[run.start][0]).0, ends(cells[run.end - 1][0]).1);
        Moved { from, to, subjects: (!small(subjects, min_cell)).then_some(subjects) }
    };
    runs.map(moved).collect()
}

fn table(run: &KeptRun) -> Result<Table> {
    let columns = read::all(&run.scores(), None)?;
    let mut all = Ids::default();
    ids::push(columns::named(&columns, scores::SUBJECT_ID)?, &mut all)?;
    Ok(Table { ids: all, columns })
}

fn schema(a: &RecordBatch, b: &RecordBatch) -> Vec<SchemaChange> {
    let kind =
        |batch: &RecordBatch, name: &str| batch.schema().field_with_name(name).ok().map(|f| f.data_type().to_string());
    let (sa, sb) = (a.schema(), b.schema());
    let mut names: Vec<&String> = sa.fields().iter().chain(sb.fields()).map(|f| f.name()).collect();
    names.sort();
    names.dedup();
    let changes = names.into_iter().map(|n| SchemaChange { column: n.clone(), a: kind(a, n), b: kind(b, n) });
    changes.filter(|c| c.a != c.b).collect()
}

/// Counts by a column's text in A and in B, in order of the models' names.
fn counted(
    a: &Table,
    b: &Table,
    pairs: &[(usize, usize)],
    column: &str,
    (before, now): &(Vec<String>, Vec<String>),
    min_cell: u64,
) -> Result<Option<Crosstab>> {
    let (ta, tb) = (columns::texts(&a.columns, column)?, columns::texts(&b.columns, column)?);
    let place = |names: &[String], text: &str| {
        names.iter().position(|n| n == text).with_context(|| format!("the model has no {column} {text}"))
    };
    let mut counts = vec![vec![0; now.len()]; before.len()];
    for (i, j) in pairs {
        counts[place(before, ta.value(*i))?][place(now, tb.value(*j))?] += 1;
    }
    Ok(crosstab(before, now, &counts, min_cell))
}

fn contribution(name: &str, moved: impl Iterator<Item = f64>, cell: &dyn Fn(u64) -> Option<u64>) -> Contribution {
    let (mut n, mut sum, mut size, mut subjects) = (0_u64, 0.0, 0.0, 0);
    for points in moved {
        n += 1;
        sum += points;
        size += points.abs();
        subjects += u64::from(points != 0.0);
    }
    let subjects = cell(subjects);
    let mean = |sum: f64| subjects.map(|_| rounded(sum / n.max(1) as f64, 2));
    Contribution { name: name.to_owned(), mean: mean(sum), mean_size: mean(size), subjects }
}

fn categories(
    a: &Table,
    b: &Table,
    scored: &[(usize, usize)],
    moves: &[i64],
    cell: &dyn Fn(u64) -> Option<u64>,
) -> Result<Vec<Contribution>> {
    let mut rest: Vec<i64> = moves.to_vec();
    let mut found = Vec::with_capacity(CATEGORIES.len() + 1);
    for category in CATEGORIES {
        let column = scores::points(category);
        let (pa, pb) = (columns::shorts(&a.columns, &column)?, columns::shorts(&b.columns, &column)?);
        let of = |v: &[Option<i16>], at: usize| i64::from(v[at].unwrap_or(0));
        let moved: Vec<i64> = scored.iter().map(|(i, j)| of(&pb, *j) - of(&pa, *i)).collect();
        rest.iter_mut().zip(&moved).for_each(|(rest, moved)| *rest -= moved);
        found.push(contribution(category, moved.iter().map(|m| *m as f64), cell));
    }
    found.push(contribution("overrides", rest.iter().map(|m| *m as f64), cell));
    Ok(found)
}

/// What each feature of a subject's own records moved. What the two models call differently is in one of them only.
fn moved_features(
    a: &KeptRun,
    b: &KeptRun,
    one: &Table,
    other: &Table,
    scored: &[(usize, usize)],
    cell: &dyn Fn(u64) -> Option<u64>,
) -> Result<Vec<Contribution>> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for card in [&a.card, &b.card] {
        for feature in card.features.iter().filter(|f| f.category != RELATIONSHIPS) {
            if !names.contains(&(feature.name.as_str(), feature.category)) {
                names.push((&feature.name, feature.category));
            }
        }
    }
    let (ga, gb) = (segments(a, one)?, segments(b, other)?);
    let mut found = Vec::with_capacity(names.len());
    for (name, category) in names {
        let (pa, pb) = (points(a, name, category, &ga)?, points(b, name, category, &gb)?);
        let of = |points: &Option<Vec<f64>>, at: usize| points.as_ref().map_or(0.0, |p| p[at]);
        found.push(contribution(name, scored.iter().map(|(i, j)| of(&pb, *j) - of(&pa, *i)), cell));
    }
    let size = |c: &Contribution| c.mean_size.unwrap_or(-1.0);
    found.sort_by(|x, y| size(y).total_cmp(&size(x)).then_with(|| x.name.cmp(&y.name)));
    Ok(found)
}

/// The position of each subject's segment in the model.
fn segments(run: &KeptRun, table: &Table) -> Result<Vec<usize>> {
    let names: Vec<&str> = run.model.card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
    let texts = columns::texts(&table.columns, scores::SEGMENT)?;
    let position = |text: Option<&str>| names.iter().position(|n| Some(*n) == text).context("an unknown segment");
    texts.iter().map(position).collect()
}

/// The points, before rounding, that a feature gives each subject; nothing when the model does not score it.
fn points(run: &KeptRun, name: &str, category: usize, segments: &[usize]) -> Result<Option<Vec<f64>>> {
    let Some(feature) = run.card.features.iter().find(|f| f.name == name && f.category == category) else {
        return Ok(None);
    };
    let Origin::Plan(position) = feature.origin else { return Ok(None) };
    let path = run.features(&run.plan.features[position].category);
    if !path.exists() {
        bail!("run {}: {} is missing; the moves of features cannot be told", run.run.id, path.display());
    }
    let none = features::none_column(name);
    let (values, nones) = features::values(&read::all(&path, Some(&[name, &none]))?, name)?;
    let worth = |segment: usize, bin: u8| run.card.feature_points(segment, feature, bin);
    let of = |(s, segment): (usize, &usize)| worth(*segment, feature.bin(values[s], nones[s] == 1));
    Ok(Some(segments.iter().enumerate().map(of).collect()))
}

fn reasons(
    a: &Table,
    b: &Table,
    pairs: &[(usize, usize)],
    cell: &dyn Fn(u64) -> Option<u64>,
) -> Result<Vec<ReasonChange>> {
    let columns =
        |t: &Table| (1..=REASONS).map(|n| columns::texts(&t.columns, &scores::reason(n))).collect::<Result<Vec<_>>>();
    let (ra, rb) = (columns(a)?, columns(b)?);
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (i, j) in pairs {
        let had = |code: &str| ra.iter().any(|r| r.is_valid(*i) && r.value(*i) == code);
        let has = |code: &str| rb.iter().any(|r| r.is_valid(*j) && r.value(*j) == code);
        for code in rb.iter().filter(|r| r.is_valid(*j)).map(|r| r.value(*j)).filter(|c| !had(c)) {
            counts.entry(code).or_default().0 += 1;
        }
        for code in ra.iter().filter(|r| r.is_valid(*i)).map(|r| r.value(*i)).filter(|c| !has(c)) {
            counts.entry(code).or_default().1 += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(code, (gained, lost))| (std::cmp::Reverse(gained + lost), *code));
    let change = |(code, (gained, lost)): (&str, (u64, u64))| ReasonChange {
        reason: code.to_owned(),
        gained: cell(gained),
        lost: cell(lost),
    };
    Ok(counts.into_iter().map(change).collect())
}
