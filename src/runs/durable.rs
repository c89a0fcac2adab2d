//! Files that survive a crash: written beside their place, made durable, and renamed into it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file written beside its place, not in it yet.
#[derive(Debug)]
pub struct Prepared {
    next: PathBuf,
    place: PathBuf,
}

impl Prepared {
    /// Writes a file's new content beside it.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(place: &Path, content: &[u8]) -> Result<Self> {
        let mut name = place.file_name().context("a file has a name")?.to_owned();
        name.push(".next");
        let next = place.with_file_name(name);
        let write = || -> std::io::Result<()> {
            let mut file = fs_err::File::create(&next)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().with_context(|| format!("writing {}; is the disk full?", next.display()))?;
        Ok(Self { next, place: place.to_owned() })
    }

    /// Puts the new content in its place: readers see the old or the new one.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(self) -> Result<()> {
        fs_err::rename(&self.next, &self.place)?;
        sync_folder(self.place.parent().unwrap_or_else(|| Path::new(".")))
    }
}

/// Replaces a file's content durably and at once.
///
/// # Errors
/// When the disk is full; then the old content stays.
pub fn replace(place: &Path, content: &[u8]) -> Result<()> {
    Prepared::write(place, content)?.commit()
}

/// Makes a folder's entries durable.
///
/// # Errors
/// When the folder is gone.
pub fn sync_folder(folder: &Path) -> Result<()> {
    fs_err::File::open(folder)?.sync_all().with_context(|| format!("making {} durable", folder.display()))
}

/// Makes folders and their entries durable.
///
/// # Errors
/// When a folder cannot be made.
pub fn create_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
        fs_err::create_dir_all(folder)?;
        sync_folder(parent)?;
    }
    Ok(())
}
