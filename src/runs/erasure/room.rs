//! Whether the disk has room for an erasure: one that fills it would be under way until somebody makes room, and lock everybody out.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::machine::disk;
use crate::runs::remote;

/// What a file takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// The device and the number of the content, which several names may share.
    content: (u64, u64),
    bytes: u64,
}

/// Refuses an erasure for which the disk has no room, or of files that an object store does not replace.
///
/// # Errors
/// When there is no room, or a file is too large.
pub fn check<'a>(output: &Path, files: impl Iterator<Item = &'a String>) -> Result<()> {
    let (mut taken, mirror) = (Vec::new(), remote::of(output));
    for name in files {
        if let Some(mirror) = &mirror {
            // Half way through nobody could do anything but finish it.
            mirror.fits(&output.join(name))?;
        }
        let metadata = fs_err::metadata(output.join(name))?;
        taken.push(Taken { content: (metadata.dev(), metadata.ino()), bytes: metadata.len() });
    }
    let needed = needed(&taken);
    if needed > 0 {
        let free = disk::free(output)?;
        ensure!(
            needed <= free,
            "an erasure from {} may need {needed} bytes at a time, and the disk has {free}; make room first, with `sesame clean` for one. \
             Nothing was changed",
            output.display()
        );
    }
    Ok(())
}

/// Bytes that old and new content may take beside one another: those of the largest file, and of every content that has several names, for
/// the old one stays until the last of them is replaced.
fn needed(taken: &[Taken]) -> u64 {
    let mut names: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for file in taken {
        let of = names.entry(file.content).or_default();
        *of = (of.0 + 1, file.bytes);
    }
    let shared: u64 = names.values().filter(|(names, _)| *names > 1).map(|(_, bytes)| bytes).sum();
    shared + names.values().map(|(_, bytes)| *bytes).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_and_what_has_several_names_must_fit() {
        let of = |content, bytes| Taken { content: (1, content), bytes };
        assert_eq!(needed(&[]), 0);
        assert_eq!(needed(&[of(1, 5), of(2, 7)]), 7);
        assert_eq!(needed(&[of(1, 5), of(1, 5), of(1, 5), of(2, 7)]), 12);
        let output = tempfile::tempdir().unwrap();
        std::fs::File::create(output.path().join("small")).unwrap().set_len(1).unwrap();
        check(output.path(), ["small".to_owned()].iter()).unwrap();
        // A file without blocks, larger than any disk.
        let large = std::fs::File::create(output.path().join("large")).unwrap();
        if [1 << 62, 1 << 43].into_iter().any(|bytes| large.set_len(bytes).is_ok()) {
            let error = check(output.path(), ["large".to_owned()].iter()).unwrap_err().to_string();
            assert!(error.contains("Nothing was changed"), "{error}");
        }
    }
}
