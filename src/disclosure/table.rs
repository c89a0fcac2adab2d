//! Tables with two ways in and known margins.
//!
//! How much a hidden cell can vary while all margins hold is a flow: raising the cell by one lowers another of its column,
//! which raises one of that cell's row, and so on back to the row it began with (Gusfield, A graph theoretic approach to
//! statistical data security, 1988). The most that can flow is the most it can vary.

use std::collections::VecDeque;

use super::small;

/// What is shown of a table whose margins are known; nothing where a cell is hidden. Margins must not be small.
#[must_use]
pub(super) fn shown(counts: &[Vec<u64>], min_cell: u64) -> Vec<Vec<Option<u64>>> {
    let mut hidden: Vec<Vec<bool>> = counts.iter().map(|r| r.iter().map(|c| small(*c, min_cell)).collect()).collect();
    let mut lowest = 1;
    while let Some(at) = solved(counts, &hidden, lowest, min_cell) {
        match beside(counts, &hidden, at, min_cell) {
            Some((r, c)) => hidden[r][c] = true,
            None if lowest == 1 => {
                // Not even all of them are enough: then neither are empty cells told from others.
                lowest = 0;
                hidden.iter_mut().flatten().for_each(|hidden| *hidden = true);
            }
            None => break,
        }
    }
    let cell = |(count, hidden): (&u64, &bool)| (!hidden).then_some(*count);
    counts.iter().zip(&hidden).map(|(row, hidden)| row.iter().zip(hidden).map(cell).collect()).collect()
}

fn places(counts: &[Vec<u64>]) -> impl Iterator<Item = (usize, usize)> + use<'_> {
    counts.iter().enumerate().flat_map(|(r, row)| (0..row.len()).map(move |c| (r, c)))
}

/// A hidden cell that is not in doubt.
fn solved(counts: &[Vec<u64>], hidden: &[Vec<bool>], lowest: u64, min_cell: u64) -> Option<(usize, usize)> {
    let solver = Solver { counts, hidden, lowest };
    places(counts).filter(|(r, c)| hidden[*r][*c]).find(|(r, c)| !solver.in_doubt(*r, *c, min_cell))
}

/// The cell to hide for the sake of another: the smallest that leaves it in doubt, or one on the way there.
fn beside(
    counts: &[Vec<u64>],
    hidden: &[Vec<bool>],
    (row, column): (usize, usize),
    min_cell: u64,
) -> Option<(usize, usize)> {
    let mut free: Vec<(usize, usize)> = places(counts).filter(|(r, c)| !hidden[*r][*c] && counts[*r][*c] > 0).collect();
    free.sort_by_key(|(r, c)| counts[*r][*c]);
    let enough = |(r, c): &&(usize, usize)| {
        let mut hidden = hidden.to_vec();
        hidden[*r][*c] = true;
        Solver { counts, hidden: &hidden, lowest: 1 }.in_doubt(row, column, min_cell)
    };
    let alone_in_row = hidden[row].iter().filter(|h| **h).count() == 1;
    let on_the_way = |(r, c): &&(usize, usize)| if alone_in_row { *r == row } else { *c == column };
    let chosen = free.iter().find(enough).or_else(|| free.iter().find(on_the_way));
    chosen.or(free.first()).copied()
}

struct Solver<'a> {
    counts: &'a [Vec<u64>],
    hidden: &'a [Vec<bool>],
    /// What a hidden cell is at least, as everyone knows.
    lowest: u64,
}

impl Solver<'_> {
    /// Whether a hidden cell may be large as well as something else.
    fn in_doubt(&self, row: usize, column: usize, min_cell: u64) -> bool {
        let count = self.counts[row][column];
        let up = self.flow(row, column, min_cell, true);
        if count + up < min_cell {
            return false;
        }
        up > 0 || (count > self.lowest && self.flow(row, column, 1, false) > 0)
    }

    /// How much the cell can be raised or lowered, up to a limit.
    fn flow(&self, row: usize, column: usize, limit: u64, raise: bool) -> u64 {
        let (rows, columns) = (self.counts.len(), self.counts[row].len());
        let nodes = rows + columns;
        // From a row to a column a cell is raised, from a column to a row it is lowered.
        let mut room = vec![vec![0_u64; nodes]; nodes];
        for (r, c) in places(self.counts).filter(|(r, c)| self.hidden[*r][*c] && (*r, *c) != (row, column)) {
            room[r][rows + c] = u64::MAX / 4;
            room[rows + c][r] = self.counts[r][c].saturating_sub(self.lowest);
        }
        let (from, to) = if raise { (rows + column, row) } else { (row, rows + column) };
        let mut total = 0;
        while total < limit {
            let Some(path) = path(&room, from, to) else { break };
            let by = path.windows(2).map(|w| room[w[0]][w[1]]).min().unwrap_or(0).min(limit - total);
            for w in path.windows(2) {
                room[w[0]][w[1]] -= by;
                room[w[1]][w[0]] += by;
            }
            total += by;
        }
        total
    }
}

