//! Protected groups under the start model and the fitted one: who gains, who loses. They are read after the fit, and only for this.

use serde::Serialize;

use super::facts::Facts;
use crate::disclosure::{DECIMALS, small};
use crate::statistics::proportion::rounded;

/// A share that falls by more, against the best group's, is marked.
const FALL: f64 = 0.02;

/// The groups of a column at every date.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// By date the names of the groups.
    pub groups: Vec<Vec<String>>,
    /// By date and row of the training set the group, where it is told.
    pub of: Vec<Vec<Option<u8>>>,
}

/// A group's share at or above a score.
#[derive(Debug, Clone, Serialize)]
pub struct GroupShare {
    /// The column.
    pub column: String,
    /// The group.
    pub group: String,
    /// The score.
    pub from: i64,
    /// The share under the start model.
    pub before: f64,
    /// Under the fitted one.
    pub after: f64,
    /// The share under the start model by that of the best group.
    pub ratio_before: f64,
    /// The same under the fitted one.
    pub ratio: f64,
    /// Whether the ratio is below the pipeline's mark, or fell by more than 0.02.
    pub signal: bool,
}

/// What is held against what.
pub struct Request<'a> {
    /// The columns of groups.
    pub columns: &'a [Column],
    /// The scores from which something is granted.
    pub cutoffs: &'a [i64],
    /// The mark below which a ratio is a signal.
    pub mark: f64,
    /// Fewer rows than this are not told.
    pub min_cell: u64,
}

/// A group with the scores of its rows, before and after.
struct Group {
    name: String,
    scores: Vec<(i64, i64)>,
}

impl Group {
    fn shares(&self, from: i64) -> (f64, f64) {
        let share = |of: &dyn Fn(&(i64, i64)) -> i64| {
            self.scores.iter().filter(|s| of(s) >= from).count() as f64 / self.scores.len() as f64
        };
        (share(&|s| s.0), share(&|s| s.1))
    }

    /// Whether neither side of a score has few of its rows.
    fn may_be_told(&self, from: i64, min_cell: u64) -> bool {
        let few = |of: &dyn Fn(&(i64, i64)) -> i64| {
            let above = self.scores.iter().filter(|s| of(s) >= from).count() as u64;
            small(above, min_cell) || small(self.scores.len() as u64 - above, min_cell)
        };
        !few(&|s| s.0) && !few(&|s| s.1)
    }
}

/// The shares of all groups that may be told of.
#[must_use]
pub fn shares(facts: &Facts, request: &Request) -> Vec<GroupShare> {
    let rows = &facts.loaded.sample.rows;
    let mut all = Vec::new();
    for column in request.columns {
        let mut groups: Vec<Group> = Vec::new();
        for seen in facts.measured().0 {
            let (date, place) = (usize::from(rows.date[seen.row]), rows.place[seen.row] as usize);
            let Some(group) = column.of[date][place] else { continue };
            let name = &column.groups[date][usize::from(group)];
            let at = groups.iter().position(|g| g.name == *name).unwrap_or_else(|| {
                groups.push(Group { name: name.clone(), scores: Vec::new() });
                groups.len() - 1
            });
            groups[at].scores.push((seen.before, seen.after));
        }
        groups.retain(|g| g.scores.len() as u64 >= request.min_cell);
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        for from in request.cutoffs {
            let told: Vec<(&Group, (f64, f64))> = groups
                .iter()
                .filter(|g| g.may_be_told(*from, request.min_cell))
                .map(|g| (g, g.shares(*from)))
                .collect();
            let best = |of: &dyn Fn(&(f64, f64)) -> f64| told.iter().map(|(_, s)| of(s)).fold(0.0, f64::max);
            let (best_before, best_after) = (best(&|s| s.0), best(&|s| s.1));
            for (group, (before, after)) in told.iter().filter(|_| best_before > 0.0 && best_after > 0.0) {
                let (ratio_before, ratio) = (before / best_before, after / best_after);
                all.push(GroupShare {
                    column: column.name.clone(),
                    group: group.name.clone(),
                    from: *from,
                    before: rounded(*before, DECIMALS),
                    after: rounded(*after, DECIMALS),
                    ratio_before: rounded(ratio_before, DECIMALS),
                    ratio: rounded(ratio, DECIMALS),
                    signal: ratio < request.mark || ratio < ratio_before - FALL,
                });
            }
        }
    }
    all
}
