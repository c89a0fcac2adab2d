//! Propagation against closed forms, against an independent solver in floating point, and against attacks.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use fastrand::Rng;
use proptest::prelude::*;
use sesame::graph::Parameters;
use sesame::graph::csr::{Builder, Graph};
use sesame::graph::neighbours::{Neighbours, Packed};
use sesame::graph::propagate::{Priors, Propagated, propagate};
use sesame::ingest::links::tie_store::{PARTITION, TieStore, content};
use sesame::machine::budget::Budget;
use sesame::output::{LogFormat, Output};
use sesame::pipeline::Model;
use sesame::storage::scratch::Scratch;

use crate::workdir::repository;

/// One tie: both ends, interactions, age in months.
type Tie = (u32, u32, Option<i64>, i64);

/// Shares in millionths and confidences in thousandths of every subject, and their ties.
#[derive(Debug, Clone)]
struct Case {
    share: Vec<u32>,
    confidence: Vec<u16>,
    ties: Vec<Tie>,
}

fn parameters(precision: f64) -> Parameters {
    let model = Model::load(&repository("pipelines/models/standard.toml")).unwrap();
    let mut propagation = model.card.propagation;
    propagation.precision = precision;
    Parameters::new(&propagation).unwrap()
}

/// Ties of subjects that do not count are left out, as reading does.
fn solve(case: &Case, parameters: &Parameters, memory: u64, marks: Option<&[u8]>) -> (Propagated, Vec<Packed>) {
    let folder = tempfile::tempdir().unwrap();
    let (budget, stop, output) = (Budget::new(memory), AtomicBool::new(false), Output::new(true, LogFormat::Text));
    let counts = |s: u32| u32::from(case.confidence[s as usize]) >= parameters.floor;
    let store = TieStore::new(case.share.len(), 2, &budget, folder.path()).unwrap();
    let ties = case.ties.iter().filter(|t| counts(t.0) && counts(t.1));
    let ties: Vec<(u32, u32, u64)> = ties.map(|(a, b, i, months)| (*a, *b, content(*i, Some(*months)))).collect();
    for (file, some) in ties.chunks(1_000).enumerate() {
        store.add(u32::try_from(file % 2).unwrap(), some).unwrap();
    }
    let ties = store.finish().unwrap();
    let progress = output.stage("build", ties.len(), "ties");
    let scratch = Scratch::below(folder.path()).unwrap();
    let builder = Builder { parameters, marks, budget: &budget, scratch, stop: &stop };
    let mut graph = builder.build(ties, &progress).unwrap();
    let confidence: Vec<u16> =
        case.confidence.iter().map(|c| if u32::from(*c) >= parameters.floor { *c } else { 0 }).collect();
    let priors = Priors { share: &case.share, confidence: &confidence, verified: &|s| s % 2 == 0 };
    let result = propagate(&mut graph, &priors, parameters, &|_| (), &stop).unwrap();
    (result, graph.into_neighbours())
}

/// The same, in double precision from the definition: an iteration until nothing moves.
fn reference(case: &Case, parameters: &Parameters) -> Vec<f64> {
    let n = case.share.len();
    let counts = |s: usize| u32::from(case.confidence[s]) >= parameters.floor;
    let mut rows: Vec<std::collections::BTreeMap<usize, (f64, Option<i64>)>> = vec![Default::default(); n];
    for (a, b, interactions, _) in &case.ties {
        let (a, b) = (*a as usize, *b as usize);
        if counts(a) && counts(b) {
            // What is not told counts as one.
            let told = interactions.unwrap_or(1).min(20);
            let strength = (255.0 * (1.0 + told as f64).ln() / 21_f64.ln()).round().max(1.0);
            for (to, from) in [(a, b), (b, a)] {
                let entry = rows[to].entry(from).or_insert((0.0, None));
                entry.0 = entry.0.max(strength);
            }
        }
    }
    let degree: Vec<f64> = rows.iter().map(|r| r.len().max(1) as f64).collect();
    let weight = |s: usize| {
        let c = if counts(s) { f64::from(case.confidence[s]) } else { 0.0 };
        (c * (50.0 / degree[s]).min(1.0) + 1e-9).round() / 1000.0
    };
    let weights: Vec<f64> = (0..n).map(weight).collect();
    for row in &mut rows {
        let mut ties: Vec<(usize, f64)> = row.iter().map(|(from, (o, _))| (*from, *o)).collect();
        ties.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ties.truncate(parameters.max_ties);
        *row = ties.into_iter().map(|(from, o)| (from, (o, None))).collect();
    }
    let share: Vec<f64> = case.share.iter().map(|s| f64::from(*s)).collect();
    let c: Vec<f64> = (0..n).map(|s| if counts(s) { f64::from(case.confidence[s]) / 1000.0 } else { 0.0 }).collect();
    let all: f64 = c.iter().sum();
    let mean = if all > 0.0 { c.iter().zip(&share).map(|(c, p)| c * p).sum::<f64>() / all } else { 0.0 };
    let kappa = 2.0;
    let mut f = share.clone();
    let mut r = vec![0.0; n];
    for _ in 0..100 {
        for s in 0..n {
            let evidence: f64 = rows[s].iter().map(|(j, (o, _))| o / 255.0 * weights[*j]).sum();
            let sum: f64 = rows[s].iter().map(|(j, (o, _))| o / 255.0 * weights[*j] * f[*j]).sum();
            r[s] = (kappa * mean + sum) / (kappa + evidence);
        }
        for s in 0..n {
            let l = 0.5 * (1.0 - c[s]);
            f[s] = (1.0 - l) * share[s] + l * r[s];
        }
    }
    r
}

