//! Columns of text in few bytes. A row tells how long its text is, or that it is one of those met last, which the words of a contract
//! and the ids of rows in order of subject are: as a number that packs into a byte. Texts of hexadecimal digits alone, as pseudonyms are,
//! take half a byte a digit.

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, LargeStringArray, NullBufferBuilder, StringViewArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;

use super::DAMAGED;
use super::room::room;
use super::sorted::{Pieces, Sorted};
use crate::NULL;
use crate::ingest::rows::pack::{Unpacker, pack};

/// How many of the texts met last are told by their place among them.
const RECENT: usize = 16;
/// The digits that take half a byte.
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// The two digits that each byte stands for.
static PAIRS: [[u8; 2]; 256] = pairs();

const fn pairs() -> [[u8; 2]; 256] {
    let (mut pairs, mut at) = ([[0; 2]; 256], 0);
    while at < pairs.len() {
        pairs[at] = [DIGITS[at >> 4], DIGITS[at & 0xf]];
        at += 1;
    }
    pairs
}

/// Whether all bytes are digits that take half a byte. Many are looked at at once: of pseudonyms all of them are.
fn are_digits(bytes: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() | matches!(byte, b'a'..=b'f');
    bytes.chunks(256).all(|some| some.iter().fold(true, |all, byte| all & is_digit(byte)))
}

/// What is written of a portion's texts, while a column is read.
struct Written<'a> {
    /// The views of the texts met last. Those at first are of no text: the view of all bits tells of a longer one than there can be.
    recent: [u128; RECENT],
    /// Where among them the next one stands.
    next: usize,
    /// The text met last that was written out, and what tells of it.
    last: Option<(&'a [u8], i64)>,
    /// The view of the row before and what tells of it, which most rows have again where they are in order of subject.
    before: (u128, i64),
    /// The texts that were written out.
    bytes: Vec<u8>,
}

impl<'a> Written<'a> {
    /// Nothing yet, of so many rows.
    fn new(rows: usize) -> Self {
        let recent = [u128::MAX; RECENT];
        Self { recent, next: 0, last: None, before: (u128::MAX, 0), bytes: Vec::with_capacity(rows) }
    }

    /// What tells of the next row's text.
    fn mark(&mut self, view: u128, text: impl FnOnce() -> &'a [u8]) -> Result<i64> {
        // Equal views of one array are equal texts.
        if self.before.0 == view {
            return Ok(self.before.1);
        }
        if let Some(at) = self.recent.iter().position(|known| *known == view) {
            self.before = (view, mark(at)?);
            return Ok(self.before.1);
        }
        let text = text();
        if let Some((_, mark)) = self.last.filter(|(last, _)| *last == text) {
            return Ok(mark);
        }
        let told = mark(self.next)?;
        self.recent[self.next] = view;
        (self.before, self.last) = ((view, told), Some((text, told)));
        self.next = (self.next + 1) % RECENT;
        self.bytes.extend_from_slice(text);
        Ok(i64::try_from(text.len())?)
    }
}

/// What tells of the text at a place among those met last.
fn mark(place: usize) -> Result<i64> {
    Ok(-1 - i64::try_from(place)?)
}

/// Appends a column to the pieces of its portions.
///
/// # Errors
/// When a text is longer than numbers count.
pub(super) fn append(texts: &StringViewArray, sorted: &Sorted, pieces: &mut Pieces) -> Result<()> {
    let views = texts.views();
    let mut written: Vec<Written> = (0..sorted.count()).map(|at| Written::new(sorted.rows_of(at).len())).collect();
    let mut marks = std::mem::take(&mut pieces.room);
    sorted.make_room(&mut marks);
    for (row, portion, place) in sorted.kept() {
        marks[place] = match texts.is_null(row) {
            true => NULL,
            false => written[portion].mark(views[row], || texts.value(row).as_bytes())?,
        };
    }
    pieces.each(sorted, |portion, rows, out| {
        pack(&marks[rows], out);
        write(&written[portion].bytes, out)
    })?;
    pieces.room = marks;
    Ok(())
}

/// Appends the texts of a portion that are written out.
fn write(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let halved = are_digits(bytes);
    out.push(u8::from(halved));
    out.extend_from_slice(&u32::try_from(bytes.len())?.to_le_bytes());
    if !halved {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let digit = |byte: u8| if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
    let (pairs, odd) = bytes.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| (digit(*high) << 4) | digit(*low)));
    out.extend(odd.iter().map(|high| digit(*high) << 4));
    Ok(())
}

