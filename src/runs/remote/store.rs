//! What the protocol needs of an object store: puts under a condition, reads after writes, and a listing. Objects are named by their
//! path below the output.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::storage::objects::{Condition, Place, Put, Tag};

/// How often something is tried that others may come before in.
pub const TRIES: usize = 20;

/// An object as a listing saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its path below the output.
    pub below: String,
    /// What it was.
    pub tag: Tag,
    /// When it was written.
    pub modified: jiff::Timestamp,
}

/// The objects of an output.
pub trait Store: Debug + Send + Sync {
    /// Where they are, for people.
    fn url(&self) -> &str;

    /// All objects in a folder, or with an empty name all.
    ///
    /// # Errors
    /// When the store does not answer, as in what follows.
    fn list(&self, folder: &str) -> Result<Vec<Seen>>;

    /// What an object is; nothing when there is none.
    ///
    /// # Errors
    /// See [`Store::list`].
    fn tag(&self, below: &str) -> Result<Option<Tag>>;

    /// An object and what it is; nothing when there is none.
    ///
    /// # Errors
    /// See [`Store::list`].
    fn get(&self, below: &str) -> Result<Option<(Bytes, Tag)>>;

    /// A part of the object that was looked at.
    ///
    /// # Errors
    /// When it was replaced; see [`Store::list`].
    fn range(&self, below: &str, tag: &Tag, range: Range<u64>) -> Result<Bytes>;

    /// Puts an object under a condition.
    ///
    /// # Errors
    /// See [`Store::list`]; then it may have been done.
    fn put(&self, below: &str, bytes: Bytes, condition: Condition) -> Result<Put>;

    /// Puts a file's content, whatever is there.
    ///
    /// # Errors
    /// When the file cannot be read; see [`Store::list`].
    fn upload(&self, below: &str, file: &Path) -> Result<Tag>;

    /// Removes an object, which may be gone already.
    ///
    /// # Errors
    /// See [`Store::list`].
    fn remove(&self, below: &str) -> Result<()>;
}

impl Store for Place {
    fn url(&self) -> &str {
        Self::url(self)
    }

    fn list(&self, folder: &str) -> Result<Vec<Seen>> {
        let (all, before) = match folder {
            "" => (Self::list(self)?, String::new()),
            folder => (self.join(folder).list()?, format!("{folder}/")),
        };
        let seen = |of: crate::storage::objects::Listed| Seen {
            below: format!("{before}{}", of.below),
            tag: of.tag,
            modified: of.modified,
        };
        Ok(all.into_iter().map(seen).collect())
    }

    fn tag(&self, below: &str) -> Result<Option<Tag>> {
        self.join(below).tag()
    }

    fn get(&self, below: &str) -> Result<Option<(Bytes, Tag)>> {
        self.join(below).get()
    }

    fn range(&self, below: &str, tag: &Tag, range: Range<u64>) -> Result<Bytes> {
        self.join(below).ranges(tag, &[range])?.pop().context("defect: a range without an answer")
    }

    fn put(&self, below: &str, bytes: Bytes, condition: Condition) -> Result<Put> {
        self.join(below).put(bytes, condition)
    }

    fn upload(&self, below: &str, file: &Path) -> Result<Tag> {
        self.join(below).upload(file)
    }

    fn remove(&self, below: &str) -> Result<()> {
        self.join(below).remove()
    }
}
