//! The parameters of propagation in the units the graph computes in, and the bounds that keep sums within 64 bits.
//!
//! Shares are in millionths, confidences, weights and gates in thousandths, strengths in 1/255. With at most 2^32
//! subjects and [`MOST_TIES`](crate::pipeline::model::MOST_TIES) = 10^6 ties per subject:
//!
//! - v·F ≤ 10^3 · 10^6 = 10^9 fits `u32`;
//! - Σ o·v·F ≤ 10^6 · 255 · 10^9 < 2^58, and κ·μ adds at most 255 · 10^6 · 10^6 < 2^48;
//! - E = Σ o·v ≤ 10^6 · 255 · 10^3 < 2^38, and κ adds at most 255 · 10^6 < 2^28;
//! - the trust sum Σ o·τ ≤ 10^6 · 255 · 2^36 < 2^64, because τ is capped at 2^36;
//! - Σ c·p over the population is taken in 128 bits.

use std::num::TryFromIntError;

use crate::ingest::links::tie_store::MOST_INTERACTIONS;
use crate::pipeline::propagation::Propagation;

/// Millionths in a share of 1.
pub const SHARE_ONE: u64 = 1_000_000;
/// Thousandths in a confidence, a sender weight or a gate of 1.
pub const WEIGHT_ONE: u64 = 1_000;
/// Strength of a tie at full interaction.
pub const STRENGTH_ONE: u64 = 255;

/// The parameters in the units of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Strength by interactions; the last entry holds for all above.
    pub strengths: [u8; 1 + MOST_INTERACTIONS as usize],
    /// Strength of a tie whose interactions are not told.
    pub untold: u8,
    /// Most ties that count per subject, strongest first.
    pub max_ties: usize,
    /// Confidence, in thousandths, from which a subject counts.
    pub floor: u32,
    /// Number of full-weight friends one sender has to give.
    pub budget: u64,
    /// κ: the anchor's weight, in units of evidence.
    pub anchor: u64,
    /// λ: the most that friends move a subject's own share, in thousandths.
    pub influence: u64,
    /// Rounds.
    pub rounds: u32,
    /// The trust gate, if it is on: below `low` nothing, from `low + span` fully; in millionths.
    pub trust: Option<(u64, u64)>,
}

impl Parameters {
    /// The parameters a checked model asks for.
    ///
    /// # Errors
    /// When one is out of its range, which the checks of the model exclude.
    pub fn new(model: &Propagation) -> Result<Self, TryFromIntError> {
        let full = f64::from(model.full_interactions);
        let strength = |interactions: usize| {
            let part = (1.0 + (interactions as f64).min(full)).ln() / (1.0 + full).ln();
            u8::try_from(to_units(part, STRENGTH_ONE).clamp(1, STRENGTH_ONE))
        };
        let mut strengths = [0; 1 + MOST_INTERACTIONS as usize];
        for (interactions, to) in strengths.iter_mut().enumerate() {
            *to = strength(interactions)?;
        }
        let trust = &model.trust;
        Ok(Self {
            strengths,
            untold: strength(1)?,
            max_ties: model.max_ties,
            floor: to_units(model.confidence_floor, WEIGHT_ONE).try_into()?,
            budget: u64::from(model.sender_budget),
            anchor: to_units(model.anchor, WEIGHT_ONE) * STRENGTH_ONE,
            influence: to_units(model.influence, WEIGHT_ONE),
            rounds: rounds(model.influence, model.precision),
            trust: trust.enabled.then(|| (to_units(trust.low, SHARE_ONE), to_units(trust.span, SHARE_ONE).max(1))),
        })
    }

    /// Strength of a tie.
    #[must_use]
    pub fn strength(&self, interactions: Option<u8>) -> u8 {
        interactions.map_or(self.untold, |i| self.strengths[usize::from(i).min(self.strengths.len() - 1)])
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked parameters are small and not negative"
)]
fn to_units(value: f64, one: u64) -> u64 {
    (value * one as f64).round() as u64
}

/// The rounds after which the error is below `precision`, known before the run: the map contracts by at most λ, and
/// the first step moves no share by more than λ, so after K rounds the error is at most λ^(K+1) / (1 − λ).
#[must_use]
pub fn rounds(influence: f64, precision: f64) -> u32 {
    let mut error = influence / (1.0 - influence);
    let mut rounds = 0;
    while error > precision && rounds < 200 {
        error *= influence;
        rounds += 1;
    }
    rounds.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::model::MOST_TIES;

    #[test]
    fn the_largest_sums_stay_within_64_bits() {
        let [ties, strength, share, weight] =
            [MOST_TIES as u128, u128::from(STRENGTH_ONE), u128::from(SHARE_ONE), u128::from(WEIGHT_ONE)];
        // The linter admits an anchor of at most a thousand friends.
        let anchor = 1_000 * weight * strength;
        let (sum, evidence) = (ties * strength * weight * share, ties * strength * weight);
        assert!(weight * share <= u128::from(u32::MAX));
        // Rounding adds half of what is below the line.
        assert!(sum + anchor * share + (evidence + anchor) / 2 <= u128::from(u64::MAX));
        assert!(ties * strength * (1 << 36) <= u128::from(u64::MAX));
        // The population: 2^32 subjects of full share and confidence, times the anchor.
        assert!((1_u128 << 32).checked_mul(share * weight * anchor * 2).is_some());
    }

    #[test]
    fn the_rounds_follow_from_the_bound() {
        assert_eq!((rounds(0.5, 0.001), rounds(0.5, 0.000_001), rounds(0.0, 0.5)), (10, 20, 1));
        for precision in [0.1, 0.01, 1e-4, 1e-6] {
            let k = i32::try_from(rounds(0.5, precision)).unwrap();
            assert!(0.5_f64.powi(k + 1) / 0.5 <= precision && 0.5_f64.powi(k) / 0.5 > precision);
        }
    }
}
