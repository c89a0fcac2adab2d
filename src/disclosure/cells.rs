//! Named cells with a known total.

use super::small;

/// What is shown of the cells of a list whose total is known; nothing where a cell is hidden.
///
/// Cells marked `known` are shown elsewhere and cannot hide others. With k hidden cells of which none is empty, each is at
/// most their sum less k − 1; hidden cells are added until that is `min_cell`.
#[must_use]
pub fn shown(counts: &[u64], known: &[bool], min_cell: u64) -> Vec<Option<u64>> {
    let mut hidden: Vec<bool> = counts.iter().map(|c| small(*c, min_cell)).collect();
    loop {
        let of =
            |hidden: &[bool]| counts.iter().zip(hidden).filter(|(_, h)| **h).map(|(c, _)| *c).collect::<Vec<u64>>();
        let few = of(&hidden);
        if few.is_empty() || few.iter().sum::<u64>() >= min_cell + few.len() as u64 - 1 {
            break;
        }
        let free = |at: &usize| !hidden[*at] && counts[*at] > 0 && !known.get(*at).copied().unwrap_or(false);
        let Some(next) = (0..counts.len()).filter(free).min_by_key(|at| (counts[*at], *at)) else {
            // Not even all of them are enough: then neither are empty cells told from others.
            return counts
                .iter()
                .enumerate()
                .map(|(at, c)| known.get(at).copied().unwrap_or(false).then_some(*c))
                .collect();
        };
        hidden[next] = true;
    }
    counts.iter().zip(hidden).map(|(count, hidden)| (!hidden).then_some(*count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_cell_takes_the_next_smallest_with_it() {
        assert_eq!(shown(&[100, 3, 40, 0], &[], 10), [Some(100), None, None, Some(0)]);
        assert_eq!(shown(&[100, 3, 8, 0], &[], 10), [Some(100), None, None, Some(0)]);
        assert_eq!(shown(&[100, 5, 5, 50], &[], 10), [Some(100), None, None, None]);
        assert_eq!(shown(&[100, 3, 40], &[false, false, true], 10), [None, None, Some(40)]);
        assert_eq!(shown(&[3, 0, 4], &[], 10), [None, None, None]);
        assert_eq!(shown(&[30, 0, 40], &[], 10), [Some(30), Some(0), Some(40)]);
    }

    proptest! {
        /// Counted out: every way to fill the hidden cells that fits the total.
        #[test]
        fn no_hidden_cell_can_be_solved(counts in proptest::collection::vec(0_u64..14, 2..6), min_cell in 2_u64..6) {
            let shown = shown(&counts, &[], min_cell);
            prop_assert!(counts.iter().zip(&shown).all(|(c, s)| s.is_none_or(|s| s == *c && !small(s, min_cell))));
            let hidden: Vec<usize> = (0..counts.len()).filter(|at| shown[*at].is_none()).collect();
            let total: u64 = hidden.iter().map(|at| counts[*at]).sum();
            // Empty cells are shown, unless everything is hidden.
            let lowest = u64::from(hidden.len() < counts.len());
            for (n, _) in hidden.iter().enumerate() {
                let mut possible = Vec::new();
                fill(hidden.len(), total, lowest, &mut Vec::new(), &mut |cells| possible.push(cells[n]));
                let (least_seen, most_seen) = (possible.iter().min().unwrap(), possible.iter().max().unwrap());
                prop_assert!(*most_seen >= min_cell.min(total) && least_seen < most_seen);
            }
        }
    }

    fn fill(cells: usize, total: u64, lowest: u64, held: &mut Vec<u64>, seen: &mut dyn FnMut(&[u64])) {
        if held.len() + 1 == cells {
            if total >= lowest {
                held.push(total);
                seen(held);
                held.pop();
            }
            return;
        }
        for count in lowest..=total {
            held.push(count);
            fill(cells, total - count, lowest, held, seen);
            held.pop();
        }
    }
}
