//! A training set, read column by column and laid out for fitting.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use jiff::civil::Date;

use super::cuts::{candidates, two_digits};
use super::sample::{FOLDS, Feature, Rows, Sample, may_be_fitted, whole};
use crate::expression::product;
use crate::pipeline::Model;
use crate::pipeline::catalogue::{Aggregate, Declaration, Direction, Unit};
use crate::pipeline::model::{CATEGORIES, FULL_SHARE, RELATIONSHIPS};
use crate::scorecard::Scorecard;
use crate::scorecard::card::{CardFeature, Origin, WEIGHTS_ONE};
use crate::statistics::ranking::Levels;
use crate::tables::dataset::{BAD, FILE, HORIZON, WEIGHT};
use crate::tables::ids::{Ids, push};
use crate::tables::scores::{OVERRIDE, SCORE, SCORE_BEFORE_OVERRIDE, SEGMENT, SUBJECT_ID, points};
use crate::tables::{columns, features, read};

/// Which bins a fit may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bins {
    /// Those of the start model.
    #[default]
    Given,
    /// Those, and new ones where outcomes tell of them.
    New,
}

/// Whether categories keep their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// They keep them.
    #[default]
    Keep,
    /// They get those that outcomes ask for, in the same ratio to the old ones in every segment; together they weigh as much as before.
    Free,
}

/// What is missing: whether it is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is worth what it is in the start model, mostly nothing either way.
    #[default]
    Neutral,
    /// It is worth what outcomes say.
    Free,
}

/// What is read.
pub struct Request<'a> {
    /// The folder of the training set.
    pub folder: &'a Path,
    /// Its dates, in order, and whether a fit is made on each; the others are only validated on.
    pub dates: &'a [(Date, bool)],
    /// The start model.
    pub model: &'a Model,
    /// Its card.
    pub card: &'a Scorecard,
    /// The run's currency over the model's; see [`Scorecard::new`].
    pub money: f64,
    /// Which bins a fit may use.
    pub bins: Bins,
    /// Whether what is missing is fitted.
    pub missing: Missing,
    /// Days after which an older row weighs half as much.
    pub half_life_days: Option<f64>,
}

/// A sample, and what was left out of it.
#[derive(Debug)]
pub struct Loaded {
    /// The sample.
    pub sample: Sample,
    /// By fold the candidate cuts of each feature when that fold is left out; the last are those of all rows.
    pub cuts: Vec<Vec<Vec<f64>>>,
    /// Rows whose score a policy rule lowered, which tells nothing of the card.
    pub overridden: u64,
    /// Features that are not fitted, with why.
    pub held: Vec<(String, &'static str)>,
    /// The horizon of all rows, in days.
    pub horizon_days: i64,
    /// Features that alone tell the outcome nearly, with the area under their ROC curve.
    pub leaks: Vec<(String, f64)>,
}

/// A feature of all rows.
#[derive(Clone, Copy)]
struct Column<'a> {
    /// Its values.
    values: &'a [f64],
    /// Whether a missing one had no opportunity.
    nones: &'a [bool],
    /// Which rows are trained on.
    trained: &'a [bool],
    /// Whether what is missing is fitted.
    free_missing: bool,
}

/// A file, and which of its rows are taken.
struct File {
    path: PathBuf,
    taken: Vec<bool>,
}

