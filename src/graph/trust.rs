//! The trust gate: who is hardly reached from verified subjects has little weight (SybilRank; Cao, Sirivianos, Yang and
//! Pregueiro, NSDI 2012).
//!
//! Trust starts at the verified subjects and takes ⌈log₂ n⌉ steps of a random walk over the ties: `T ← W D⁻¹ T`, with
//! strengths W and their sums D. What counts is trust per tie strength, `τ = D⁻¹ T`, relative to what it is when the walk
//! has mixed; it follows `τ ← D⁻¹ W τ`, the mean of the neighbours' τ. Few ties lead from honest subjects to a crowd of
//! fakes, so after so few steps little trust has got there. The gate is `clip((τ − low) / span, 0, 1)`.
//!
//! Rows keep only their strongest ties, so W is not quite symmetric where the cap bites; the walk is then the one that
//! the kept ties make. τ is in millionths, rounded to the nearest once a step; an average moves errors nowhere, so after
//! k steps it is within k/2 units. It is capped at 2^36 units to keep sums within 64 bits, which matters only where
//! fewer than one subject in 68,000 is verified.

use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::csr::Graph;
use super::parameters::{SHARE_ONE, WEIGHT_ONE};
use crate::exit;

/// The largest τ, in millionths.
const MOST: u128 = 1 << 36;

/// The gate of each subject in thousandths. Without a verified subject that has ties nobody is trusted.
///
/// # Errors
/// When spilled links cannot be read, or the run is interrupted.
pub(super) fn gates(
    graph: &Graph,
    verified: &(dyn Fn(usize) -> bool + Sync),
    (low, span): (u64, u64),
    stop: &AtomicBool,
) -> Result<Vec<u16>> {
    let mut sums = vec![0_u64; graph.len()];
    graph.weigh(&vec![1_u8; graph.len()], &mut sums)?;
    let all: u128 = sums.iter().map(|s| u128::from(*s)).sum();
    let seeds = (0..graph.len()).filter(|s| sums[*s] > 0 && verified(*s)).count() as u128;
    let start = |s: usize| {
        if sums[s] == 0 || !verified(s) {
            return Ok(0);
        }
        let below = seeds * u128::from(sums[s]);
        Ok(u64::try_from(((2 * all * u128::from(SHARE_ONE) + below) / (2 * below)).min(MOST))?)
    };
    let mut trust: Vec<u64> = (0..graph.len()).map(start).collect::<Result<_>>()?;
    let subjects = graph.subjects();
    for _ in 0..steps(graph.len()) {
        exit::check(stop)?;
        let here = graph.hub_first(&subjects, |s| Ok(trust[s]))?;
        graph.weigh_in_turn(&here, |first, walked| {
            for ((trust, walked), sum) in trust[first..].iter_mut().zip(walked).zip(&sums[first..]) {
                let below = (*sum).max(1);
                *trust = walked / below + u64::from(2 * (walked % below) >= below);
            }
            Ok(())
        })?;
    }
    let gate = |t: &u64| {
        let over = t.saturating_sub(low).min(span);
        Ok(u16::try_from((2 * WEIGHT_ONE * over + span) / (2 * span))?)
    };
    trust.iter().map(gate).collect()
}

/// ⌈log₂ n⌉.
fn steps(subjects: usize) -> u32 {
    usize::BITS - subjects.saturating_sub(1).leading_zeros()
}
