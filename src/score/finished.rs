//! Scored subjects as the rows of the table: names for numbers, points by category, rank, and the reasons.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::ArrayRef;
use arrow::datatypes::{Float64Type, Int16Type, Int32Type, Int64Type};

use super::explained::{Explained, Explainer};
use super::points::{Fits, OFF, Points};
use super::population::Population;
use super::rows::NONE;
use super::told::Told;
use crate::pipeline::Model;
use crate::pipeline::calibration::neutral;
use crate::scorecard::Scorecard;
use crate::storage::hashes::Hash;
use crate::tables::ids::SubjectIds;
use crate::tables::scores::{Label, Rows, ScoresFile};
use crate::tables::words::{NO_WORD, Words, nulls, numbers};

/// What the rows are made from.
#[derive(Clone, Copy)]
pub struct Finished<'a> {
    /// Everyone's score.
    pub population: &'a Population,
    /// The scorecard.
    pub card: &'a Scorecard,
    /// The model.
    pub model: &'a Model,
}

/// What rows name by number, and what every score has: looked up once for all subjects.
struct Known {
    segments: Words,
    statuses: Words,
    bands: Words,
    reasons: Words,
    policies: Words,
    /// The most points by category, of each segment.
    most: Vec<[i16; 5]>,
    /// The band of each score that somebody has, from 0.
    band: Vec<u32>,
    /// The rank of each.
    rank: Vec<i64>,
    /// The percentile of each.
    percentile: Vec<i16>,
    /// The probability of going bad of each, of a calibrated model.
    pd: Option<Vec<f64>>,
}

impl Known {
    fn of(finished: &Finished) -> Result<Self> {
        let (population, card) = (finished.population, &finished.model.card);
        // The last is of a score below all bands.
        let bands: Vec<&str> = card.band.iter().map(|b| b.get_ref().name.as_str()).chain([""]).collect();
        let band = |score: i16| -> Result<u32> {
            let name = card.band(i64::from(score));
            let at = bands.iter().position(|band| *band == name).context("defect: a band of no name")?;
            Ok(u32::try_from(at)?)
        };
        let counts = population.by_score();
        let held = || (0..=i16::MAX).zip(&counts).map(|(score, count)| (*count > 0).then_some(score));
        let calibrated = card.calibration.as_ref().map(|calibrated| (calibrated.get_ref(), neutral(&card.scale)));
        let of_segment = |segment: usize| -> Fits<[i16; 5]> {
            let mut most = [0; 5];
            for (to, points) in most.iter_mut().zip(finished.card.maxima(segment)?) {
                *to = i16::try_from(points)?;
            }
            Ok(most)
        };
        let most = (0..card.segment.len()).map(of_segment).collect::<Fits<Vec<_>>>().context(OFF)?;
        let rank = held().map(|score| score.map_or(Ok(0), |score| population.rank(score)));
        let percentile = held().map(|score| score.map_or(Ok(0), |score| population.percentile(score)));
        Ok(Self {
            segments: Words::of(card.segment.iter().map(|s| s.get_ref().name.as_str())),
            statuses: Words::of(card.status.iter().map(|s| s.get_ref().name.as_str())),
            bands: Words::of(bands.iter().copied()),
            reasons: Words::of(finished.card.reasons.iter().map(String::as_str)),
            policies: Words::of(card.policy.iter().map(|p| p.get_ref().code.as_str())),
            most,
            band: held().map(|score| score.map_or(Ok(NO_WORD), band)).collect::<Result<_>>()?,
            rank: rank.collect::<Fits<Vec<_>>>().context(OFF)?,
            percentile: percentile.collect::<Fits<Vec<_>>>().context(OFF)?,
            pd: calibrated.map(|(calibrated, neutral)| {
                held().map(|score| score.map_or(0.0, |score| calibrated.pd(f64::from(score), neutral))).collect()
            }),
        })
    }
}

