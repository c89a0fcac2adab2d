//! Protected groups side by side: shares above each cut-off, and means. A ratio below the pipeline's mark is a signal to look closer,
//! neither proof of discrimination nor, above it, of its absence.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::facts::hundredths;
use super::scale::ScoreScale;
use crate::disclosure::DECIMALS;
use crate::disclosure::neighbours::merged;
use crate::ingest::settle::groups::GroupColumn;
use crate::statistics::proportion::rounded;

/// Protected groups side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fairness {
    /// Column by column.
    pub columns: Vec<GroupsOf>,
}

/// The groups of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupsOf {
    /// The column.
    pub column: String,
    /// Its groups.
    pub groups: Vec<GroupScores>,
    /// Scored subjects whose group is not told.
    pub not_told: Option<u64>,
}

/// The scores of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupScores {
    /// The group.
    pub group: String,
    /// Scored subjects.
    pub subjects: Option<u64>,
    /// Their mean score.
    pub mean: Option<f64>,
    /// The mean less that of the largest group.
    pub mean_difference: Option<f64>,
    /// Shares at or above cut-offs.
    pub approvals: Vec<Approval>,
}

/// How many of a group reach a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The score.
    pub from: i64,
    /// The share of the group that has it or a higher one.
    pub share: f64,
    /// The share by that of the best group.
    pub ratio: Option<f64>,
    /// Whether the ratio is below the pipeline's mark.
    pub signal: bool,
}

/// Every column of groups; nothing without the table.
///
/// # Errors
/// When the stage is damaged.
pub(super) fn fairness(facts: &Facts, scale: &ScoreScale) -> Result<Option<Fairness>> {
    if facts.job.export("groups").is_none() {
        return Ok(None);
    }
    let columns = facts.data.groups()?;
    Ok(Some(Fairness { columns: columns.iter().map(|column| of_column(facts, scale, column)).collect() }))
}

struct Group<'a> {
    name: &'a str,
    scores: Vec<i64>,
}

impl Group<'_> {
    fn mean(&self) -> f64 {
        self.scores.iter().sum::<i64>() as f64 / self.scores.len().max(1) as f64
    }

    fn within(&self, from: i64, below: i64) -> u64 {
        self.scores.iter().filter(|s| (from..below).contains(*s)).count() as u64
    }

    /// The share at or above a score.
    fn share(&self, from: i64) -> f64 {
        self.within(from, i64::MAX) as f64 / self.scores.len().max(1) as f64
    }
}

/// The scored subjects of each group of a column, and those whose group is not told.
fn groups<'a>(facts: &Facts, column: &'a GroupColumn) -> (Vec<Group<'a>>, Group<'a>) {
    let mut groups: Vec<Group> = column.groups.iter().map(|name| Group { name, scores: Vec::new() }).collect();
    let mut untold = Group { name: "", scores: Vec::new() };
    for (subject, score) in facts.scored() {
        match column.of[subject] {
            Some(group) => groups[usize::from(group)].scores.push(score),
            None => untold.scores.push(score),
        }
    }
    (groups, untold)
}

fn of_column(facts: &Facts, scale: &ScoreScale, column: &GroupColumn) -> GroupsOf {
    let (groups, untold) = groups(facts, column);
    let counts: Vec<u64> = groups.iter().chain([&untold]).map(|g| g.scores.len() as u64).collect();
    let shown = facts.of_scored(&counts, &[]);
    let told: Vec<&Group> =
        groups.iter().zip(&shown).filter(|(g, s)| s.is_some() && !g.scores.is_empty()).map(|(g, _)| g).collect();
    let cutoffs = cutoffs(facts, scale, &groups, &untold, &shown);
    let best = |cutoff: i64| told.iter().map(|g| g.share(cutoff)).fold(0.0, f64::max);
    // Means are held against the largest group's.
    let largest = told.iter().max_by_key(|g| g.scores.len()).map(|g| g.mean());
    let mark = facts.job.pipeline.settings.report.fairness_ratio;
    let approvals = |group: &Group| -> Vec<Approval> {
        let one = |cutoff: &i64| {
            let (share, best) = (group.share(*cutoff), best(*cutoff));
            let ratio = (best > 0.0).then(|| rounded(share / best, DECIMALS));
            let share = rounded(share, DECIMALS);
            Approval { from: *cutoff, share, ratio, signal: ratio.is_some_and(|r| r < mark) }
        };
        cutoffs.iter().map(one).collect()
    };
    let rows = groups.iter().zip(&shown).map(|(group, subjects)| {
        let told = subjects.is_some_and(|s| s > 0);
        GroupScores {
            group: group.name.to_owned(),
            subjects: *subjects,
            mean: told.then(|| hundredths(group.mean())),
            mean_difference: largest.filter(|_| told).map(|l| hundredths(group.mean() - l)),
            approvals: if told { approvals(group) } else { Vec::new() },
        }
    });
    GroupsOf { column: column.name.clone(), groups: rows.collect(), not_told: shown.last().copied().flatten() }
}

/// The privileges' scores between which no group, nor all that are not shown together, has few subjects.
fn cutoffs(facts: &Facts, scale: &ScoreScale, groups: &[Group], untold: &Group, shown: &[Option<u64>]) -> Vec<i64> {
    let edges = scale.told_edges();
    let mut cuts: Vec<i64> = facts.job.model.card.privilege.iter().map(|p| p.get_ref().from).collect();
    cuts.retain(|cut| edges.contains(cut));
    cuts.sort_unstable();
    let from: Vec<i64> = std::iter::once(i64::MIN).chain(cuts).collect();
    let cell = |n: usize| -> Vec<u64> {
        let (from, below) = (from[n], from.get(n + 1).copied().unwrap_or(i64::MAX));
        let counts: Vec<u64> = groups.iter().chain([untold]).map(|g| g.within(from, below)).collect();
        let hidden = counts.iter().zip(shown).filter(|(_, s)| s.is_none()).map(|(c, _)| c).sum();
        let told = counts.iter().zip(shown).filter(|(_, s)| s.is_some()).map(|(c, _)| *c);
        told.chain([hidden]).collect()
    };
    let cells: Vec<Vec<u64>> = (0..from.len()).map(cell).collect();
    let runs = merged(&cells, facts.min_cell());
    runs.iter().skip(1).map(|run| from[run.start]).collect()
}
