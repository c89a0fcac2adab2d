//! Which object each file of a mirror is a copy of. What it says is held against the file's size and time; it is a memory, and nothing is
//! believed because of it: files are held against the hashes of ledger and manifest as they are in a folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::storage::objects::Tag;
use crate::storage::{durable, read};

/// A file that is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Copied {
    tag: Tag,
    bytes: u64,
    modified_ns: u64,
    /// Whether it was held against what manifest and ledger say, since it came.
    #[serde(default)]
    held: bool,
}

/// The copies, by path below the output.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    copies: BTreeMap<String, Copied>,
}

/// Size and time of a file; nothing when there is none.
fn state(file: &Path) -> Option<(u64, u64)> {
    let of = fs_err::symlink_metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    let since = of.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((of.len(), u64::try_from(since.as_nanos()).ok()?))
}

/// Whether two looks saw the same object. Where there are `ETag`s they tell; listings of some stores leave quotes or versions out.
pub(super) fn same(one: &Tag, other: &Tag) -> bool {
    match (&one.etag, &other.etag) {
        (Some(a), Some(b)) => a.trim_matches('"') == b.trim_matches('"') && one.size == other.size,
        _ => one == other,
    }
}

impl Index {
    /// The index as it was left; an empty one when there is none, or it is damaged.
    pub(super) fn read(path: &Path) -> Self {
        read::text(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Keeps it.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        durable::replace(path, &serde_json::to_vec(self)?)
    }

    /// Notes that a file is a copy of an object.
    pub(super) fn note(&mut self, below: &str, tag: Tag, file: &Path) {
        match state(file) {
            Some((bytes, modified_ns)) => {
                drop(self.copies.insert(below.to_owned(), Copied { tag, bytes, modified_ns, held: false }));
            }
            None => self.forget(below),
        }
    }

    /// The object that a file is still a copy of.
    pub(super) fn tag(&self, below: &str, file: &Path) -> Option<&Tag> {
        let copied = self.copies.get(below)?;
        (state(file) == Some((copied.bytes, copied.modified_ns))).then_some(&copied.tag)
    }

    /// The files that were held against nothing since they came.
    pub(super) fn unheld(&self) -> impl Iterator<Item = &str> {
        self.copies.iter().filter(|(_, copied)| !copied.held).map(|(below, _)| below.as_str())
    }

    /// Notes that a file was held against what it must be, if it is still the copy.
    pub(super) fn hold(&mut self, below: &str, file: &Path) {
        if self.tag(below, file).is_some()
            && let Some(copied) = self.copies.get_mut(below)
        {
            copied.held = true;
        }
    }

    /// All that was noted: the file and the object that it was a copy of then.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Tag)> {
        self.copies.iter().map(|(below, copied)| (below.as_str(), &copied.tag))
    }

    /// Knows of no copy any more.
    pub(super) fn forget(&mut self, below: &str) {
        self.copies.remove(below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_is_no_copy_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (file, kept) = (folder.path().join("a"), folder.path().join("index.json"));
        std::fs::write(&file, "one").unwrap();
        let tag = Tag { etag: Some("1".into()), version: None, size: 3 };
        let mut index = Index::default();
        index.note("a", tag.clone(), &file);
        index.save(&kept).unwrap();
        let index = Index::read(&kept);
        assert_eq!(index.tag("a", &file), Some(&tag));
        assert_eq!(index.tag("b", &file), None);
        assert_eq!(index.unheld().collect::<Vec<_>>(), ["a"]);
        let mut looked = Index::read(&kept);
        looked.hold("a", &file);
        looked.save(&kept).unwrap();
        assert_eq!(Index::read(&kept).unheld().count(), 0);
        // What came anew was held against nothing.
        looked.note("a", tag, &file);
        assert_eq!(looked.unheld().count(), 1);
        std::fs::write(&file, "other").unwrap();
        assert_eq!(index.tag("a", &file), None);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(index.tag("a", &file), None);
        assert_eq!(index.all().map(|(below, _)| below).collect::<Vec<_>>(), ["a"]);
        std::fs::write(&kept, "{").unwrap();
        assert_eq!(Index::read(&kept).all().count(), 0);
    }
}