/// What subjects of some scores have by their score, or what those without one have.
fn by_score<T: Copy>(scores: &[i16], of_scores: &[T], of_none: T) -> Vec<T> {
    scores.iter().map(|score| usize::try_from(*score).map_or(of_none, |at| of_scores[at])).collect()
}

/// Writes the table and counts what it says; `written` is told of the rows of each row group, which is a piece of the bins. Of an
/// encrypted table the hash that it has where it is written plain, too.
///
/// # Errors
/// When the disk is full, or the first error of `written`.
pub fn write(
    path: &Path,
    subjects: &SubjectIds,
    finished: &Finished,
    label: &Label,
    written: &dyn Fn(u64) -> Result<()>,
) -> Result<(Told, Option<Hash>)> {
    let mut file = ScoresFile::create(path, subjects, label, finished.model.card.calibration.is_some())?;
    let mut told = Told::new(finished.card.reasons.len());
    let explainer = Explainer::of(finished.population, finished.card, finished.model);
    let (known, all) = (Known::of(finished)?, &finished.population.subject_bins);
    for group in all.pieces() {
        let (explained, of_group) = explainer.group(&group, &all.piece(&group)?)?;
        told.merge(&of_group);
        file.write(group.start, finished.rows(group.clone(), explained, &known)?)?;
        written(group.len() as u64)?;
    }
    let plain = file.finish()?;
    Ok((told, plain))
}

impl Finished<'_> {
    /// The points of a subject with some bins.
    ///
    /// # Errors
    /// When they are none of the scale.
    pub fn points(&self, s: usize, bins: &[u8]) -> Fits<Points> {
        self.card.points(usize::from(self.population.rows.segment[s]), bins)
    }

    /// The rows of some subjects.
    fn rows(&self, of: Range<usize>, explained: Explained, known: &Known) -> Result<Rows> {
        let rows = &self.population.rows;
        let (scores, segments) = (&rows.score[of.clone()], &rows.segment[of.clone()]);
        let told = |values: &[i16]| nulls(values.len(), |at| values[at] != NONE);
        let scored = told(scores);
        let of_scored = |values: Vec<i16>| numbers::<Int16Type>(values, scored.as_ref());
        let if_told = |values: &[i16]| numbers::<Int16Type>(values.to_vec(), told(values).as_ref());
        let by_number = |numbers: &[u8]| numbers.iter().map(|number| u32::from(*number)).collect::<Vec<_>>();
        let most = |c: usize| of_scored(segments.iter().map(|segment| known.most[usize::from(*segment)][c]).collect());
        let policies = rows.policy[of.clone()].iter().map(|policy| policy.map_or(NO_WORD, u32::from)).collect();
        let confidence = rows.confidence[of.clone()].iter().map(|c| f64::from(*c) / 1000.0).collect();
        let pd = known.pd.as_ref().map(|pd| by_score(scores, pd, 0.0));
        Ok(Rows {
            segment: known.segments.column(by_number(segments))?,
            status: known.statuses.column(by_number(&rows.status[of.clone()]))?,
            score: of_scored(scores.to_vec())?,
            band: known.bands.column(by_score(scores, &known.band, NO_WORD))?,
            rank: numbers::<Int64Type>(by_score(scores, &known.rank, 0), scored.as_ref())?,
            percentile: of_scored(by_score(scores, &known.percentile, 0))?,
            confidence: numbers::<Float64Type>(confidence, None)?,
            points: explained.points.into_iter().map(of_scored).collect::<Result<Vec<ArrayRef>>>()?,
            most: (0..5).map(most).collect::<Result<Vec<ArrayRef>>>()?,
            reasons: explained.codes.into_iter().map(|codes| known.reasons.column(codes)).collect::<Result<_>>()?,
            overridden: known.policies.column(policies)?,
            before: if_told(&rows.before[of.clone()])?,
            disputed: numbers::<Int32Type>(rows.disputed[of.clone()].to_vec(), None)?,
            with_disputed: if_told(&rows.with_disputed[of])?,
            pd: pd.map(|pd| numbers::<Float64Type>(pd, scored.as_ref())).transpose()?,
        })
    }
}
