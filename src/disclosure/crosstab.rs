//! Tables of named rows and columns, whose small rows and columns are shown together.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::neighbours::merged;
use super::{small, table};

/// Subjects by what they were and what they are. Names in one row, or one column, are shown together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Crosstab {
    /// What they were, row by row.
    pub before: Vec<Vec<String>>,
    /// What they are, column by column.
    pub now: Vec<Vec<String>>,
    /// Subjects, where that may be shown.
    pub subjects: Vec<Vec<Option<u64>>>,
}

/// A table that may be shown; nothing when even all of it together is small. `counts` have a row for each name in `before` and
/// a column for each in `now`. Small margins join their neighbours.
#[must_use]
pub fn crosstab(before: &[String], now: &[String], counts: &[Vec<u64>], min_cell: u64) -> Option<Crosstab> {
    let rows = merged(&counts.iter().map(|row| [row.iter().sum()]).collect::<Vec<[u64; 1]>>(), min_cell);
    let column = |c: usize| [counts.iter().map(|row| row[c]).sum()];
    let columns = merged(&(0..now.len()).map(column).collect::<Vec<[u64; 1]>>(), min_cell);
    let cell = |r: &Range<usize>, c: &Range<usize>| -> u64 {
        counts[r.clone()].iter().map(|row| row[c.clone()].iter().sum::<u64>()).sum()
    };
    let joined: Vec<Vec<u64>> = rows.iter().map(|r| columns.iter().map(|c| cell(r, c)).collect()).collect();
    if small(joined.iter().flatten().sum(), min_cell) {
        return None;
    }
    let names = |runs: &[Range<usize>], of: &[String]| runs.iter().map(|run| of[run.clone()].to_vec()).collect();
    Some(Crosstab {
        before: names(&rows, before),
        now: names(&columns, now),
        subjects: table::shown(&joined, min_cell),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_rows_join_their_neighbours() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let counts = [vec![3, 0, 1], vec![20, 40, 30], vec![0, 30, 60]];
        let found = crosstab(&names(&["a", "b", "c"]), &names(&["x", "y", "z"]), &counts, 10).unwrap();
        assert_eq!(found.before, [names(&["a", "b"]), names(&["c"])]);
        assert_eq!(found.subjects, [[Some(23), Some(40), Some(31)], [Some(0), Some(30), Some(60)]]);
        assert_eq!(crosstab(&names(&["a"]), &names(&["x"]), &[vec![3]], 10), None);
    }
}