/// Texts of several blocks, one after another. What was written out is held once and looked at once, however many rows have it.
pub(super) struct Texts {
    /// Where each text that was written out ends; before them one without bytes, for rows that have none, and where that begins.
    ends: Vec<i64>,
    bytes: Vec<u8>,
    /// Which of them each row has.
    of: Vec<u32>,
    nulls: NullBufferBuilder,
}

impl Texts {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { ends: vec![0, 0], bytes: Vec::new(), of: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    /// Bytes of all of them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for so many times as many as there are and some more, and for no more bytes than so many.
    pub(super) fn make_room(&mut self, times: usize, most: usize) {
        self.of.reserve(room(self.of.len(), times));
        self.ends.reserve(room(self.ends.len(), times));
        self.bytes.reserve(room(self.bytes.len(), times).min(most));
    }

    /// Adds those of a block.
    ///
    /// # Errors
    /// When the block is damaged, or the texts are too many for one array.
    pub(super) fn add(&mut self, block: &mut Unpacker) -> Result<()> {
        let mut marks: Vec<i64> = Vec::new();
        block.append(&mut marks)?;
        let halved = block.take(1)?[0] != 0;
        let len = u32::from_le_bytes(block.take(4)?.try_into()?) as usize;
        let from = self.bytes.len();
        if halved {
            let halves = block.take(len.div_ceil(2))?;
            self.bytes.resize(from + 2 * halves.len(), 0);
            let (pairs, _) = self.bytes[from..].as_chunks_mut::<2>();
            pairs.iter_mut().zip(halves).for_each(|(pair, byte)| *pair = PAIRS[usize::from(*byte)]);
            self.bytes.truncate(from + len);
        } else {
            self.bytes.extend_from_slice(block.take(len)?);
        }
        // So that none of the numbers below is too large.
        u32::try_from(self.ends.len() + marks.len())?;
        let (mut text, mut end) = (u32::try_from(self.ends.len() - 1)?, i64::try_from(from)?);
        let (mut recent, mut next, mut any_null) = ([0_u32; RECENT], 0, false);
        self.of.reserve(marks.len());
        for mark in &marks {
            let of = if *mark >= 0 {
                end = end.checked_add(*mark).context(DAMAGED)?;
                self.ends.push(end);
                recent[next] = text;
                next = (next + 1) % RECENT;
                text += 1;
                text - 1
            } else if *mark == NULL {
                any_null = true;
                0
            } else {
                *recent.get(usize::try_from(-1 - mark)?).context(DAMAGED)?
            };
            self.of.push(of);
        }
        ensure!(usize::try_from(end)? == self.bytes.len(), DAMAGED);
        if any_null {
            marks.iter().for_each(|mark| self.nulls.append(*mark != NULL));
        } else {
            self.nulls.append_n_non_nulls(marks.len());
        }
        Ok(())
    }

