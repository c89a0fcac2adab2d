//! Protected groups side by side: shares above each cut-off, and means. A ratio below the pipeline's mark is a signal to look closer,
//! neither proof of discrimination nor, above it, of its absence.

use serde_json::{Value, json};

use super::Facts;
use super::facts::hundredths;
use super::scale::ScoreScale;
use crate::disclosure::DECIMALS;
use crate::disclosure::neighbours::merged;
use crate::ingest::groups::GroupColumn;
use crate::statistics::proportion::rounded;

/// Every column of groups; null without the table.
pub fn fairness(facts: &Facts, scale: &ScoreScale) -> Value {
    if facts.job.export("groups").is_none() {
        return Value::Null;
    }
    let columns: Vec<Value> = facts.data.groups.iter().map(|column| of_column(facts, scale, column)).collect();
    json!({
        "columns": columns,
    })
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

fn of_column(facts: &Facts, scale: &ScoreScale, column: &GroupColumn) -> Value {
    let (groups, untold) = groups(facts, column);
    let counts: Vec<u64> = groups.iter().chain([&untold]).map(|g| g.scores.len() as u64).collect();
    let shown = facts.of_scored(&counts, &[]);
    let told: Vec<&Group> =
        groups.iter().zip(&shown).filter(|(g, s)| s.is_some() && !g.scores.is_empty()).map(|(g, _)| g).collect();
    let cutoffs = cutoffs(facts, scale, &groups, &untold, &shown);
    let best = |cutoff: i64| told.iter().map(|g| g.share(cutoff)).fold(0.0, f64::max);
    // Means are held against the largest group's.
    let largest = told.iter().max_by_key(|g| g.scores.len()).map(|g| g.mean());
    let least = facts.job.pipeline.settings.report.fairness_ratio;
    let approvals = |group: &Group| -> Vec<Value> {
        let one = |cutoff: &i64| {
            let (share, best) = (group.share(*cutoff), best(*cutoff));
            let ratio = (best > 0.0).then(|| rounded(share / best, DECIMALS));
            let share = rounded(share, DECIMALS);
            json!({ "from": cutoff, "share": share, "ratio": ratio, "signal": ratio.is_some_and(|r| r < least) })
        };
        cutoffs.iter().map(one).collect()
    };
    let rows = groups.iter().zip(&shown).map(|(group, subjects)| {
        let told = subjects.is_some_and(|s| s > 0);
        json!({
            "group": group.name,
            "subjects": subjects,
            "mean": told.then(|| hundredths(group.mean())),
            "mean_difference": largest.filter(|_| told).map(|l| hundredths(group.mean() - l)),
            "approvals": if told { approvals(group) } else { Vec::new() },
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "column": column.name, "groups": rows, "not_told": shown.last().copied().flatten() })
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
    let runs = merged(&cells, facts.least());
    runs.iter().skip(1).map(|run| from[run.start]).collect()
}