impl Request<'_> {
    /// Reads the training set.
    ///
    /// # Errors
    /// When it is damaged, or its outcomes have different horizons.
    pub fn load(&self) -> Result<Loaded> {
        let mut rows = Rows::default();
        let last = self.dates.iter().filter(|d| d.1).map(|d| d.0).max().context("no date")?;
        let mut files = Vec::new();
        let mut horizons = Vec::new();
        let mut overridden = 0;
        let mut numbers: HashMap<[u8; 16], u32> = HashMap::new();
        for (at, (date, _)) in self.dates.iter().enumerate() {
            let path = self.folder.join(format!("as_of={date}")).join(FILE);
            let before = rows.score.len();
            let mut taken = Vec::new();
            let friends = points(CATEGORIES[RELATIONSHIPS]);
            let names =
                [SUBJECT_ID, HORIZON, BAD, WEIGHT, SEGMENT, SCORE, OVERRIDE, SCORE_BEFORE_OVERRIDE, friends.as_str()];
            for batch in read::batches(&path, Some(&names))? {
                overridden += self.rows(&batch?, &friends, &mut rows, &mut taken, &mut horizons, &mut numbers)?;
            }
            if let Some(half_life) = self.half_life_days {
                let days = date.until(last)?.get_days();
                let factor = libm::exp2(-f64::from(days.max(0)) / half_life);
                rows.weight[before..].iter_mut().for_each(|weight| *weight *= factor);
            }
            rows.date.resize(rows.date.len() + rows.score.len() - before, u16::try_from(at)?);
            files.push(File { path, taken });
        }
        let horizon_days = one_horizon(horizons)?;
        let reference = reference(&rows, self.card);
        let mut sample = Sample {
            features: Vec::new(),
            factors: vec![Vec::new(); self.card.weights.len()],
            percent: self.card.weights.iter().map(|of| of.map(|w| w * 100 / WEIGHTS_ONE)).collect(),
            reference,
            rows,
        };
        let mut cuts = vec![Vec::new(); usize::from(FOLDS) + 1];
        let (mut held, mut leaks) = (Vec::new(), Vec::new());
        let trained: Vec<bool> = sample.rows.date.iter().map(|d| self.dates[usize::from(*d)].1).collect();
        for (place, feature) in self.card.features.iter().enumerate() {
            if !matches!(feature.origin, Origin::Plan(_)) {
                continue;
            }
            let (values, nones) = column(&files, &feature.name)?;
            let in_reference = whole(self.card, reference, feature);
            let fitted = may_be_fitted(self.card, place) && in_reference > 0.0;
            if !fitted {
                held.push((feature.name.clone(), "it does not count in every segment"));
            }
            if let Some(auc) = telling(&values, &sample.rows, &trained) {
                leaks.push((feature.name.clone(), auc));
            }
            let told = (0..values.len()).any(|n| trained[n] && !values[n].is_nan());
            let free_missing = fitted && told && self.missing == Missing::Free;
            if !free_missing {
                self.hold(feature, fitted, &values, &nones, &mut sample.rows);
            }
            if fitted {
                let column = Column { values: &values, nones: &nones, trained: &trained, free_missing };
                let (feature, of_folds) = self.feature(place, in_reference, &column, &sample.rows)?;
                cuts.iter_mut().zip(of_folds).for_each(|(all, of)| all.push(of));
                for (segment, factors) in sample.factors.iter_mut().enumerate() {
                    factors.push(whole(self.card, segment, &self.card.features[place]) / in_reference);
                }
                sample.features.push(feature);
            }
        }
        Ok(Loaded { sample, cuts, overridden, held, horizon_days, leaks })
    }

    /// Adds a batch's rows; returns how many are left out because a policy rule lowered their score.
    fn rows(
        &self,
        batch: &RecordBatch,
        friends: &str,
        rows: &mut Rows,
        taken: &mut Vec<bool>,
        horizons: &mut Vec<i64>,
        numbers: &mut HashMap<[u8; 16], u32>,
    ) -> Result<u64> {
        let segments: Vec<&str> = self.model.card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let mut ids = Ids::default();
        push(columns::named(batch, SUBJECT_ID)?, &mut ids)?;
        let (bad, weight) = (columns::flags(batch, BAD)?, columns::doubles(batch, WEIGHT)?);
        let (segment, rule) = (columns::texts(batch, SEGMENT)?, columns::texts(batch, OVERRIDE)?);
        let (score, friends) = (columns::shorts(batch, SCORE)?, columns::shorts(batch, friends)?);
        horizons.extend(columns::longs(batch, HORIZON)?);
        horizons.sort_unstable();
        horizons.dedup();
        let mut overridden = 0;
        for n in 0..batch.num_rows() {
            let lowered = arrow::array::Array::is_valid(&rule, n);
            let (Some(score), Some(friends), false) = (score[n], friends[n], lowered) else {
                overridden += u64::from(lowered);
                taken.push(false);
                continue;
            };
            rows.place.push(u32::try_from(taken.len())?);
            taken.push(true);
            let at =
                segments.iter().position(|s| *s == segment.value(n)).context("a segment the model does not have")?;
            let mut name = [0; 16];
            name.copy_from_slice(&blake3::hash(ids.get(n)).as_bytes()[..16]);
            let next = u32::try_from(numbers.len())?;
            let neutral = (self.card.range * self.card.weights[at][RELATIONSHIPS] * self.card.neutral_share) as f64
                / (FULL_SHARE * WEIGHTS_ONE) as f64;
            rows.segment.push(u8::try_from(at)?);
            rows.bad.push(bad[n] == 1);
            rows.weight.push(weight[n]);
            rows.score.push(score);
            rows.held[RELATIONSHIPS].push(f64::from(friends) - neutral);
            rows.subject.push(*numbers.entry(name).or_insert(next));
            rows.fold.push(fold(ids.get(n), &name));
        }
        Ok(overridden)
    }

    /// Adds the points that are not fitted: all of a feature that is held, otherwise those of missing values.
    fn hold(&self, feature: &CardFeature, fitted: bool, values: &[f64], nones: &[bool], rows: &mut Rows) {
        for n in (0..values.len()).filter(|n| !fitted || values[*n].is_nan()) {
            let share = feature.shares[usize::from(feature.bin(values[n], nones[n]))] - self.card.neutral_share;
            if share == 0 {
                continue;
            }
            let whole = whole(self.card, usize::from(rows.segment[n]), feature);
            let held = if fitted { &mut rows.missing } else { &mut rows.held };
            let held = &mut held[feature.category];
            held.resize(values.len(), 0.0);
            held[n] += whole * share as f64 / FULL_SHARE as f64;
        }
    }

    /// A feature that is fitted, and its cuts when each fold is left out, and when none is.
    fn feature(&self, place: usize, whole: f64, column: &Column, rows: &Rows) -> Result<(Feature, Vec<Vec<f64>>)> {
        let Column { values, trained, .. } = *column;
        let card = &self.card.features[place];
        let declared = &self.model.catalogue.feature(&card.name).context("a feature without a declaration")?.declared;
        let factor = if declared.unit == Unit::Money { self.money } else { 1.0 };
        let cuts: Vec<Vec<f64>> = match self.bins {
            Bins::Given => vec![card.edges.clone(); usize::from(FOLDS) + 1],
            Bins::New => {
                let mut sorted: Vec<(f64, u8)> = (0..values.len())
                    .filter(|n| trained[*n] && !values[*n].is_nan())
                    .map(|n| (values[n], rows.fold[n]))
                    .collect();
                sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                let without = |fold: u8| -> Vec<f64> { sorted.iter().filter(|v| v.1 != fold).map(|v| v.0).collect() };
                let in_model = |value: f64| product(written(two_digits(value) / factor), factor);
                (0..=FOLDS).map(|fold| candidates(&without(fold), &card.edges, &in_model)).collect()
            }
        };
        let mut finest: Vec<f64> = cuts.iter().flatten().copied().collect();
        finest.sort_by(f64::total_cmp);
        finest.dedup();
        let unknown = u8::try_from(finest.len() + 2).with_context(|| format!("`{}` has too many cuts", card.name))?;
        let bin = |(value, none): (&f64, &bool)| match value.is_nan() {
            true => Ok(unknown - u8::from(*none)),
            false => u8::try_from(finest.partition_point(|e| e <= value)),
        };
        let bins = values.iter().zip(column.nones).map(bin).collect::<Result<_, _>>()?;
        let feature = Feature {
            name: card.name.clone(),
            place,
            category: card.category,
            rising: declared.direction != Direction::LowerIsBetter,
            importance: card.importance,
            edges: card.edges.clone(),
            shares: card.shares[..card.none()].to_vec(),
            missing_shares: [card.shares[card.none()], card.shares[card.unknown()]],
            free_missing: column.free_missing,
            first_good: first_good(declared),
            whole,
            finest,
            bins,
        };
        Ok((feature, cuts))
    }
}

