//! The spine: every visible subject, in order of id, with a dense number.

pub mod hashes;
pub mod lookup;
pub mod members;
pub mod shard;
pub mod strangers;
mod tags;

use anyhow::{Context, ensure};
use rayon::prelude::*;

use crate::contract::DateSet;
use crate::ingest::spine::lookup::Lookup;
use crate::ingest::spine::members::Members;
use crate::tables::ids::{IdForm, Ids, SubjectIds, UNKNOWN, id_text};

/// Every subject that one of the dates sees.
#[derive(Debug)]
pub struct Spine {
    /// The ids, sorted; the position is the dense number.
    pub ids: Ids,
    /// How they are written.
    pub form: IdForm,
    /// Subjects of the export that some dates do not see yet and no date sees, with those dates.
    later: Option<Box<(Self, Vec<DateSet>)>>,
    lookup: Lookup,
    /// Who of them each date sees.
    members: Vec<Members>,
}

impl Spine {
    /// Sorts ids, removes repetitions and numbers them.
    ///
    /// # Errors
    /// When there are 2³² − 1 or more.
    pub fn build(all: &Ids, form: IdForm) -> anyhow::Result<Self> {
        let mut order: Vec<(u64, u32)> = (0..count(all)?).map(|n| (prefix(all.get(n as usize)), n)).collect();
        order.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| all.get(a.1 as usize).cmp(all.get(b.1 as usize))));
        let mut ids = Ids::default();
        let is_prefix = all.width() == 8;
        for (prefix, n) in order {
            // An id of eight bytes is at hand already.
            let prefix = prefix.to_be_bytes();
            let id = if is_prefix { prefix.as_slice() } else { all.get(n as usize) };
            if ids.is_empty() || ids.get(ids.len() - 1) != id {
                ids.push(id);
            }
        }
        Self::numbered(ids, form)
    }

    /// Numbers ids that are in order and each there once: none of them is copied.
    ///
    /// # Errors
    /// When they are not, or there are 2³² − 1 or more.
    pub fn of_sorted(subjects: SubjectIds) -> anyhow::Result<Self> {
        let SubjectIds { ids, form } = subjects;
        count(&ids)?;
        let in_order = (1..ids.len()).into_par_iter().all(|n| ids.get(n - 1) < ids.get(n));
        ensure!(in_order, "defect: the subjects are not in order");
        Self::numbered(ids, form)
    }

    fn numbered(ids: Ids, form: IdForm) -> anyhow::Result<Self> {
        let lookup = Lookup::new(&ids)?;
        let members = vec![Members::all(ids.len())];
        Ok(Self { ids, form, later: None, lookup, members })
    }

    /// Settles who of the subjects each date sees.
    #[must_use]
    pub fn with_members(mut self, members: Vec<Members>) -> Self {
        self.members = members;
        self
    }

    /// Who of the subjects a date sees.
    #[must_use]
    pub fn members(&self, date: usize) -> &Members {
        &self.members[date]
    }

    /// The subjects a date sees, in order.
    #[must_use]
    pub fn ids_at(&self, date: usize) -> SubjectIds {
        let members = self.members(date);
        let mut ids = Ids::default();
        for position in members.positions(0..self.len()) {
            ids.push(self.ids.get(position));
        }
        SubjectIds { ids, form: self.form }
    }

    /// Remembers subjects of the export whom no date sees, with the dates that do not see them yet.
    ///
    /// # Errors
    /// When there are too many.
    pub fn with_later(mut self, ids: &Ids, dates: &[DateSet]) -> anyhow::Result<Self> {
        let mut later = Ids::default();
        (0..ids.len()).map(|n| ids.get(n)).filter(|id| self.find(id) == UNKNOWN).for_each(|id| later.push(id));
        if !later.is_empty() {
            let spine = Self::build(&later, self.form)?;
            let mut hidden = vec![DateSet::NONE; spine.len()];
            for (n, dates) in dates.iter().enumerate() {
                if let Some(hidden) = hidden.get_mut(spine.find(ids.get(n)) as usize) {
                    *hidden = hidden.or(*dates);
                }
            }
            self.later = Some(Box::new((spine, hidden)));
        }
        Ok(self)
    }

    /// The dates that do not see the subject of an id yet; none for an unknown one.
    #[must_use]
    pub fn later(&self, id: &[u8]) -> DateSet {
        let Some(later) = &self.later else { return DateSet::NONE };
        later.1.get(later.0.find(id) as usize).copied().unwrap_or_default()
    }

    /// The subjects of the export whom no date sees.
    #[must_use]
    pub fn nobody_sees(&self) -> SubjectIds {
        let ids = self.later.as_ref().map_or_else(Ids::default, |later| later.0.ids.clone());
        SubjectIds { ids, form: self.form }
    }

    /// Number of subjects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The dense number of an id, or [`UNKNOWN`].
    #[must_use]
    pub fn find(&self, id: &[u8]) -> u32 {
        self.lookup.find(&self.ids, id)
    }

    /// The dense numbers of many ids.
    pub fn find_all<'a>(&self, ids: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        self.lookup.find_all(&self.ids, ids, out);
    }

    /// The dense numbers of many ids of eight bytes; `valid` tells of nulls.
    pub fn find_words(&self, ids: &[[u8; 8]], valid: impl Fn(usize) -> bool, out: &mut Vec<u32>) {
        self.lookup.find_words(&self.ids, ids, valid, out);
    }

    /// An id as it was written.
    #[must_use]
    pub fn text(&self, at: u32) -> String {
        id_text(self.ids.get(at as usize), self.form)
    }
}