/// Full-strength ties between the given pairs.
fn full(pairs: &[(u32, u32)]) -> Vec<Tie> {
    pairs.iter().map(|(a, b)| (*a, *b, Some(20), 12)).collect()
}

/// Two kinds of subjects A and B, where an A has ties to `ab` subjects B and a B to `ba` subjects A and to `bb` others B.
/// Solves the two equations for F by hand and returns R of an A and of a B.
fn closed_form(p: [f64; 2], c: [f64; 2], mean: f64, ab: f64, ba: f64, bb: f64) -> [f64; 2] {
    let l = c.map(|c| 0.5 * (1.0 - c));
    let (ea, eb) = (ab * c[1], ba * c[0] + bb * c[1]);
    // R_a = (2μ + ea·F_b) / (2 + ea);  R_b = (2μ + ba·c_a·F_a + bb·c_b·F_b) / (2 + eb);  F = (1 − l) p + l R.
    let (a0, a1) = (2.0 * mean / (2.0 + ea), ea / (2.0 + ea));
    let (b0, b1, b2) = (2.0 * mean / (2.0 + eb), ba * c[0] / (2.0 + eb), bb * c[1] / (2.0 + eb));
    let (fa0, fa1) = ((1.0 - l[0]) * p[0] + l[0] * a0, l[0] * a1);
    let fb = ((1.0 - l[1]) * p[1] + l[1] * (b0 + b1 * fa0)) / (1.0 - l[1] * (b1 * fa1 + b2));
    let fa = fa0 + fa1 * fb;
    [a0 + a1 * fb, b0 + b1 * fa + b2 * fb]
}

#[test]
fn pairs_stars_paths_and_cliques_have_their_closed_forms() {
    let parameters = parameters(1e-6);
    for (shares, confidences) in
        [([200_000, 900_000], [400, 800]), ([1_000_000, 0], [100, 1000]), ([530_000, 530_001], [999, 150])]
    {
        // The kind of each subject, the ties, and how many of each kind a subject has around it.
        let star = |leaves: u32| {
            (
                vec![0].into_iter().chain(vec![1; leaves as usize]).collect::<Vec<usize>>(),
                full(&(1..=leaves).map(|n| (0, n)).collect::<Vec<_>>()),
            )
        };
        let clique = |n: u32| {
            let pairs: Vec<(u32, u32)> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
            (vec![0].into_iter().chain(vec![1; n as usize - 1]).collect::<Vec<usize>>(), full(&pairs))
        };
        let cases = [
            ((vec![0, 1], full(&[(0, 1)])), [1.0, 1.0, 0.0]),
            ((vec![1, 0, 1], full(&[(0, 1), (1, 2)])), [2.0, 1.0, 0.0]),
            (star(7), [7.0, 1.0, 0.0]),
            (star(40), [40.0, 1.0, 0.0]),
            (clique(5), [4.0, 1.0, 3.0]),
            (clique(30), [29.0, 1.0, 28.0]),
        ];
        for ((kinds, ties), [ab, ba, bb]) in cases {
            let case = Case {
                share: kinds.iter().map(|k| shares[*k]).collect(),
                confidence: kinds.iter().map(|k| confidences[*k]).collect(),
                ties,
            };
            let (found, _) = solve(&case, &parameters, 1 << 20, None);
            let c = confidences.map(|c| f64::from(c) / 1000.0);
            let p = shares.map(f64::from);
            let weight: f64 = kinds.iter().map(|k| c[*k]).sum();
            let mean = kinds.iter().map(|k| c[*k] * p[*k]).sum::<f64>() / weight;
            let expected = closed_form(p, c, mean, ab, ba, bb);
            for (subject, kind) in kinds.iter().enumerate() {
                let off = (f64::from(found.friends[subject]) - expected[*kind]).abs();
                assert!(off <= 2.0, "{off} units off: {kinds:?} {shares:?} {confidences:?}");
            }
            assert!(found.converged());
        }
    }
}