/// The area under the ROC curve of a feature alone, either way round, or of its being missing, when it is beyond [`LEAK`].
fn telling(values: &[f64], rows: &Rows, trained: &[bool]) -> Option<f64> {
    let mut told: Vec<(f64, bool)> =
        (0..values.len()).filter(|n| trained[*n] && !values[*n].is_nan()).map(|n| (values[n], rows.bad[n])).collect();
    told.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let levels = |of: &mut dyn Iterator<Item = (i64, bool)>| Levels::of(of.collect::<Vec<_>>().into_iter());
    let ranks =
        told.chunk_by(|a, b| a.0 == b.0).zip(0_i64..).flat_map(|(same, rank)| same.iter().map(move |v| (rank, v.1)));
    let by_value = levels(&mut ranks.into_iter());
    let missing = (0..values.len()).filter(|n| trained[*n]).map(|n| (i64::from(values[n].is_nan()), rows.bad[n]));
    let by_missing = levels(&mut missing.into_iter());
    // A handful of values of either class tells nothing.
    let enough = |l: &Levels| l.all().good >= 20 && l.all().bad >= 20;
    let area = |l: &Levels| l.ranking().filter(|_| enough(l)).map(|r| r.auc.max(1.0 - r.auc));
    [by_value, by_missing].iter().filter_map(area).find(|auc| *auc > LEAK)
}

