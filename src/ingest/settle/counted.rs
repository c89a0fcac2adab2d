//! Rows that count, noted without a branch for each: nearly all do, and which do not is nothing that could be foreseen.

use std::ops::Range;

use crate::NULL;
use crate::ingest::check::conservation::Class;

/// Rows that are looked at together.
const RUN: usize = 256;

/// Places that a file's rows are counted at in turn: those of a subject that follow each other are mostly of one file, and what is added to
/// one place waits for what was added to it before.
const PLACES: usize = 4;

/// Rows of which a date sees all and none is contested.
pub(super) struct Usual<'a> {
    /// What was settled of each, if anything was.
    pub fate: &'a [Option<Class>],
    /// The file of each.
    pub files: &'a [u32],
    /// When each happened.
    pub times: &'a [i64],
    /// The time before which a row is outside every window.
    pub earliest: i64,
}

/// Rows that count.
pub(super) struct Counted {
    /// Their positions, in order, and those of others that are kept.
    pub rows: Vec<usize>,
    /// How many count of each file, at each of its places.
    pub by_file: Vec<[u64; PLACES]>,
    /// When the newest row happened that breaks no rule.
    pub newest: i64,
}

impl Counted {
    /// None so far of rows of some files.
    pub(super) fn of(files: &[u32]) -> Self {
        // Without rows there is a place for a file that no row is of.
        let most = files.iter().fold(0_u32, |most, file| most.max(*file)) as usize + 1;
        Self { rows: Vec::with_capacity(files.len()), by_file: vec![[0; PLACES]; most], newest: NULL }
    }

    /// Notes one that counts.
    pub(super) fn push(&mut self, row: usize, file: u32, when: i64) {
        self.rows.push(row);
        self.by_file[file as usize][row % PLACES] += 1;
        self.newest = self.newest.max(when);
    }
}

impl Usual<'_> {
    /// Notes those of a subject's rows that count, where the subject consents; `other` is told of the rest and of what becomes of them.
    pub(super) fn add(&self, own: Range<usize>, counted: &mut Counted, mut other: impl FnMut(usize, Class)) {
        let (mut some, end) = ([0_usize; RUN], own.end);
        for from in own.step_by(RUN) {
            let run = from..end.min(from + RUN);
            let of_rows = self.fate[run.clone()].iter().zip(&self.times[run.clone()]).zip(&self.files[run.clone()]);
            let (mut many, mut newest, by_file) = (0, counted.newest, counted.by_file.as_mut_slice());
            for (row, ((fate, when), file)) in run.clone().zip(of_rows) {
                let counts = fate.is_none() & (*when >= self.earliest);
                // Each row is written, and stays if it counts.
                some[many] = row;
                many += usize::from(counts);
                by_file[*file as usize][row % PLACES] += u64::from(counts);
                newest = newest.max(if counts { *when } else { NULL });
            }
            counted.newest = newest;
            counted.rows.extend_from_slice(&some[..many]);
            if many < run.len() {
                self.rest(run, counted, &mut other);
            }
        }
    }

    /// Tells of the rows that do not count.
    fn rest(&self, run: Range<usize>, counted: &mut Counted, other: &mut impl FnMut(usize, Class)) {
        for row in run {
            let class = match self.fate[row] {
                Some(class) => class,
                None if self.times[row] < self.earliest => Class::OutsideWindows,
                None => continue,
            };
            if class != Class::Quarantined {
                counted.newest = counted.newest.max(self.times[row]);
            }
            other(row, class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_noted_as_each_by_itself(
            rows in proptest::collection::vec(
                (proptest::option::weighted(0.1, prop_oneof![Just(Class::Quarantined), Just(Class::Duplicate)]),
                    prop_oneof![9 => 0_i64..50, 1 => Just(NULL)], 0_u32..4),
                0..3 * RUN),
            (first, earliest) in (0_usize..40, prop_oneof![Just(NULL), 0_i64..50]),
        ) {
            let fate: Vec<Option<Class>> = rows.iter().map(|row| row.0).collect();
            let times: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let files: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let usual = Usual { fate: &fate, files: &files, times: &times, earliest };
            let first = first.min(rows.len());
            let (mut counted, mut others) = (Counted::of(&files), Vec::new());
            // Of two subjects, one after the other.
            usual.add(0..first, &mut counted, |row, class| others.push((row, class)));
            usual.add(first..rows.len(), &mut counted, |row, class| others.push((row, class)));

            let (mut alone, mut rest) = (Counted::of(&files), Vec::new());
            for (row, (fate, when, file)) in rows.iter().enumerate() {
                match fate {
                    None if *when >= earliest => alone.push(row, *file, *when),
                    None => rest.push((row, Class::OutsideWindows)),
                    Some(class) => rest.push((row, *class)),
                }
                if *fate != Some(Class::Quarantined) {
                    alone.newest = alone.newest.max(*when);
                }
            }
            for (file, many) in (0_u32..).zip(&counted.by_file) {
                let of_file = counted.rows.iter().filter(|row| files[**row] == file).count() as u64;
                prop_assert_eq!(many.iter().sum::<u64>(), of_file);
            }
            prop_assert_eq!(counted.rows, alone.rows);
            prop_assert_eq!((counted.by_file, counted.newest), (alone.by_file, alone.newest));
            prop_assert_eq!(others, rest);
        }
    }
}
