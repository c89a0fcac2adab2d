//! The subjects that kept rows name by number. A roster stays as it is from night to night, so that the numbers hold; whoever is new has
//! none, and rows of theirs are not kept as settled ones. Of who is new or gone there may be some, then a new roster is made.
//!
//! Rosters and spines are both in order of id. So the subjects of a bucket of the roster, who follow each other, follow each other in the
//! spine as well, and the rows of a bucket of the spine are in few buckets of the roster.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;

use crate::contract::DateSet;
use crate::ingest::rows::buckets::Buckets;
use crate::ingest::spine::Spine;
use crate::tables::ids::{SubjectIds, UNKNOWN, matched};

/// One of so many subjects may be new, or gone, before a new roster is made.
const MOST_OTHERS: usize = 8;

/// The subjects that kept rows name by number.
#[derive(Debug, Clone)]
pub struct Roster {
    /// Their ids, in order; the position is the number.
    pub subjects: SubjectIds,
    /// Kept rows are cut by buckets of two to the power of this subjects.
    pub shift: u32,
}

/// A roster beside the spine of a pass for one date.
#[derive(Debug)]
pub(in crate::ingest) struct Numbers {
    /// The number in the spine of each subject of the roster, [`UNKNOWN`] of those who are not in it.
    spine: Vec<u32>,
    /// The number in the roster of each subject of the spine, [`UNKNOWN`] of those who are not in it.
    roster: Vec<u32>,
    buckets: Buckets,
    /// The first and the last number in the spine of each bucket's subjects; nothing where none is in it.
    spans: Vec<Option<(u32, u32)>>,
    /// Those of the roster who are not in the spine: whether the date does not see them yet, else they are unknown.
    lost: BTreeMap<u32, bool>,
}

/// Bytes that the numbers of a roster beside a spine take.
pub(in crate::ingest) const fn bytes(roster: usize, spine: usize) -> u64 {
    (roster as u64 + spine as u64) * 4
}

impl Numbers {
    /// Lays a roster beside a spine; nothing when they are of too many different subjects, or ids are written in another way.
    pub(in crate::ingest) fn of(of: &Roster, spine: &Spine) -> Option<Self> {
        if of.subjects.form != spine.form {
            return None;
        }
        let mut numbers = Self {
            spine: vec![UNKNOWN; of.subjects.len()],
            roster: vec![UNKNOWN; spine.len()],
            buckets: Buckets::with_shift(of.shift, of.subjects.len()),
            spans: Vec::new(),
            lost: BTreeMap::new(),
        };
        let mut common = 0;
        matched(&of.subjects.ids, &spine.ids, &mut |here, there| {
            // A spine numbers with 32 bits; whom they do not number is another subject.
            if let (Some(here), Some(there)) = (here, there)
                && let (Ok(number), Ok(place)) = (u32::try_from(here), u32::try_from(there))
            {
                common += 1;
                numbers.spine[here] = place;
                numbers.roster[there] = number;
            }
        });
        let few = |others: usize, all: usize| others.saturating_mul(MOST_OTHERS) <= all;
        if !few(spine.len() - common, spine.len()) || !few(of.subjects.len() - common, of.subjects.len()) {
            return None;
        }
        for (number, _) in (0_u32..).zip(&numbers.spine).filter(|(_, there)| **there == UNKNOWN) {
            let later = spine.later(of.subjects.ids.get(number as usize));
            numbers.lost.insert(number, later.has_all(DateSet::of(0)));
        }
        let span = |bucket: usize| {
            let known = || numbers.spine[numbers.buckets.subjects(bucket)].iter().filter(|n| **n != UNKNOWN);
            known().min().copied().zip(known().max().copied())
        };
        numbers.spans = (0..numbers.buckets.count()).map(span).collect();
        Some(numbers)
    }

    /// How the subjects of the roster are cut into buckets.
    pub(in crate::ingest) const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// The number in the roster of a subject of the spine, or [`UNKNOWN`].
    pub(in crate::ingest) fn in_roster(&self, subject: u32) -> u32 {
        self.roster.get(subject as usize).copied().unwrap_or(UNKNOWN)
    }

    /// Where a subject of the roster stands among some of the spine, who follow each other; nothing when it is none of them.
    pub(in crate::ingest) fn place(&self, number: u32, among: &Range<usize>) -> Option<u32> {
        let there = *self.spine.get(number as usize)?;
        let at = (there as usize).checked_sub(among.start)?;
        if there == UNKNOWN || at >= among.len() { None } else { u32::try_from(at).ok() }
    }

