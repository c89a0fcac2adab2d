//! Row numbers of a file, whatever their order: how many they are, their sum and the sum of their squares, both modulo 2^64. Rows of another
//! engine are held against them: one row lost and another doubled leave the number of rows as it was, and the sums not.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::output::thousands;

/// What row numbers add up to, modulo 2^64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Their sum.
    pub sum: u64,
    /// The sum of their squares.
    pub squares: u64,
}

/// Row numbers of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// How many they are.
    pub rows: u64,
    /// What they add up to.
    pub sums: Sums,
}

impl Sums {
    /// Those of a file whose rows are numbered from 0 without a gap.
    #[must_use]
    pub fn of_file(rows: u64) -> Self {
        let rows = u128::from(rows);
        let sum = rows * rows.saturating_sub(1) / 2;
        // n (n - 1) / 2 · (2n - 1) / 3: one of the two factors is a multiple of three.
        let odd = (2 * rows).saturating_sub(1);
        let squares = if sum.is_multiple_of(3) { (sum / 3).wrapping_mul(odd) } else { sum.wrapping_mul(odd / 3) };
        Self { sum: low(sum), squares: low(squares) }
    }
}

/// A number modulo 2^64.
fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

impl Numbers {
    /// Adds a row.
    pub const fn add(&mut self, row: u64) {
        self.rows += 1;
        self.sums.sum = self.sums.sum.wrapping_add(row);
        self.sums.squares = self.sums.squares.wrapping_add(row.wrapping_mul(row));
    }

    /// Adds the rows of another part of the file.
    pub const fn merge(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.sums.sum = self.sums.sum.wrapping_add(other.sums.sum);
        self.sums.squares = self.sums.squares.wrapping_add(other.sums.squares);
    }
}

/// Adds the files of another part of a table.
pub fn merge(files: &mut Vec<Numbers>, other: &[Numbers]) {
    files.resize(files.len().max(other.len()), Numbers::default());
    files.iter_mut().zip(other).for_each(|(all, of)| all.merge(of));
}

/// A file as it is known to be.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Rows.
    pub rows: u64,
    /// What their numbers add up to, if that is known.
    pub sums: Option<Sums>,
}

impl Whole<'_> {
    /// What is wrong with rows that are said to be all of the file's.
    #[must_use]
    pub fn wrong(&self, found: Numbers) -> Option<String> {
        let path = self.path.display();
        if found.rows != self.rows {
            return Some(format!(
                "{} rows of {path} came, which holds {}: rows were lost or doubled where they were divided; divide them again",
                thousands(found.rows),
                thousands(self.rows)
            ));
        }
        self.sums.filter(|sums| *sums != found.sums).map(|_| {
            format!(
                "the rows of {path} are as many as it holds, but some were lost and as many doubled where they were divided; divide them again"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[u64]) -> Numbers {
        let mut numbers = Numbers::default();
        rows.iter().for_each(|row| numbers.add(*row));
        numbers
    }

    #[test]
    fn the_sums_of_a_file_are_those_of_its_rows() {
        for rows in [0, 1, 2, 3, 4, 5, 6, 100, 4_001] {
            let all: Vec<u64> = (0..rows).rev().collect();
            assert_eq!(of(&all), Numbers { rows, sums: Sums::of_file(rows) }, "{rows} rows");
        }
        // Beyond 64 bits, by the sums of one row more.
        let many = 3_000_000_001;
        let mut more = Numbers { rows: many, sums: Sums::of_file(many) };
        more.add(many);
        assert_eq!(more.sums, Sums::of_file(many + 1));
    }

    #[test]
    fn a_row_lost_and_another_doubled_are_found() {
        let path = Path::new("/x/a.parquet");
        let file = Whole { path, rows: 5, sums: Some(Sums::of_file(5)) };
        let mut parts = vec![of(&[4, 1])];
        merge(&mut parts, &[of(&[0, 3, 2]), of(&[7])]);
        assert_eq!((file.wrong(parts[0]), parts[1]), (None, of(&[7])));
        assert!(file.wrong(of(&[0, 1, 2, 3])).unwrap().contains("4 rows of /x/a.parquet came, which holds 5"));
        let doubled = of(&[0, 1, 2, 2, 4]);
        assert!(file.wrong(doubled).unwrap().contains("some were lost and as many doubled"));
        // The sum alone would not find it.
        assert!(file.wrong(of(&[0, 2, 2, 2, 4])).unwrap().contains("as many doubled"));
        assert!(Whole { sums: None, ..file }.wrong(doubled).is_none());
    }
}
