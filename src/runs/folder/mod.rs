//! The folder of one run, and what state it is in.

pub mod configuration;
pub mod manifest;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::runs::ledger::{Entry, Ledger};
use crate::storage::{disk, durable, read};

/// The audit for people.
pub const PAGE: &str = "audit.html";
/// What a run read and wrote, as events.
pub const LINEAGE: &str = "lineage.ndjson";
/// The file that says where a run stands.
pub const STATE: &str = "state.json";

/// Where a run stands, for who looks; nothing is done because of it that the ledger does not tell as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Under way; whatever the folder holds may be half of it.
    Staging,
    /// Stopped by a signal; running again goes on from the stages that are kept.
    Interrupted,
    /// Ended by an error.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// Being published, as older versions noted it. What is under way is told by the ledger alone.
    Publishing {
        /// What the ledger was to say.
        entry: Box<Entry>,
    },
    /// Published, and in the ledger.
    Published,
    /// Refused by a gate, and in the ledger.
    Refused,
}

impl State {
    /// Whether the folder is kept: its run came to an end that the ledger tells of.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Published | Self::Refused)
    }

    /// What the file says.
    ///
    /// # Errors
    /// None that a state could cause.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The output folder.
    pub output: PathBuf,
    /// The run's id.
    pub id: String,
    /// `runs/<id>` below the output folder.
    pub folder: PathBuf,
}

impl RunFolder {
    /// The folder of a run that is there.
    #[must_use]
    pub fn of(output: &Path, id: &str) -> Self {
        Self { output: output.to_owned(), id: id.to_owned(), folder: output.join("runs").join(id) }
    }

    /// Makes the folder for a run. An id that a folder or the ledger has is never used again: the run gets a number.
    ///
    /// # Errors
    /// When the output folder cannot be written.
    pub fn create(output: &Path, id: &str, ledger: &Ledger) -> Result<Self> {
        let numbered = (1..).map(|n| if n == 1 { id.to_owned() } else { format!("{id}-{n}") });
        let free = |run: &Self| !run.folder.exists() && ledger.last_of(&run.id).is_none();
        let run = numbered.map(|id| Self::of(output, &id)).find(free).context("a free id")?;
        durable::create_folders(&run.folder)?;
        run.set(&State::Staging)?;
        Ok(run)
    }

    /// Every run of an output folder, in order of id.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(output: &Path) -> Result<Vec<Self>> {
        let folder = output.join("runs");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut ids = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                ids.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        ids.sort();
        Ok(ids.iter().map(|id| Self::of(output, id)).collect())
    }

    /// A file of the run.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the run stands; nothing when the folder does not say.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        serde_json::from_str(&read::text(&self.path(STATE)).ok()?).ok()
    }

    /// The names in the folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = fs_err::read_dir(&self.folder)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Leaves of the folder only the record of how the run ended: its state and its lineage.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn strip(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| ![STATE, LINEAGE].contains(&name.as_str())) {
            let path = self.path(name);
            if fs_err::symlink_metadata(&path)?.is_dir() {
                disk::remove_folder(&path, STATE)?
            } else {
                disk::remove_file(&path)?
            }
        }
        Ok(())
    }

    /// Removes the folder; its state goes last, so that what a crash leaves of it is still known for what it is.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self) -> Result<()> {
        Ok(disk::remove_folder(&self.folder, STATE)?)
    }

    /// Says where the run stands.
    ///
    /// # Errors
    /// When the disk is full, or the folder is gone.
    pub fn set(&self, state: &State) -> Result<()> {
        durable::replace(&self.path(STATE), state.text()?.as_bytes())
    }

    /// Puts a file of a stage into the run: under a second name where the file system can, else as a copy.
    ///
    /// # Errors
    /// When neither works.
    pub fn take(&self, file: &Path, name: &str) -> Result<()> {
        let place = self.path(name);
        fs_err::create_dir_all(place.parent().context("a file has a folder")?)?;
        if fs_err::symlink_metadata(&place).is_ok() {
            // Made again: copying onto a second name of the file would empty it.
            disk::remove_file(&place)?;
        }
        if disk::hard_link(file, &place).is_err() {
            disk::copy(file, &place)?;
        }
        Ok(())
    }
}
