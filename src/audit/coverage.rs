//! Who is scored and who is not, and what scores open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::scale::ScoreScale;
use crate::disclosure::{cells, part};

/// Who is scored and who is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Subjects that are visible.
    pub subjects: u64,
    /// Those with a score.
    pub scored: Option<u64>,
    /// By status, in order of the model file.
    pub statuses: Vec<StatusCount>,
    /// By segment, in order of the model file.
    pub segments: Vec<SegmentCount>,
}

/// Subjects of a status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusCount {
    /// The status.
    pub status: String,
    /// Whether it has a score.
    pub scored: bool,
    /// Subjects.
    pub subjects: Option<u64>,
}

/// Subjects of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentCount {
    /// The segment.
    pub segment: String,
    /// Subjects.
    pub subjects: Option<u64>,
}

/// What a score opens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Privilege {
    /// What it is.
    pub privilege: String,
    /// The lowest score that opens it.
    pub from: i64,
    /// Subjects with that score or a higher one.
    pub subjects: Option<u64>,
}

fn counted(cells: usize, of: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut counts = vec![0_u64; cells];
    of.for_each(|n| counts[n] += 1);
    counts
}

/// Statuses and segments.
pub(super) fn coverage(facts: &Facts) -> Coverage {
    let (rows, card) = (&facts.population.rows, &facts.job.model.card);
    let statuses = counted(card.status.len(), rows.status.iter().map(|s| usize::from(*s)));
    // Scored and not scored are a division of their own; the statuses are divisions of each.
    let scored: Vec<bool> = card.status.iter().map(|s| s.get_ref().scored).collect();
    let all_shown = part(facts.population.scored, facts.subjects(), facts.min_cell()).is_some();
    let of = |which: bool| -> Vec<u64> {
        statuses.iter().zip(&scored).filter(|(_, s)| **s == which).map(|(c, _)| *c).collect()
    };
    let shown = |which: bool| match all_shown {
        true => cells::shown(&of(which), &[], facts.min_cell()),
        false if which => facts.of_scored(&of(true), &[]),
        false => of(false).iter().map(|c| (*c == 0).then_some(0)).collect(),
    };
    let (mut yes, mut no) = (shown(true).into_iter(), shown(false).into_iter());
    let statuses: Vec<StatusCount> = card
        .status
        .iter()
        .map(|status| {
            let status = status.get_ref();
            let subjects = if status.scored { yes.next() } else { no.next() };
            StatusCount { status: status.name.clone(), scored: status.scored, subjects: subjects.flatten() }
        })
        .collect();
    let segments = counted(card.segment.len(), rows.segment.iter().map(|s| usize::from(*s)));
    let segments: Vec<SegmentCount> = card
        .segment
        .iter()
        .zip(cells::shown(&segments, &[], facts.min_cell()))
        .map(|(segment, subjects)| SegmentCount { segment: segment.get_ref().name.clone(), subjects })
        .collect();
    Coverage { subjects: facts.subjects(), scored: facts.part_of_all(facts.population.scored), statuses, segments }
}

/// What scores open.
pub(super) fn privileges(facts: &Facts, scale: &ScoreScale) -> Vec<Privilege> {
    let privileges = facts.job.model.card.privilege.iter().map(toml::Spanned::get_ref);
    privileges.map(|p| Privilege { privilege: p.name.clone(), from: p.from, subjects: scale.from(p.from) }).collect()
}
