//! What lies in a mirror and is no longer right, because subjects were erased elsewhere or work was ended there: it goes when this machine
//! comes by.

use std::path::PathBuf;

use anyhow::Result;

use super::mirror::{Mirror, held};
use crate::runs::erasure::journal::{JOURNAL, folders};
use crate::storage::{disk, durable, read};

/// The file beside a mirror that says how many erasures its stages know of.
const SEEN: &str = "erasures.seen";

/// How many erasures the ledger tells of.
fn erased(mirror: &Mirror) -> String {
    held(&mirror.told).iter().filter(|run| run.starts_with("erasure-")).count().to_string()
}

/// Whether stages were made here before subjects were erased elsewhere: they hold them.
fn are_stages_old(mirror: &Mirror) -> bool {
    read::text(&mirror.beside(SEEN)).unwrap_or_else(|_| "0".to_owned()) != erased(mirror)
}

/// Records of work, with ids in them, of which the store has none: the work was ended elsewhere.
fn left(mirror: &Mirror) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = folders(mirror.root())?.iter().map(|folder| folder.join(JOURNAL)).collect();
    let backfills = mirror.root().join("backfills");
    if backfills.is_dir() {
        for entry in fs_err::read_dir(backfills)? {
            files.push(entry?.path());
        }
    }
    let there = |path: &PathBuf| {
        let below = path.strip_prefix(mirror.root()).ok().and_then(|below| below.to_str());
        below.is_some_and(|below| held(&mirror.seen).contains_key(below))
    };
    files.retain(|path| path.is_file() && !there(path));
    Ok(files)
}

/// Whether there is anything to tidy up.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn is_due(mirror: &Mirror) -> Result<bool> {
    Ok(are_stages_old(mirror) || !left(mirror)?.is_empty())
}

/// Tidies up. Only while the mirror is locked, and after it was looked what there is.
///
/// # Errors
/// When something cannot be removed.
pub(super) fn tidy(mirror: &Mirror) -> Result<()> {
    for path in left(mirror)? {
        disk::remove_file(&path)?;
    }
    if are_stages_old(mirror) {
        let stages = mirror.root().join("stages");
        if stages.is_dir() {
            fs_err::remove_dir_all(&stages)?;
        }
        durable::replace(&mirror.beside(SEEN), erased(mirror).as_bytes())?;
    }
    Ok(())
}