fn cases(subjects: std::ops::Range<u32>) -> impl Strategy<Value = Case> {
    subjects.prop_flat_map(|n| {
        let tie = (0..n, 0..n, proptest::option::of(0_i64..40), 3_i64..60);
        let ties = proptest::collection::vec(tie, 0..(8 * n as usize));
        let subjects = (
            proptest::collection::vec(0_u32..=1_000_000, n as usize),
            proptest::collection::vec(0_u16..=1000, n as usize),
        );
        (subjects, ties).prop_map(|((share, confidence), ties)| Case {
            share,
            confidence,
            ties: ties.into_iter().filter(|t| t.0 != t.1).collect(),
        })
    })
}

fn largest_difference(case: &Case, parameters: &Parameters) -> f64 {
    let (found, _) = solve(case, parameters, 1 << 20, None);
    let expected = reference(case, parameters);
    let counted = (0..case.share.len()).filter(|s| u32::from(case.confidence[*s]) >= parameters.floor);
    counted.map(|s| (f64::from(found.friends[s]) - expected[s]).abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fixed_point_stays_within_its_rounding_of_floating_point(case in cases(2..40)) {
        // Rounding 2 units, 20 rounds leave at most 1 more.
        prop_assert!(largest_difference(&case, &parameters(1e-6)) <= 3.0);
        let capped = Parameters { max_ties: 4, ..parameters(1e-6) };
        prop_assert!(largest_difference(&case, &capped) <= 3.0);
        // The bound that sets the number of rounds holds: a thousandth after ten.
        prop_assert!(largest_difference(&case, &parameters(0.001)) <= 1_003.0);
    }

    #[test]
    fn means_stay_within_the_range_of_what_they_average_and_rounds_within_their_bounds(case in cases(2..60)) {
        let parameters = parameters(0.001);
        let (found, _) = solve(&case, &parameters, 1 << 20, None);
        let counted = || (0..case.share.len()).filter(|s| u32::from(case.confidence[*s]) >= parameters.floor);
        if let (Some(low), Some(high)) = (counted().map(|s| case.share[s]).min(), counted().map(|s| case.share[s]).max()) {
            prop_assert!(counted().all(|s| (low..=high).contains(&found.friends[s])));
            prop_assert!((low..=high).contains(&found.mean));
        }
        prop_assert!(found.converged(), "{:?} above {:?}", found.residuals, found.bounds);
        prop_assert!(found.contraction <= 0.5);
    }

    #[test]
    fn the_order_the_number_and_the_direction_of_rows_change_no_bit(case in cases(2..60), seed in any::<u64>()) {
        let parameters = Parameters { max_ties: 5, ..parameters(0.001) };
        let marks: Vec<u8> = (0..case.share.len()).map(|s| (s % 4) as u8).collect();
        let expected = solve(&case, &parameters, 1 << 20, Some(&marks));
        let mut other = case.clone();
        let mut rng = Rng::with_seed(seed);
        other.ties.extend(case.ties.iter().filter(|_| rng.bool()).map(|(a, b, i, m)| (*b, *a, *i, *m)));
        rng.shuffle(&mut other.ties);
        prop_assert_eq!(&solve(&other, &parameters, 1 << 20, Some(&marks)), &expected);
        prop_assert_eq!(&solve(&other, &parameters, 0, Some(&marks)), &expected, "links on disk");
    }

    #[test]
    fn one_friend_moves_a_mean_by_no_more_than_its_published_bound(case in cases(5..40), share in 0_u32..=1_000_000) {
        let parameters = parameters(1e-6);
        let mut other = case.clone();
        other.share[0] = share;
        let (before, _) = solve(&case, &parameters, 1 << 20, None);
        let (after, _) = solve(&other, &parameters, 1 << 20, None);
        let moved = f64::from(case.share[0].abs_diff(share));
        for s in (1..case.share.len()).filter(|s| u32::from(case.confidence[*s]) >= parameters.floor) {
            // At most its weight among friends and anchor, what comes back over others (the contraction), and its part in
            // the population's mean.
            let own = f64::from(case.confidence[0]) / (2000.0 + f64::from(case.confidence[0]));
            let all: f64 = case.confidence.iter().filter(|c| u32::from(**c) >= parameters.floor).map(|c| f64::from(*c)).sum();
            let mean = f64::from(case.confidence[0]) / all.max(1.0);
            let bound = moved * (own + before.contraction + mean).min(1.0) + 6.0;
            prop_assert!(f64::from(before.friends[s].abs_diff(after.friends[s])) <= bound);
        }
    }
}

/// Honest subjects in a ring of neighbourhoods: those near each other have similar shares.
fn honest(subjects: u32, seed: u64) -> Case {
    let mut rng = Rng::with_seed(seed);
    let share = (0..subjects).map(|s| 450_000 + (s * 37 % 200) * 1_000 + rng.u32(0..20_000)).collect();
    let confidence = (0..subjects).map(|_| rng.u16(300..900)).collect();
    let ties = (0..subjects)
        .flat_map(|s| (1..=5).map(move |d| (s, (s + d * d) % subjects)).collect::<Vec<_>>())
        .map(|(a, b)| (a, b, Some(rng.i64(0..25)), rng.i64(4..50)))
        .collect();
    Case { share, confidence, ties }
}

#[test]
fn a_large_graph_agrees_with_floating_point_and_with_itself_on_any_number_of_threads() {
    let mut case = honest(30_000, 3);
    let mut rng = Rng::with_seed(4);
    // A few hubs, beyond the sender's budget and the cap of ties.
    for hub in 0..20 {
        case.ties.extend((0..3_000).map(|_| (hub, rng.u32(100..30_000), Some(rng.i64(0..30)), 20)));
    }
    let parameters = parameters(1e-6);
    assert!(largest_difference(&case, &parameters) <= 3.0);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let crowd = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    let one = alone.install(|| solve(&case, &parameters, 1 << 30, None));
    assert!(one == crowd.install(|| solve(&case, &parameters, 1 << 30, None)));
    assert!(one == crowd.install(|| solve(&case, &parameters, 100_000, None)), "links partly on disk");
}

#[test]
fn fakes_without_confidence_move_nobody_and_a_hub_cannot_lift_hundreds() {
    let case = honest(2_000, 5);
    let parameters = parameters(0.001);
    let (before, _) = solve(&case, &parameters, 1 << 30, None);
    for confidence in [0, 50, 99] {
        let mut attacked = case.clone();
        attacked.share.extend(vec![1_000_000; 1_000]);
        attacked.confidence.extend(vec![confidence; 1_000]);
        attacked.ties.extend((2_000..3_000).map(|fake| (7, fake, Some(20), 50)));
        attacked.ties.extend((2_000..2_999).map(|fake| (fake, fake + 1, Some(20), 50)));
        let (after, _) = solve(&attacked, &parameters, 1 << 30, None);
        assert_eq!(after.friends[..2_000], before.friends[..], "fakes of confidence {confidence}");
    }
    // One perfect subject befriends a few, then hundreds: what it gives to all of them together stays about the same.
    let lift = |friends: u32| {
        let mut attacked = case.clone();
        (attacked.share[0], attacked.confidence[0]) = (1_000_000, 900);
        attacked.ties.retain(|t| t.0 != 0 && t.1 != 0);
        let (without, _) = solve(&attacked, &parameters, 1 << 30, None);
        attacked.ties.extend((0..friends).map(|n| (0, 100 + 3 * n, Some(20), 50)));
        let (with, _) = solve(&attacked, &parameters, 1 << 30, None);
        let lifts = (0..friends)
            .map(|n| (100 + 3 * n) as usize)
            .map(|s| f64::from(with.friends[s]) - f64::from(without.friends[s]));
        let lifts: Vec<f64> = lifts.collect();
        (lifts.iter().sum::<f64>(), lifts.iter().copied().fold(0.0, f64::max))
    };
    let (fifty, most_of_fifty) = lift(50);
    let (hundreds, most_of_hundreds) = lift(600);
    assert!(fifty > 0.0 && hundreds < 1.6 * fifty, "{hundreds} in all for 600, {fifty} for 50");
    assert!(most_of_hundreds < most_of_fifty / 4.0, "{most_of_hundreds} each for 600, {most_of_fifty} for 50");
}

#[test]
fn the_trust_gate_silences_a_crowd_that_verified_subjects_hardly_reach() {
    // Subjects with an even number are verified; the crowd of odd numbers hangs on one tie.
    let mut case = honest(2_000, 8);
    let crowd: Vec<u32> = (0..500).map(|n| 2_001 + 2 * n).collect();
    let all = 2_001 + 2 * 500;
    let mut rng = Rng::with_seed(9);
    case.share.resize(all, 1_000_000);
    case.confidence.resize(all, 700);
    for fake in &crowd {
        case.ties
            .extend((0..6).map(|_| (*fake, crowd[rng.usize(0..crowd.len())], Some(20), 50)).filter(|t| t.0 != t.1));
    }
    case.ties.push((crowd[0], 10, Some(20), 50));
    let gated = Parameters { trust: Some((200_000, 300_000)), ..parameters(0.001) };
    let (found, _) = solve(&case, &gated, 1 << 30, None);
    let gates = found.gates.unwrap();
    let trusted = (0..2_000).filter(|s| gates[*s] == 1_000).count();
    let fakes = crowd.iter().filter(|s| gates[**s as usize] > 0).count();
    assert!(trusted > 1_900, "{trusted} of 2000 honest subjects are trusted");
    assert!(fakes < 25, "{fakes} of 500 fakes are trusted");
}

/// The graph of ties between subjects who all count.
fn graph<'a>(
    subjects: usize,
    ties: &[(u32, u32, u64)],
    parameters: &'a Parameters,
    (budget, stop, scratch): (&'a Budget, &'a AtomicBool, &Path),
) -> Graph<'a> {
    let store = TieStore::new(subjects, 1, budget, scratch).unwrap();
    store.add(0, ties).unwrap();
    let output = Output::new(true, LogFormat::Text);
    let progress = output.stage("build", 0, "ties");
    let scratch = Scratch::below(scratch).unwrap();
    Builder { parameters, marks: None, budget, scratch, stop }.build(store.finish().unwrap(), &progress).unwrap()
}

