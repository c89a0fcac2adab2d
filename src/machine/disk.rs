//! Room on a disk.

use std::path::Path;

use anyhow::{Context, Result};

/// Bytes that this account may still write to the disk of a folder.
///
/// # Errors
/// When the system does not tell.
pub fn free(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder).with_context(|| format!("asking how full {} is", folder.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