/// A shortest path with room on it.
fn path(room: &[Vec<u64>], from: usize, to: usize) -> Option<Vec<usize>> {
    let mut before: Vec<Option<usize>> = vec![None; room.len()];
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for next in (0..room.len()).filter(|next| room[node][*next] > 0) {
            if next != from && before[next].is_none() {
                before[next] = Some(node);
                queue.push_back(next);
            }
        }
    }
    let mut path = vec![to];
    while let Some(node) = before[*path.last()?] {
        path.push(node);
    }
    path.reverse();
    (path[0] == from && path.len() > 1).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_small_cell_takes_three_with_it() {
        let shown = shown(&[vec![50, 3, 40], vec![30, 60, 20], vec![70, 80, 90]], 10);
        assert_eq!(shown[0], [Some(50), None, None]);
        assert_eq!(shown[1], [Some(30), None, None]);
        assert_eq!(shown[2], [Some(70), Some(80), Some(90)]);
        assert_eq!(super::shown(&[vec![3, 50], vec![40, 60]], 10), [[None, None], [None, None]]);
    }

    #[test]
    fn a_table_of_large_cells_is_shown_whole() {
        assert_eq!(shown(&[vec![10, 0], vec![0, 12]], 10), [[Some(10), Some(0)], [Some(0), Some(12)]]);
    }

    proptest! {
        /// Counted out: every way to fill the hidden cells that fits the margins.
        #[test]
        fn no_hidden_cell_can_be_solved(cells in proptest::collection::vec(0_u64..7, 9), rows in 2_usize..4, min_cell in 2_u64..5) {
            let counts: Vec<Vec<u64>> = cells.chunks(3).take(rows).map(<[u64]>::to_vec).collect();
            let margin = |c: usize| counts.iter().map(|r| r[c]).sum::<u64>();
            let small_margin = counts.iter().any(|r| small(r.iter().sum(), min_cell)) || (0..3).any(|c| small(margin(c), min_cell));
            let rows_used = counts.iter().filter(|r| r.iter().any(|c| *c > 0)).count();
            let columns_used = (0..3).filter(|c| margin(*c) > 0).count();
            // A single row or column is its own margin.
            prop_assume!(!small_margin && rows_used > 1 && columns_used > 1);
            let shown = shown(&counts, min_cell);
            // Empty cells are shown, unless everything is hidden.
            let lowest = u64::from(shown.iter().flatten().any(Option::is_some));
            let hidden: Vec<(usize, usize)> = (0..rows).flat_map(|r| (0..3).map(move |c| (r, c))).filter(|(r, c)| shown[*r][*c].is_none()).collect();
            for (r, row) in counts.iter().enumerate() {
                for (c, count) in row.iter().enumerate() {
                    prop_assert!(shown[r][c].is_none_or(|s| s == *count && !small(s, min_cell)));
                }
            }
            let row_left: Vec<u64> = (0..rows).map(|r| hidden.iter().filter(|h| h.0 == r).map(|h| counts[h.0][h.1]).sum()).collect();
            let column_left: Vec<u64> = (0..3).map(|c| hidden.iter().filter(|h| h.1 == c).map(|h| counts[h.0][h.1]).sum()).collect();
            let mut range = vec![(u64::MAX, 0); hidden.len()];
            fill(&hidden, &row_left, &column_left, lowest, &mut Vec::new(), &mut |cells| {
                for (range, cell) in range.iter_mut().zip(cells) {
                    *range = (range.0.min(*cell), range.1.max(*cell));
                }
            });
            // Where a margin is empty, so is the cell: nobody is in it.
            let empty = |(r, c): (usize, usize)| margin(c) == 0 || counts[r].iter().all(|cell| *cell == 0);
            for ((low, high), at) in range.iter().zip(&hidden).filter(|(_, at)| !empty(**at)) {
                prop_assert!(low < high && *high >= min_cell, "{at:?} is {low} to {high} of {counts:?}, shown {shown:?}");
            }
        }
    }

    fn fill(
        hidden: &[(usize, usize)],
        rows: &[u64],
        columns: &[u64],
        lowest: u64,
        held: &mut Vec<u64>,
        seen: &mut dyn FnMut(&[u64]),
    ) {
        let Some((r, c)) = hidden.get(held.len()).copied() else {
            if rows.iter().chain(columns).all(|left| *left == 0) {
                seen(held);
            }
            return;
        };
        for count in lowest..=rows[r].min(columns[c]) {
            let (mut rows, mut columns) = (rows.to_vec(), columns.to_vec());
            rows[r] -= count;
            columns[c] -= count;
            held.push(count);
            fill(hidden, &rows, &columns, lowest, held, seen);
            held.pop();
        }
    }
}
