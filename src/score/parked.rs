//! Bins of rated subjects while friends are looked for: that takes the most memory of a run, and needs no bin. Where they are more than a
//! part of the memory, they lie in a scratch file meanwhile.

use std::path::Path;

use anyhow::{Context, Result};

use crate::machine::budget::Budget;
use crate::storage::scratch::Scratch;

/// Bytes that are written and read at a time.
const PIECE: usize = 4 << 20;

/// Bins that come back as they were.
#[derive(Debug)]
pub enum Parked<'a> {
    /// In memory that a budget has room for.
    Kept(Vec<u8>, &'a Budget),
    /// In a scratch file.
    Spilled(Box<Spilled>),
}

/// Bins in a scratch file.
#[derive(Debug)]
pub struct Spilled {
    scratch: Scratch,
    /// Where each piece lies, one after another; all but the last have [`PIECE`] bytes.
    places: Vec<u64>,
    bytes: usize,
}

impl<'a> Parked<'a> {
    /// Puts bins away: into memory that is left of a budget, or into an unnamed file below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made or written, for example on a full disk.
    pub fn of(bins: Vec<u8>, budget: &'a Budget, folder: &Path) -> Result<Self> {
        if budget.take(bins.len() as u64) {
            return Ok(Self::Kept(bins, budget));
        }
        let scratch = Scratch::below(folder)?;
        let write = |piece: &[u8]| scratch.write(piece, &[piece.len()]);
        let places = bins.chunks(PIECE).map(write).collect::<Result<Vec<u64>>>();
        let places = places.context("spilling bins to the scratch file; is the disk full? See --scratch")?;
        Ok(Self::Spilled(Box::new(Spilled { scratch, places, bytes: bins.len() })))
    }

    /// The bins.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn back(self) -> Result<Vec<u8>> {
        let spilled = match self {
            Self::Kept(bins, budget) => {
                budget.give_back(bins.len() as u64);
                return Ok(bins);
            }
            Self::Spilled(spilled) => spilled,
        };
        let mut bins = Vec::with_capacity(spilled.bytes);
        let mut piece = Vec::new();
        for at in &spilled.places {
            spilled.scratch.read(*at, PIECE.min(spilled.bytes - bins.len()), &mut piece)?;
            bins.extend_from_slice(&piece);
        }
        Ok(bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_come_back_from_memory_and_from_the_scratch_file() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 1, 1_000, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 77] {
            let bins: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            for memory in [0, u64::MAX] {
                let budget = Budget::new(memory);
                let parked = Parked::of(bins.clone(), &budget, folder.path()).unwrap();
                assert_eq!(matches!(parked, Parked::Kept(..)), memory > 0 || len == 0, "{len} bytes");
                assert!(parked.back().unwrap() == bins, "{len} bytes");
            }
        }
        // What was taken of a budget is given back.
        let budget = Budget::new(10);
        for _ in 0..2 {
            let parked = Parked::of(vec![7; 10], &budget, Path::new("/nonexistent")).unwrap();
            assert!(Parked::of(vec![7], &budget, Path::new("/nonexistent")).is_err());
            assert_eq!(parked.back().unwrap(), [7; 10]);
        }
    }
}