    /// The buckets of the roster that have one of some subjects of the spine, who follow each other.
    pub(in crate::ingest) fn overlapping(&self, among: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let meets = move |span: &Option<(u32, u32)>| {
            span.is_some_and(|(first, last)| (first as usize) < among.end && (last as usize) >= among.start)
        };
        self.spans.iter().enumerate().filter(move |(_, span)| meets(span)).map(|(bucket, _)| bucket)
    }

    /// The number of the first subject of a bucket of the roster.
    ///
    /// # Errors
    /// When it has more than 32 bits, which no roster has.
    pub(in crate::ingest) fn first_of(&self, bucket: usize) -> Result<u32> {
        Ok(u32::try_from(self.buckets.subjects(bucket).start)?)
    }

    /// Those of the roster who are not in the spine, with whether the date does not see them yet.
    pub(in crate::ingest) const fn lost(&self) -> &BTreeMap<u32, bool> {
        &self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::tables::ids::{IdForm, Ids};

    fn ids(of: impl Iterator<Item = u32>) -> Ids {
        let mut ids = Ids::default();
        of.for_each(|n| ids.push(format!("{n:05}").as_bytes()));
        ids
    }

    fn roster(of: impl Iterator<Item = u32>, shift: u32) -> Roster {
        Roster { subjects: SubjectIds { ids: ids(of), form: IdForm::Text }, shift }
    }

    proptest! {
        #[test]
        fn every_subject_of_both_is_found_in_the_one_place_that_the_spine_has_for_it(
            new in proptest::collection::btree_set(0_u32..4_000, 0..40),
            gone in proptest::collection::btree_set(0_u32..4_000, 0..40),
            size in 1_usize..700,
        ) {
            // Rosters and spines of every second id; who is new has an odd one.
            let all = || (0_u32..2_000).map(|n| n * 2);
            let new: Vec<u32> = new.into_iter().map(|n| n | 1).collect();
            let mut there: Vec<u32> = all().filter(|n| !gone.contains(n)).chain(new.iter().copied()).collect();
            there.sort_unstable();
            there.dedup();
            let spine = Spine::build(&ids(there.iter().copied()), IdForm::Text).unwrap();
            let numbers = Numbers::of(&roster(all(), 4), &spine).unwrap();
            let mut found = Vec::new();
            for from in (0..spine.len()).step_by(size) {
                let among = from..(from + size).min(spine.len());
                for bucket in numbers.overlapping(among.clone()) {
                    let first = numbers.first_of(bucket).unwrap();
                    for number in (first..).take(numbers.buckets().subjects(bucket).len()) {
                        if let Some(at) = numbers.place(number, &among) {
                            found.push((from + at as usize, number));
                        }
                    }
                }
            }
            found.sort_unstable();
            let expected: Vec<(usize, u32)> = there.iter().enumerate().filter(|(_, n)| **n % 2 == 0).map(|(at, n)| (at, n / 2)).collect();
            prop_assert_eq!(&found, &expected);
            for (at, number) in expected {
                prop_assert_eq!(numbers.in_roster(u32::try_from(at).unwrap()), number);
            }
            let lost: Vec<u32> = all().enumerate().filter(|(_, n)| !there.contains(n)).map(|(at, _)| u32::try_from(at).unwrap()).collect();
            prop_assert_eq!(numbers.lost().keys().copied().collect::<Vec<_>>(), lost);
        }
    }

    #[test]
    fn a_roster_of_others_is_of_no_use() {
        let spine = Spine::build(&ids(0..80), IdForm::Text).unwrap();
        assert!(Numbers::of(&roster(0..80, 4), &spine).is_some());
        assert!(Numbers::of(&roster(0..70, 4), &spine).is_some());
        assert!(Numbers::of(&roster(0..69, 4), &spine).is_none());
        assert!(Numbers::of(&roster(0..100, 4), &spine).is_none());
        let binary = Roster { subjects: SubjectIds { ids: ids(0..80), form: IdForm::Binary }, shift: 4 };
        assert!(Numbers::of(&binary, &spine).is_none());
    }

    #[test]
    fn who_comes_later_is_told_from_who_is_unknown() {
        let spine = Spine::build(&ids(2..80), IdForm::Text).unwrap();
        let spine = spine.with_later(&ids(1..2), &[DateSet::of(0)]).unwrap();
        let numbers = Numbers::of(&roster(0..80, 4), &spine).unwrap();
        assert_eq!(*numbers.lost(), BTreeMap::from([(0, false), (1, true)]));
    }
}