#[test]
fn sums_of_some_subjects_after_the_other_are_those_of_all() {
    let (parameters, stop) = (parameters(0.001), AtomicBool::new(false));
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::with_seed(11);
    // Ties with hubs, neighbours of every heat, and subjects without any.
    let subjects = 50 * PARTITION + 1_234;
    let last = u32::try_from(subjects).unwrap();
    let tie = |rng: &mut Rng| {
        let (hub, other) = (rng.u32(..50), rng.u32(..last - 3_000));
        (hub, 50 + other, content(Some(rng.i64(0..30)), Some(9)))
    };
    let ties: Vec<(u32, u32, u64)> = (0..500_000).map(|_| tie(&mut rng)).collect();
    for memory in [0, 1 << 30] {
        let budget = Budget::new(memory);
        let graph = graph(subjects, &ties, &parameters, (&budget, &stop, folder.path()));
        let values: Vec<u32> = (0..last).map(|n| n.wrapping_mul(2_654_435_761) % 1_000_000).collect();
        let mut all = vec![0; subjects];
        graph.weigh(&values, &mut all).unwrap();
        assert!(all.iter().filter(|sum| **sum > 0).count() > subjects / 2 && all.contains(&0));
        let mut parted = Vec::new();
        for first in (0..subjects).step_by(PARTITION) {
            // What is there does not count.
            let mut some = vec![77; PARTITION.min(subjects - first)];
            graph.weigh_some(&values, first, &mut some).unwrap();
            parted.append(&mut some);
        }
        assert!(parted == all, "{memory} bytes");
        let mut in_turn = Vec::new();
        graph
            .weigh_in_turn(&values, |first, sums| {
                assert_eq!(first, in_turn.len());
                in_turn.extend_from_slice(sums);
                Ok(())
            })
            .unwrap();
        assert!(in_turn == all, "{memory} bytes");
        assert!(graph.weigh_in_turn(&values, |_, _| Err(anyhow::anyhow!("no"))).is_err());
    }
}

