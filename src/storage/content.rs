//! What a table is read from: a file on a disk, or an object of a store, of which those parts are fetched that are read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::file_state::FileState;
use super::object::{Found, Object, Onward};
use super::objects::{Place, Unfetched, is_url};
use super::version::Version;
use super::{hashes, read};

/// What a file or an object was when it was opened; another content has another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A file's size, times and place.
    File(FileState),
    /// An object's tag.
    Object(Found),
    /// What another engine told of a file that it alone reads.
    Version(Version),
}

/// What is read: a file, or an object of which some parts are at hand.
#[derive(Debug, Clone)]
pub enum Content {
    /// An open file.
    File(Arc<File>),
    /// An object.
    Object(Object),
}

impl State {
    /// Size.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::File(state) => state.bytes,
            Self::Object(found) => found.seen.tag.size,
            Self::Version(version) => version.bytes,
        }
    }

    /// When a file on a disk was changed last, in nanoseconds since 1970.
    #[must_use]
    pub const fn modified_ns(&self) -> Option<i64> {
        match self {
            Self::File(state) => Some(state.modified_ns),
            Self::Object(_) | Self::Version(_) => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub const fn object(&self) -> Option<&Found> {
        match self {
            Self::File(_) | Self::Version(_) => None,
            Self::Object(found) => Some(found),
        }
    }

    /// Opens what must still be in this state.
    ///
    /// # Errors
    /// When a file cannot be opened, or was changed or replaced since; of an object the first part that is read tells.
    pub fn open(&self, path: &Path) -> Result<Content> {
        Ok(match self {
            Self::File(state) => Content::File(Arc::new(state.open(path)?)),
            Self::Object(found) => Content::Object(Object::new(found.clone())),
            Self::Version(_) => bail!("{} is read by the engine that staged it alone", path.display()),
        })
    }

    /// Checks that what was read is in this state. Every part of an object was when it was fetched.
    ///
    /// # Errors
    /// When a file was changed or replaced since.
    pub fn holds(&self, content: &Content, path: &Path) -> Result<()> {
        match (self, content) {
            (Self::File(state), Content::File(file)) => state.holds(file, path),
            _ => Ok(()),
        }
    }

    /// What its content is told by: a file's hash, which takes reading it, an object's tag and size, or a version.
    ///
    /// # Errors
    /// When a file cannot be read or was changed, the store tells too little of an object, or the work is interrupted.
    pub fn identity(&self, path: &Path, stop: &AtomicBool) -> Result<hashes::Hash> {
        match self {
            Self::File(state) => {
                let open = state.open(path)?;
                let same = open.try_clone()?;
                let hash = hashes::opened(open, stop).with_context(|| format!("{}", path.display()))?;
                state.holds(&same, path)?;
                Ok(hash)
            }
            Self::Object(found) => found.identity(),
            Self::Version(version) => Ok(version.identity()),
        }
    }
}

impl Content {
    /// Opens a path or URL, whatever is there.
    ///
    /// # Errors
    /// When nothing is there, it is something else than a file, or may not be read.
    pub fn open(path: &Path) -> Result<Self> {
        match path.to_str().filter(|text| is_url(text)) {
            Some(url) => {
                let place = Place::parse(url)?;
                let seen = place.seen()?.with_context(|| Unfetched(format!("{url} does not exist")))?;
                Ok(Self::Object(Found { place, seen }.begin()?.wait()?))
            }
            None => Ok(Self::File(Arc::new(read::open(path)?))),
        }
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn size(&self) -> Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Object(object) => Ok(object.size()),
        }
    }

    /// Fills a buffer with what is at a place.
    ///
    /// # Errors
    /// When it ends before, or cannot be read.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        match self {
            Self::File(file) => Ok(file.read_exact_at(buffer, at)?),
            Self::Object(object) => {
                buffer.copy_from_slice(&object.bytes(at, buffer.len())?);
                Ok(())
            }
        }
    }

    /// Whether it begins as Parquet files do.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_parquet(&self) -> Result<bool> {
        if self.size()? < 4 {
            return Ok(false);
        }
        let mut first = [0; 4];
        self.read_exact_at(&mut first, 0)?;
        Ok([*b"PAR1", *b"PARE"].contains(&first))
    }

    /// The same with parts of an object at hand; a file is read where it lies.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn with(self, ranges: &[Range<u64>]) -> Result<Self> {
        match self {
            Self::File(_) => Ok(self),
            Self::Object(Object { found, .. }) => {
                let parts = found.place.parts(&found.seen, ranges)?;
                Ok(Self::Object(found.with(ranges, parts)))
            }
        }
    }
}

/// What reads on from a place.
#[derive(Debug)]
pub enum Reading {
    /// In a file.
    File(BufReader<File>),
    /// In an object.
    Object(Onward),
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Object(object) => object.read(buffer),
        }
    }
}

impl Length for Content {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file.as_ref()),
            Self::Object(object) => object.size(),
        }
    }
}

fn external(error: anyhow::Error) -> ParquetError {
    ParquetError::External(error.into())
}

impl ChunkReader for Content {
    type T = Reading;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Reading> {
        match self {
            Self::File(file) => Ok(Reading::File(file.as_ref().get_read(start)?)),
            Self::Object(object) => Ok(Reading::Object(Onward::new(object.clone(), start).map_err(external)?)),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Self::File(file) => file.as_ref().get_bytes(start, length),
            Self::Object(object) => object.bytes(start, length).map_err(external),
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::storage::objects::Condition;

    fn found(content: &[u8]) -> Found {
        let place = Place::of(Arc::new(InMemory::new()), "x", "s3://b/x");
        place.put(Bytes::copy_from_slice(content), Condition::Any).unwrap();
        let seen = place.seen().unwrap().unwrap();
        Found { place, seen }
    }

    #[test]
    fn a_file_and_an_object_are_read_alike() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        let object = found(&content);
        let both = [Content::open(file.path()).unwrap(), Content::Object(object.begin().unwrap().wait().unwrap())];
        for of in &both {
            assert_eq!((of.size().unwrap(), Length::len(of)), (200_000, 200_000));
            // At hand at either end, fetched between.
            for at in [0_u64, 4_000, 4_090, 100_000, 199_990] {
                let from = usize::try_from(at).unwrap();
                assert_eq!(of.get_bytes(at, 10).unwrap(), content[from..from + 10]);
                let (mut exact, mut read) = ([0; 10], [0; 10]);
                of.read_exact_at(&mut exact, at).unwrap();
                of.get_read(at).unwrap().read_exact(&mut read).unwrap();
                assert_eq!((&exact[..], &read[..]), (&content[from..from + 10], &content[from..from + 10]));
            }
            assert!(of.get_bytes(199_995, 10).is_err() && of.read_exact_at(&mut [0; 10], 199_995).is_err());
            assert!(!of.is_parquet().unwrap());
        }
        let parts = both[1].clone().with(&[50_000..60_000, 10..20]).unwrap();
        assert_eq!(parts.get_bytes(55_000, 5_000).unwrap(), content[55_000..60_000]);
    }

    #[test]
    fn an_object_is_told_by_its_tag() {
        let object = found(b"PAR1");
        assert!(Content::Object(object.begin().unwrap().wait().unwrap()).is_parquet().unwrap());
        let identity = State::Object(object).identity(Path::new("s3://b/x"), &AtomicBool::new(false)).unwrap();
        assert!(identity.starts_with("etag:") && identity.ends_with(" size:4"), "{identity}");
    }
}
