//! Opening a file to read it: a pipe or a device in a file's place is an error, where waiting for it could take for ever.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

/// A regular file, opened to be read.
///
/// # Errors
/// When it is not there, may not be read, or is something else than a file.
pub fn open(path: &Path) -> Result<File> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    // A pipe without a writer is opened at once, and then refused; for files the flag has no meaning.
    options.options_mut().custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?.into_parts().0;
    ensure!(file.metadata()?.is_file(), "{} is no file", path.display());
    Ok(file)
}

/// The text of a regular file.
///
/// # Errors
/// As [`open`], and when it is not UTF-8.
pub fn text(path: &Path) -> Result<String> {
    std::io::read_to_string(open(path)?).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("ledger.ndjson");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(text(&pipe).unwrap_err().to_string().ends_with("is no file"));
        assert!(text(folder.path()).unwrap_err().to_string().ends_with("is no file"));
        assert!(format!("{:#}", text(&folder.path().join("none")).unwrap_err()).contains("none"));
    }
}
