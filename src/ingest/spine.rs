//! The spine: every visible subject, in order of id, with a dense number.

use foldhash::fast::FixedState;
use rayon::prelude::*;
use std::hash::{BuildHasher, Hasher};

const EMPTY: u64 = u64::MAX;
/// Dense number of an id that is not in the spine.
pub const UNKNOWN: u32 = u32::MAX;

/// How subject ids are written in the exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdForm {
    /// Text.
    #[default]
    Text,
    /// Fixed-size binary.
    Binary,
    /// An integer; kept as eight bytes whose order is the integers' order.
    Integer,
}

/// Ids one after another, all of their bytes in one place.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    bytes: Vec<u8>,
    /// Where each id ends; empty when all have `width` bytes.
    ends: Vec<u64>,
    width: usize,
    len: usize,
}

impl Ids {
    /// Adds an id.
    pub fn push(&mut self, id: &[u8]) {
        if self.len == 0 {
            self.width = id.len();
        }
        if self.ends.is_empty() && (id.len() != self.width || self.width == 0) {
            self.ends = (1..=self.len).map(|n| (n * self.width) as u64).collect();
            self.width = 0;
        }
        self.bytes.extend_from_slice(id);
        self.len += 1;
        if self.width == 0 {
            self.ends.push(self.bytes.len() as u64);
        }
    }

    /// The id at a position.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "an end is the length of a Vec, so it fits usize")]
    pub fn get(&self, at: usize) -> &[u8] {
        if self.width > 0 {
            return &self.bytes[at * self.width..(at + 1) * self.width];
        }
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// Number of ids.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds all ids of another list.
    pub fn append(&mut self, other: &Self) {
        for at in 0..other.len() {
            self.push(other.get(at));
        }
    }
}

/// Every visible subject.
#[derive(Debug, Clone, Default)]
pub struct Spine {
    /// The ids, sorted; the position is the dense number.
    pub ids: Ids,
    /// How they are written.
    pub form: IdForm,
    /// Subjects of the export that are not visible yet.
    later: Option<Box<Self>>,
    /// Open addressing: the upper half of the hash, then the dense number.
    slots: Vec<u64>,
    mask: usize,
}

impl Spine {
    /// Sorts ids, removes repetitions and numbers them.
    ///
    /// # Errors
    /// When there are 2³² − 1 or more.
    pub fn build(all: &Ids, form: IdForm) -> anyhow::Result<Self> {
        let count = u32::try_from(all.len()).ok().filter(|n| *n < UNKNOWN);
        let Some(count) = count else { anyhow::bail!("{} subjects are more than 2^32 - 2", all.len()) };
        let mut order: Vec<(u64, u32)> = (0..count).map(|n| (prefix(all.get(n as usize)), n)).collect();
        order.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| all.get(a.1 as usize).cmp(all.get(b.1 as usize))));
        let mut ids = Ids::default();
        for (_, n) in order {
            let id = all.get(n as usize);
            if ids.is_empty() || ids.get(ids.len() - 1) != id {
                ids.push(id);
            }
        }
        let size = (ids.len() * 2).next_power_of_two().max(16);
        let (mut slots, mask) = (vec![EMPTY; size], size - 1);
        for at in 0..ids.len() {
            let hash = hash_bytes(ids.get(at));
            let mut slot = start(hash, mask);
            while slots[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            slots[slot] = tag(hash) | at as u64;
        }
        Ok(Self { ids, form, later: None, slots, mask })
    }

    /// Remembers subjects of the export that are not visible yet, as far as no visible version of theirs is there.
    ///
    /// # Errors
    /// When there are too many.
    pub fn with_later(mut self, ids: &Ids) -> anyhow::Result<Self> {
        let mut later = Ids::default();
        (0..ids.len()).map(|n| ids.get(n)).filter(|id| self.find(id) == UNKNOWN).for_each(|id| later.push(id));
        if !later.is_empty() {
            self.later = Some(Box::new(Self::build(&later, self.form)?));
        }
        Ok(self)
    }

    /// Whether an id is that of a subject who is not visible yet.
    #[must_use]
    pub fn is_later(&self, id: &[u8]) -> bool {
        self.later.as_ref().is_some_and(|later| later.find(id) != UNKNOWN)
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
        self.probe(id, hash_bytes(id))
    }

    /// The dense numbers of many ids. Hashing, slots and ids are visited in three passes over short runs, so that
    /// the memory accesses of one pass overlap.
    pub fn find_all<'a>(&self, ids: impl Iterator<Item = Option<&'a [u8]>>, out: &mut Vec<u32>) {
        const RUN: usize = 64;
        let mut run: [(&[u8], u64, u64); RUN] = [(&[], 0, EMPTY); RUN];
        let mut ids = ids;
        loop {
            let mut filled = 0;
            for place in &mut run {
                let Some(id) = ids.next() else { break };
                *place = match id {
                    Some(id) => (id, hash_bytes(id), 0),
                    None => (&[], 0, EMPTY),
                };
                filled += 1;
            }
            for place in &mut run[..filled] {
                if place.2 != EMPTY {
                    place.2 = self.slots[start(place.1, self.mask)];
                }
            }
            out.extend(run[..filled].iter().map(|(id, hash, slot)| {
                let near = dense(*slot);
                if *slot != EMPTY && tag(*hash) == tag(*slot) && self.ids.get(near as usize) == *id {
                    return near;
                }
                if *slot == EMPTY { UNKNOWN } else { self.probe(id, *hash) }
            }));
            if filled < RUN {
                return;
            }
        }
    }

    fn probe(&self, id: &[u8], hash: u64) -> u32 {
        let mut at = start(hash, self.mask);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return UNKNOWN;
            }
            if tag(slot) == tag(hash) && self.ids.get(dense(slot) as usize) == id {
                return dense(slot);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// An id as it was written.
    #[must_use]
    pub fn text(&self, at: u32) -> String {
        id_text(self.ids.get(at as usize), self.form)
    }
}

/// An id's bytes as people write it.
#[must_use]
pub fn id_text(id: &[u8], form: IdForm) -> String {
    match form {
        IdForm::Text => String::from_utf8_lossy(id).into_owned(),
        IdForm::Binary => id.iter().map(|b| format!("{b:02x}")).collect(),
        IdForm::Integer => id.try_into().map_or_else(|_| String::new(), |b| from_ordered(b).to_string()),
    }
}

/// Eight bytes that sort as the integer does.
#[must_use]
pub const fn to_ordered(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The integer back.
#[must_use]
pub const fn from_ordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// A fixed hash: the same id has the same number in every run.
#[must_use]
pub fn hash_bytes(id: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x5e5a_3e00).build_hasher();
    hasher.write(id);
    hasher.finish()
}

fn prefix(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let n = id.len().min(8);
    bytes[..n].copy_from_slice(&id[..n]);
    u64::from_be_bytes(bytes)
}

const fn tag(hash: u64) -> u64 {
    hash & 0xffff_ffff_0000_0000
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half of a slot is the dense number")]
const fn dense(slot: u64) -> u32 {
    slot as u32
}

#[allow(clippy::cast_possible_truncation, reason = "masked to the table's size")]
const fn start(hash: u64, mask: usize) -> usize {
    // The tag uses the upper half; fold it in, so that tables above 2^32 slots still spread.
    (hash ^ (hash >> 29)) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