#[test]
fn what_friends_are_like_is_counted_over_the_ties_that_count() {
    let case = Case {
        share: vec![500_000; 6],
        confidence: vec![500, 500, 500, 500, 500, 50],
        ties: vec![
            (0, 1, Some(0), 10),
            (0, 2, None, 30),
            (3, 0, Some(7), 20),
            (0, 3, Some(2), 25),
            (0, 4, Some(1), 40),
            (0, 5, Some(20), 60),
        ],
    };
    let marks = [0, 1, 3, 2, 0, 3];
    let (_, neighbours) = solve(&case, &parameters(0.001), 1 << 20, Some(&marks));
    let expected = Neighbours { ties: 4, told: 3, interacting: 2, median_months: 25, verified: 2, in_default: 2 };
    assert_eq!(neighbours[0].unpacked(), expected);
    assert_eq!(neighbours[5].unpacked(), Neighbours::default());
    let capped = Parameters { max_ties: 2, ..parameters(0.001) };
    let (_, neighbours) = solve(&case, &capped, 1 << 20, Some(&marks));
    // The strongest are 3 (seven interactions) and, of those that count as one, 2 before 4.
    let expected = Neighbours { ties: 2, told: 1, interacting: 1, median_months: 25, verified: 1, in_default: 2 };
    assert_eq!(neighbours[0].unpacked(), expected);
}

