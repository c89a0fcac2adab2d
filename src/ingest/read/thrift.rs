//! Thrift's compact protocol, as far as it takes to look at a Parquet file's own headers before anything is decoded.

use anyhow::{Context, Result, bail, ensure};

/// Structures within structures that are followed.
const DEEPEST: usize = 32;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Bytes that are read one after another.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// How many bytes were read.
    pub(super) const fn read(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).context("a header that is cut off")?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Result<()> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let end = end.filter(|end| *end <= self.bytes.len()).context("a header that is cut off")?;
        self.at = end;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a number of more than 64 bits")
    }

    /// A signed number of any width.
    pub(super) fn number(&mut self) -> Result<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Reads a structure: `field` is told each field's number and kind, and reads or skips it.
    pub(super) fn fields(&mut self, field: &mut dyn FnMut(&mut Self, i64, u8) -> Result<()>) -> Result<()> {
        self.depth += 1;
        ensure!(self.depth <= DEEPEST, "headers within headers");
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                self.depth -= 1;
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.number()?,
                delta => id + i64::from(delta),
            };
            field(self, id, head & 0x0f)?;
        }
    }

    /// The number of values of a list and their kind.
    pub(super) fn list(&mut self) -> Result<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        ensure!(count <= (self.bytes.len() - self.at) as u64, "a list longer than its header");
        Ok((count, head & 0x0f))
    }

    /// Skips a value of a kind.
    pub(super) fn skip(&mut self, kind: u8) -> Result<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(drop),
            DOUBLE => self.skip_bytes(8),
            BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind))
            }
            MAP => {
                let count = self.varint()?;
                ensure!(count <= (self.bytes.len() - self.at) as u64, "a map longer than its header");
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4)?;
                    self.skip_element(kinds & 0x0f)
                })
            }
            STRUCT => self.fields(&mut |reader, _, kind| reader.skip(kind)),
            13 => self.skip_bytes(16),
            other => bail!("a value of the unknown kind {other}"),
        }
    }

    /// A truth value has a byte of its own in a list.
    fn skip_element(&mut self, kind: u8) -> Result<()> {
        if matches!(kind, TRUE | FALSE) { self.skip_bytes(1) } else { self.skip(kind) }
    }
}
