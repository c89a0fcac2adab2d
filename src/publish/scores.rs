//! The scored table: one row per subject, sorted by id.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, Int16Array, Int32Array, Int64Array, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use super::parquet_file::{GROUP_ROWS, ParquetFile, properties};
use crate::ingest::spine::{IdForm, SubjectIds, from_ordered};
use crate::pipeline::Model;
use crate::pipeline::model::CATEGORIES;
use crate::score::Scorecard;
use crate::score::population::Population;
use crate::score::reasons::REASONS;
use crate::score::rows::NONE;

/// What the table's metadata says, so that equal scores are equal bytes wherever and whenever they were made.
#[derive(Debug, Clone)]
pub struct Label {
    /// The as-of date.
    pub as_of: String,
    /// The knowledge cut-off.
    pub known_by: String,
    /// `name-version` of the model.
    pub model: String,
    /// Hash of the model and catalogue files.
    pub model_hash: String,
    /// Version of the program.
    pub program: String,
}

/// What the table is written from.
pub struct Table<'a> {
    /// The subjects.
    pub subjects: &'a SubjectIds,
    /// Their scores.
    pub population: &'a Population,
    /// The scorecard.
    pub card: &'a Scorecard,
    /// The model.
    pub model: &'a Model,
}

/// What the rows of a table say, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Scored subjects by reason code that they are given, in order of the model file.
    pub reasons: Vec<u64>,
    /// Scored subjects by the points of each category.
    pub categories: [Vec<u64>; 5],
}

impl Told {
    fn add(&mut self, explained: &Explained) {
        let given = explained.reasons.iter().copied().chain(explained.of_friends);
        given.for_each(|code| self.reasons.get_mut(code).into_iter().for_each(|count| *count += 1));
        for (counts, points) in self.categories.iter_mut().zip(explained.points) {
            let points = usize::try_from(points).unwrap_or(0);
            counts.resize(counts.len().max(points + 1), 0);
            counts[points] += 1;
        }
    }
}

/// Writes the table and counts what it says; `written` is told of the rows of each row group.
///
/// # Errors
/// When the disk is full, or the first error of `written`.
pub fn write(path: &Path, table: &Table, label: &Label, written: &dyn Fn(u64) -> Result<()>) -> Result<Told> {
    let schema = schema(table.subjects);
    let id = ColumnPath::from("subject_id");
    let metadata = [
        ("sesame.as_of", &label.as_of),
        ("sesame.known_by", &label.known_by),
        ("sesame.model", &label.model),
        ("sesame.model_hash", &label.model_hash),
        ("sesame.program", &label.program),
    ];
    let metadata = metadata.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v.clone())).collect();
    let properties = properties()?
        .set_column_bloom_filter_enabled(id.clone(), true)
        .set_column_bloom_filter_max_ndv(id.clone(), GROUP_ROWS as u64)
        .set_column_dictionary_enabled(id, false)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut file = ParquetFile::create(path, schema, properties)?;
    let mut told = Told { reasons: vec![0; table.card.reasons.len()], ..Told::default() };
    let mut from = 0;
    while from < table.subjects.len() {
        let to = (from + GROUP_ROWS).min(table.subjects.len());
        let explained = table.explained(from, to);
        let scored = |at: &usize| table.population.rows.score[from + at] != NONE;
        (0..to - from).filter(scored).for_each(|at| told.add(&explained[at]));
        file.write(table.columns(from, to, &explained))?;
        written((to - from) as u64)?;
        from = to;
    }
    file.finish()?;
    Ok(told)
}

