//! Files that survive a crash: written beside their place, made durable, and renamed into it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, NamedTempFile, TempDir};

use super::disk;

/// How the name of a file begins that is not in its place yet.
const UNDER_WAY: &str = ".sesame-";

/// A file written beside its place, not in it yet; it goes away with this value.
#[derive(Debug)]
pub struct Prepared {
    file: NamedTempFile,
    place: PathBuf,
}

impl Prepared {
    /// Writes a file's new content beside it, under a name that nobody had.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(place: &Path, content: &[u8]) -> Result<Self> {
        let folder = folder(place);
        let write = || -> std::io::Result<NamedTempFile> {
            // As any other file, but for what the process's mask takes away.
            let mode = Permissions::from_mode(0o666);
            let mut file = Builder::new().prefix(UNDER_WAY).permissions(mode).tempfile_in(folder)?;
            disk::fill(&mut file, content)?;
            Ok(file)
        };
        let file = write().with_context(|| format!("writing {}; is the disk full?", place.display()))?;
        Ok(Self { file, place: place.to_owned() })
    }

    /// Puts the new content in its place: readers see the old or the new one.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(self) -> Result<()> {
        let Self { file, place } = self;
        disk::persist(file, &place).with_context(|| format!("putting {} in its place", place.display()))?;
        sync_folder(folder(&place))
    }
}

/// The folder that a path's last part is in; a bare name is in the folder at hand.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Replaces a file's content durably and at once.
///
/// # Errors
/// When the disk is full; then the old content stays.
pub fn replace(place: &Path, content: &[u8]) -> Result<()> {
    Prepared::write(place, content)?.commit()
}

/// Whether a name is that of a file that never came to its place.
#[must_use]
pub fn is_under_way(name: &str) -> bool {
    name.starts_with(UNDER_WAY)
}

/// Removes the files of a folder that never came to their place, as a crash leaves them.
///
/// # Errors
/// When the folder cannot be read, or a file not be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if is_under_way(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_file() {
            disk::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a folder's entries durable.
///
/// # Errors
/// When the folder is gone.
pub fn sync_folder(folder: &Path) -> Result<()> {
    disk::sync(folder).with_context(|| format!("making {} durable", folder.display()))
}

/// Refuses a symbolic link among the folders from `root`, which may be one, down to `folder`: what is written there would land
/// elsewhere.
///
/// # Errors
/// The link.
pub fn no_links(root: &Path, folder: &Path) -> Result<()> {
    let linked = folder.ancestors().take_while(|f| *f != root).find(|f| f.is_symlink());
    match linked {
        Some(link) => bail!("{} is a symbolic link; make it a folder, or move the whole output folder", link.display()),
        None => Ok(()),
    }
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
        disk::create_folder(folder)?;
        sync_folder(parent)?;
    }
    Ok(())
}

/// Puts a finished folder in its place, where nothing stands or an empty folder.
///
/// # Errors
/// When something stands there; then the finished folder is removed.
pub fn put_folder(under_way: TempDir, place: &Path) -> Result<()> {
    let from = under_way.keep();
    if let Err(error) = disk::rename(&from, place) {
        if let Err(left) = fs_err::remove_dir_all(&from) {
            bail!("{error}; and {} is left behind: {left}", from.display());
        }
        return Err(error).with_context(|| format!("putting {} in its place", place.display()));
    }
    sync_folder(folder(place))
}
