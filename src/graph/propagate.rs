//! The anchored neighbour average (Friedkin and Johnsen, 1990) in integer fixed point.
//!
//! For subject i with prior share p, confidence c and the chosen ties j of strength o:
//!
//! - sender weight `v_j = c_j · min(1, budget / degree_j) · g_j`, nothing for subjects that do not count;
//! - evidence `E_i = Σ_j o_ij v_j`, population mean `μ = Σ c p / Σ c` over counted subjects;
//! - `R_i = (κ μ + Σ_j o_ij v_j F_j) / (κ + E_i)`, the friends' mean, anchored at μ by κ full-strength friends;
//! - `F_i = (1 − l_i) p_i + l_i R_i` with `l_i = λ (1 − c_i)`, iterated from `F = p`, all from the previous vector.
//!
//! Why it is sound. R and F are convex combinations of priors and μ, so they never leave the priors' range. In the sup
//! norm the map contracts by `ρ = max_i l_i E_i / (κ + E_i) ≤ λ < 1`: there is one fixed point whatever the start. The
//! first step moves no share by more than λ, so after K rounds F is within `λ^(K+1) / (1 − λ)` of it; K is known before
//! the run ([`crate::graph::parameters::rounds`]) and does not depend on the data. Colluders of total weight m·v move `R_i` by
//! at most `m v / (κ + E_i + m v)`.
//!
//! Rounding. With shares in millionths each round rounds R once and F once, half a unit each; κμ is kept to 1/κ of a
//! unit. So F strays by at most `½ + λ½ + ρ·(the round before)`, which adds up to `½ (1 + λ) / (1 − ρ)`: at most 1.5
//! units for λ = ½, and R by at most half a unit more. Integer addition has no order: the result is the same bits for
//! any number of threads, any order of rows, and any engine with 64-bit integers.

use std::num::TryFromIntError;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rayon::prelude::*;

use super::csr::Graph;
use super::parameters::{Parameters, SHARE_ONE, WEIGHT_ONE};
use super::trust;
use crate::exit;
use crate::machine::large_array::LargeArray;

/// Subjects worked on at a time where there are no links to cut by.
const RUN: usize = 1 << 16;

/// What propagation starts from, one entry per subject.
#[derive(Clone, Copy)]
pub struct Priors<'a> {
    /// Share of the score from the subject's own categories, in millionths.
    pub share: &'a [u32],
    /// Confidence in thousandths; 0 for a subject that does not count.
    pub confidence: &'a [u16],
    /// Whether the identity is verified: where trust starts from.
    pub verified: &'a (dyn Fn(usize) -> bool + Sync),
}

/// What fits, by the bounds that [`parameters`](crate::graph::parameters) works out; anything else is a defect.
pub type Fits<T> = std::result::Result<T, TryFromIntError>;

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Propagated {
    /// The friends' mean R of each subject, in millionths.
    pub friends: Vec<u32>,
    /// Evidence E of each subject: 255 · 1000 is one full-strength friend.
    pub evidence: Vec<u64>,
    /// Population mean μ, in millionths.
    pub mean: u32,
    /// The largest change of any F in each round, in millionths.
    pub residuals: Vec<u32>,
    /// What each residual could be at most: ρ times the one before, and rounding.
    pub bounds: Vec<f64>,
    /// ρ, the largest l·E/(κ+E) of any subject.
    pub contraction: f64,
    /// The trust gate of each subject in thousandths, when it is on.
    pub gates: Option<Vec<u16>>,
}

impl Propagated {
    /// Whether every round stayed within its bound.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.residuals.iter().zip(&self.bounds).all(|(r, b)| f64::from(*r) <= *b)
    }
}

