//! What threads put aside in any order, and is taken in order afterwards: so that what is made of it is the same bytes for any number of
//! threads. Meanwhile it lies in a scratch file.

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};

use super::scratch::Scratch;

/// Pieces of bytes, each with what tells its place among the others, which no two have alike.
pub struct Aside<K> {
    scratch: Scratch,
    pieces: Mutex<Vec<Piece<K>>>,
}

struct Piece<K> {
    place: K,
    /// Where in the scratch file.
    at: u64,
    len: usize,
}

impl<K: Ord> Aside<K> {
    /// Nothing yet; the scratch file is below a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(folder: &Path) -> Result<Self> {
        Ok(Self { scratch: Scratch::below(folder)?, pieces: Mutex::default() })
    }

    /// Puts a piece aside.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn put(&self, place: K, bytes: &[u8]) -> Result<()> {
        let at = self.scratch.write(bytes, &[bytes.len()])?;
        let mut pieces = self.pieces.lock().map_err(|_| anyhow!("another thread failed"))?;
        pieces.push(Piece { place, at, len: bytes.len() });
        Ok(())
    }

    /// Takes all pieces, each after those whose places are before its own.
    ///
    /// # Errors
    /// When one cannot be read, and the first of `take`.
    pub fn in_order(self, take: &mut dyn FnMut(K, &[u8]) -> Result<()>) -> Result<()> {
        let mut pieces = self.pieces.into_inner().ok().context("another thread failed")?;
        pieces.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        let mut bytes = Vec::new();
        for piece in pieces {
            self.scratch.read(piece.at, piece.len, &mut bytes)?;
            take(piece.place, &bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn pieces_are_taken_in_the_order_of_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let aside = Aside::below(folder.path()).unwrap();
        let piece = |n: u32| vec![n.to_le_bytes()[0]; (n % 5) as usize];
        (0..200_u32).into_par_iter().rev().try_for_each(|n| aside.put((n * 7 % 200, n), &piece(n))).unwrap();
        let mut taken = Vec::new();
        aside
            .in_order(&mut |(place, n), bytes| {
                assert_eq!(bytes, piece(n));
                taken.push(place);
                Ok(())
            })
            .unwrap();
        assert_eq!(taken, (0..200).collect::<Vec<u32>>());
    }
}
