//! Who moved between bands since the earlier run.

use anyhow::Result;

use super::Facts;
use super::previous::Previous;
use crate::disclosure::crosstab::{Crosstab, crosstab};
use crate::disclosure::small;
use crate::score::rows::NONE;

/// What subjects without a score are called.
const NO_SCORE: &str = "no score";

/// Subjects by band then and band now; those without a score have a row and a column of their own. Nothing where
/// their number may not be shown.
///
/// # Errors
/// When the ids cannot be read.
pub(super) fn migration(facts: &Facts, previous: &Previous) -> Result<Option<Crosstab>> {
    let card = &facts.job.model.card;
    let bands: Vec<i64> = card.band.iter().map(|b| b.get_ref().from).collect();
    let none = bands.len();
    let band = |score: i16| match score {
        NONE => none,
        score => bands.partition_point(|from| *from <= i64::from(score)).saturating_sub(1),
    };
    let mut counts = vec![vec![0_u64; none + 1]; none + 1];
    previous.matched(facts.data.subjects.ids_by_block(), |then, now| {
        let score = |s: Option<usize>, of: &[i16]| s.map_or(NONE, |s| of[s]);
        counts[band(score(then, &previous.by_subject))][band(score(now, &facts.population.rows.score))] += 1;
    })?;
    // Who has no score in either is in neither run's bands.
    counts[none][none] = 0;
    let mut names: Vec<String> = card.band.iter().map(|b| b.get_ref().name.clone()).collect();
    names.push(NO_SCORE.to_owned());
    let alone = |names: &[Vec<String>]| names.iter().any(|n| n.len() == 1 && n[0] == NO_SCORE);
    let table = crosstab(&names, &names, &counts, facts.min_cell());
    // Where few subjects came by a score or lost theirs, the bands' own counts would tell how many.
    Ok(table.filter(|t| alone(&t.before) && alone(&t.now) && !small(facts.unscored(), facts.min_cell())))
}
