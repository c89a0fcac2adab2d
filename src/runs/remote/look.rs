//! What a command brings down before it looks at an output in an object store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::mirror::{Mirror, held};
use super::tidy::{is_due, tidy};
use super::{attach, folder_of};
use crate::runs::erasure::journal::JOURNAL;
use crate::runs::lock::Lock;
use crate::storage::objects::is_url;

/// How much of an output a command looks at; tables of runs come when a run is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The ledger, receipts of erasures, and of all runs what is small: manifests, audits, configurations, states.
    Small,
    /// What partners were given as well.
    Releases,
    /// Everything.
    All,
    /// Everything, brought anew whatever lies here, and every line of the ledger held against what this machine has seen.
    Proof,
}

/// Whether an object is one that every command brings.
#[must_use]
pub fn is_small(below: &str) -> bool {
    let table = Path::new(below).extension().is_some_and(|e| e == "parquet" || e == "html");
    // A journal holds ids: only who may have to finish the erasure has it come.
    !table
        && !below.ends_with(JOURNAL)
        && ["runs/", "erasures/", "backfills/"].iter().any(|folder| below.starts_with(folder))
}

/// The URL that an output is, if it is one.
#[must_use]
pub fn url_of(output: &Path) -> Option<&str> {
    output.to_str().filter(|text| is_url(text))
}

/// Where files of an output are, which may be a URL: itself, or its mirror. Nothing is brought.
#[must_use]
pub fn place(output: &Path) -> PathBuf {
    url_of(output).map_or_else(|| output.to_owned(), folder_of)
}

/// Where files of an output are, which may be a URL, and what is needed of it there.
///
/// # Errors
/// When the store does not answer, or the ledger was cut.
pub fn look(output: &Path, need: Need) -> Result<PathBuf> {
    let Some(url) = url_of(output) else { return Ok(output.to_owned()) };
    let mirror = attach(url)?;
    refresh(&mirror, need)?;
    // Whoever writes here holds the lock, and tidies up itself.
    if is_due(&mirror)?
        && let Ok(_lock) = Lock::take(mirror.root(), "tidying up")
    {
        refresh(&mirror, need)?;
        tidy(&mirror)?;
    }
    Ok(mirror.root().to_owned())
}

/// Brings what is needed of an output.
///
/// # Errors
/// When the store does not answer, or the ledger was cut.
pub fn refresh(mirror: &Arc<Mirror>, need: Need) -> Result<()> {
    if matches!(need, Need::Releases | Need::Proof) {
        // First: what is done meanwhile is taken for not done, and not the other way round.
        *held(&mirror.done) = Some(mirror.settled()?);
    }
    mirror.bring_ledger()?;
    mirror.look()?;
    match need {
        Need::Small => mirror.bring(&is_small)?,
        Need::Releases => mirror.bring(&|below| is_small(below) || below.starts_with("releases/"))?,
        Need::All => mirror.bring_below("")?,
        Need::Proof => {
            mirror.prove_ledger()?;
            mirror.forget_below("")?;
            mirror.bring_below("")?
        }
    };
    Ok(())
}
