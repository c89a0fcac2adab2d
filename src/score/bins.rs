//! Bins of all subjects, which are most of what there is of each: in memory, or in a scratch file where they are more than a part of it.
//! Whoever works on all of them takes one piece after another.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::storage::scratch::Scratch;
use crate::tables::parquet_file::GROUP_ROWS;

/// Subjects of a piece, but for the last: those of a row group of the scored table.
const PIECE: usize = GROUP_ROWS;

/// Bins of the scored features of every subject, in order of id.
#[derive(Debug)]
pub struct Bins {
    subjects: usize,
    /// Bins of a subject.
    width: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Kept(Vec<u8>),
    /// Where each piece lies.
    Spilled {
        scratch: Box<Scratch>,
        places: Vec<u64>,
    },
}

/// Writes a piece; says where.
fn spill(scratch: &Scratch, piece: &[u8]) -> Result<u64> {
    let written = scratch.write(piece, &[piece.len()]);
    written.context("spilling bins to the scratch file; is the disk full? See --scratch")
}

impl Bins {
    /// Those of some subjects, each with so many, one subject after another. What is more than some memory is put into an unnamed file
    /// below a folder.
    ///
    /// # Errors
    /// When the scratch file cannot be made or written, for example on a full disk.
    pub fn of(bins: Vec<u8>, (subjects, width): (usize, usize), memory: u64, folder: &Path) -> Result<Self> {
        ensure!(bins.len() == subjects * width, "defect: {} bins of {subjects} subjects", bins.len());
        if bins.len() as u64 <= memory {
            return Ok(Self { subjects, width, place: Place::Kept(bins) });
        }
        let scratch = Box::new(Scratch::below(folder)?);
        let places = bins.chunks(PIECE * width).map(|piece| spill(&scratch, piece)).collect::<Result<_>>()?;
        Ok(Self { subjects, width, place: Place::Spilled { scratch, places } })
    }

    /// The subjects piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.subjects).step_by(PIECE).map(|from| from..(from + PIECE).min(self.subjects))
    }

    /// The bins of a piece's subjects, one subject after another.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn piece(&self, of: &Range<usize>) -> Result<Cow<'_, [u8]>> {
        match &self.place {
            Place::Kept(bins) => Ok(Cow::Borrowed(&bins[of.start * self.width..of.end * self.width])),
            Place::Spilled { scratch, places } => {
                let mut bins = Vec::new();
                scratch.read(places[of.start / PIECE], of.len() * self.width, &mut bins)?;
                Ok(Cow::Owned(bins))
            }
        }
    }

    /// Changes all bins: `change` is told of the subjects of one piece after another and given their bins. What is spilled is written
    /// anew, beside what was there.
    ///
    /// # Errors
    /// The first of `change`; when the scratch file cannot be read or written.
    pub fn change(&mut self, mut change: impl FnMut(Range<usize>, &mut [u8]) -> Result<()>) -> Result<()> {
        let pieces: Vec<Range<usize>> = self.pieces().collect();
        let width = self.width;
        match &mut self.place {
            Place::Kept(bins) => {
                for piece in pieces {
                    let of = piece.start * width..piece.end * width;
                    change(piece, &mut bins[of])?;
                }
            }
            Place::Spilled { scratch, places } => {
                let mut bins = Vec::new();
                for (piece, place) in pieces.into_iter().zip(places) {
                    scratch.read(*place, piece.len() * width, &mut bins)?;
                    change(piece, &mut bins)?;
                    *place = spill(scratch, &bins)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the bins of single subjects.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { bins: self, held: 0..0, piece: Cow::Borrowed(&[]) }
    }
}

/// Reads the bins of one subject after another: of those that come in order every piece is read once.
#[derive(Debug)]
pub struct Reader<'a> {
    bins: &'a Bins,
    /// Whose bins are held.
    held: Range<usize>,
    piece: Cow<'a, [u8]>,
}

impl Reader<'_> {
    /// The bins of a subject.
    ///
    /// # Errors
    /// When there is no such subject, or the scratch file cannot be read.
    pub fn of(&mut self, subject: usize) -> Result<&[u8]> {
        let (subjects, width) = (self.bins.subjects, self.bins.width);
        if !self.held.contains(&subject) {
            ensure!(subject < subjects, "defect: the subject {subject} of {subjects}");
            let start = subject - subject % PIECE;
            let held = start..(start + PIECE).min(subjects);
            self.piece = self.bins.piece(&held)?;
            self.held = held;
        }
        let at = (subject - self.held.start) * width;
        Ok(&self.piece[at..at + width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bins that tell subjects apart.
    fn some(subjects: usize, width: usize) -> Vec<u8> {
        (0..subjects * width).map(|n| u8::try_from((n * 7 + n / 251) % 256).unwrap()).collect()
    }

    #[test]
    fn bins_are_the_same_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        for (subjects, width) in [(0, 3), (1, 1), (1_000, 2), (PIECE, 1), (PIECE + 1, 2), (2 * PIECE + 77, 1), (500, 0)]
        {
            for memory in [0, u64::MAX] {
                let mut plain = some(subjects, width);
                let mut bins = Bins::of(plain.clone(), (subjects, width), memory, folder.path()).unwrap();
                let spilled = matches!(bins.place, Place::Spilled { .. });
                assert_eq!(spilled, memory == 0 && subjects * width > 0, "{subjects} of {width}");
                let all = |bins: &Bins| -> Vec<u8> {
                    bins.pieces().flat_map(|piece| bins.piece(&piece).unwrap().into_owned()).collect()
                };
                assert!(all(&bins) == plain, "{subjects} of {width}");
                // Twice, so that what was changed is changed again.
                for round in 0..2 {
                    let mut seen = 0;
                    bins.change(|of, bins| {
                        assert_eq!((of.start, of.len() * width), (seen, bins.len()));
                        seen = of.end;
                        bins.iter_mut().for_each(|bin| *bin = bin.wrapping_add(3 + round));
                        Ok(())
                    })
                    .unwrap();
                    assert_eq!(seen, subjects);
                    plain.iter_mut().for_each(|bin| *bin = bin.wrapping_add(3 + round));
                    assert!(all(&bins) == plain, "{subjects} of {width}");
                }
                let mut reader = bins.reader();
                for subject in (0..subjects).step_by(501).chain((0..subjects).rev().step_by(40_001)) {
                    assert_eq!(reader.of(subject).unwrap(), &plain[subject * width..(subject + 1) * width]);
                }
                assert!(reader.of(subjects).is_err());
                if subjects > 0 {
                    assert!(bins.change(|_, _| Err(anyhow::anyhow!("no"))).is_err());
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_memory_needs_a_folder_and_all_bins_of_all_subjects() {
        let nowhere = Path::new("/nonexistent");
        assert!(Bins::of(vec![7; 10], (5, 2), 10, nowhere).is_ok());
        assert!(Bins::of(vec![7; 10], (5, 2), 9, nowhere).is_err());
        assert!(Bins::of(vec![7; 9], (5, 2), 10, nowhere).is_err());
    }
}
