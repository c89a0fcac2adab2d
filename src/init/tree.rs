//! Folders and what is in them, on a disk or in a listing of an object store, where names are all that folders are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::storage::objects::Listed;

/// Folders and what is in them.
pub(super) trait Tree {
    /// What is in a folder, files and folders, in any order.
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>>;

    /// Whether something is a folder.
    fn is_folder(&self, path: &Path) -> bool;
}

/// Those on a disk.
pub(super) struct Disk;

impl Tree for Disk {
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        fs_err::read_dir(folder)?.map(|e| Ok(e?.path())).collect()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Those of a listing.
pub(super) struct Listing(BTreeMap<PathBuf, BTreeSet<PathBuf>>);

impl Listing {
    /// The folders that the names of objects below a place make.
    pub(super) fn of(root: &Path, listed: &[Listed]) -> Self {
        let mut folders: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for object in listed {
            let mut folder = root.to_owned();
            for part in object.below.split('/') {
                let entry = folder.join(part);
                folders.entry(folder).or_default().insert(entry.clone());
                folder = entry;
            }
        }
        Self(folders)
    }
}

impl Tree for Listing {
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        Ok(self.0.get(folder).into_iter().flatten().cloned().collect())
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use object_store::memory::InMemory;

    use super::*;
    use crate::storage::objects::{Condition, Place};

    #[test]
    fn names_of_objects_make_folders() {
        let place = Place::of(Arc::new(InMemory::new()), "x", "s3://b/x");
        for name in ["a.parquet", "m/month=1/b.parquet", "m/month=2/c.parquet"] {
            place.join(name).put(Bytes::from_static(b"some"), Condition::Any).unwrap();
        }
        let root = Path::new("s3://b/x");
        let tree = Listing::of(root, &place.list().unwrap());
        let names = |folder: &Path| {
            let entries = tree.entries(folder).unwrap();
            entries.iter().map(|p| p.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(root), ["s3://b/x/a.parquet", "s3://b/x/m"]);
        assert_eq!(names(&root.join("m")), ["s3://b/x/m/month=1", "s3://b/x/m/month=2"]);
        assert!(tree.is_folder(&root.join("m/month=1")) && !tree.is_folder(&root.join("a.parquet")));
    }
}
