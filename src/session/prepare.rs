//! What a run needs before anything is scored: the content of its inputs, and the stages, found where they are kept, made where they
//! are not.

use anyhow::{Context, Result};

use super::nights::{forget_rows, kept_rows};
use super::{Making, Session};
use crate::ingest::kept::Keeping;
use crate::job::Job;
use crate::runs::inputs::Memory;
use crate::stages::key::keys;
use crate::stages::make::{Lacking, make};
use crate::stages::one_by_one::make_in_shards;
use crate::stages::shards::put_together;
use crate::stages::store::{Missing, Stage};
use crate::storage::hashes::Hash;

/// The content hashes of a job's input files; those of files that are as they were are remembered. Rows that are kept of other files go.
///
/// # Errors
/// When a file cannot be read or was changed since it was checked, or the work is interrupted.
pub(super) fn hashes(job: &Job, session: &Session) -> Result<Vec<Vec<Hash>>> {
    let (folder, key) = (&session.folder.path, session.folder.key.as_ref());
    let mut memory = Memory::of(folder, key);
    let hashes = memory.hashes(&job.exports, session.resources.log, session.resources.stop)?;
    memory.save(folder, key)?;
    forget_rows(job, &hashes, &session.folder.stages)?;
    Ok(hashes)
}

/// The stages of every job, in order; those that are missing are made, all dates in one pass over the exports, or as the session says.
///
/// # Errors
/// When inputs are corrupt, the disk is full, or the work is interrupted.
pub(super) fn stages(jobs: &[&Job], hashes: &[Vec<Hash>], session: &Session) -> Result<Vec<Vec<Stage>>> {
    let (store, log) = (&session.folder.stages, session.resources.log);
    fs_err::create_dir_all(&session.resources.scratch)?;
    let mut wanted = Vec::with_capacity(jobs.len());
    let mut found: Vec<Vec<Stage>> = Vec::with_capacity(jobs.len());
    let mut lacking = Vec::new();
    for job in jobs {
        let keys = keys(job, hashes)?;
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for key in &keys {
            match if session.fresh { Err(Missing::Never) } else { store.verified(key)? } {
                Ok(stage) => kept.push(stage),
                Err(why) => {
                    let stage = || format!("the stage {} of {}", key.kind.name(), key.as_of);
                    match &why {
                        Missing::Damaged => log.warn(&format!("{} is damaged; it is made again", stage())),
                        Missing::Locked(_) | Missing::Plain => log.line(&format!("{} is made again: {why}", stage())),
                        Missing::Never | Missing::Changed(_) => {}
                    }
                    missing.push(key.clone());
                }
            }
        }
        if !kept.is_empty() {
            let names: Vec<String> = kept.iter().map(|s| s.label.key.kind.name()).collect();
            log.line(&format!("reused as of {}: {}", job.snapshot.calendar.as_of(), names.join(", ")));
        }
        if !missing.is_empty() {
            lacking.push(Lacking { job, keys: missing });
        }
        wanted.push(keys);
        found.push(kept);
    }
    match &session.making {
        Making::AtOnce => {
            let rows = kept_rows(&lacking, hashes, session)?;
            make(&lacking, rows.as_ref().map(|rows| rows as &dyn Keeping), store, &session.resources)?;
        }
        Making::InShards(shards) => {
            for lacking in &lacking {
                make_in_shards(lacking, &keys(lacking.job, hashes)?, *shards, store, &session.resources)?;
            }
        }
        Making::Of(parts) => {
            for lacking in &lacking {
                put_together(lacking, parts.clone(), store, &session.resources)?;
            }
        }
    }
    for (keys, found) in wanted.iter().zip(&mut found) {
        for key in keys.iter().filter(|k| !found.iter().any(|s| s.label.key == **k)).collect::<Vec<_>>() {
            let stage = store.find(key);
            found.push(stage.with_context(|| format!("the stage {} was not made", key.kind.name()))?);
        }
        found.sort_by(|a, b| a.label.key.kind.cmp(&b.label.key.kind));
    }
    Ok(found)
}
