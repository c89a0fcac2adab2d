//! Ids of subjects and records: one after another in memory, and as a column of a table.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};

/// Dense number of an id that is not known.
pub const UNKNOWN: u32 = u32::MAX;
/// Most bytes that room is made for unasked, of an id.
const USUAL_LENGTH: usize = 64;

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

    /// Makes room for so many ids in all, as long as those that are there, but for a few very long ones: a list that grows bit by bit is
    /// copied again and again, with the old one beside the new. Where there is no such room, it grows all the same.
    pub fn make_room(&mut self, ids: usize) {
        let more = ids.saturating_sub(self.len);
        let each = self.bytes.len().div_ceil(self.len.max(1)).min(USUAL_LENGTH);
        let _ = self.bytes.try_reserve_exact(more.saturating_mul(each));
        if !self.ends.is_empty() {
            let _ = self.ends.try_reserve_exact(more);
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

    /// The width of all ids, 0 when they differ.
    #[must_use]
    pub const fn width(&self) -> usize {
        if self.ends.is_empty() { self.width } else { 0 }
    }

    /// All ids, when each has eight bytes.
    #[must_use]
    pub fn words(&self) -> &[[u8; 8]] {
        self.fixed::<8>()
    }

    /// All ids, when each has `W` bytes.
    #[must_use]
    pub fn fixed<const W: usize>(&self) -> &[[u8; W]] {
        if self.width() == W { self.bytes.as_chunks::<W>().0 } else { &[] }
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

    /// The position of an id in a list that is in order.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.get(middle).cmp(id) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// Adds all ids of another list.
    pub fn append(&mut self, other: &Self) {
        for at in 0..other.len() {
            self.push(other.get(at));
        }
    }
}

/// Ids and how they are written, in order.
#[derive(Debug, Clone, Default)]
pub struct SubjectIds {
    /// The ids.
    pub ids: Ids,
    /// How they are written.
    pub form: IdForm,
}

impl SubjectIds {
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

/// The bytes of an id that people write; nothing when it cannot be one of the form.
#[must_use]
pub fn id_bytes(text: &str, form: IdForm) -> Option<Vec<u8>> {
    match form {
        IdForm::Text => Some(text.as_bytes().to_vec()),
        IdForm::Integer => text.parse().ok().map(|number| to_ordered(number).to_vec()),
        IdForm::Binary => {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (pairs, odd) = text.as_bytes().as_chunks::<2>();
            let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
            bytes.collect::<Option<Vec<u8>>>().filter(|_| odd.is_empty())
        }
    }
}

/// An id as tables of a form write it: an integer without a sign or zeros before it, bytes in small letters. What cannot be one stays.
#[must_use]
pub fn canonical(text: &str, form: IdForm) -> String {
    id_bytes(text, form).map_or_else(|| text.to_owned(), |bytes| id_text(&bytes, form))
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

/// The type of a column of ids.
///
/// # Errors
/// When the ids are longer than a column can hold.
pub fn data_type(subjects: &SubjectIds) -> Result<DataType> {
    Ok(match subjects.form {
        IdForm::Text => DataType::Utf8,
        IdForm::Integer => DataType::Int64,
        IdForm::Binary => DataType::FixedSizeBinary(width(subjects)?),
    })
}

/// The bytes of each id; a table without subjects says 1.
fn width(subjects: &SubjectIds) -> Result<i32> {
    if subjects.is_empty() { Ok(1) } else { Ok(i32::try_from(subjects.ids.get(0).len())?) }
}

/// The ids of some subjects as a column.
///
/// # Errors
/// When an id is not of the form that all are said to be of.
pub fn column(subjects: &SubjectIds, of: impl Iterator<Item = usize>) -> Result<ArrayRef> {
    let id = |s: usize| subjects.ids.get(s);
    Ok(match subjects.form {
        IdForm::Text => Arc::new(of.map(|s| std::str::from_utf8(id(s)).map(Some)).collect::<Result<StringArray, _>>()?),
        IdForm::Integer => {
            let value = |s: usize| id(s).try_into().map(|bytes| Some(from_ordered(bytes)));
            Arc::new(of.map(value).collect::<Result<Int64Array, _>>()?)
        }
        IdForm::Binary => {
            let values = of.map(|s| Some(id(s)));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width(subjects)?)?)
        }
    })
}

/// Adds the ids of an array and says how they are written.
///
/// # Errors
/// When they are of another type.
pub fn push(array: &ArrayRef, ids: &mut Ids) -> Result<IdForm> {
    match array.data_type() {
        DataType::Utf8 => {
            array.as_string::<i32>().iter().for_each(|id| ids.push(id.unwrap_or("").as_bytes()));
            Ok(IdForm::Text)
        }
        DataType::Int64 => {
            array.as_primitive::<Int64Type>().values().iter().for_each(|id| ids.push(&to_ordered(*id)));
            Ok(IdForm::Integer)
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            (0..array.len()).for_each(|n| ids.push(array.value(n)));
            Ok(IdForm::Binary)
        }
        other => bail!("ids are {other}"),
    }
}

/// Walks through two lists of ids in order: where each id stands in the one, the other, or both.
pub fn matched(a: &Ids, b: &Ids, seen: &mut dyn FnMut(Option<usize>, Option<usize>)) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let order = match (i < a.len(), j < b.len()) {
            (true, true) => a.get(i).cmp(b.get(j)),
            (true, false) => std::cmp::Ordering::Less,
            (false, _) => std::cmp::Ordering::Greater,
        };
        seen(order.is_le().then_some(i), order.is_ge().then_some(j));
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
}

/// As [`matched`], the second list block by block.
///
/// # Errors
/// The first of a block.
pub fn matched_by_block(
    a: &Ids,
    blocks: impl Iterator<Item = Result<Ids>>,
    seen: &mut dyn FnMut(Option<usize>, Option<usize>),
) -> Result<()> {
    // The first of `a` that was not seen, and how many ids of the other list were.
    let (mut i, mut before) = (0, 0);
    for block in blocks {
        let block = block?;
        for j in 0..block.len() {
            let id = block.get(j);
            while i < a.len() && a.get(i) < id {
                seen(Some(i), None);
                i += 1;
            }
            let both = i < a.len() && a.get(i) == id;
            seen(both.then_some(i), Some(before + j));
            i += usize::from(both);
        }
        before += block.len();
    }
    (i..a.len()).for_each(|i| seen(Some(i), None));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ids in order.
    fn sorted(of: &[String]) -> Ids {
        let mut of = of.to_vec();
        of.sort_unstable();
        of.dedup();
        let mut ids = Ids::default();
        of.iter().for_each(|id| ids.push(id.as_bytes()));
        ids
    }

    proptest! {
        #[test]
        fn a_list_in_blocks_is_matched_as_the_whole_is(
            a in proptest::collection::vec("[ab]{1,4}", 0..30), b in proptest::collection::vec("[ab]{1,4}", 0..30),
            rows in 1_usize..9,
        ) {
            let (a, b) = (sorted(&a), sorted(&b));
            let (mut whole, mut parted) = (Vec::new(), Vec::new());
            matched(&a, &b, &mut |i, j| whole.push((i, j)));
            let block = |from: usize| {
                let mut ids = Ids::default();
                (from..(from + rows).min(b.len())).for_each(|n| ids.push(b.get(n)));
                Ok(ids)
            };
            let blocks = (0..b.len()).step_by(rows).map(block);
            matched_by_block(&a, blocks, &mut |i, j| parted.push((i, j))).unwrap();
            prop_assert_eq!(&parted, &whole);
            prop_assert!(matched_by_block(&a, std::iter::once(Err(anyhow::anyhow!("damaged"))), &mut |_, _| ()).is_err());
        }

        #[test]
        fn ids_are_the_same_with_room_made_for_them(
            of in proptest::collection::vec("[ab]{0,3}", 1..30), at in 0_usize..30, more in 0_usize..50,
        ) {
            let (mut ids, mut plain) = (Ids::default(), Ids::default());
            for (n, id) in of.iter().enumerate() {
                if n == at {
                    ids.make_room(more);
                }
                ids.push(id.as_bytes());
                plain.push(id.as_bytes());
            }
            prop_assert_eq!((ids.len(), ids.width()), (plain.len(), plain.width()));
            prop_assert!((0..of.len()).all(|n| ids.get(n) == of[n].as_bytes()));
        }
    }

    #[test]
    fn an_id_is_written_in_one_way() {
        let of = |text: &str, form| canonical(text, form);
        assert_eq!(["7", "007", "+7"].map(|text| of(text, IdForm::Integer)), ["7", "7", "7"]);
        assert_eq!((of("-07", IdForm::Integer), of("x7", IdForm::Integer)), ("-7".to_owned(), "x7".to_owned()));
        assert_eq!(of("00FFaB", IdForm::Binary), "00ffab");
        assert_eq!(of("007", IdForm::Text), "007");
        // What only looks like two digits is none.
        assert!(["+f", "f", " f", "0x", "\u{e9}f"].iter().all(|text| id_bytes(text, IdForm::Binary).is_none()));
        assert_eq!(id_bytes("00ff", IdForm::Binary), Some(vec![0, 255]));
    }

    #[test]
    fn an_id_is_found_where_it_stands() {
        let mut ids = Ids::default();
        ["a", "b", "bb", "d"].iter().for_each(|id| ids.push(id.as_bytes()));
        assert_eq!(["a", "b", "bb", "d"].map(|id| ids.find(id.as_bytes())), [Some(0), Some(1), Some(2), Some(3)]);
        assert!(["", "aa", "c", "e"].iter().all(|id| ids.find(id.as_bytes()).is_none()));
        assert_eq!(Ids::default().find(b"a"), None);
    }
}