/// What rows say of one tie: file, interactions, and months unless it is too young.
type Said = (usize, Option<i64>, Option<i64>);

/// A graph from the definition: degrees, links, ties beyond the cap, repeated and too young rows by file, and for each subject the
/// chosen friends with their strengths.
#[derive(Debug, PartialEq)]
struct Plain {
    degree: Vec<u32>,
    links: u64,
    beyond: u64,
    merged: Vec<u64>,
    young: Vec<u64>,
    chosen: Vec<Vec<(u32, u8)>>,
}

impl Plain {
    fn new(subjects: usize, files: usize, rows: &[(u32, u32, Said)], parameters: &Parameters) -> Self {
        let mut ties: std::collections::BTreeMap<(u32, u32), Vec<Said>> = Default::default();
        for (a, b, said) in rows {
            ties.entry((*a.min(b), *a.max(b))).or_default().push(*said);
        }
        let (mut merged, mut young) = (vec![0; files], vec![0; files]);
        let mut chosen = vec![Vec::new(); subjects];
        for ((a, b), mut said) in ties {
            said.sort_unstable_by_key(|said| said.0);
            said[1..].iter().for_each(|said| merged[said.0] += 1);
            if said.iter().all(|said| said.2.is_none()) {
                young[said[0].0] += 1;
                continue;
            }
            // What is not told is more than none and less than one or more.
            let most = said.iter().map(|said| said.1).max_by_key(|told| told.map_or(1, |i| 2 * i.min(30))).unwrap();
            let strength = parameters.strength(most.map(|i| u8::try_from(i.min(30)).unwrap()));
            chosen[a as usize].push((b, strength));
            chosen[b as usize].push((a, strength));
        }
        let degree = chosen.iter().map(|of| u32::try_from(of.len()).unwrap()).collect();
        let mut beyond = 0;
        for of in &mut chosen {
            of.sort_unstable_by_key(|(from, strength)| (std::cmp::Reverse(*strength), *from));
            beyond += of.len().saturating_sub(parameters.max_ties) as u64;
            of.truncate(parameters.max_ties);
        }
        let links = chosen.iter().map(|of| of.len() as u64).sum();
        Self { degree, links, beyond, merged, young, chosen }
    }
}

