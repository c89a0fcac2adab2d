//! An object of a store, of which those parts are fetched that are read.

use std::io::Read;
use std::ops::Range;

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};

use super::hashes;
use super::objects::{Pending, Place, Seen};

/// Bytes that are fetched where only the beginning of what is read is known.
const BLOCK: u64 = 64 << 10;
/// Bytes at the end of an object that are fetched at once: most footers fit.
const TAIL: u64 = 64 << 10;
/// Bytes at its beginning, where the first page says whether pages have checksums.
const HEAD: u64 = 4 << 10;

/// An object, as it was when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// What it was.
    pub seen: Seen,
}

/// An object of which some parts are at hand; others are fetched when they are asked for.
#[derive(Debug, Clone)]
pub struct Object {
    /// The object.
    pub found: Found,
    /// Where each part begins, in order, and its bytes.
    held: Vec<(u64, Bytes)>,
}

impl Found {
    /// What stands for the hash of its content.
    ///
    /// # Errors
    /// When the server tells too little to notice another content.
    pub fn identity(&self) -> Result<hashes::Hash> {
        self.seen.identity().with_context(|| {
            format!(
                "{}: the server tells neither an ETag nor when it was changed, so another content would go unnoticed; \
copy the export to an object store or a disk",
                self.place.url()
            )
        })
    }

    /// Begins to fetch what every table is asked first: its end, where the footer is, and its beginning.
    ///
    /// # Errors
    /// When no request can be begun.
    pub fn begin(&self) -> Result<Beginning> {
        let size = self.seen.tag.size;
        let ranges = vec![0..size.min(HEAD), size.saturating_sub(TAIL)..size];
        Ok(Beginning { pending: self.place.begin(&self.seen, ranges.clone())?, ranges, found: self.clone() })
    }

    /// The object with some of its parts, which were fetched.
    #[must_use]
    pub fn with(&self, ranges: &[Range<u64>], parts: Vec<Bytes>) -> Object {
        let mut held: Vec<(u64, Bytes)> = ranges.iter().map(|range| range.start).zip(parts).collect();
        held.sort_by_key(|(from, bytes)| (*from, bytes.len()));
        Object { found: self.clone(), held }
    }
}

/// The beginning and the end of an object, on their way.
#[derive(Debug)]
pub struct Beginning {
    found: Found,
    ranges: Vec<Range<u64>>,
    pending: Pending,
}

impl Beginning {
    /// Waits for them.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn wait(self) -> Result<Object> {
        let parts = self.pending.wait()?;
        Ok(self.found.with(&self.ranges, parts))
    }
}

impl Object {
    /// An object of which nothing is at hand.
    #[must_use]
    pub const fn new(found: Found) -> Self {
        Self { found, held: Vec::new() }
    }

    /// Its size.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.found.seen.tag.size
    }

    /// Bytes that are at hand from a place on, as many as there are.
    fn at_hand(&self, from: u64) -> Option<Bytes> {
        let holds = |(start, bytes): &&(u64, Bytes)| *start <= from && from - start < bytes.len() as u64;
        // Of those that hold it the one that reaches farthest.
        let (start, bytes) = self.held.iter().filter(holds).max_by_key(|(start, bytes)| start + bytes.len() as u64)?;
        Some(bytes.slice(usize::try_from(from - start).ok()?..))
    }

    /// So many bytes from a place on.
    ///
    /// # Errors
    /// When it ends before, or they cannot be had.
    pub fn bytes(&self, from: u64, length: usize) -> Result<Bytes> {
        if let Some(bytes) = self.at_hand(from).filter(|bytes| bytes.len() >= length) {
            return Ok(bytes.slice(..length));
        }
        let to = from.checked_add(length as u64).filter(|to| *to <= self.size()).context("it ends before that")?;
        self.fetched(from..to)
    }

    fn fetched(&self, range: Range<u64>) -> Result<Bytes> {
        let parts = self.found.place.parts(&self.found.seen, &[range])?;
        parts.into_iter().next().context("defect: a part that was not fetched")
    }
}

/// Reads an object from a place on: what is at hand, then block after block.
#[derive(Debug)]
pub struct Onward {
    object: Object,
    at: u64,
    bytes: Bytes,
}

impl Onward {
    /// Begins to read.
    ///
    /// # Errors
    /// When the first bytes cannot be had.
    pub fn new(object: Object, at: u64) -> Result<Self> {
        let mut onward = Self { object, at, bytes: Bytes::new() };
        onward.refill()?;
        Ok(onward)
    }

    /// Bytes where it is, unless it is at the end.
    fn refill(&mut self) -> Result<()> {
        let size = self.object.size();
        if self.bytes.is_empty() && self.at < size {
            self.bytes = match self.object.at_hand(self.at) {
                Some(bytes) => bytes,
                None => self.object.fetched(self.at..size.min(self.at.saturating_add(BLOCK)))?,
            };
        }
        Ok(())
    }
}

impl Read for Onward {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.refill().map_err(std::io::Error::other)?;
        let length = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
