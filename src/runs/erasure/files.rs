//! The files of an output folder that may hold subjects.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Erasures, FOLDER};
use crate::runs::ledger::Ledger;
use crate::runs::ledger::place::SCORES;
use crate::runs::remote;
use crate::storage::durable::is_under_way;
use crate::storage::hashes::Hash;

/// Whether a file is the table that the ledger says is in its place: in an object store another process may have put it there.
///
/// # Errors
/// When the ledger does not hold, or a receipt is missing or was changed.
pub fn is_current(output: &Path, path: &str, now: &Hash) -> Result<bool> {
    if remote::of(output).is_none() {
        return Ok(false);
    }
    let ledger = Ledger::open(output, None)?;
    let Some(line) = ledger.current(path) else { return Ok(false) };
    Ok(Erasures::of(output, &ledger, None)?.tables_now(line).contains(now))
}

/// The files of an output folder that may hold subjects, in the order in which they are treated: a run's table after all that is told by
/// its places. Stages go as a whole, the ledger stays; what a crash left is swept by whoever opens the folder.
///
/// # Errors
/// When a folder cannot be read, or a link leads out of the folder, or elsewhere in it.
pub fn files(output: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, below: &str, files: &mut Vec<String>) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = format!("{below}{file}");
            let kind = entry.file_type()?;
            let left = ["stages", FOLDER, ".lock", "ledger.ndjson", "ledger.head.json"].contains(&name.as_str());
            ensure!(
                left || !kind.is_symlink(),
                "{} is a symbolic link, and what it leads to is not searched; put a file or folder in its place, or remove it",
                entry.path().display()
            );
            if kind.is_dir() && !left {
                walk(&entry.path(), &format!("{name}/"), files)?;
            } else if kind.is_file() && !left && !is_under_way(&file) && !file.ends_with(".incoming") {
                files.push(name);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    if output.is_dir() {
        walk(output, "", &mut files)?;
    }
    let last = |name: &String| name.ends_with(&format!("/{SCORES}"));
    files.sort_by(|a, b| (last(a), a).cmp(&(last(b), b)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_passed_over() {
        let output = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(output.path().join("stages")).unwrap();
        let link = |name: &str| std::os::unix::fs::symlink("/", output.path().join(name)).unwrap();
        // Stages go as they are.
        link("stages/x");
        assert!(files(output.path()).unwrap().is_empty());
        link("more");
        assert!(files(output.path()).unwrap_err().to_string().contains("more is a symbolic link"));
    }
}
