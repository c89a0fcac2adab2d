//! Room on a disk.

use std::io::{self, ErrorKind};
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

/// Whether an error comes of a disk that has no room, or none for this account: whatever was being written then.
#[must_use]
pub fn is_full(error: &anyhow::Error) -> bool {
    let full = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(full))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_the_cause_of_an_error_however_deep() {
        let of = |number: i32| anyhow::Error::from(io::Error::from_raw_os_error(number));
        // ENOSPC and EDQUOT; and the limit of a file, an interruption and a file that is not there, which more room does not help.
        assert!([28, 122].iter().all(|number| is_full(&of(*number).context("writing").context("a shard"))));
        assert!([27, 4, 2].iter().all(|number| !is_full(&of(*number))));
        assert!(!is_full(&anyhow::anyhow!("is the disk full?")));
        // As a writer with a path tells it, and what wraps that.
        let named = fs_err::write("/dev/full", "a").unwrap_err();
        assert!(is_full(&anyhow::Error::from(named)));
        let wrapped = parquet::errors::ParquetError::from(io::Error::from_raw_os_error(28));
        assert!(is_full(&anyhow::Error::from(wrapped)));
    }
}