/// A feature that alone has a larger area under its ROC curve is taken to know the outcome.
const LEAK: f64 = 0.95;

/// Rates after one good event, newest and as old as the window allows: `check` wants none of them worth less than no opportunity.
fn first_good(declared: &Declaration) -> Vec<f64> {
    let (Aggregate::Share, Some(prior), Some(strength)) = (declared.aggregate, declared.prior, declared.prior_strength)
    else {
        return Vec::new();
    };
    let good = if declared.direction == Direction::HigherIsBetter { 1.0 } else { 0.0 };
    vec![(good + product(prior, strength)) / (1.0 + strength), prior]
}

/// A number as a model file has it, with twelve digits.
#[must_use]
pub fn written(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The part of the subjects that one belongs to, told by its id alone, so that others can split the same way: its first eight
/// hexadecimal digits, or those of its BLAKE3 hash when it does not begin with such.
#[must_use]
pub fn fold(id: &[u8], hash: &[u8; 16]) -> u8 {
    let digits = id.get(..8).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u32::from_str_radix(d, 16).ok());
    let number = digits.unwrap_or_else(|| u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    // A remainder is less than what is divided by, and that is a byte.
    (number % u32::from(FOLDS)).to_le_bytes()[0]
}

/// The one horizon that outcomes were observed over.
///
/// # Errors
/// When there are several.
pub fn one_horizon(mut horizons: Vec<i64>) -> Result<i64> {
    horizons.sort_unstable();
    horizons.dedup();
    let [horizon_days] = horizons[..] else {
        let days: Vec<String> = horizons.iter().map(ToString::to_string).collect();
        anyhow::bail!("the outcomes are over {} days; name one of these with --horizon", days.join(", "));
    };
    Ok(horizon_days)
}

/// The segment with the most rows.
fn reference(rows: &Rows, card: &Scorecard) -> usize {
    let count = |s: usize| rows.segment.iter().filter(|r| usize::from(**r) == s).count();
    (0..card.weights.len()).max_by_key(|s| (count(*s), std::cmp::Reverse(*s))).unwrap_or(0)
}

/// A feature of the taken rows of every file.
fn column(files: &[File], feature: &str) -> Result<(Vec<f64>, Vec<bool>)> {
    let (mut all, mut all_nones) = (Vec::new(), Vec::new());
    let none = features::none_column(feature);
    for file in files {
        let mut row = 0;
        for batch in read::batches(&file.path, Some(&[feature, none.as_str()]))? {
            let (values, nones) = features::values(&batch?, feature)?;
            ensure!(row + values.len() <= file.taken.len(), "{} changed while it was read", file.path.display());
            for n in (0..values.len()).filter(|n| file.taken[row + n]) {
                all.push(values[n]);
                all_nones.push(nones[n] == 1);
            }
            row += values.len();
        }
    }
    Ok((all, all_nones))
}