    /// The array of all of them.
    ///
    /// # Errors
    /// When they are no text, as in a damaged block.
    pub(super) fn array(self) -> Result<StringViewArray> {
        // Ends never fall, and the last one is that of all bytes: every block was looked at.
        let ends = OffsetBuffer::new(self.ends.into());
        let texts = LargeStringArray::try_new(ends, self.bytes.into(), None).context(DAMAGED)?;
        let of = UInt32Array::try_new(self.of.into(), self.nulls.build())?;
        Ok(take(&StringViewArray::from(&texts), &of, None)?.as_string_view().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rows of a column cut by `portion_of` into so many portions: the block of each, without the number of its rows.
    fn blocks(texts: &StringViewArray, count: usize, portion_of: impl Fn(usize) -> Option<usize>) -> Vec<Vec<u8>> {
        let (sorted, mut pieces) = (Sorted::new(texts.len(), count, portion_of).unwrap(), Pieces::default());
        append(texts, &sorted, &mut pieces).unwrap();
        let (all, ends) = pieces.blocks(&sorted).unwrap();
        let from = std::iter::once(0).chain(ends.iter().copied());
        from.zip(&ends).map(|(from, end)| all[from..*end].get(4..).unwrap_or_default().to_vec()).collect()
    }

    /// Blocks of so many rows of a column each, put together again, and the bytes of all blocks.
    fn again(texts: &StringViewArray, rows: usize) -> (StringViewArray, usize) {
        let (mut joined, mut all) = (Texts::new(), 0);
        let blocks = blocks(texts, texts.len().div_ceil(rows), |row| Some(row / rows));
        for (at, block) in blocks.iter().enumerate() {
            let mut unpacker = Unpacker::new(block, rows.min(texts.len() - at * rows));
            joined.add(&mut unpacker).unwrap();
            assert!(unpacker.rest().is_empty());
            joined.make_room(blocks.len(), 1_000);
            all += block.len();
        }
        (joined.array().unwrap(), all)
    }

    /// Texts of all kinds, some of them again and again.
    fn any_texts() -> impl Strategy<Value = Vec<Option<String>>> {
        let text = prop_oneof![
            "[0-9a-f]{0,33}",
            "[a-c]",
            "s[0-9]{3}",
            "\\PC{0,20}",
            Just(String::new()),
            Just("0123456789abcdef0123456789abcdef".to_owned()),
        ];
        proptest::collection::vec(proptest::option::of(text), 0..200)
    }

    proptest! {
        #[test]
        fn texts_come_back(texts in any_texts(), rows in 1_usize..70) {
            let texts: StringViewArray = texts.iter().map(Option::as_deref).collect();
            prop_assert_eq!(again(&texts, rows).0, texts);
        }

        #[test]
        fn a_portion_is_what_its_rows_alone_come_to(
            texts in any_texts(), of in proptest::collection::vec(proptest::option::weighted(0.8, 0_usize..4), 200),
        ) {
            let texts: StringViewArray = texts.iter().map(Option::as_deref).collect();
            for (portion, block) in blocks(&texts, 4, |row| of[row]).into_iter().enumerate() {
                let own: StringViewArray = (0..texts.len())
                    .filter(|row| of[*row] == Some(portion))
                    .map(|row| texts.is_valid(row).then(|| texts.value(row)))
                    .collect();
                prop_assert_eq!(&block, &blocks(&own, 1, |_| Some(0))[0]);
                if own.is_empty() {
                    prop_assert!(block.is_empty());
                    continue;
                }
                let mut joined = Texts::new();
                joined.add(&mut Unpacker::new(&block, own.len())).unwrap();
                prop_assert_eq!(joined.array().unwrap(), own);
            }
        }

        #[test]
        fn pseudonyms_come_back(ids in proptest::collection::vec("[0-9a-f]{31,32}", 1..60)) {
            let texts: StringViewArray = ids.iter().flat_map(|id| [Some(id.as_str()); 3]).collect();
            prop_assert_eq!(again(&texts, 50).0, texts);
        }
    }

    #[test]
    fn digits_are_those_that_take_half_a_byte_and_no_other() {
        for byte in 0..=u8::MAX {
            let known = DIGITS.contains(&byte);
            assert_eq!(are_digits(&[b'0', byte]), known);
            let mut many = [b'f'; 600];
            many[usize::from(byte) + 300] = byte;
            assert_eq!(are_digits(&many), known);
            assert_eq!(PAIRS[usize::from(byte)].as_slice(), format!("{byte:02x}").as_bytes());
        }
        assert!(are_digits(&[]));
    }

    #[test]
    fn what_repeats_takes_a_byte_a_row_and_digits_half_of_one() {
        let words = ["instalment", "revolving", "a word of more than twelve letters"];
        let texts: StringViewArray = (0..3_000).map(|n| Some(words[n / 7 % 3])).collect();
        assert!(again(&texts, 3_000).1 < 3_000 + 100);
        let ids: Vec<String> = (0..1_000_u32).map(|n| format!("{:032x}", n.wrapping_mul(0x9e37_79b9))).collect();
        let texts: StringViewArray = ids.iter().map(|id| Some(id.as_str())).collect();
        let size = again(&texts, 1_000).1;
        assert!((16_000..17_100).contains(&size), "{size}");
    }

    #[test]
    fn a_damaged_block_is_found() {
        let texts: StringViewArray = [Some("word"), None, Some("wörter")].into_iter().collect();
        let mut block = blocks(&texts, 1, |_| Some(0)).remove(0);
        let read = |bytes: &[u8], rows: usize| {
            let mut texts = Texts::new();
            texts.add(&mut Unpacker::new(bytes, rows)).and_then(|()| texts.array())
        };
        assert_eq!(read(&block, 3).unwrap(), texts);
        assert!(read(&block[..block.len() - 1], 3).is_err());
        *block.last_mut().unwrap() = 0xff;
        assert!(read(&block, 3).is_err());
        // A text that ends within a letter, where all bytes together are text: "ö" is two bytes long.
        let texts: StringViewArray = [Some("aö"), Some("ab")].into_iter().collect();
        let mut block = blocks(&texts, 1, |_| Some(0)).remove(0);
        let lengths = |lengths: [i64; 2]| {
            let mut packed = Vec::new();
            pack(&lengths, &mut packed);
            packed
        };
        let (right, wrong) = (lengths([3, 2]), lengths([2, 3]));
        assert!(right.len() == wrong.len() && block.starts_with(&right));
        assert_eq!(read(&block, 2).unwrap(), texts);
        block[..wrong.len()].copy_from_slice(&wrong);
        assert!(read(&block, 2).is_err());
    }
}
