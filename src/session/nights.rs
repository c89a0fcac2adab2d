//! From night to night: of which tables the rows are kept.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::Session;
use crate::job::Job;
use crate::machine::disk;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::stages::make::Lacking;
use crate::stages::rows::{KeptRows, Wanted, forget, forget_others};
use crate::stages::store::StageStore;
use crate::storage::encryption;
use crate::storage::hashes::Hash;

/// Runs that are looked at for files that were read before: those of the latest dates.
const LATEST: usize = 3;
/// How many times the bytes of the exports must be free on the disk before rows are kept unasked: they take about twice as many.
const ROOM: u64 = 4;

/// Whether no rows may be kept: where the pipeline says so, and where keys are named for files, for rows lie as they are.
fn none_may_be(job: &Job) -> bool {
    encryption::any() || job.pipeline.settings.engine.keep_rows == Some(false)
}

/// Forgets rows that must not lie there any more, whatever becomes of the run: all where none may be kept, and else those of files that
/// are no input of the job.
///
/// # Errors
/// When a folder cannot be read or removed.
pub(super) fn forget_rows(job: &Job, hashes: &[Vec<Hash>], store: &StageStore) -> Result<()> {
    if none_may_be(job) { forget(store) } else { forget_others(&job.exports, hashes, store) }
}

/// The rows that are kept for one date whose stages are made; nothing where several dates share a pass, or everything is made anew.
///
/// # Errors
/// When a folder cannot be read, or the system does not tell how full the disk is.
pub(super) fn kept_rows<'a>(
    lacking: &[Lacking<'a>],
    hashes: &'a [Vec<Hash>],
    session: &'a Session,
) -> Result<Option<KeptRows<'a>>> {
    let [Lacking { job, .. }] = lacking else { return Ok(None) };
    let (asked, store) = (job.pipeline.settings.engine.keep_rows, &session.folder.stages);
    if session.fresh || none_may_be(job) {
        return Ok(None);
    }
    let wanted = match asked {
        Some(true) => Wanted::All,
        _ if !has_room(job, session)? => Wanted::Seen(BTreeSet::new()),
        _ => Wanted::Seen(seen(&session.folder.path)?),
    };
    Ok(Some(KeptRows::new(job, hashes, store, session.resources.log, wanted)))
}

/// Whether the disk has so much room that rows of all files may be kept, and a run does not fail for want of it because they are. Where it
/// has not, that is said, and those that there are serve on.
fn has_room(job: &Job, session: &Session) -> Result<bool> {
    let exports = job.exports.iter().flat_map(|export| &export.files).map(|file| file.state.bytes()).sum();
    let free = disk::free(&session.folder.path)?;
    let fits = is_room(exports, free);
    if !fits {
        session.resources.log.line(&format!(
            "no more rows are kept for other nights: the disk has {free} bytes free, and not {ROOM} times the {exports} of the exports"
        ));
    }
    Ok(fits)
}

const fn is_room(exports: u64, free: u64) -> bool {
    free >= exports.saturating_mul(ROOM)
}

/// The content of the files that the latest runs read.
fn seen(output: &Path) -> Result<BTreeSet<Hash>> {
    let runs = RunFolder::all(output)?;
    let ended = runs.iter().rev().filter(|run| run.path(MANIFEST).exists());
    // One that cannot be read tells of no file; others tell what is wrong with it.
    let manifests = ended.take(LATEST).filter_map(|run| Manifest::read(run).ok());
    Ok(manifests
        .flat_map(|run| run.inputs().iter().map(|of| of.digest.text().to_owned()).collect::<Vec<_>>())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_unasked_only_where_they_leave_room() {
        assert!(is_room(0, 0) && is_room(5, 20) && !is_room(5, 19));
        assert!(!is_room(u64::MAX, u64::MAX - 1));
    }
}
