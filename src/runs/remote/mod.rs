//! An output in an object store: a [`mirror`] of it on this machine, in which everything works on files as it does in a folder, and a
//! protocol by which what is done there becomes true for everybody.
//!
//! [`store`] is what the protocol needs of a store. Objects of a run go up first; a line of the ledger, `ledger/<n>.json`, put only where
//! there is none, is the commit ([`lines`]); what follows from it, such as the table in its fixed place, is done after it and by whoever
//! comes next if need be ([`settle`]). [`publish`] publishes so, [`begin`] is what a command does that writes, [`look`] one that reads.
//! A [`lease`] saves two of them work; nothing is right because of it.
//!
//! Which folder is a mirror is known in one place, below, and asked by path: so all that takes an output folder takes a mirror as well.
//! A folder that is none is never asked further.

pub mod begin;
mod changes;
mod index;
pub mod lease;
pub mod lines;
pub mod look;
#[cfg(test)]
mod lapses;
#[cfg(test)]
mod memory;
pub mod mirror;
pub mod publish;
#[cfg(test)]
mod protocol_model;
pub mod settle;
pub mod store;
mod strangers;
mod tidy;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use path_clean::PathClean;

use self::mirror::{Mirror, held};
use self::store::Store;
use crate::storage::hashes::{self, Hash};
use crate::storage::objects::{Place, Tag};

/// The mirrors of this process, by folder.
static MIRRORS: Mutex<BTreeMap<PathBuf, Arc<Mirror>>> = Mutex::new(BTreeMap::new());

/// Variables that say which store a URL means.
const MEANT_BY: [&str; 7] = [
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ENDPOINT",
    "AZURITE_BLOB_STORAGE_URL",
    "GOOGLE_BASE_URL",
];

/// Where mirrors are: `SESAME_CACHE`, or `sesame` in the user's folder of caches.
fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let below = || named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    named("SESAME_CACHE").or_else(|| below().map(|folder| folder.join("sesame")))
}

/// The mirror of a URL: where it is, or would be.
#[must_use]
pub fn folder_of(url: &str) -> PathBuf {
    let mut meant = url.trim_end_matches('/').to_owned();
    for name in MEANT_BY {
        meant.push_str(&format!("\n{}", std::env::var(name).unwrap_or_default()));
    }
    let cache = cache().unwrap_or_else(|| PathBuf::from("sesame-cache"));
    let cache = std::path::absolute(&cache).unwrap_or(cache).clean();
    cache.join(&hashes::text(&meant)[..16]).join("output")
}

/// The mirror of a URL, from now on known in this process.
///
/// # Errors
/// When there is no place for it, or the environment lacks what the store asks for.
pub fn attach(url: &str) -> Result<Arc<Mirror>> {
    let root = folder_of(url);
    if let Some(mirror) = of(&root) {
        return Ok(mirror);
    }
    cache().context("there is no place for a copy of the output: set SESAME_CACHE, or HOME")?;
    attach_store(root, Arc::new(Place::parse(url)?))
}

/// The mirror of what a store holds.
///
/// # Errors
/// When the folder cannot be made.
pub fn attach_store(root: PathBuf, store: Arc<dyn Store>) -> Result<Arc<Mirror>> {
    let mirror = Arc::new(Mirror::open(root.clone(), store)?);
    MIRRORS.lock().unwrap_or_else(PoisonError::into_inner).insert(root, Arc::clone(&mirror));
    Ok(mirror)
}

/// The mirror that a folder is, if it is one.
#[must_use]
pub fn of(output: &Path) -> Option<Arc<Mirror>> {
    MIRRORS.lock().unwrap_or_else(PoisonError::into_inner).get(output).cloned()
}

/// The mirror that a path lies in, and its path there; of the mirror's folder itself an empty one.
fn holding(path: &Path) -> Option<(Arc<Mirror>, String)> {
    let mirrors = MIRRORS.lock().unwrap_or_else(PoisonError::into_inner);
    mirrors.iter().find_map(|(root, mirror)| {
        let below = path.strip_prefix(root).ok()?.to_str()?.to_owned();
        Some((Arc::clone(mirror), below))
    })
}

/// Brings a file, or all of a folder, into the mirror that it lies in; returns the files that came. Elsewhere nothing is done.
///
/// # Errors
/// When the store does not answer, or the disk is full.
pub fn bring(path: &Path) -> Result<Vec<PathBuf>> {
    match holding(path) {
        Some((mirror, below)) => mirror.bring_below(&below),
        None => Ok(Vec::new()),
    }
}

