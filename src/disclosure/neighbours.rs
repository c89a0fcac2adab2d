//! Neighbouring cells of an ordered scale, merged until none is small.

use std::ops::Range;

use super::small;

/// Cuts a scale into runs of cells such that each run has, in every column, nobody or at least `min_cell` subjects. `cells` are
/// the counts of each cell, column by column. When all cells together have a small column, there is one run of all.
#[must_use]
pub fn merged<T: AsRef<[u64]>>(cells: &[T], min_cell: u64) -> Vec<Range<usize>> {
    merged_within(cells, std::slice::from_ref(&(0..cells.len())), min_cell)
}

/// The same, with no run across the ends of given ones.
#[must_use]
pub fn merged_within<T: AsRef<[u64]>>(cells: &[T], runs: &[Range<usize>], min_cell: u64) -> Vec<Range<usize>> {
    runs.iter().flat_map(|run| cut(cells, run.clone(), min_cell)).collect()
}

/// Cells added up over a run.
#[must_use]
pub fn sum<T: AsRef<[u64]>>(cells: &[T], run: Range<usize>) -> Vec<u64> {
    let mut sum = vec![0; cells.first().map_or(0, |cell| cell.as_ref().len())];
    for cell in &cells[run] {
        sum.iter_mut().zip(cell.as_ref()).for_each(|(sum, count)| *sum += count);
    }
    sum
}

/// Whether no column of a run is small.
#[must_use]
pub fn large(counts: &[u64], min_cell: u64) -> bool {
    counts.iter().all(|count| !small(*count, min_cell))
}

fn cut<T: AsRef<[u64]>>(cells: &[T], run: Range<usize>, min_cell: u64) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut from = run.start;
    for to in run.clone().map(|at| at + 1) {
        if large(&sum(cells, from..to), min_cell) {
            cuts.push(from..to);
            from = to;
        }
    }
    // What is left over goes to the run before it, and further down until nothing is small.
    while from < run.end {
        match cuts.pop() {
            None => {
                cuts.push(run);
                break;
            }
            Some(last) if large(&sum(cells, last.start..run.end), min_cell) => {
                cuts.push(last.start..run.end);
                break;
            }
            Some(last) => from = last.start,
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_cells_join_their_neighbours() {
        let cells = [[0], [3], [9], [20], [0], [4]];
        assert_eq!(merged(&cells, 10), [0..1, 1..3, 3..6]);
        assert_eq!(merged(&[[3], [4], [0]], 10).first(), Some(&(0..3)));
        assert_eq!(merged(&[[3, 12], [30, 12]], 10).first(), Some(&(0..2)));
        assert_eq!(merged_within(&[[12], [3], [9], [1]], &[0..2, 2..4], 10), [0..2, 2..4]);
    }

    proptest! {
        #[test]
        fn every_run_is_large_and_every_cell_in_one(
            cells in proptest::collection::vec([0_u64..25, 0_u64..25], 1..40), min_cell in 1_u64..12,
        ) {
            let runs = merged(&cells, min_cell);
            prop_assert!(runs[0].start == 0 && runs.last().unwrap().end == cells.len());
            prop_assert!(runs.windows(2).all(|w| w[0].end == w[1].start && w[0].start < w[0].end));
            if large(&sum(&cells, 0..cells.len()), min_cell) {
                prop_assert!(runs.iter().all(|run| large(&sum(&cells, run.clone()), min_cell)));
            } else {
                prop_assert_eq!(runs.len(), 1);
            }
        }
    }
}
