//! What a file's entry on disk says: another content has another entry, unless somebody sets clocks to hide it.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Size, times and place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Size.
    pub bytes: u64,
    /// When its content was changed last, nanoseconds since 1970.
    pub modified_ns: i64,
    /// When its content or its entry was changed last, nanoseconds since 1970.
    pub changed_ns: i64,
    inode: u64,
    #[serde(default)]
    device: u64,
}

impl FileState {
    /// The state of an open file.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(file: &File) -> std::io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// Opens a file that must still be in this state.
    ///
    /// # Errors
    /// When it cannot be opened, or was changed or replaced since.
    pub fn open(&self, path: &Path) -> Result<File> {
        let file = crate::storage::read::open(path)?;
        self.holds(&file, path)?;
        Ok(file)
    }

    /// Checks that an open file is in this state.
    ///
    /// # Errors
    /// When it was changed or replaced since.
    pub fn holds(&self, file: &File, path: &Path) -> Result<()> {
        let now = Self::of(file).with_context(|| format!("{}", path.display()))?;
        ensure!(
            now == *self,
            "{} was changed or replaced while it was read; nothing was published, run again when its export has ended",
            path.display()
        );
        Ok(())
    }
}

impl From<&Metadata> for FileState {
    fn from(of: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            bytes: of.len(),
            modified_ns: nanoseconds(of.mtime(), of.mtime_nsec()),
            changed_ns: nanoseconds(of.ctime(), of.ctime_nsec()),
            inode: of.ino(),
            device: of.dev(),
        }
    }
}
