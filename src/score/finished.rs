//! Scored subjects as the rows of the table: names for numbers, points by category, rank, and the reasons.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::points::{Fits, OFF, Points};
use super::population::Population;
use super::rows::NONE;
use super::worths::Worths;
use crate::pipeline::Model;
use crate::pipeline::calibration::neutral;
use crate::scorecard::Scorecard;
use crate::storage::hashes::Hash;
use crate::tables::ids::SubjectIds;
use crate::tables::scores::{Label, REASONS, Rows, ScoresFile};

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

/// What the rows of a table say, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Scored subjects by reason code that they are given, in order of the model file.
    pub reasons: Vec<u64>,
    /// Scored subjects by the points of each category.
    pub categories: [Vec<u64>; 5],
}

impl Told {
    /// Nothing yet, of so many reason codes.
    #[must_use]
    pub fn new(codes: usize) -> Self {
        Self { reasons: vec![0; codes], ..Self::default() }
    }

    /// Adds what other rows say.
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut Vec<u64>, theirs: &[u64]| {
            mine.resize(mine.len().max(theirs.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        add(&mut self.reasons, &other.reasons);
        self.categories.iter_mut().zip(&other.categories).for_each(|(mine, theirs)| add(mine, theirs));
    }

    fn add(&mut self, explained: &Explained) -> Result<()> {
        let given = explained.reasons.iter().flatten().chain(&explained.of_friends);
        given.for_each(|code| self.reasons[*code] += 1);
        for (counts, points) in self.categories.iter_mut().zip(explained.points) {
            let points = usize::try_from(points)?;
            counts.resize(counts.len().max(points + 1), 0);
            counts[points] += 1;
        }
        Ok(())
    }
}

/// What one subject's row needs beyond its plain columns.
struct Explained {
    points: [i16; 5],
    /// Reason codes by position in the model file.
    reasons: [Option<usize>; REASONS],
    of_friends: Option<usize>,
}

/// Reason codes, by position in the model file, of what gives one without looking at bins.
struct Codes {
    /// Of each policy rule.
    of_rules: Vec<Option<usize>>,
    /// Of each status.
    of_statuses: Vec<Option<usize>>,
}

impl Codes {
    fn of(finished: &Finished) -> Self {
        let named = |code: &str| finished.card.reasons.iter().position(|reason| reason == code);
        let card = &finished.model.card;
        Self {
            of_rules: card.policy.iter().map(|rule| named(&rule.get_ref().reason)).collect(),
            of_statuses: card.status.iter().map(|s| s.get_ref().reason.as_deref().and_then(named)).collect(),
        }
    }
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
    let (worths, codes) = (Worths::of(finished.card), Codes::of(finished));
    let (width, all) = (finished.card.features.len(), &finished.population.subject_bins);
    for group in all.pieces() {
        let (bins, from) = (all.piece(&group)?, group.start);
        let explain =
            |s: usize| finished.explain(s, &bins[(s - from) * width..(s + 1 - from) * width], (&worths, &codes));
        let explained: Vec<Explained> =
            group.clone().into_par_iter().map(explain).collect::<Result<_>>().context(OFF)?;
        let mut of_group = Told::new(finished.card.reasons.len());
        for (explained, s) in explained.iter().zip(group.clone()) {
            if finished.is_scored(s) {
                of_group.add(explained)?;
            }
        }
        told.merge(&of_group);
        file.write(from, finished.rows(group.clone(), &explained).context(OFF)?)?;
        written(group.len() as u64)?;
    }
    let plain = file.finish()?;
    Ok((told, plain))
}

impl<'a> Finished<'a> {
    fn is_scored(&self, s: usize) -> bool {
        self.population.rows.score[s] != NONE
    }

    /// What friends move the score of a subject with some bins by, in points.
    ///
    /// # Errors
    /// When it is none of the scale.
    pub fn lift(&self, s: usize, bins: &[u8]) -> Fits<i64> {
        self.card.lift(usize::from(self.population.rows.segment[s]), bins)
    }

    /// The points of a subject with some bins.
    ///
    /// # Errors
    /// When they are none of the scale.
    pub fn points(&self, s: usize, bins: &[u8]) -> Fits<Points> {
        self.card.points(usize::from(self.population.rows.segment[s]), bins)
    }

    fn explain(&self, s: usize, bins: &[u8], (worths, codes): (&Worths, &Codes)) -> Result<Explained> {
        let rows = &self.population.rows;
        let segment = usize::from(rows.segment[s]);
        let mut reasons = [None; REASONS];
        if self.is_scored(s) {
            let first = rows.policy[s].and_then(|rule| codes.of_rules[usize::from(rule)]);
            let top = self.population.shortfalls.top(segment, bins).into_iter().filter(|code| Some(*code) != first);
            reasons.iter_mut().zip(first.into_iter().chain(top)).for_each(|(to, code)| *to = Some(code));
        } else {
            reasons[0] = codes.of_statuses[usize::from(rows.status[s])];
        }
        // Nothing is said about friends unless there are enough of them.
        let told = self.is_scored(s) && self.card.tells_of_friends(bins);
        let of_friends = if told { self.population.shortfalls.of_friends(segment, bins) } else { None };
        let mut points = [0; 5];
        for (to, points) in points.iter_mut().zip(worths.points(segment, bins)?.categories) {
            *to = i16::try_from(points)?;
        }
        Ok(Explained { points, reasons, of_friends })
    }

    /// The probabilities of going bad that scores stand for, of a calibrated model.
    fn probabilities(&self, scores: &[i16]) -> Option<Vec<Option<f64>>> {
        let card = &self.model.card;
        let (calibrated, neutral) = (card.calibration.as_ref()?.get_ref(), neutral(&card.scale));
        let pd = |score: &i16| (*score != NONE).then(|| calibrated.pd(f64::from(*score), neutral));
        Some(scores.iter().map(pd).collect())
    }

    /// The rows of some subjects.
    fn rows(&self, of: Range<usize>, explained: &[Explained]) -> Result<Rows<'a>> {
        let (rows, card) = (&self.population.rows, &self.model.card);
        let all = || of.clone();
        let when_scored = |s: usize, value: i16| self.is_scored(s).then_some(value);
        let score = |values: &[i16]| values[all()].iter().map(|v| (*v != NONE).then_some(*v)).collect::<Vec<_>>();
        let segments: Vec<&str> = card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let statuses: Vec<&str> = card.status.iter().map(|s| s.get_ref().name.as_str()).collect();
        let policies: Vec<&str> = card.policy.iter().map(|p| p.get_ref().code.as_str()).collect();
        let reason = |code: &Option<usize>| code.map(|code| self.card.reasons[code].as_str());
        let of_segment = |segment: usize| -> Fits<[i16; 5]> {
            let mut most = [0; 5];
            for (to, points) in most.iter_mut().zip(self.card.maxima(segment)?) {
                *to = i16::try_from(points)?;
            }
            Ok(most)
        };
        let most = (0..segments.len()).map(of_segment).collect::<Fits<Vec<_>>>()?;
        let rank = |s: usize| self.is_scored(s).then(|| self.population.rank(rows.score[s])).transpose();
        let percentile = |s: usize| self.is_scored(s).then(|| self.population.percentile(rows.score[s])).transpose();
        Ok(Rows {
            segment: all().map(|s| segments[usize::from(rows.segment[s])]).collect(),
            status: all().map(|s| statuses[usize::from(rows.status[s])]).collect(),
            score: score(&rows.score),
            band: all().map(|s| self.is_scored(s).then(|| card.band(i64::from(rows.score[s])))).collect(),
            rank: all().map(rank).collect::<Result<_, _>>()?,
            percentile: all().map(percentile).collect::<Result<_, _>>()?,
            confidence: all().map(|s| f64::from(rows.confidence[s]) / 1000.0).collect(),
            points: std::array::from_fn(|c| {
                explained.iter().zip(all()).map(|(e, s)| when_scored(s, e.points[c])).collect()
            }),
            most: std::array::from_fn(|c| {
                all().map(|s| when_scored(s, most[usize::from(rows.segment[s])][c])).collect()
            }),
            reasons: std::array::from_fn(|n| explained.iter().map(|e| reason(&e.reasons[n])).collect()),
            reason_relationship: explained.iter().map(|e| reason(&e.of_friends)).collect(),
            overridden: all().map(|s| rows.policy[s].map(|p| policies[usize::from(p)])).collect(),
            before: score(&rows.before),
            disputed: rows.disputed[of.clone()].to_vec(),
            with_disputed: score(&rows.with_disputed),
            pd: self.probabilities(&rows.score[of]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_parts_tell_adds_up_to_what_all_tell(
            rows in proptest::collection::vec((proptest::array::uniform5(0_i16..300), 0_usize..6, any::<bool>()), 0..150),
            parts in 1_usize..5,
        ) {
            let told = |of: &dyn Fn(usize) -> bool| {
                let mut told = Told::new(6);
                for (_, (points, code, friends)) in rows.iter().enumerate().filter(|(n, _)| of(*n)) {
                    let of_friends = friends.then_some(5 - *code);
                    let explained = Explained { points: *points, reasons: [Some(*code), None, None, None], of_friends };
                    told.add(&explained).unwrap();
                }
                told
            };
            let mut merged = Told::new(6);
            for part in 0..parts {
                merged.merge(&told(&|n| n % parts == part));
            }
            prop_assert_eq!(merged, told(&|_| true));
        }
    }
}
