//! The weights of categories that a fit is made within: those of the start card, or others that outcomes ask for.

use super::sample::{Feature, Rows, Sample};
use crate::pipeline::model::CATEGORIES;

/// Weights, and how far they are from the start card's.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighting {
    /// Percent by segment and category.
    pub percent: Vec<[i64; 5]>,
    /// By segment and category: these weights over the start card's.
    stretch: Vec<[f64; 5]>,
    /// The segment whose points everything is told in.
    reference: usize,
}

impl Weighting {
    /// The start card's weights.
    #[must_use]
    pub fn kept(sample: &Sample) -> Self {
        let (percent, reference) = (sample.percent.clone(), sample.reference);
        Self { stretch: vec![[1.0; 5]; percent.len()], percent, reference }
    }

    /// Other weights.
    #[must_use]
    pub fn of(sample: &Sample, percent: Vec<[i64; 5]>) -> Self {
        let over = |new: &[i64; 5], old: &[i64; 5]| {
            std::array::from_fn(|c| if old[c] > 0 { new[c] as f64 / old[c] as f64 } else { 1.0 })
        };
        let stretch = percent.iter().zip(&sample.percent).map(|(new, old)| over(new, old)).collect();
        Self { percent, stretch, reference: sample.reference }
    }

    /// By segment and feature: points of the feature there, over its points in the reference segment.
    #[must_use]
    pub fn factors(&self, sample: &Sample) -> Vec<Vec<f64>> {
        let here = &self.stretch[self.reference];
        let of = |(factors, stretch): (&Vec<f64>, &[f64; 5])| {
            let factor = |(f, factor): (&Feature, &f64)| factor * stretch[f.category] / here[f.category];
            sample.features.iter().zip(factors).map(factor).collect()
        };
        sample.factors.iter().zip(&self.stretch).map(of).collect()
    }

    /// Points of a feature's full share in the reference segment.
    #[must_use]
    pub fn whole(&self, feature: &Feature) -> f64 {
        feature.whole * self.stretch[self.reference][feature.category]
    }

    /// Points that the fitted features of each category have together in the reference segment.
    #[must_use]
    pub fn room(&self, sample: &Sample) -> [f64; 5] {
        let mut room = [0.0; CATEGORIES.len()];
        sample.features.iter().for_each(|f| room[f.category] += self.whole(f));
        room
    }

    /// Points of a row that no fit changes.
    #[must_use]
    pub fn held(&self, rows: &Rows, row: usize) -> f64 {
        self.of_row(&rows.held, rows, row)
    }

    /// Points of a row that are not fitted; what is missing keeps its share and moves with the worth of its feature, so that a fit
    /// takes it for what it is in the start card, and a card counts it anew.
    #[must_use]
    pub fn offset(&self, rows: &Rows, row: usize) -> f64 {
        self.held(rows, row) + self.of_row(&rows.missing, rows, row)
    }

    fn of_row(&self, points: &[Vec<f64>; 5], rows: &Rows, row: usize) -> f64 {
        let stretch = &self.stretch[usize::from(rows.segment[row])];
        points.iter().zip(stretch).filter_map(|(points, stretch)| Some(points.get(row)? * stretch)).sum()
    }
}
