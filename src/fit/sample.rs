//! What a model is fitted to: of every subject at every date its outcome, its score by the start card, and the bins of its features.

use std::ops::Range;

use crate::scorecard::card::{CardFeature, Scorecard, WEIGHTS_ONE};

/// How many parts subjects are split into for cross-validation.
pub const FOLDS: u8 = 5;

/// The rows of some subjects at some dates, and the features that may be fitted.
#[derive(Debug)]
pub struct Sample {
    /// The features.
    pub features: Vec<Feature>,
    /// By segment and feature: points of the feature there, over its points in the reference segment.
    pub factors: Vec<Vec<f64>>,
    /// By segment the start card's weights in percent.
    pub percent: Vec<[i64; 5]>,
    /// The segment whose points everything is told in: the one with the most rows.
    pub reference: usize,
    /// One entry per row, in order of subject and date.
    pub rows: Rows,
}

/// Rows, column by column.
#[derive(Debug, Default)]
pub struct Rows {
    /// The segment.
    pub segment: Vec<u8>,
    /// Whether the subject went bad.
    pub bad: Vec<bool>,
    /// What the row weighs; a subject's rows weigh 1 in sum.
    pub weight: Vec<f64>,
    /// The score of the start card, before a policy rule lowered it.
    pub score: Vec<i16>,
    /// Points against neutral that are not fitted: of friends, and of features that are held. By category; one without any is empty.
    pub held: [Vec<f64>; 5],
    /// Points against neutral of missing values that keep their share, as the start card has them; likewise.
    pub missing: [Vec<f64>; 5],
    /// The subject, by number.
    pub subject: Vec<u32>,
    /// The part of the subjects it belongs to, below [`FOLDS`].
    pub fold: Vec<u8>,
    /// The date, by position.
    pub date: Vec<u16>,
    /// The row of the date's file.
    pub place: Vec<u32>,
}

/// A feature that may be fitted.
#[derive(Debug)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its position in the start card.
    pub place: usize,
    /// Its category.
    pub category: usize,
    /// Whether more is better.
    pub rising: bool,
    /// Its importance in the start card.
    pub importance: i64,
    /// Where the start card's bins end.
    pub edges: Vec<f64>,
    /// The shares of the start card's bins.
    pub shares: Vec<i64>,
    /// Points of the full share in the reference segment.
    pub whole: f64,
    /// Where the finest bins end: every cut that any fit may use, those of the start card among them.
    pub finest: Vec<f64>,
    /// Of every row its finest bin; of a missing value the numbers after the last: no opportunity, then not told.
    pub bins: Vec<u8>,
    /// The start card's shares of no opportunity and of what was not told.
    pub missing_shares: [i64; 2],
    /// Whether those are fitted too.
    pub free_missing: bool,
    /// Values after a first good event, which must not be worth less than no opportunity.
    pub first_good: Vec<f64>,
}

impl Feature {
    /// Number of bins, those of missing values among them.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.finest.len() + 3
    }

    /// For each of the finest bins, the bin by some of their edges; the last two stand for a missing value.
    #[must_use]
    pub fn coarser(&self, edges: &[f64]) -> Vec<usize> {
        let lowest = std::iter::once(f64::NEG_INFINITY).chain(self.finest.iter().copied());
        lowest.map(|low| edges.partition_point(|e| *e <= low)).chain([edges.len() + 1, edges.len() + 2]).collect()
    }
}

/// Whether a feature of a card can be fitted: what every segment counts and friends do not tell.
#[must_use]
pub fn may_be_fitted(card: &Scorecard, place: usize) -> bool {
    let (feature, weight) = (&card.features[place], |s: usize| card.weights[s][card.features[place].category]);
    let everywhere = (0..card.weights.len()).all(|s| card.importances[s][place] > 0);
    let of_records = matches!(feature.origin, crate::scorecard::card::Origin::Plan(_));
    everywhere && of_records && (0..card.weights.len()).any(|s| weight(s) > 0)
}

/// Points of a feature's full share in a segment, before the one rounding of the score.
#[must_use]
pub fn whole(card: &Scorecard, segment: usize, feature: &CardFeature) -> f64 {
    let all = card.importance[segment][feature.category].max(1) * WEIGHTS_ONE;
    (card.range * card.weights[segment][feature.category] * feature.importance_in(segment)) as f64 / all as f64
}

impl Sample {
    /// The rows that a condition holds of, in groups of one segment.
    #[must_use]
    pub fn choose(&self, wanted: &dyn Fn(usize) -> bool) -> Chosen {
        let mut by_segment: Vec<Vec<u32>> = vec![Vec::new(); self.factors.len()];
        for (row, segment) in (0_u32..).zip(&self.rows.segment) {
            if wanted(row as usize) {
                by_segment[usize::from(*segment)].push(row);
            }
        }
        Chosen { by_segment }
    }
}

/// Some rows of a sample.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Their numbers, by segment.
    pub by_segment: Vec<Vec<u32>>,
}

impl Chosen {
    /// Every row, segment by segment.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_segment.iter().flatten().map(|r| *r as usize)
    }
}

/// Where parts of these sizes stand when they are laid one after another.
pub fn ranges(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let place = |end: &mut usize, size: usize| {
        *end += size;
        Some(*end - size..*end)
    };
    sizes.scan(0, place).collect()
}
