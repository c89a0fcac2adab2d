//! The content of the input files: hashed once, and remembered for as long as a file's size, times and place on disk stay.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::durable;
use crate::ingest::export::Export;
use crate::output::Output;
use crate::publish::hashes::{self, Hash};

/// A file that changed so recently might change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);

/// What a file's entry on disk says; another content has another of these, unless somebody sets clocks to hide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sight {
    bytes: u64,
    modified_ns: i64,
    changed_ns: i64,
    inode: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    sight: Sight,
    hash: Hash,
}

/// What is remembered of input files, by absolute path.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    files: BTreeMap<PathBuf, Remembered>,
}

impl Memory {
    fn path(output: &Path) -> PathBuf {
        output.join("stages").join("inputs.json")
    }

    /// What is remembered below an output folder; nothing when the memory is not there or damaged.
    #[must_use]
    pub fn of(output: &Path) -> Self {
        let text = fs_err::read_to_string(Self::path(output)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Remembers.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn save(&self, output: &Path) -> Result<()> {
        let path = Self::path(output);
        durable::create_folders(path.parent().unwrap_or(output))?;
        durable::replace(&path, &serde_json::to_vec(self)?)
    }

    fn of_file(&self, path: &Path) -> Option<&Hash> {
        let known = self.files.get(path)?;
        (sight(path)? == known.sight).then_some(&known.hash)
    }

    /// The content hash of every file, export by export.
    ///
    /// # Errors
    /// When a file cannot be read, or the work is interrupted.
    pub fn hashes(&mut self, exports: &[Export], output: &Output, stop: &AtomicBool) -> Result<Vec<Vec<Hash>>> {
        let files = || exports.iter().flat_map(|e| &e.files).map(|f| (absolute(&f.file.path), f.bytes));
        let unknown: Vec<(PathBuf, u64)> = files().filter(|(path, _)| self.of_file(path).is_none()).collect();
        if !unknown.is_empty() {
            let progress = output.stage("hash inputs", unknown.iter().map(|f| f.1).sum(), "bytes");
            let found = unknown.par_iter().map(|(path, bytes)| {
                let before = sight(path);
                let hash = hashes::file_until(path, stop)?;
                progress.add(*bytes);
                Ok((path.clone(), before, hash))
            });
            for (path, before, hash) in found.collect::<Result<Vec<_>>>()? {
                let sight = before.unwrap_or(Sight { bytes: 0, modified_ns: 0, changed_ns: 0, inode: 0 });
                self.files.insert(path, Remembered { sight, hash });
            }
            progress.finish();
        }
        let of = |path: &Path| self.files.get(&absolute(path)).map(|known| known.hash.clone()).unwrap_or_default();
        let hashes = exports.iter().map(|e| e.files.iter().map(|f| of(&f.file.path)).collect()).collect();
        let settled = |known: &Remembered| {
            let since = u64::try_from(known.sight.changed_ns.max(known.sight.modified_ns)).unwrap_or(u64::MAX);
            let changed = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
            SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
        };
        self.files.retain(|_, known| settled(known));
        Ok(hashes)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn sight(path: &Path) -> Option<Sight> {
    let of = fs_err::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Some(Sight {
        bytes: of.len(),
        modified_ns: nanoseconds(of.mtime(), of.mtime_nsec()),
        changed_ns: nanoseconds(of.ctime(), of.ctime_nsec()),
        inode: of.ino(),
    })
}
