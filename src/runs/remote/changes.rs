//! What a mirror puts into the store, and takes out of it.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use bytes::Bytes;

use super::index::same;
use super::mirror::{Mirror, each, held, is_below};
use super::store::TRIES;
use crate::exit::Locked;
use crate::storage::hashes::Hash;
use crate::storage::objects::{Condition, LARGEST_PUT, Put, Tag};
use crate::storage::{disk, durable};

impl Mirror {
    /// Puts a file in the place of its object, unless it is a copy of what this process put there or saw.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn push(&self, below: &str) -> Result<()> {
        self.push_one(below)?;
        self.save()
    }

    fn push_one(&self, below: &str) -> Result<()> {
        let path = self.path(below)?;
        if held(&self.index).tag(below, &path).is_none() {
            let tag = self.store().upload(below, &path)?;
            self.note(below, tag, &path);
        }
        Ok(())
    }

    /// Keeps which files are copies.
    pub(super) fn save(&self) -> Result<()> {
        held(&self.index).save(&self.beside("index.json"))
    }

    /// Puts files in the place of their objects, several at a time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn push_all(&self, all: &[String]) -> Result<()> {
        let pushed = each(all, &|below| self.push_one(below));
        self.save()?;
        pushed
    }

    /// Puts a file in the place of an object of another name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn push_as(&self, file: &Path, below: &str) -> Result<()> {
        self.store().upload(below, file).map(drop)
    }

    /// Puts what is a record where there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn push_new(&self, below: &str) -> Result<()> {
        let path = self.path(below)?;
        if path.is_file()
            && let Put::Done(tag) = self.store().put(below, Bytes::from(fs_err::read(&path)?), Condition::Absent)?
        {
            self.note(below, tag, &path);
        }
        Ok(())
    }

    /// A file in a folder of the mirror of which the store has no object; what is under way here is none.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn only_here(&self, folder: &str) -> Result<Option<String>> {
        let place = self.path(folder)?;
        if !place.is_dir() {
            return Ok(None);
        }
        for entry in fs_err::read_dir(place)? {
            let entry = entry?;
            let below = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let under_way = below.split('/').any(|part| durable::is_under_way(part) || part == "_staged");
            let found = match entry.file_type()?.is_dir() {
                _ if under_way => None,
                true => self.only_here(&below)?,
                false => Some(below).filter(|below| !held(&self.seen).contains_key(below)),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Puts a record where there must be none yet.
    ///
    /// # Errors
    /// When there is one, another process holds the lease, or the store does not answer.
    pub fn put_first(&self, below: &str) -> Result<()> {
        self.still_held()?;
        let path = self.path(below)?;
        match self.store().put(below, Bytes::from(fs_err::read(&path)?), Condition::Absent)? {
            Put::Done(tag) => self.note(below, tag, &path),
            Put::Lost => bail!("another process has put {}/{below} meanwhile; the next command goes on", self.url()),
        }
        self.save()
    }

    /// Claims something by an object of which there is none yet. The object, if it is this process's, from before as well.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn claim(&self, below: &str, text: &str) -> Result<Option<Tag>> {
        let bytes = Bytes::from(text.to_owned());
        let own = |found: Option<(Bytes, Tag)>| found.filter(|(there, _)| *there == bytes).map(|(_, tag)| tag);
        match self.store().put(below, bytes.clone(), Condition::Absent) {
            Ok(Put::Done(tag)) => Ok(Some(tag)),
            // The answer to a put that was done may be what was lost.
            Ok(Put::Lost) => Ok(own(self.store().get(below)?)),
            Err(error) => match self.store().get(below) {
                Ok(Some(found)) => Ok(own(Some(found))),
                _ => Err(error),
            },
        }
    }

    /// Notes that a file is a copy of what was claimed.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn claimed(&self, below: &str, tag: Tag) -> Result<()> {
        self.note(below, tag, &self.path(below)?);
        self.save()
    }

    /// Refuses a file that no put under a condition takes: it could be put, and never be replaced.
    ///
    /// # Errors
    /// When it is too large, or not there.
    pub fn fits(&self, file: &Path) -> Result<()> {
        let size = fs_err::metadata(file)?.len();
        ensure!(
            size <= LARGEST_PUT,
            "{} has {size} bytes, and an object store replaces none with more than {LARGEST_PUT}; nothing was changed in {}",
            file.display(),
            self.url()
        );
        Ok(())
    }

    /// Refuses to go on when one of some objects of a folder is gone.
    ///
    /// # Errors
    /// [`Locked`] with the first that is; when the store does not answer.
    pub fn all_there(&self, folder: &str, names: &[&str]) -> Result<()> {
        for name in names {
            if self.store().tag(&format!("{folder}/{name}"))?.is_none() {
                let text =
                    format!("another process removed {}/{folder}/{name} meanwhile; nothing was released", self.url());
                return Err(Locked(text).into());
            }
        }
        Ok(())
    }

    /// The objects of a folder go.
    ///
    /// # Errors
    /// When the store does not answer, or another process holds the lease.
    pub(super) fn remove_below(&self, folder: &str) -> Result<()> {
        self.still_held()?;
        let all = self.store().list(folder)?;
        each(&all, &|seen| self.store().remove(&seen.below))?;
        held(&self.seen).retain(|below, _| !is_below(below, folder));
        Ok(())
    }

    /// An object goes.
    ///
    /// # Errors
    /// When the store does not answer, or another process holds the lease.
    pub fn remove(&self, below: &str) -> Result<()> {
        self.still_held()?;
        self.store().remove(below)?;
        held(&self.seen).remove(below);
        Ok(())
    }

    /// The file is about to be changed: the object it is a copy of, for [`Mirror::changed`]. From now on it is taken for no copy, so that a
    /// crash leaves nothing that is taken for one. Nothing when it stands for no object.
    ///
    /// # Errors
    /// When there is an object that it is no copy of, as when another process of this machine brings it; when the index cannot be written.
    pub fn changing(&self, below: &str) -> Result<Option<Tag>> {
        let path = self.path(below)?;
        let there = held(&self.seen).contains_key(below);
        let mut index = held(&self.index);
        let tag = index.tag(below, &path).cloned();
        ensure!(
            tag.is_some() || !there,
            "{}/{below} was brought here anew meanwhile; the next command goes on",
            self.url()
        );
        if tag.is_some() {
            index.forget(below);
            index.save(&self.beside("index.json"))?;
        }
        Ok(tag)
    }

    /// The file was changed to what has a hash, or with none is gone: so is its object, if it is still the one that the file was a copy of.
    /// What is put is what was made, and not what another process may have brought here meanwhile.
    ///
    /// # Errors
    /// When the object or the file was replaced meanwhile, another process holds the lease, or the store does not answer.
    pub fn changed(&self, below: &str, tag: &Tag, after: Option<&Hash>) -> Result<()> {
        self.still_held()?;
        let path = self.path(below)?;
        // A condition may take more than a listing tells, with Google for one.
        let now = match (self.store().tag(below)?, after) {
            (Some(now), _) if same(&now, tag) => now,
            (None, None) => return self.remove(below),
            _ => bail!("{}/{below} was replaced meanwhile; the next command goes on", self.url()),
        };
        let Some(after) = after else { return self.remove(below) };
        match self.store().put(below, content(&path, after)?, Condition::Is(&now))? {
            Put::Done(tag) => self.note(below, tag, &path),
            Put::Lost => bail!("{}/{below} was replaced meanwhile; the next command goes on", self.url()),
        }
        self.save()
    }

    /// Replaces an object by a file of the mirror for as long as that is `wanted`, which is asked each time after the object was looked at,
    /// and once more when it was put: so whoever was told later has the last word, and a put that came late is found. `wanted` gives the file
    /// and its hash. Returns the file that is there then.
    ///
    /// # Errors
    /// When the store does not answer, another process holds the lease, or the object is replaced again and again.
    pub(super) fn replace(&self, below: &str, wanted: &Wanted<'_>) -> Result<Option<(PathBuf, Tag)>> {
        let mut last: Option<(Hash, Tag)> = None;
        for _ in 0..TRIES {
            self.still_held()?;
            let there = self.store().tag(below)?;
            let Some((file, hash)) = wanted()? else { return Ok(None) };
            if let (Some((put, tag)), Some(now)) = (&last, &there)
                && *put == hash
                && (tag.etag.is_none() || same(tag, now))
            {
                return Ok(Some((file, tag.clone())));
            }
            let condition = there.as_ref().map_or(Condition::Absent, Condition::Is);
            if let Put::Done(tag) = self.store().put(below, content(&file, &hash)?, condition)? {
                last = Some((hash, tag));
            }
        }
        Err(anyhow!("{}/{below} is replaced again and again", self.url()))
    }

    /// Gives a file of the mirror a second name, in the place of a copy of an object that was just put.
    pub(super) fn twin(&self, of: &Path, below: &str, tag: Tag) -> Result<()> {
        let place = self.path(below)?;
        let parent = durable::folder(&place);
        durable::no_links(self.root(), parent)?;
        durable::create_folders(parent)?;
        let beside = parent.join(".sesame-twin");
        if fs_err::symlink_metadata(&beside).is_ok() {
            disk::remove_file(&beside)?;
        }
        if disk::hard_link(of, &beside).is_err() {
            disk::copy(of, &beside)?;
        }
        disk::rename(&beside, &place)?;
        if fs_err::symlink_metadata(&beside).is_ok() {
            disk::remove_file(&beside)?;
        }
        self.note(below, tag, &place);
        self.save()
    }
}

/// A file that is to be put and its hash, if any is.
pub(super) type Wanted<'a> = dyn Fn() -> Result<Option<(PathBuf, Hash)>> + 'a;

/// The content of a file, which must have a hash: another process of this machine may be replacing it.
fn content(file: &Path, hash: &Hash) -> Result<Bytes> {
    let bytes = Bytes::from(fs_err::read(file)?);
    ensure!(
        blake3::hash(&bytes).to_hex().as_str() == hash.as_str(),
        "{} was replaced here while it was sent; the next command goes on",
        file.display()
    );
    Ok(bytes)
}
