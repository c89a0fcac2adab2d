//! How far scores moved between two dates whose tables are not read: over the cells of the histograms that their audits
//! show.

use crate::audit::scale::Cell;
use crate::disclosure::DECIMALS;
use crate::gates::counts::Shift;
use crate::statistics::proportion::rounded;
use crate::statistics::stability::{in_cells, psi, psi_by_chance, quantile_cells};

/// Parts into which the first scores are cut, as by the gate.
const PARTS: u64 = 10;
/// Over fewer parts an index would say little of how far scores moved.
const FEWEST: usize = 5;

/// Whether a histogram is told whole.
pub(super) fn is_told(cells: &[Cell]) -> bool {
    !cells.is_empty() && cells.iter().all(|cell| cell.subjects.is_some())
}

/// How far scores moved. The cells are about tenths of the first histogram, as far as both are cut there. Nothing where
/// a cell is hidden, nobody has a score, or there are too few cells.
pub(super) fn shift(first: &[Cell], now: &[Cell]) -> Option<Shift> {
    if !is_told(first) || !is_told(now) {
        return None;
    }
    let cut = |cells: &[Cell], at: i64| cells.iter().skip(1).any(|cell| cell.from == at);
    let edges: Vec<i64> = first.iter().map(|cell| cell.from).filter(|at| cut(first, *at) && cut(now, *at)).collect();
    let (then, now) = (between(first, &edges)?, between(now, &edges)?);
    let (n, m): (u64, u64) = (then.iter().sum(), now.iter().sum());
    if n == 0 || m == 0 {
        return None;
    }
    // Above the highest of the first scores there is nothing to cut.
    let used = then.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    let starts = quantile_cells(&then[..used], PARTS);
    let index = psi(&in_cells(&then, &starts), &in_cells(&now, &starts));
    let by_chance = psi_by_chance(starts.len(), n, m);
    let shift = Shift { psi: rounded(index, DECIMALS), by_chance: rounded(by_chance, DECIMALS), cells: starts.len() };
    Some(shift).filter(|shift| shift.cells >= FEWEST)
}

/// Subjects below the first edge, from each edge to the next, and from the last on.
fn between(cells: &[Cell], edges: &[i64]) -> Option<Vec<u64>> {
    let mut counts = vec![0; edges.len() + 1];
    for cell in cells {
        counts[edges.partition_point(|edge| *edge <= cell.from)] += cell.subjects?;
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::counts::Counts;

    /// A histogram of cells that end at some scores.
    fn cells(edges: &[i64], subjects: &[u64]) -> Vec<Cell> {
        let cell = |(ends, subjects): (&[i64], &u64)| Cell { from: ends[0], below: ends[1], subjects: Some(*subjects) };
        edges.windows(2).zip(subjects).map(cell).collect()
    }

    #[test]
    fn over_cells_of_one_score_it_is_the_gates_index() {
        let edges: Vec<i64> = (0..=20).collect();
        let then: Vec<u64> = (1..=20).map(|n| n * 7 % 23 + 3).collect();
        let now: Vec<u64> = (1..=20).map(|n| n * 5 % 19 + 3).collect();
        let counts = |scores: &[u64]| Counts { scores: scores.to_vec(), ..Counts::default() };
        let expected = counts(&now).shift(&counts(&then)).unwrap();
        let found = shift(&cells(&edges, &then), &cells(&edges, &now)).unwrap();
        assert_eq!((found.psi, found.cells), (rounded(expected.psi, 4), expected.cells));
        assert_eq!(found.by_chance, rounded(expected.by_chance, 4));
        assert_eq!(shift(&cells(&edges, &then), &cells(&edges, &then)).unwrap().psi, 0.0);
    }

    #[test]
    fn cells_are_joined_where_only_one_histogram_is_cut() {
        let then = cells(&[0, 10, 20, 30, 40, 50, 60], &[20, 30, 40, 40, 30, 20]);
        let now = cells(&[0, 15, 20, 30, 40, 50, 60], &[25, 25, 40, 40, 30, 20]);
        assert_eq!(between(&then, &[20, 30]).unwrap(), [50, 40, 90]);
        let joined = cells(&[0, 20, 30, 40, 50, 60], &[50, 40, 40, 30, 20]);
        assert_eq!(shift(&then, &now), shift(&joined, &joined));
        assert_eq!(shift(&then, &now).unwrap().cells, 5);
    }

    #[test]
    fn nothing_is_told_of_hidden_or_few_cells() {
        let then = cells(&[0, 10, 20, 30, 40, 50], &[20, 30, 40, 30, 20]);
        let mut hidden = then.clone();
        hidden[2].subjects = None;
        assert_eq!((shift(&then, &hidden), shift(&hidden, &then)), (None, None));
        assert_eq!(shift(&then, &cells(&[0, 10, 50], &[20, 120])), None);
        assert_eq!(shift(&then, &cells(&[0, 10, 20, 30, 40, 50], &[0; 5])), None);
        assert_eq!(shift(&then, &[]), None);
    }
}
