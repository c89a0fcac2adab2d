//! Rows cut by bucket for who keeps their blocks elsewhere than in a [store](super::store).

use anyhow::Result;

use super::buckets::Buckets;
use super::split::{Rows, Split};

/// The rows of one bucket, packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The bucket.
    pub bucket: usize,
    /// Number of rows.
    pub rows: u32,
    /// Where the block ends among the bytes of all, bucket by bucket.
    pub end: usize,
}

/// Cuts rows by bucket: the bytes of every block one after another, and where each ends.
///
/// # Errors
/// When an id is longer than numbers count.
pub fn cut(rows: &Rows, buckets: &Buckets) -> Result<(Vec<u8>, Vec<Cut>)> {
    let split = Split::of(rows, buckets)?;
    let (mut bytes, mut cuts) = (Vec::with_capacity(split.len()), Vec::with_capacity(split.blocks().len()));
    for (n, (bucket, rows)) in split.blocks().iter().enumerate() {
        split.append(n, &mut bytes);
        cuts.push(Cut { bucket: *bucket, rows: *rows, end: bytes.len() });
    }
    Ok((bytes, cuts))
}