/// Builds the graph of rows that come in so many blocks, and holds it against the definition.
fn hold_against_the_definition(
    subjects: usize,
    rows: &[(u32, u32, Said)],
    block: usize,
    memory: u64,
    parameters: &Parameters,
) {
    let plain = Plain::new(subjects, 3, rows, parameters);
    let folder = tempfile::tempdir().unwrap();
    let (budget, stop, output) = (Budget::new(memory), AtomicBool::new(false), Output::new(true, LogFormat::Text));
    let store = TieStore::new(subjects, 3, &budget, folder.path()).unwrap();
    for some in rows.chunks(block) {
        for file in 0..3 {
            let of_file = some.iter().filter(|row| row.2.0 == file);
            let ties: Vec<(u32, u32, u64)> = of_file.map(|(a, b, said)| (*a, *b, content(said.1, said.2))).collect();
            store.add(u32::try_from(file).unwrap(), &ties).unwrap();
        }
    }
    let ties = store.finish().unwrap();
    let progress = output.stage("build", ties.len(), "ties");
    let scratch = Scratch::below(folder.path()).unwrap();
    let marks: Vec<u8> = (0..subjects).map(|s| (s % 4) as u8).collect();
    let builder = Builder { parameters, marks: Some(&marks), budget: &budget, scratch, stop: &stop };
    let graph = builder.build(ties, &progress).unwrap();
    assert_eq!((graph.links, graph.beyond), (plain.links, plain.beyond));
    assert_eq!((&graph.merged, &graph.young), (&plain.merged, &plain.young));
    assert!(graph.degree == plain.degree);
    let values: Vec<u32> = (0..subjects as u32).map(|s| s.wrapping_mul(2_654_435_761) % 1_000_000_000).collect();
    let here = graph.hub_first(&graph.subjects(), |s| Ok(values[s])).unwrap();
    let mut sums = vec![7_u64; subjects];
    graph.weigh(&here, &mut sums).unwrap();
    let sum = |of: &Vec<(u32, u8)>| -> u64 {
        of.iter().map(|(from, strength)| u64::from(*strength) * u64::from(values[*from as usize])).sum()
    };
    assert!(sums == plain.chosen.iter().map(sum).collect::<Vec<u64>>());
    let neighbours = graph.into_neighbours();
    for (of, packed) in plain.chosen.iter().zip(&neighbours) {
        let neighbours = packed.unpacked();
        let verified = of.iter().filter(|(from, _)| marks[*from as usize] & 1 != 0).count();
        assert_eq!((neighbours.ties as usize, neighbours.verified as usize), (of.len(), verified));
        let in_default = of.iter().filter(|(from, _)| marks[*from as usize] & 2 != 0).count();
        assert_eq!(neighbours.in_default as usize, in_default);
    }
    let memory_again = budget.take(memory);
    assert!(memory_again, "all memory is given back");
}

#[test]
fn graphs_of_hubs_and_of_people_whom_few_know_are_what_the_definition_makes_of_them() {
    // More than there are places for hot and warm subjects; ties of the last ones are in few of the blocks that degrees are sampled from.
    const SUBJECTS: u32 = 420_000;
    let mut rng = Rng::with_seed(11);
    let mut rows = Vec::new();
    for _ in 0..60_000 {
        let (a, b) = match rng.u8(0..6) {
            0 => (rng.u32(0..20), rng.u32(0..SUBJECTS)),
            1 => (rng.u32(0..20), rng.u32(SUBJECTS - 3_000..SUBJECTS)),
            2 => (rng.u32(0..200), rng.u32(0..200)),
            3 => (rng.u32(SUBJECTS - 60..SUBJECTS), rng.u32(SUBJECTS - 60..SUBJECTS)),
            4 => (rng.u32(400_000..SUBJECTS), rng.u32(400_000..SUBJECTS)),
            _ => (rng.u32(0..SUBJECTS), rng.u32(0..SUBJECTS)),
        };
        let told = (rng.u8(0..4) > 0).then(|| rng.i64(0..40));
        let months = (rng.u8(0..5) > 0).then(|| rng.i64(3..60));
        if a != b {
            rows.push((a, b, (rng.usize(0..3), told, months)));
        }
    }
    for (max_ties, block, memory) in [(1_000_000, 1_000, 1 << 30), (50, 1_000, 0), (3, 30_000, 200_000)] {
        let parameters = Parameters { max_ties, ..parameters(0.001) };
        hold_against_the_definition(SUBJECTS as usize, &rows, block, memory, &parameters);
    }
}

#[test]
fn graphs_without_ties_and_without_subjects_are_empty() {
    for subjects in [0, 1, 9_000] {
        hold_against_the_definition(subjects, &[], 1, 1 << 20, &parameters(0.001));
    }
}

#[test]
fn a_folder_without_room_is_an_error() {
    let budget = Budget::new(0);
    assert!(TieStore::new(10, 1, &budget, Path::new("/nonexistent")).is_err());
}
