//! What subjects' rows say beyond their plain columns: points by category and reason codes. Some subjects at a time in parallel, column
//! by column.

use std::ops::Range;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::points::OFF;
use super::population::Population;
use super::rows::NONE;
use super::told::{Reasoned, Told};
use super::worths::Worths;
use crate::pipeline::Model;
use crate::pipeline::model::RELATIONSHIPS;
use crate::scorecard::Scorecard;
use crate::tables::scores::REASONS;
use crate::tables::words::NO_WORD;

/// Subjects that are explained one after another.
const TOGETHER: usize = 1_024;

/// What the rows of consecutive subjects say.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Points by category.
    pub(super) points: [Vec<i16>; 5],
    /// Reason codes by place, by position in the model file, the last place about friends; [`NO_WORD`] for none.
    pub(super) codes: [Vec<u32>; REASONS + 1],
}

impl Explained {
    fn make_room(&mut self, rows: usize) {
        self.points.iter_mut().for_each(|points| points.reserve_exact(rows));
        self.codes.iter_mut().for_each(|codes| codes.reserve_exact(rows));
    }

    fn push(&mut self, row: &Reasoned) {
        self.points.iter_mut().zip(row.points).for_each(|(to, points)| to.push(points));
        self.codes.iter_mut().zip(row.codes).for_each(|(to, code)| to.push(code));
    }

    fn append(&mut self, other: &Self) {
        self.points.iter_mut().zip(&other.points).for_each(|(to, points)| to.extend_from_slice(points));
        self.codes.iter_mut().zip(&other.codes).for_each(|(to, codes)| to.extend_from_slice(codes));
    }
}

/// What explaining shares over all subjects.
pub(super) struct Explainer<'a> {
    population: &'a Population,
    worths: Worths<'a>,
    /// Scored features of a subject.
    width: usize,
    /// Reason codes of the model.
    reasons: usize,
    /// Reason codes, by position in the model file, of each policy rule.
    of_rules: Vec<Option<usize>>,
    /// The same of each status.
    of_statuses: Vec<Option<usize>>,
    /// The features of friends, each with its bin of no opportunity.
    friends: Vec<(usize, usize)>,
}

impl<'a> Explainer<'a> {
    /// Looks up once what is the same for all subjects.
    pub(super) fn of(population: &'a Population, scorecard: &'a Scorecard, model: &Model) -> Self {
        let named = |code: &str| scorecard.reasons.iter().position(|reason| reason == code);
        let (card, features) = (&model.card, scorecard.features.iter().enumerate());
        Self {
            population,
            worths: Worths::of(scorecard),
            width: scorecard.features.len(),
            reasons: scorecard.reasons.len(),
            of_rules: card.policy.iter().map(|rule| named(&rule.get_ref().reason)).collect(),
            of_statuses: card.status.iter().map(|s| s.get_ref().reason.as_deref().and_then(named)).collect(),
            friends: features.filter(|(_, f)| f.category == RELATIONSHIPS).map(|(at, f)| (at, f.none())).collect(),
        }
    }

    /// Explains consecutive subjects, whose bins lie one subject after another, and counts what the rows of the scored ones say.
    ///
    /// # Errors
    /// When a figure is none of the model's scale.
    pub(super) fn group(&self, group: &Range<usize>, bins: &[u8]) -> Result<(Explained, Told)> {
        let parts = group.len().div_ceil(TOGETHER);
        let parts = (0..parts).into_par_iter().map(|part| {
            let from = group.start + part * TOGETHER;
            let to = group.end.min(from + TOGETHER);
            self.some(from..to, &bins[(from - group.start) * self.width..(to - group.start) * self.width])
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let (mut all, mut told) = (Explained::default(), Told::new(self.reasons));
        all.make_room(group.len());
        for (explained, of_part) in &parts {
            all.append(explained);
            told.merge(of_part);
        }
        Ok((all, told))
    }

    fn some(&self, subjects: Range<usize>, bins: &[u8]) -> Result<(Explained, Told)> {
        let (mut explained, mut told) = (Explained::default(), Told::new(self.reasons));
        explained.make_room(subjects.len());
        for (n, s) in subjects.enumerate() {
            let row = self.explain(s, &bins[n * self.width..(n + 1) * self.width]).context(OFF)?;
            if self.is_scored(s) {
                told.add(&row)?;
            }
            explained.push(&row);
        }
        Ok((explained, told))
    }

    fn is_scored(&self, s: usize) -> bool {
        self.population.rows.score[s] != NONE
    }

    fn explain(&self, s: usize, bins: &[u8]) -> Result<Reasoned> {
        let (rows, shortfalls) = (&self.population.rows, &self.population.shortfalls);
        let segment = usize::from(rows.segment[s]);
        let mut codes = [NO_WORD; REASONS + 1];
        if self.is_scored(s) {
            let first = rows.policy[s].and_then(|rule| self.of_rules[usize::from(rule)]);
            let top = shortfalls.top(segment, bins);
            let others = top.codes().iter().copied().filter(|code| Some(*code) != first);
            for (to, code) in codes[..REASONS].iter_mut().zip(first.into_iter().chain(others)) {
                *to = u32::try_from(code)?;
            }
            // Nothing is said about friends unless there are enough of them: their bins are then all those of no opportunity.
            if self.friends.iter().any(|(at, none)| usize::from(bins[*at]) != *none) {
                codes[REASONS] = shortfalls.of_friends(segment, bins).map_or(Ok(NO_WORD), u32::try_from)?;
            }
        } else if let Some(code) = self.of_statuses[usize::from(rows.status[s])] {
            codes[0] = u32::try_from(code)?;
        }
        let mut points = [0; 5];
        for (to, points) in points.iter_mut().zip(self.worths.points(segment, bins)?.categories) {
            *to = i16::try_from(points)?;
        }
        Ok(Reasoned { points, codes })
    }
}
