//! The relationship category: from ties and the subjects' own scores to bins.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rayon::prelude::*;

use super::points::Fraction;
use super::rated::Rated;
use crate::graph::Parameters;
use crate::graph::csr::{Builder, Graph};
use crate::graph::neighbours::{Packed, VERIFIED};
use crate::graph::parameters::{SHARE_ONE, STRENGTH_ONE, WEIGHT_ONE};
use crate::graph::propagate::{Priors, Propagated, propagate};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::links::tie_store::TieStore;
use crate::ingest::links::ties::{DroppedTies, Tie};
use crate::machine::resources::Resources;
use crate::pipeline::catalogue::Aggregate;
use crate::pipeline::model::RELATIONSHIPS;
use crate::pipeline::propagation::Propagation;
use crate::scorecard::card::{FriendsFeature, Origin, Scorecard};
use crate::stages::ties::Ties;
use crate::storage::scratch::Scratch;
use crate::tables::ids::UNKNOWN;
use crate::tables::relationships::Line;

/// Ties and links may take so many times the memory of waiting rows, ties one part of it: they are read once, links in every round.
const LINK_MEMORY: u64 = 4;

/// What relationship features are made of. When they are in their bins, [`Friends`] is left of it: there is as much for every subject as
/// the graph takes.
#[derive(Debug)]
pub struct Bonds {
    propagated: Propagated,
    /// What each subject's ties are like.
    neighbours: Vec<Packed>,
    summary: Summary,
}

/// What friends tell of every subject.
#[derive(Debug)]
pub struct Friends {
    /// Counted ties of each subject, at most as many as the model counts.
    ties: Vec<u32>,
    /// How much of each subject's friends' mean is the anchor, in tenths.
    anchor_tenths: Vec<i16>,
    /// The rounds and what they came to, without what there is of each subject.
    pub propagated: Propagated,
    /// What it is of all of them.
    pub summary: Summary,
}

/// What there is of all subjects together.
#[derive(Debug, Clone)]
pub struct Summary {
    /// κ: the anchor's weight, in units of evidence.
    anchor: u64,
    /// Ties below which nothing is told.
    min_friends: u32,
    /// Where the steps begin in which a number of friends is told.
    steps: Vec<u32>,
    /// Why rows are no ties.
    pub dropped: DroppedTies,
    /// Subjects that may lend and get.
    pub counted: u64,
    /// Directed links of the graph.
    pub links: u64,
    /// Directed ties beyond the cap.
    pub beyond: u64,
}

/// Builds the graph of the ties between counted subjects and propagates; the second part says what became of the rows.
///
/// # Errors
/// When ties cannot be read or spilled, or the run is interrupted.
pub fn propagate_scores(
    (ties, dropped): (Ties, DroppedTies),
    files: usize,
    rated: &Rated,
    model: &Propagation,
    resources: &Resources,
) -> Result<(Bonds, Findings)> {
    let (stop, output, scratch) = (resources.stop, resources.log, resources.scratch.as_path());
    let parameters = Parameters::new(model)?;
    let counted: Vec<bool> = (0..rated.rows.status.len()).map(|s| rated.counts(s, &parameters)).collect();
    let (rows, budget) = (resources.budget(), resources.budget().times(LINK_MEMORY - 1));
    let mut found = Findings::default();
    let store = TieStore::new(counted.len(), files, &rows, scratch)?;
    let not_counted = choose(&ties, &counted, &store, &mut found, resources)?;
    drop(ties);
    let ties = store.finish()?;
    let scratch = Scratch::below(scratch)?;
    let rows = ties.rows.clone();
    let progress = output.stage("build graph", ties.len(), "ties");
    let builder = Builder { parameters: &parameters, marks: Some(&rated.rows.marks), budget: &budget, scratch, stop };
    let mut graph = builder.build(ties, &progress)?;
    progress.finish();
    found.links(&rows, &graph.merged, &graph.young);
    let too_young = graph.young.iter().sum();
    let progress = output.stage("propagate", graph.links * u64::from(parameters.rounds), "links");
    let propagated = spread(&mut graph, rated, &counted, &parameters, &|links| progress.add(links), stop)?;
    progress.finish();
    let summary = Summary {
        anchor: parameters.anchor,
        min_friends: model.min_friends,
        steps: model.friend_steps.clone(),
        dropped: DroppedTies { not_counted, too_young, ..dropped },
        counted: counted.iter().filter(|c| **c).count() as u64,
        links: graph.links,
        beyond: graph.beyond,
    };
    Ok((Bonds { propagated, neighbours: graph.into_neighbours(), summary }, found))
}

/// Stores the ties between counted subjects and counts the others.
fn choose(ties: &Ties, counted: &[bool], store: &TieStore, found: &mut Findings, resources: &Resources) -> Result<u64> {
    let progress = resources.log.stage("choose ties", ties.len(), "ties");
    // By the number that ties name it by: the subject, if it is counted.
    let mut subjects = ties.subjects()?;
    for subject in subjects.iter_mut().filter(|subject| !counted[**subject as usize]) {
        *subject = UNKNOWN;
    }
    let files = (0..ties.blocks()).into_par_iter().map(|at| {
        resources.check()?;
        let block = ties.block(at)?;
        progress.add(block.len() as u64);
        let mut dropped = Vec::new();
        for of_file in block.chunk_by(|one, other| one.0 == other.0) {
            let ends = |t: &Tie| (subjects[t.0 as usize], subjects[t.1 as usize], t.2);
            let between = |t: &Tie| t.0 != UNKNOWN && t.1 != UNKNOWN;
            let chosen: Vec<Tie> = of_file.iter().map(|(_, tie)| ends(tie)).filter(between).collect();
            dropped.push((of_file[0].0, (of_file.len() - chosen.len()) as u64));
            store.add(of_file[0].0, &chosen)?;
        }
        Ok(dropped)
    });
    let mut all = 0;
    for (file, rows) in files.collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        found.tally.add(file, Class::Dropped, rows);
        all += rows;
    }
    progress.finish();
    Ok(all)
}

