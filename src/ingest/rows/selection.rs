//! Chosen rows: their values are copied in stretches where they follow each other, as those of a subject do that all count.

use std::ops::Range;

/// Rows that follow each other on average where copying them together is faster than one by one.
const STRETCH: usize = 8;

/// Rows that are chosen among others, in order.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    rows: &'a [usize],
    /// The same rows; nothing where too few follow each other.
    stretches: Vec<Range<usize>>,
}

impl<'a> Selection<'a> {
    /// Looks for rows that follow each other, no longer than it takes to see that too few do.
    pub(super) fn of(rows: &'a [usize]) -> Self {
        let most = rows.len().div_ceil(STRETCH);
        let mut stretches = Vec::new();
        for stretch in rows.chunk_by(|one, next| one + 1 == *next) {
            if stretches.len() == most {
                return Self { rows, stretches: Vec::new() };
            }
            stretches.push(stretch[0]..stretch[0] + stretch.len());
        }
        Self { rows, stretches }
    }

    /// The values of the chosen rows, in the memory of a vector that is done with.
    pub(super) fn gather<T: Copy>(&self, column: &[T], mut out: Vec<T>) -> Vec<T> {
        out.clear();
        out.reserve_exact(self.rows.len());
        match self.stretches.is_empty() {
            true => out.extend(self.rows.iter().map(|row| column[*row])),
            false => self.stretches.iter().for_each(|stretch| out.extend_from_slice(&column[stretch.clone()])),
        }
        out
    }

    /// Moves the values of the chosen rows up to the beginning of their column, which ends with them: each has at least as many before it as
    /// are chosen before it, so that none is written over before it was moved.
    pub(super) fn compact<T: Copy>(&self, column: &mut Vec<T>) {
        let values = column.as_mut_slice();
        if self.stretches.is_empty() {
            for (to, row) in self.rows.iter().enumerate() {
                values[to] = values[*row];
            }
        }
        let mut to = 0;
        for stretch in &self.stretches {
            // Up to the first row that is left out all stay where they are.
            if stretch.start != to {
                values.copy_within(stretch.clone(), to);
            }
            to += stretch.len();
        }
        column.truncate(self.rows.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_those_of_each_row(
            // How many rows follow that are all chosen, or all not.
            stretches in proptest::collection::vec((0_usize..40, any::<bool>()), 0..30),
            before in proptest::collection::vec(any::<i64>(), 0..5),
        ) {
            let chosen: Vec<bool> = stretches.iter().flat_map(|(rows, is)| std::iter::repeat_n(*is, *rows)).collect();
            let column: Vec<i64> = (0_i64..).map(|row| row * 7 - 3).take(chosen.len()).collect();
            let rows: Vec<usize> = (0..chosen.len()).filter(|row| chosen[*row]).collect();
            let expected: Vec<i64> = rows.iter().map(|row| column[*row]).collect();
            let selection = Selection::of(&rows);
            let mut moved = column.clone();
            selection.compact(&mut moved);
            prop_assert_eq!(&moved, &expected);
            prop_assert_eq!(selection.gather(&column, before), expected);
        }
    }

    #[test]
    fn few_long_stretches_are_found_and_many_short_ones_are_not() {
        let long: Vec<usize> = (3..20).chain(40..60).collect();
        assert_eq!(Selection::of(&long).stretches, [3..20, 40..60]);
        let short: Vec<usize> = (0..100).filter(|row| row % 3 > 0).collect();
        assert!(Selection::of(&short).stretches.is_empty());
        // Of rows that do not follow each other the last ones count as the first do.
        let mixed: Vec<usize> = (0..8).chain((10..20).step_by(2)).collect();
        assert_eq!(Selection::of(&mixed).gather(&(0..30).collect::<Vec<i32>>(), vec![1])[7..], [7, 10, 12, 14, 16, 18]);
        assert!(Selection::of(&[]).gather(&[1_u8, 2], vec![9]).is_empty());
    }
}
