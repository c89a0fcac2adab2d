//! Columns of text in few bytes. A row tells how long its text is, or that it is one of those met last, which the words of a contract
//! and the ids of rows in order of subject are: as a number that packs into a byte. Texts of hexadecimal digits alone, as pseudonyms are,
//! take half a byte a digit.

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, NullBufferBuilder, StringViewArray, make_view};
use arrow::buffer::Buffer;

use super::DAMAGED;
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

/// Appends some rows of a column to a block. `room` is used on the way.
///
/// # Errors
/// When a text is longer than numbers count.
pub(super) fn append(texts: &StringViewArray, rows: &[u32], room: &mut Vec<i64>, out: &mut Vec<u8>) -> Result<()> {
    let views = texts.views();
    let mut mark = 0;
    // No text has the view of all bits, which tells of a longer one than there can be.
    let mut recent = [(u128::MAX, 0_i64); RECENT].map(|(view, _)| {
        mark -= 1;
        (view, mark)
    });
    let (mut next, mut last): (usize, Option<(&[u8], i64)>) = (0, None);
    // The view of the row before and what tells of it, which most rows have again where they are in order of subject.
    let mut before = (u128::MAX, 0_i64);
    let mut bytes: Vec<u8> = Vec::new();
    room.clear();
    for row in rows {
        let row = *row as usize;
        if texts.is_null(row) {
            room.push(NULL);
            continue;
        }
        // Equal views of one array are equal texts.
        let view = views[row];
        if before.0 == view {
            room.push(before.1);
            continue;
        }
        if let Some(known) = recent.iter().find(|(known, _)| *known == view) {
            before = *known;
            room.push(known.1);
            continue;
        }
        let text = texts.value(row).as_bytes();
        if let Some((_, mark)) = last.filter(|(last, _)| *last == text) {
            room.push(mark);
            continue;
        }
        let slot = &mut recent[next];
        slot.0 = view;
        before = *slot;
        last = Some((text, slot.1));
        next = (next + 1) % RECENT;
        room.push(i64::try_from(text.len())?);
        bytes.extend_from_slice(text);
    }
    pack(room, out);
    let halved = are_digits(&bytes);
    out.push(u8::from(halved));
    out.extend_from_slice(&u32::try_from(bytes.len())?.to_le_bytes());
    if !halved {
        out.extend_from_slice(&bytes);
        return Ok(());
    }
    let digit = |byte: u8| if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
    let (pairs, odd) = bytes.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| (digit(*high) << 4) | digit(*low)));
    out.extend(odd.iter().map(|high| digit(*high) << 4));
    Ok(())
}

/// Texts of several blocks, one after another.
pub(super) struct Texts {
    views: Vec<u128>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Texts {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { views: Vec::new(), bytes: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    /// Bytes of all of them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len()
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
        let mut at = self.bytes.len();
        if halved {
            let halves = block.take(len.div_ceil(2))?;
            let pairs: Vec<[u8; 2]> = halves.iter().map(|byte| PAIRS[usize::from(*byte)]).collect();
            self.bytes.extend_from_slice(pairs.as_flattened());
            self.bytes.truncate(at + len);
        } else {
            self.bytes.extend_from_slice(block.take(len)?);
        }
        let (mut recent, mut next) = ([0_u128; RECENT], 0);
        self.views.reserve(marks.len());
        for mark in marks {
            if mark == NULL {
                self.views.push(0);
                self.nulls.append_null();
                continue;
            }
            let view = if mark < 0 {
                *recent.get(usize::try_from(-1 - mark)?).context(DAMAGED)?
            } else {
                let end = at.saturating_add(usize::try_from(mark)?);
                let text = self.bytes.get(at..end).context(DAMAGED)?;
                let view = make_view(text, 0, u32::try_from(at)?);
                recent[next] = view;
                next = (next + 1) % RECENT;
                at = end;
                view
            };
            self.views.push(view);
            self.nulls.append_non_null();
        }
        ensure!(at == self.bytes.len(), DAMAGED);
        Ok(())
    }

    /// The array of all of them.
    ///
    /// # Errors
    /// When they are no text, as in a damaged block.
    pub(super) fn array(self) -> Result<StringViewArray> {
        let buffers = vec![Buffer::from(self.bytes)];
        StringViewArray::try_new(self.views.into(), buffers, self.nulls.build()).context(DAMAGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Blocks of so many rows of a column each, put together again, and the bytes of all blocks.
    fn again(texts: &StringViewArray, rows: usize) -> (StringViewArray, usize) {
        let (mut joined, mut all) = (Texts::new(), 0);
        let numbers: Vec<u32> = (0..u32::try_from(texts.len()).unwrap()).collect();
        for some in numbers.chunks(rows) {
            let mut block = Vec::new();
            append(texts, some, &mut Vec::new(), &mut block).unwrap();
            let mut unpacker = Unpacker::new(&block, some.len());
            joined.add(&mut unpacker).unwrap();
            assert!(unpacker.rest().is_empty());
            all += block.len();
        }
        (joined.array().unwrap(), all)
    }

    proptest! {
        #[test]
        fn texts_come_back(texts in proptest::collection::vec(proptest::option::of(prop_oneof![
            "[0-9a-f]{0,33}", "[a-c]", "s[0-9]{3}", "\\PC{0,20}", Just(String::new()), Just("0123456789abcdef0123456789abcdef".to_owned()),
        ]), 0..200), rows in 1_usize..70) {
            let texts: StringViewArray = texts.iter().map(Option::as_deref).collect();
            prop_assert_eq!(again(&texts, rows).0, texts);
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
        let mut block = Vec::new();
        append(&texts, &[0, 1, 2], &mut Vec::new(), &mut block).unwrap();
        let read = |bytes: &[u8]| {
            let mut texts = Texts::new();
            texts.add(&mut Unpacker::new(bytes, 3)).and_then(|()| texts.array())
        };
        assert_eq!(read(&block).unwrap(), texts);
        assert!(read(&block[..block.len() - 1]).is_err());
        *block.last_mut().unwrap() = 0xff;
        assert!(read(&block).is_err());
    }
}