/// The same, whatever lies there already: what is brought is what the store holds now.
///
/// # Errors
/// As [`bring`].
pub fn bring_anew(path: &Path) -> Result<Vec<PathBuf>> {
    match holding(path) {
        Some((mirror, below)) => {
            mirror.forget_below(&below)?;
            mirror.bring_below(&below)
        }
        None => Ok(Vec::new()),
    }
}

/// Puts a file of a mirror in the place of its object. Elsewhere nothing is done.
///
/// # Errors
/// When the store does not answer.
pub fn push(path: &Path) -> Result<()> {
    match holding(path) {
        Some((mirror, below)) => mirror.push(&below),
        None => Ok(()),
    }
}

/// Removes the object that a file of a mirror is a copy of. Elsewhere nothing is done.
///
/// # Errors
/// When the store does not answer, or another process holds the lease.
pub fn remove(path: &Path) -> Result<()> {
    match holding(path) {
        Some((mirror, below)) => mirror.remove(&below),
        None => Ok(()),
    }
}

/// A file of a mirror is about to be changed: see [`Mirror::changing`]. Nothing elsewhere.
///
/// # Errors
/// When the index cannot be written.
pub fn changing(path: &Path) -> Result<Option<Tag>> {
    holding(path).map_or(Ok(None), |(mirror, below)| mirror.changing(&below))
}

/// It was changed to what has a hash, or with none is gone: so is its object. Nothing when it stood for none.
///
/// # Errors
/// When the object or the file was replaced meanwhile, or the store does not answer.
pub fn changed(path: &Path, object: Option<Tag>, after: Option<&Hash>) -> Result<()> {
    match (holding(path), object) {
        (Some((mirror, below)), Some(tag)) => mirror.changed(&below, &tag, after),
        _ => Ok(()),
    }
}

/// Has a record written that this process alone writes; its object is put where there is none, or is the one that the file was a copy of.
/// Elsewhere it is only written.
///
/// # Errors
/// When `write` fails; when another process has put the object meanwhile, or the store does not answer.
pub fn record(path: &Path, write: &dyn Fn() -> Result<()>) -> Result<()> {
    let Some((mirror, below)) = holding(path) else { return write() };
    let object = mirror.changing(&below)?;
    write()?;
    match object {
        Some(tag) => mirror.changed(&below, &tag, Some(&hashes::file(path)?)),
        None => mirror.put_first(&below),
    }
}

/// Files of a folder of a mirror that came and were held against nothing yet. Elsewhere there are none.
///
/// # Errors
/// When an object has a name that is no path.
pub fn unheld(folder: &Path) -> Result<Vec<PathBuf>> {
    holding(folder).map_or(Ok(Vec::new()), |(mirror, below)| mirror.unheld(&below))
}

/// They were held against what they must be.
///
/// # Errors
/// When that cannot be noted.
pub fn hold(folder: &Path) -> Result<()> {
    holding(folder).map_or(Ok(()), |(mirror, below)| mirror.hold(&below))
}

/// Whether what follows from a line of the ledger may not be done yet, as it was when files were brought to prove them. In a folder it is.
#[must_use]
pub fn is_late(output: &Path, line: u64) -> bool {
    of(output).is_some_and(|mirror| held(&mirror.done).is_some_and(|done| line > done))
}

/// Brings everything that others have added since to a mirror. Elsewhere nothing is done.
///
/// # Errors
/// When the store does not answer.
pub fn catch_up(output: &Path) -> Result<()> {
    let Some(mirror) = of(output) else { return Ok(()) };
    mirror.bring_ledger()?;
    mirror.look()?;
    mirror.bring_below("").map(drop)
}

/// How a place is told to people: of what lies in a mirror, what it stands for.
#[must_use]
pub fn shown(path: &Path) -> String {
    match holding(path) {
        Some((mirror, below)) if below.is_empty() => mirror.url().to_owned(),
        Some((mirror, below)) => format!("{}/{below}", mirror.url()),
        None => path.display().to_string(),
    }
}

/// Keeps the ledger of a mirror as it is for as long as the value is held: another process of this machine may be bringing lines.
///
/// # Errors
/// When the mirror's lock cannot be had.
pub fn reading(output: &Path) -> Result<Option<File>> {
    of(output).map(|mirror| mirror.shared()).transpose()
}