fn schema(subjects: &SubjectIds) -> SchemaRef {
    let id = match subjects.form {
        IdForm::Text => DataType::Utf8,
        IdForm::Binary if !subjects.is_empty() => {
            DataType::FixedSizeBinary(i32::try_from(subjects.ids.get(0).len()).unwrap_or(i32::MAX))
        }
        IdForm::Binary => DataType::FixedSizeBinary(1),
        IdForm::Integer => DataType::Int64,
    };
    let mut fields = vec![
        Field::new("subject_id", id, false),
        Field::new("segment", DataType::Utf8, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("score", DataType::Int16, true),
        Field::new("band", DataType::Utf8, true),
        Field::new("rank", DataType::Int64, true),
        Field::new("percentile", DataType::Int16, true),
        Field::new("confidence", DataType::Float64, false),
    ];
    fields.extend(CATEGORIES.iter().map(|c| Field::new(format!("points_{c}"), DataType::Int16, true)));
    fields.extend(CATEGORIES.iter().map(|c| Field::new(format!("max_{c}"), DataType::Int16, true)));
    fields.extend((1..=REASONS).map(|n| Field::new(format!("reason_{n}"), DataType::Utf8, true)));
    fields.extend([
        Field::new("reason_relationship", DataType::Utf8, true),
        Field::new("override", DataType::Utf8, true),
        Field::new("score_before_override", DataType::Int16, true),
        Field::new("disputed_records", DataType::Int32, false),
        Field::new("score_with_disputed", DataType::Int16, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// What one subject's row needs beyond its plain columns.
struct Explained {
    points: [i64; 5],
    maxima: [i64; 5],
    reasons: [usize; REASONS],
    of_friends: Option<usize>,
}

const NO_REASON: usize = usize::MAX;

impl Table<'_> {
    fn explained(&self, from: usize, to: usize) -> Vec<Explained> {
        let maxima: Vec<[i64; 5]> = (0..self.card.weights.len()).map(|s| self.card.maxima(s)).collect();
        (from..to).into_par_iter().map(|s| self.explain(s, &maxima)).collect()
    }

    fn columns(&self, from: usize, to: usize, explained: &[Explained]) -> Vec<ArrayRef> {
        let rows = &self.population.rows;
        let card = &self.model.card;
        let scored = |s: usize| rows.score[s] != NONE;
        let score = |v: &[i16]| -> ArrayRef {
            Arc::new(v[from..to].iter().map(|v| (*v != NONE).then_some(*v)).collect::<Int16Array>())
        };
        let segments: Vec<&str> = card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let statuses: Vec<&str> = card.status.iter().map(|s| s.get_ref().name.as_str()).collect();
        let policies: Vec<&str> = card.policy.iter().map(|p| p.get_ref().code.as_str()).collect();
        let points = |of: &dyn Fn(&Explained) -> i64| -> ArrayRef {
            let values = explained
                .iter()
                .zip(from..to)
                .map(|(e, s)| scored(s).then(|| i16::try_from(of(e)).unwrap_or(i16::MAX)));
            Arc::new(values.collect::<Int16Array>())
        };
        let ranks = (from..to)
            .map(|s| scored(s).then(|| i64::try_from(self.population.rank(rows.score[s])).unwrap_or(i64::MAX)));
        let percentiles = (from..to)
            .map(|s| scored(s).then(|| i16::try_from(self.population.percentile(rows.score[s])).unwrap_or(i16::MAX)));
        let mut columns: Vec<ArrayRef> = vec![
            self.ids(from, to),
            text((from..to).map(|s| Some(segments[usize::from(rows.segment[s])]))),
            text((from..to).map(|s| Some(statuses[usize::from(rows.status[s])]))),
            score(&rows.score),
            text((from..to).map(|s| scored(s).then(|| card.band(i64::from(rows.score[s]))))),
            Arc::new(ranks.collect::<Int64Array>()),
            Arc::new(percentiles.collect::<Int16Array>()),
            Arc::new((from..to).map(|s| Some(f64::from(rows.confidence[s]) / 1000.0)).collect::<Float64Array>()),
        ];
        columns.extend((0..5).map(|c| points(&|e| e.points[c])));
        columns.extend((0..5).map(|c| points(&|e| e.maxima[c])));
        for n in 0..REASONS {
            columns.push(text(explained.iter().map(|e| self.card.reasons.get(e.reasons[n]).map(String::as_str))));
        }
        let of_friends = |e: &Explained| e.of_friends.and_then(|r| self.card.reasons.get(r)).map(String::as_str);
        columns.push(text(explained.iter().map(of_friends)));
        columns.push(text((from..to).map(|s| rows.policy[s].map(|p| policies[usize::from(p)]))));
        columns.push(score(&rows.before));
        columns.push(Arc::new(Int32Array::from(rows.disputed[from..to].to_vec())));
        columns.push(score(&rows.with_disputed));
        columns
    }

    /// What friends move a subject's score by, in points.
    #[must_use]
    pub fn lift(&self, s: usize) -> i64 {
        let (rows, width) = (&self.population.rows, self.card.features.len());
        self.card.lift(usize::from(rows.segment[s]), &rows.bins[s * width..(s + 1) * width])
    }

    fn explain(&self, s: usize, maxima: &[[i64; 5]]) -> Explained {
        let rows = &self.population.rows;
        let (segment, width) = (usize::from(rows.segment[s]), self.card.features.len());
        let bins = &rows.bins[s * width..(s + 1) * width];
        let named = |code: &Option<String>| code.as_ref().and_then(|c| self.card.reasons.iter().position(|r| r == c));
        let mut codes: Vec<usize> = Vec::with_capacity(REASONS + 1);
        if rows.score[s] == NONE {
            codes.extend(named(&self.model.card.status[usize::from(rows.status[s])].get_ref().reason));
        } else {
            codes.extend(
                rows.policy[s]
                    .and_then(|p| named(&Some(self.model.card.policy[usize::from(p)].get_ref().reason.clone()))),
            );
            let first = codes.first().copied();
            codes.extend(self.population.shortfalls.top(segment, bins).into_iter().filter(|c| Some(*c) != first));
        }
        let mut reasons = [NO_REASON; REASONS];
        for (to, code) in reasons.iter_mut().zip(codes) {
            *to = code;
        }
        // Nothing is said about friends unless there are enough of them.
        let told = rows.score[s] != NONE && self.card.tells_of_friends(bins);
        let of_friends = if told { self.population.shortfalls.of_friends(segment, bins) } else { None };
        Explained { points: self.card.points(segment, bins).categories, maxima: maxima[segment], reasons, of_friends }
    }

    fn ids(&self, from: usize, to: usize) -> ArrayRef {
        ids(self.subjects, from..to)
    }
}

/// A column of words, made without a copy of each.
fn text<'a>(words: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    words.for_each(|word| column.append_option(word));
    Arc::new(column.finish())
}

/// The ids of some subjects as they were written.
#[must_use]
pub fn ids(subjects: &SubjectIds, of: impl Iterator<Item = usize> + Clone) -> ArrayRef {
    match subjects.form {
        IdForm::Text => Arc::new(of.map(|s| std::str::from_utf8(subjects.ids.get(s)).ok()).collect::<StringArray>()),
        IdForm::Integer => {
            let value = |s: usize| subjects.ids.get(s).try_into().map(from_ordered).ok();
            Arc::new(of.map(value).collect::<Int64Array>())
        }
        IdForm::Binary => {
            let width =
                if subjects.is_empty() { 1 } else { i32::try_from(subjects.ids.get(0).len()).unwrap_or(i32::MAX) };
            let values = of.map(|s| Some(subjects.ids.get(s)));
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width)
                .map_or_else(|_| Arc::new(StringArray::new_null(0)) as ArrayRef, |array| Arc::new(array) as ArrayRef)
        }
    }
}
