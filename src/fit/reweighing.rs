//! The weights of categories that outcomes ask for.

use super::newton::Fitted;
use super::rounding::parts;
use super::sample::Sample;
use super::weighting::Weighting;
use crate::pipeline::model::{CATEGORIES, FULL_SHARE};

/// The weights that a fit which was not kept within any asks for, in integers. What each category needs in the reference segment
/// sets the ratio to its weight there, and that is the same in every segment; categories that are not fitted keep theirs.
#[must_use]
pub fn asked(sample: &Sample, free: &Fitted, neutral: i64) -> Weighting {
    let mut need = [0.0; CATEGORIES.len()];
    for (f, feature) in sample.features.iter().enumerate() {
        need[feature.category] += match free.seen[f] {
            true => room(free, f, neutral),
            false => free.line.beta * feature.whole,
        };
    }
    let start = &sample.percent[sample.reference];
    let fitted = |c: &usize| need[*c] > 0.0 && start[*c] > 0;
    let all: f64 = need.iter().sum();
    let given: i64 = (0..CATEGORIES.len()).filter(fitted).map(|c| start[c]).sum();
    let ratio = |c: usize| need[c] / all * given as f64 / start[c] as f64;
    let percent: Vec<[i64; 5]> = sample
        .percent
        .iter()
        .map(|of| {
            let free: Vec<usize> = (0..CATEGORIES.len()).filter(|c| fitted(c) && of[*c] > 0).collect();
            let wanted: Vec<f64> = free.iter().map(|c| of[*c] as f64 * ratio(*c)).collect();
            let sum = free.iter().map(|c| of[*c]).sum();
            let mut percent = *of;
            for (c, part) in free.iter().zip(parts(sum, &wanted)) {
                percent[*c] = part;
            }
            percent
        })
        .collect();
    Weighting::of(sample, percent)
}

/// What a feature must be worth for its steps to be shares of it.
fn room(fitted: &Fitted, f: usize, neutral: i64) -> f64 {
    let sum = |up: bool| -> f64 {
        fitted.steps.of[f]
            .clone()
            .filter(|s| fitted.steps.up[*s] == up && !fitted.steps.signed[*s])
            .map(|s| fitted.sizes[s])
            .sum()
    };
    let full = FULL_SHARE as f64;
    let over = |steps: f64, most: i64| if most > 0 { steps * full / most as f64 } else { 0.0 };
    over(sum(true), FULL_SHARE - neutral).max(over(sum(false), neutral))
}