/// Runs all rounds; `done` is told of the links of each. The graph's degrees are let go.
///
/// # Errors
/// When spilled links cannot be read, or the run is interrupted.
pub fn propagate(
    graph: &mut Graph,
    priors: &Priors,
    parameters: &Parameters,
    done: &(dyn Fn(u64) + Sync),
    stop: &AtomicBool,
) -> Result<Propagated> {
    let gates = match parameters.trust {
        Some(thresholds) => Some(trust::gates(graph, priors.verified, thresholds, stop)?),
        None => None,
    };
    let gate = |subject: usize| gates.as_ref().map_or(WEIGHT_ONE, |g| u64::from(g[subject]));
    // Degrees are told here and nowhere else.
    let degree = std::mem::take(&mut graph.degree);
    let weight = |s: usize| sender_weight(priors.confidence[s], degree[s], gate(s), parameters.budget);
    let subjects = graph.subjects();
    let senders = graph.hub_first(&subjects, weight)?;
    drop(degree);
    let mut evidence = vec![0_u64; graph.len()];
    graph.weigh(&senders, &mut evidence)?;
    let (mean, anchored) = anchor(priors, parameters)?;
    let own = |s: usize| Own::new(priors.share[s], priors.confidence[s], parameters);
    let contraction = (0..graph.len())
        .into_par_iter()
        .map(|s| {
            let evidence = evidence[s];
            Ok(own(s)?.influence as f64 / 1e6 * evidence as f64 / (parameters.anchor + evidence).max(1) as f64)
        })
        .try_reduce(|| 0.0, |a, b| Ok::<f64, anyhow::Error>(a.max(b)))?;
    let mut current: Vec<u32> = subjects.par_iter().map(|s| priors.share[*s as usize]).collect();
    let mut sent = LargeArray::<u32>::zeroed(graph.len())?;
    let first = sent[..].par_iter_mut().zip(&current).zip(senders[..].par_iter()).with_min_len(RUN);
    first.for_each(|((sent, f), v)| *sent = f * u32::from(*v));
    let mut friends = vec![0_u32; graph.len()];
    let mut residuals = Vec::new();
    for _ in 0..parameters.rounds {
        exit::check(stop)?;
        graph.weigh_in_turn(&sent, |first, sums| {
            let of = first..first + sums.len();
            friends[of.clone()].par_iter_mut().zip(sums).zip(&evidence[of]).try_for_each(|((r, sum), e)| {
                *r = rounded(anchored + sum, parameters.anchor + e)?;
                Fits::Ok(())
            })?;
            Ok(())
        })?;
        residuals.push(next_round(&own, &subjects, &friends, &senders, &mut current, &mut sent)?);
        done(graph.links);
    }
    let bounds = bounds(&residuals, contraction, parameters);
    Ok(Propagated { friends, evidence, mean, residuals, bounds, contraction, gates })
}

/// v in thousandths: confidence, shared out over at most `budget` full-weight ties, times the gate.
fn sender_weight(confidence: u16, degree: u32, gate: u64, budget: u64) -> Result<u16> {
    let degree = u64::from(degree).max(1);
    let below = degree * WEIGHT_ONE;
    let weight = (2 * u64::from(confidence) * budget.min(degree) * gate + below) / (2 * below);
    Ok(u16::try_from(weight)?)
}

/// μ in millionths, and κμ.
fn anchor(priors: &Priors, parameters: &Parameters) -> Fits<(u32, u64)> {
    let counted = priors.share.par_iter().zip(priors.confidence);
    counted.map(|(share, confidence)| Weighted::of(*share, *confidence)).sum::<Weighted>().anchor(parameters.anchor)
}

/// Σ c p and Σ c: what parts of the subjects come to adds up to what all of them do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weighted {
    shares: u128,
    confidences: u128,
}

impl Weighted {
    /// One subject's.
    #[must_use]
    pub fn of(share: u32, confidence: u16) -> Self {
        let confidence = u128::from(confidence);
        Self { shares: u128::from(share) * confidence, confidences: confidence }
    }

    /// μ in millionths, and κμ.
    ///
    /// # Errors
    /// When a share is above 1.
    pub fn anchor(self, anchor: u64) -> Fits<(u32, u64)> {
        let nearest = |above: u128| u64::try_from((2 * above + self.confidences) / (2 * self.confidences).max(1));
        Ok((u32::try_from(nearest(self.shares)?)?, nearest(self.shares * u128::from(anchor))?))
    }
}

