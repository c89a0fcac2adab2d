//! The content of the input files: hashed once, and remembered for as long as a file's size, times and place on disk stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ingest::read::export::{Export, OpenFile};
use crate::output::Output;
use crate::storage::content::State;
use crate::storage::file_state::FileState;
use crate::storage::hashes::Hash;
use crate::storage::key::Key;
use crate::storage::{durable, read};

/// A file that changed so recently might change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    state: FileState,
    hash: Hash,
}

/// What is remembered of input files, by absolute path.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    files: BTreeMap<PathBuf, Remembered>,
    /// The keyed hash of all this, when the output folder has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Hash>,
}

impl Memory {
    fn path(output: &Path) -> PathBuf {
        output.join("stages").join("inputs.json")
    }

    /// What is remembered below an output folder; nothing when the memory is not there, damaged, or was not written with the key.
    #[must_use]
    pub fn of(output: &Path, key: Option<&Key>) -> Self {
        let read = || -> Result<Self> {
            let memory: Self = serde_json::from_str(&read::text(&Self::path(output))?)?;
            if let Some(key) = key {
                let said = memory.said()?;
                ensure!(memory.mac.as_ref().is_some_and(|mac| key.proves(&said, mac)));
            }
            Ok(memory)
        };
        // Whatever is wrong with it, the files themselves tell.
        read().unwrap_or_default()
    }

    fn said(&self) -> Result<String> {
        Ok(format!("inputs {}", serde_json::to_string(&self.files)?))
    }

    /// Remembers.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn save(&mut self, output: &Path, key: Option<&Key>) -> Result<()> {
        let said = self.said()?;
        self.mac = key.map(|key| key.mac(&said));
        let path = Self::path(output);
        durable::create_folders(path.parent().unwrap_or(output))?;
        durable::replace(&path, &serde_json::to_vec(self)?)
    }

    fn of_file(&self, file: &OpenFile) -> Option<&Hash> {
        let State::File(state) = &file.state else { return None };
        let known = self.files.get(&absolute(&file.file.path))?;
        (*state == known.state).then_some(&known.hash)
    }

    /// The content hash of every file, export by export: of what was opened when the export was checked. Of an object its tag stands
    /// for it, of what another engine read its version.
    ///
    /// # Errors
    /// When a file cannot be read or was changed since, or the work is interrupted.
    pub fn hashes(&mut self, exports: &[Export], output: &Output, stop: &AtomicBool) -> Result<Vec<Vec<Hash>>> {
        let files = || exports.iter().flat_map(|e| &e.files);
        warn_of_weak(files(), output);
        let on_disk = |file: &OpenFile| match &file.state {
            State::File(state) => Some(*state),
            State::Object(_) | State::Version(_) => None,
        };
        let unknown: Vec<(&OpenFile, FileState)> =
            files().filter(|f| self.of_file(f).is_none()).filter_map(|f| Some((f, on_disk(f)?))).collect();
        if !unknown.is_empty() {
            let progress = output.stage("hash inputs", unknown.iter().map(|(f, _)| f.bytes()).sum(), "bytes");
            let found = unknown.par_iter().map(|(file, state)| {
                let hash = file.state.identity(&file.file.path, stop)?;
                progress.add(file.bytes());
                Ok((absolute(&file.file.path), Remembered { state: *state, hash }))
            });
            self.files.extend(found.collect::<Result<Vec<_>>>()?);
            progress.finish();
        }
        let of = |file: &OpenFile| match &file.state {
            State::File(_) => self.of_file(file).cloned().context("a file that was not hashed"),
            State::Object(found) => found.identity(),
            State::Version(version) => Ok(version.identity()),
        };
        let hashes = exports.iter().map(|e| e.files.iter().map(of).collect()).collect::<Result<_>>()?;
        let settled = |known: &Remembered| {
            // A time before 1970 is none that could be trusted.
            let Ok(since) = u64::try_from(known.state.changed_ns.max(known.state.modified_ns)) else { return false };
            let changed = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
            SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
        };
        self.files.retain(|_, known| settled(known));
        Ok(hashes)
    }
}

/// Warns of objects whose tags do not vouch for their content.
fn warn_of_weak<'a>(files: impl Iterator<Item = &'a OpenFile>, output: &Output) {
    let mut weak = files.filter_map(|file| file.state.object()).filter(|found| !found.seen.vouched());
    if let Some(first) = weak.next() {
        output.warn(&format!(
            "{}{} told by size and time of change alone: the server gives no strong ETag and no version, so another content within the \
same second and of the same size would go unnoticed",
            first.place.url(),
            match weak.count() {
                0 => " is".to_owned(),
                others => format!(" and {others} more object(s) are"),
            }
        ));
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
