//! A place in an object store, and what can be done there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path as Key;
use object_store::{Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::fault::explained;
use super::fetch::{self, Pending, Target};
use super::found::{Seen, Tag};
use super::requests::Request;
use super::stores::Clients;
use super::{runtime, stores};

/// A place in an object store (an object, or a prefix of some).
#[derive(Clone)]
pub struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, for what takes long.
    pub(super) patient: Arc<dyn ObjectStore>,
    pub(super) path: Key,
    pub(super) url: String,
}

/// An object of a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Where it is.
    pub place: Place,
    /// Its path below the listed prefix.
    pub below: String,
    /// Its tag.
    pub tag: Tag,
    /// When it was changed last.
    pub modified: Timestamp,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own text could hold what it signs with.
        f.debug_tuple("Place").field(&self.url).finish()
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for Place {}

impl Place {
    /// The place that a URL names; credentials come from the environment.
    ///
    /// # Errors
    /// When it is no URL of an object store, or the environment lacks what the store needs.
    pub fn parse(url: &str) -> Result<Self> {
        let (Clients { quick, patient }, path, url) = stores::open(url)?;
        Ok(Self { store: quick, patient, path, url })
    }

    /// A place in a store that is there already.
    #[cfg(test)]
    pub(crate) fn of(store: Arc<dyn ObjectStore>, path: &str, url: &str) -> Self {
        Self { patient: Arc::clone(&store), store, path: Key::from(path), url: url.to_owned() }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A place below this one.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        let below = below.trim_matches('/');
        let key = if self.path.is_root() { below.to_owned() } else { format!("{}/{below}", self.path) };
        let path = Key::parse(&key).unwrap_or_else(|_| Key::from(key.as_str()));
        let (store, patient) = (Arc::clone(&self.store), Arc::clone(&self.patient));
        Self { store, patient, path, url: format!("{}/{below}", self.url) }
    }

    pub(super) fn fault(&self, error: &Error) -> anyhow::Error {
        explained(&self.url, error).into()
    }

    fn seen_of(&self, meta: &ObjectMeta) -> Seen {
        let mut seen = Seen::of(meta);
        // Azure's listings leave out the quotes that its conditions are asked with.
        if self.url.starts_with("az://")
            && let Some(etag) = seen.tag.etag.as_mut().filter(|etag| !etag.contains('"'))
        {
            *etag = format!("\"{etag}\"");
        }
        seen
    }

    /// All objects below, sorted by path.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>> {
        if !stores::lists(&self.url) {
            bail!("{}: a web server lists no objects; name a single one, or use the store's own address", self.url);
        }
        let prefix = Some(&self.path).filter(|path| !path.is_root());
        let found: Vec<ObjectMeta> = runtime::wait(async {
            let _under_way = Request::brief().await?;
            self.store.list(prefix).try_collect().await.map_err(|e| self.fault(&e))
        })?;
        let root: &str = self.path.as_ref();
        let listed = found.iter().filter_map(|meta| {
            let whole: &str = meta.location.as_ref();
            let below = whole.strip_prefix(root)?.trim_start_matches('/');
            let Seen { tag, modified } = self.seen_of(meta);
            let place = Self {
                store: Arc::clone(&self.store),
                patient: Arc::clone(&self.patient),
                path: meta.location.clone(),
                url: format!("{}/{below}", self.url),
            };
            (!below.is_empty()).then(|| Listed { place, below: below.to_owned(), tag, modified })
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.below.cmp(&b.below));
        Ok(listed)
    }

    /// What the object is now; nothing when there is none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn seen(&self) -> Result<Option<Seen>> {
        runtime::wait(async {
            let _under_way = Request::brief().await?;
            match self.store.head(&self.path).await {
                Ok(meta) => Ok(Some(self.seen_of(&meta))),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.fault(&error)),
            }
        })
    }

    /// The object's tag; nothing when there is none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn tag(&self) -> Result<Option<Tag>> {
        Ok(self.seen()?.map(|seen| seen.tag))
    }

    /// The whole object with its tag; nothing when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self) -> Result<Option<(Bytes, Tag)>> {
        runtime::wait(async {
            let _under_way = Request::brief().await?;
            let answer = match self.store.get_opts(&self.path, GetOptions::default()).await {
                Ok(answer) => answer,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(self.fault(&error)),
            };
            let tag = self.seen_of(&answer.meta).tag;
            Ok(Some((answer.bytes().await.map_err(|e| self.fault(&e))?, tag)))
        })
    }

    fn target(&self, seen: &Seen) -> Target {
        Target { store: Arc::clone(&self.store), key: self.path.clone(), url: self.url.clone(), seen: seen.clone() }
    }

    /// Parts of the object as it was when it was looked at, in the order they are asked for.
    ///
    /// # Errors
    /// When the object was replaced, or cannot be read.
    pub fn parts(&self, seen: &Seen, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let target = self.target(seen);
        runtime::wait(fetch::parts(&target, ranges))
    }

    /// Parts of the object that has a tag, in the order they are asked for.
    ///
    /// # Errors
    /// When the object was replaced, or cannot be read.
    pub fn ranges(&self, tag: &Tag, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let now = self.seen()?.with_context(|| format!("{} is no longer there", self.url))?;
        self.parts(&Seen { tag: tag.clone(), modified: now.modified }, ranges)
    }

    /// Begins to fetch parts of the object as it was when it was looked at.
    ///
    /// # Errors
    /// When no request can be begun.
    pub fn begin(&self, seen: &Seen, ranges: Vec<Range<u64>>) -> Result<Pending> {
        fetch::begin(self.target(seen), ranges)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::super::write::Condition;
    use super::*;

    #[test]
    fn parts_are_of_the_object_that_was_looked_at() {
        let place = Place::of(Arc::new(InMemory::new()), "x", "s3://b/x");
        place.put(Bytes::from_static(b"0123456789"), Condition::Any).unwrap();
        let seen = place.seen().unwrap().unwrap();
        assert_eq!(place.parts(&seen, &[8..10, 0..2]).unwrap(), ["89", "01"]);
        assert_eq!(place.begin(&seen, vec![3..4, 3..3]).unwrap().wait().unwrap(), ["3", ""]);
        assert!(place.parts(&seen, &[8..11, 0..1]).is_err());
        place.put(Bytes::from_static(b"9876543210"), Condition::Any).unwrap();
        let error = place.parts(&seen, &[0..2, 2..3]).unwrap_err().to_string();
        assert!(error.contains("s3://b/x was changed or replaced while it was read"), "{error}");
    }
}