impl std::iter::Sum for Weighted {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |all, part| Self {
            shares: all.shares + part.shares,
            confidences: all.confidences + part.confidences,
        })
    }
}

/// A subject's own part in F.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// p in millionths.
    share: u32,
    /// l in millionths.
    influence: u32,
}

impl Own {
    fn new(share: u32, confidence: u16, parameters: &Parameters) -> Result<Self> {
        let doubt = WEIGHT_ONE.saturating_sub(u64::from(confidence));
        Ok(Self { share, influence: u32::try_from(parameters.influence * doubt)? })
    }

    /// F from R, rounded to the nearest.
    fn mixed(self, friends: u32) -> Fits<u32> {
        let l = u64::from(self.influence);
        let exact = (SHARE_ONE - l) * u64::from(self.share) + l * u64::from(friends);
        u32::try_from((exact + SHARE_ONE / 2) / SHARE_ONE)
    }
}

/// A quotient rounded to the nearest; the anchor below the line is never 0.
fn rounded(above: u64, below: u64) -> Fits<u32> {
    u32::try_from((above + below / 2) / below)
}

/// F and v·F of the next round; returns the largest change of any F.
fn next_round(
    own: &(impl Fn(usize) -> Result<Own> + Sync),
    subjects: &[u32],
    friends: &[u32],
    senders: &[u16],
    current: &mut [u32],
    sent: &mut [u32],
) -> Result<u32> {
    let places = subjects.par_chunks(RUN).zip(senders.par_chunks(RUN));
    let state = current.par_chunks_mut(RUN).zip(sent.par_chunks_mut(RUN));
    let change = |((subjects, senders), (current, sent)): ((_, _), (&mut [u32], &mut [u32]))| {
        let (subjects, senders): (&[u32], &[u16]) = (subjects, senders);
        let mut most = 0;
        for n in 0..subjects.len() {
            let subject = subjects[n] as usize;
            let next = own(subject)?.mixed(friends[subject])?;
            most = most.max(next.abs_diff(current[n]));
            current[n] = next;
            sent[n] = next * u32::from(senders[n]);
        }
        Ok(most)
    };
    places.zip(state).map(change).try_reduce(|| 0, |a, b| Ok(a.max(b)))
}

/// What each round's residual could be at most.
fn bounds(residuals: &[u32], contraction: f64, parameters: &Parameters) -> Vec<f64> {
    let influence = parameters.influence as f64 / WEIGHT_ONE as f64;
    // Two vectors, each off by the rounding of one round.
    let rounding = 1.0 + influence;
    let mut bound = influence * SHARE_ONE as f64 + rounding;
    let mut all = Vec::with_capacity(residuals.len());
    for residual in residuals {
        all.push(bound);
        bound = contraction * f64::from(*residual) + rounding;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_mean_of_parts_is_the_mean_of_all(
            subjects in proptest::collection::vec((0_u32..=1_000_000, 0_u16..=1_000), 1..100), parts in 1_usize..6,
        ) {
            let of = |which: &dyn Fn(usize) -> bool| -> Weighted {
                let some = subjects.iter().enumerate().filter(|(n, _)| which(*n));
                some.map(|(_, (share, confidence))| Weighted::of(*share, *confidence)).sum()
            };
            let whole = of(&|_| true);
            prop_assert_eq!((0..parts).map(|part| of(&|n| n % parts == part)).sum::<Weighted>(), whole);
            let (mean, anchored) = whole.anchor(510).unwrap();
            let weights: f64 = subjects.iter().map(|(_, c)| f64::from(*c)).sum();
            let exact = subjects.iter().map(|(p, c)| f64::from(*p) * f64::from(*c)).sum::<f64>() / weights.max(1.0);
            prop_assert!((f64::from(mean) - exact).abs() <= 0.5 + 1e-6);
            prop_assert!((anchored as f64 - 510.0 * exact).abs() <= 0.5 + 1e-3);
        }
    }
}
