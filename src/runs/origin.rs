//! What has become of an input of a kept run: a file by its content, an object by its tag. What another engine read is not looked at.

use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::job::inputs::Input;
use crate::storage::hashes;
use crate::storage::objects::{Place, Seen, is_url};

/// What has become of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    /// It is as it was.
    Same,
    /// It is another one; how that is said.
    Other(&'static str),
    /// It is no longer there.
    Gone,
    /// It is told by a version, which only the engine that read it could look for.
    ByVersion,
}

/// Looks at an input again.
///
/// # Errors
/// When it cannot be read, its store cannot be asked, or the work is interrupted.
pub(super) fn now(input: &Input, stop: &AtomicBool) -> Result<Now> {
    if is_by_version(input) {
        return Ok(Now::ByVersion);
    }
    if let Some(url) = url(input) {
        return Ok(match object(url)? {
            None => Now::Gone,
            Some(seen) if seen.identity().as_deref() == input.digest.tag.as_deref() => Now::Same,
            Some(_) => Now::Other("was replaced"),
        });
    }
    if !input.uri.exists() {
        return Ok(Now::Gone);
    }
    let hash = hashes::file_until(&input.uri, stop)?;
    Ok(if Some(hash) == input.digest.blake3 { Now::Same } else { Now::Other("is not what it was") })
}

/// Whether an input is one that only another engine reads.
#[must_use]
pub(super) const fn is_by_version(input: &Input) -> bool {
    input.digest.version.is_some()
}

/// Whether an input is no longer there.
///
/// # Errors
/// When its store cannot be asked.
pub(super) fn is_gone(input: &Input) -> Result<bool> {
    match url(input) {
        Some(url) => Ok(object(url)?.is_none()),
        None => Ok(!input.uri.exists()),
    }
}

fn url(input: &Input) -> Option<&str> {
    input.uri.to_str().filter(|text| is_url(text))
}

fn object(url: &str) -> Result<Option<Seen>> {
    Place::parse(url)?.seen()
}
