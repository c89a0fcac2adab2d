//! The folder of one run, and what state it is in.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::durable;
use super::ledger::Entry;

/// The audit for programs.
pub const AUDIT: &str = "audit.json";
/// The audit for people.
pub const PAGE: &str = "audit.html";
/// The file that says where a run stands.
pub const STATE: &str = "state.json";

/// Where a run stands. The file is written when the state is reached.
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
    /// Complete; the gates let it pass, and it is being published. What is missing is finished by whoever comes next.
    Publishing {
        /// What the ledger is to say.
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

    /// Makes the folder for a run. One that is there under the same id is left alone, and this run gets a number; what had
    /// come to no end was removed when the output was locked.
    ///
    /// # Errors
    /// When the output folder cannot be written.
    pub fn create(output: &Path, id: &str) -> Result<Self> {
        let numbered = (1..).map(|n| if n == 1 { id.to_owned() } else { format!("{id}-{n}") });
        let run = numbered.map(|id| Self::of(output, &id)).find(|run| !run.folder.exists()).context("a free id")?;
        durable::create_folders(&run.folder)?;
        run.set(&State::Staging)?;
        Ok(run)
    }

    /// Every run of an output folder, in order of id.
    #[must_use]
    pub fn all(output: &Path) -> Vec<Self> {
        let entries = fs_err::read_dir(output.join("runs")).into_iter().flatten().flatten();
        let mut ids: Vec<String> =
            entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        ids.sort();
        ids.iter().map(|id| Self::of(output, id)).collect()
    }

    /// A file of the run.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the run stands; nothing when the folder does not say.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        serde_json::from_str(&fs_err::read_to_string(self.path(STATE)).ok()?).ok()
    }

    /// Whether nothing is in the folder but a state that was being written: its run was killed as it began.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let mut entries = fs_err::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.all(|e| e.file_name().to_string_lossy().starts_with(STATE))
    }

    /// Says where the run stands.
    ///
    /// # Errors
    /// When the disk is full, or the folder is gone.
    pub fn set(&self, state: &State) -> Result<()> {
        durable::replace(&self.path(STATE), (serde_json::to_string_pretty(state)? + "\n").as_bytes())
    }

    /// Puts a file of a stage into the run: under a second name where the file system can, else as a copy.
    ///
    /// # Errors
    /// When neither works.
    pub fn take(&self, file: &Path, name: &str) -> Result<()> {
        let place = self.path(name);
        fs_err::create_dir_all(place.parent().context("a file has a folder")?)?;
        if fs_err::hard_link(file, &place).is_err() {
            fs_err::copy(file, &place)?;
        }
        Ok(())
    }
}