/// Number of ids, each of which a dense number can name.
fn count(ids: &Ids) -> anyhow::Result<u32> {
    let count = u32::try_from(ids.len()).ok().filter(|n| *n < UNKNOWN);
    count.with_context(|| format!("{} subjects are more than 2^32 - 2", ids.len()))
}

fn prefix(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let n = id.len().min(8);
    bytes[..n].copy_from_slice(&id[..n]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ids::to_ordered;

    #[test]
    fn ids_are_numbered_in_order_and_found_again() {
        let mut all = Ids::default();
        for id in ["b", "a", "ccc", "b", "", "aa"] {
            all.push(id.as_bytes());
        }
        let spine = Spine::build(&all, IdForm::Text).unwrap();
        let sorted: Vec<String> = (0..5).map(|n| spine.text(n)).collect();
        assert_eq!(sorted, ["", "a", "aa", "b", "ccc"]);
        let mut found = Vec::new();
        spine.find_all([Some("b".as_bytes()), None, Some(b"zz"), Some(b"")].into_iter(), &mut found);
        assert_eq!(found, [3, UNKNOWN, UNKNOWN, 0]);
    }

    #[test]
    fn ids_in_order_make_the_spine_that_any_order_makes() {
        for (form, width) in [(IdForm::Text, 20), (IdForm::Text, 0), (IdForm::Binary, 8)] {
            let id = |n: usize| format!("{:0width$}", 3 * n);
            let mut some: Vec<String> = (0..500).map(id).collect();
            some.sort_unstable();
            let (mut sorted, mut shuffled) = (Ids::default(), Ids::default());
            some.iter().for_each(|id| sorted.push(id.as_bytes()));
            (0..500).for_each(|n| shuffled.push(id(n * 7 % 500).as_bytes()));
            let one = Spine::of_sorted(SubjectIds { ids: sorted.clone(), form }).unwrap();
            let other = Spine::build(&shuffled, form).unwrap();
            assert_eq!((one.len(), one.form, one.members(0).len()), (500, other.form, 500));
            for n in 0..1_600 {
                let id = format!("{n:0width$}");
                assert_eq!(one.find(id.as_bytes()), other.find(id.as_bytes()), "{id}");
            }
            assert!((0..500).all(|n| one.text(n) == other.text(n)));
            // Out of order, and twice the same.
            sorted.push(some[3].as_bytes());
            assert!(Spine::of_sorted(SubjectIds { ids: sorted, form }).is_err());
            let mut twice = Ids::default();
            [&some[0], &some[0]].iter().for_each(|id| twice.push(id.as_bytes()));
            assert!(Spine::of_sorted(SubjectIds { ids: twice, form }).is_err());
        }
        assert!(Spine::of_sorted(SubjectIds::default()).unwrap().is_empty());
    }

    #[test]
    fn integers_keep_their_order() {
        let mut all = Ids::default();
        for id in [5_i64, -3, i64::MAX, 0, i64::MIN + 1] {
            all.push(&to_ordered(id));
        }
        let spine = Spine::build(&all, IdForm::Integer).unwrap();
        assert_eq!(
            (0..5).map(|n| spine.text(n)).collect::<Vec<_>>(),
            ["-9223372036854775807", "-3", "0", "5", "9223372036854775807"]
        );
        assert_eq!(spine.find(&to_ordered(5)), 3);
    }

    #[test]
    fn a_large_spine_finds_every_id_and_no_other() {
        let mut all = Ids::default();
        for n in 0..100_000_u64 {
            all.push(format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes());
        }
        let spine = Spine::build(&all, IdForm::Text).unwrap();
        assert_eq!(spine.len(), 100_000);
        let ids: Vec<String> =
            (0..200_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let mut found = Vec::new();
        spine.find_all(ids.iter().map(|i| Some(i.as_bytes())), &mut found);
        assert!(found[..100_000].iter().zip(&ids).all(|(n, id)| spine.text(*n) == *id));
        assert!(found[100_000..].iter().all(|n| *n == UNKNOWN));
    }

    #[test]
    fn an_id_in_many_rows_is_found_in_each_of_them() {
        for width in [16_usize, 20, 7] {
            let id = |n: usize| format!("{n:0width$x}");
            let mut all = Ids::default();
            (0..100).for_each(|n| all.push(id(n).as_bytes()));
            let spine = Spine::build(&all, IdForm::Text).unwrap();
            // Runs of one to five rows, some of them without an id, some of ids that are not there.
            let rows: Vec<Option<String>> =
                (0..150).flat_map(|n| vec![(n % 7 != 3).then(|| id(n)); 1 + n % 5]).collect();
            let mut found = Vec::new();
            spine.find_all(rows.iter().map(|row| row.as_ref().map(String::as_bytes)), &mut found);
            let alone = |row: &Option<String>| row.as_ref().map_or(UNKNOWN, |id| spine.find(id.as_bytes()));
            assert_eq!(found, rows.iter().map(alone).collect::<Vec<_>>(), "{width}");
        }
    }

    #[test]
    fn integers_are_found_together_as_each_alone_and_as_a_list_has_them() {
        let id = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed();
        for subjects in [0_u64, 1, 3, 63, 1_000, 40_000] {
            let mut all = Ids::default();
            (0..subjects).for_each(|n| all.push(&to_ordered(id(n))));
            (0..subjects / 3).for_each(|n| all.push(&to_ordered(id(n))));
            let spine = Spine::build(&all, IdForm::Integer).unwrap();
            // Strangers as well, every second row, and ids whose bytes are those of a free slot, every third row a null.
            let rows = (0..2 * subjects + 70).map(|n| to_ordered(id(n * 31 % (2 * subjects + 1))));
            let mut wanted: Vec<[u8; 8]> = rows.collect();
            wanted.extend([[0; 8], [u8::MAX; 8]]);
            let valid = |n: usize| n % 3 != 1;
            let mut found = vec![7];
            spine.find_words(&wanted, valid, &mut found);
            let listed = |id: &[u8; 8]| spine.ids.find(id).map_or(UNKNOWN, |at| u32::try_from(at).unwrap());
            let known = wanted.iter().filter(|id| listed(id) != UNKNOWN).count() as u64;
            assert!(known >= subjects && wanted.len() as u64 > known, "{known} of {subjects}");
            for (n, id) in wanted.iter().enumerate() {
                assert_eq!(spine.find(id), listed(id), "{subjects} subjects");
                assert_eq!(found[n + 1], if valid(n) { listed(id) } else { UNKNOWN }, "{subjects} subjects");
            }
            assert_eq!((found[0], found.len()), (7, wanted.len() + 1));
        }
    }
}
