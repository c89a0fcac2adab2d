//! Content hashes: what a run depends on.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rayon::prelude::*;

use crate::exit;
use crate::ingest::export::Export;
use crate::output::Output;
use crate::pipeline::Model;

/// A BLAKE3 hash in hexadecimal.
pub type Hash = String;

/// The content hash of a file.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs_err::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The content hash of every input file, export by export.
///
/// # Errors
/// When a file cannot be read, or the run is interrupted.
pub fn inputs(exports: &[Export], output: &Output, stop: &AtomicBool) -> Result<Vec<Vec<Hash>>> {
    let bytes = exports.iter().flat_map(|e| &e.files).map(|f| f.bytes).sum();
    let progress = output.stage("hash inputs", bytes, "bytes");
    let hashes = exports
        .iter()
        .map(|export| {
            export
                .files
                .par_iter()
                .map(|f| {
                    exit::check(stop)?;
                    let hash = file(&f.file.path)?;
                    progress.add(f.bytes);
                    Ok(hash)
                })
                .collect::<Result<_>>()
        })
        .collect::<Result<_>>()?;
    progress.finish();
    Ok(hashes)
}

/// The hash of a model with its catalogue.
#[must_use]
pub fn model(model: &Model) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for source in std::iter::once(&model.source).chain(&model.catalogue.sources) {
        part(&mut hasher, source.text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Adds one part, delimited by its length.
pub fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