fn spread(
    graph: &mut Graph,
    rated: &Rated,
    counted: &[bool],
    parameters: &Parameters,
    done: &(dyn Fn(u64) + Sync),
    stop: &AtomicBool,
) -> Result<Propagated> {
    let confidence: Vec<u16> = rated
        .rows
        .confidence
        .iter()
        .zip(counted)
        .map(|(c, counted)| if *counted { u16::try_from(*c) } else { Ok(0) })
        .collect::<std::result::Result<_, _>>()?;
    let priors = Priors {
        share: &rated.rows.own_share,
        confidence: &confidence,
        verified: &|s| rated.rows.marks[s] & VERIFIED != 0,
    };
    propagate(graph, &priors, parameters, done, stop)
}

impl Friends {
    /// Whether anything is told of a subject's friends.
    #[must_use]
    pub fn enough(&self, subject: usize) -> bool {
        self.ties[subject] >= self.summary.min_friends
    }

    /// What may be said of a subject's friends, who move its score by so many points.
    ///
    /// # Errors
    /// When the points are none of a scale.
    pub fn line(&self, subject: usize, lift: i64) -> Result<Line> {
        let ties = self.ties[subject];
        Ok(Line {
            subject,
            friends: u32::try_from(self.summary.steps.partition_point(|step| *step <= ties))?,
            lift_points: i16::try_from(lift)?,
            anchor_tenths: self.anchor_tenths[subject],
        })
    }
}

impl Summary {
    /// What the model's steps are called, which tell no exact number of friends, by how many of their beginnings are reached.
    #[must_use]
    pub fn step_names(&self) -> Vec<String> {
        let name = |reached: usize| match (reached.checked_sub(1).map(|at| self.steps[at]), self.steps.get(reached)) {
            (Some(from), Some(next)) => format!("{from} to {}", next.saturating_sub(1)),
            (Some(from), None) => format!("{from} or more"),
            (None, next) => format!("fewer than {}", next.copied().unwrap_or(u32::MAX)),
        };
        (0..=self.steps.len()).map(name).collect()
    }
}

impl Bonds {
    /// What is left to tell when the features are in their bins; all else that there is of each subject goes.
    ///
    /// # Errors
    /// When a figure is out of its range, which the checks of the model exclude.
    pub fn told(self) -> Result<Friends> {
        let Self { mut propagated, neighbours, summary } = self;
        let ties = neighbours.iter().map(|of| of.ties()).collect();
        drop(neighbours);
        let evidence = std::mem::take(&mut propagated.evidence);
        (propagated.friends, propagated.gates) = (Vec::new(), None);
        let tenths = evidence.par_iter().map(|evidence| anchor_tenths(summary.anchor, *evidence));
        Ok(Friends { ties, anchor_tenths: tenths.collect::<Result<_>>()?, propagated, summary })
    }

    /// Puts a subject's relationship features into their bins; without enough friends all are `none`.
    pub fn fill(&self, card: &Scorecard, subject: usize, bins: &mut [u8]) {
        if self.neighbours[subject].ties() < self.summary.min_friends {
            return;
        }
        for (feature, bin) in card.features.iter().zip(bins).filter(|(f, _)| f.category == RELATIONSHIPS) {
            if let Origin::Friends(of) = feature.origin {
                *bin = feature.bin(self.value(card, of, subject), false);
            }
        }
    }

    /// A relationship feature of a subject; NaN where it is not told.
    #[must_use]
    pub fn value(&self, card: &Scorecard, feature: FriendsFeature, subject: usize) -> f64 {
        let n = self.neighbours[subject].unpacked();
        let shrunk =
            |count: u32, of: u32| (f64::from(count) + feature.prior_friends) / (f64::from(of) + feature.prior_strength);
        match feature.aggregate {
            Aggregate::FriendsScore => {
                card.low as f64 + card.range as f64 * f64::from(self.propagated.friends[subject]) / SHARE_ONE as f64
            }
            Aggregate::EffectiveFriends => {
                self.propagated.evidence[subject] as f64 / (STRENGTH_ONE * WEIGHT_ONE) as f64
            }
            Aggregate::InteractionShare if n.told == 0 => f64::NAN,
            Aggregate::InteractionShare => f64::from(n.interacting) / f64::from(n.told),
            Aggregate::MedianTieAge => f64::from(n.median_months),
            Aggregate::FriendsVerified => shrunk(n.verified, n.ties),
            Aggregate::FriendsInDefault => shrunk(n.in_default, n.ties),
            _ => f64::NAN,
        }
    }
}

/// How much of the friends' mean is the neutral anchor, in tenths.
fn anchor_tenths(anchor: u64, evidence: u64) -> Result<i16> {
    let (anchor, all) = (i128::from(anchor), i128::from(anchor) + i128::from(evidence));
    let tenths = Fraction { numerator: 10 * anchor, denominator: all.max(1) }.round_half_even()?;
    Ok(i16::try_from(tenths)?)
}

#[cfg(test)]
mod tests {
    use super::anchor_tenths;

    #[test]
    fn the_tenths_of_the_anchor_are_rounded_half_to_even() {
        let tenths: Vec<i16> = [(1, 3), (3, 1), (1, 2), (1, 0), (0, 1), (0, 0), (9, 11)]
            .map(|(anchor, evidence)| anchor_tenths(anchor, evidence).unwrap())
            .to_vec();
        assert_eq!(tenths, [2, 8, 3, 10, 0, 0, 4]);
    }
}
