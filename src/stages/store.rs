//! Where stages are kept, below the output folder: made under another name, renamed when whole, verified when reused.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::findings::{self, Tallies};
use super::key::{Key, Kind};
use crate::ingest::disputes::DisputeCount;
use crate::ingest::scan::Findings;
use crate::ingest::ties::DroppedTies;
use crate::publish::hashes::{self, Hash};

/// The file that describes a stage.
const LABEL: &str = "stage.json";
/// How the names of stages under way begin.
const UNDER_WAY: &str = ".new-";

/// What a stage says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Label {
    /// What it was made from.
    pub key: Key,
    /// Its files with their hashes.
    pub files: BTreeMap<String, Hash>,
    /// Rows of the tables it read, by class.
    pub tallies: Tallies,
    /// What the disputes of its table came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputes: Option<DisputeCount>,
    /// Why rows are no ties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DroppedTies>,
}

/// A stage that is there.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its folder.
    pub folder: PathBuf,
    /// What it says of itself.
    pub label: Label,
}

impl Stage {
    /// A file of the stage.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file that describes it; it is touched when the stage is used.
    #[must_use]
    pub fn label_path(&self) -> PathBuf {
        self.folder.join(LABEL)
    }

    /// What was counted and quarantined when it was made.
    ///
    /// # Errors
    /// When the stage is damaged.
    pub fn findings(&self) -> Result<BTreeMap<String, Findings>> {
        findings::read(&self.folder, &self.label.tallies)
    }
}

/// The stages of an output folder.
#[derive(Debug, Clone)]
pub struct StageStore {
    folder: PathBuf,
}

/// Why a stage is not reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// None of its kind was made for the as-of date.
    Never,
    /// The latest one was made from something else; what differs.
    Changed(Vec<String>),
    /// Its files are not what they were.
    Damaged,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => write!(f, "none was made for this date"),
            Self::Changed(parts) => write!(f, "{} changed", parts.join(", ")),
            Self::Damaged => write!(f, "the one that was kept is damaged"),
        }
    }
}

impl StageStore {
    /// The stages below an output folder.
    #[must_use]
    pub fn of(output: &Path) -> Self {
        Self { folder: output.join("stages") }
    }

    fn place(&self, key: &Key) -> PathBuf {
        self.folder.join(key.kind.name()).join(format!("{}-{}", key.as_of, &key.hash()[..16]))
    }

    /// The stage of a key, if it is there; its files are not looked at.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Stage> {
        let folder = self.place(key);
        let label = read_label(&folder)?;
        (label.key == *key).then_some(Stage { folder, label })
    }

    /// The stage of a key with its files as they were made, or why there is none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verified(&self, key: &Key) -> Result<std::result::Result<Stage, Missing>> {
        let Some(stage) = self.find(key) else { return Ok(Err(self.missing(key))) };
        for (name, hash) in &stage.label.files {
            let path = stage.path(name);
            if !path.exists() || hashes::file(&path)? != *hash {
                return Ok(Err(Missing::Damaged));
            }
        }
        // For `clean`, which goes by the time of the last use; a stage that cannot be touched is only removed sooner.
        let _ = File::options().append(true).open(stage.label_path()).and_then(|f| f.set_modified(SystemTime::now()));
        Ok(Ok(stage))
    }

    /// Why there is no stage of a key: what differs from the latest of its kind and date.
    #[must_use]
    pub fn missing(&self, key: &Key) -> Missing {
        let mut others: Vec<(SystemTime, Key)> = self
            .stages_of(&key.kind)
            .into_iter()
            .filter(|stage| stage.label.key.as_of == key.as_of)
            .filter_map(|s| Some((fs_err::metadata(s.path(LABEL)).ok()?.modified().ok()?, s.label.key)))
            .collect();
        others.sort_by_key(|(made, _)| *made);
        others.pop().map_or(Missing::Never, |(_, latest)| Missing::Changed(key.differences(&latest)))
    }

    fn stages_of(&self, kind: &Kind) -> Vec<Stage> {
        let folder = self.folder.join(kind.name());
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        entries.filter_map(|folder| Some(Stage { label: read_label(&folder)?, folder })).collect()
    }

    /// Every stage, by kind and name.
    #[must_use]
    pub fn all(&self) -> Vec<Stage> {
        let mut folders: Vec<PathBuf> =
            fs_err::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        folders.sort();
        let mut stages = Vec::new();
        for kind in folders {
            let mut of_kind: Vec<PathBuf> =
                fs_err::read_dir(kind).into_iter().flatten().flatten().map(|e| e.path()).collect();
            of_kind.sort();
            stages.extend(of_kind.into_iter().filter_map(|f| Some(Stage { label: read_label(&f)?, folder: f })));
        }
        stages
    }

    /// Removes what was under way when a process ended. Only while the output is locked.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        for entry in fs_err::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNDER_WAY) {
                fs_err::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Begins a stage: a folder for its files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self, key: &Key) -> Result<NewStage> {
        let name = format!("{UNDER_WAY}{}-{}-{}", key.kind.name(), key.as_of, &key.hash()[..16]);
        let folder = self.folder.join(name);
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        fs_err::create_dir_all(&folder)?;
        Ok(NewStage { key: key.clone(), folder, place: self.place(key), disputes: None, dropped: None })
    }
}

/// A stage under way.
#[derive(Debug)]
pub struct NewStage {
    key: Key,
    folder: PathBuf,
    place: PathBuf,
    /// What the disputes of its table came to.
    pub disputes: Option<DisputeCount>,
    /// Why rows are no ties.
    pub dropped: Option<DroppedTies>,
}

impl NewStage {
    /// What it is made from.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// A file of the stage.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Ends the stage: it is kept under its key.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn keep(self, findings: &BTreeMap<String, Findings>) -> Result<Stage> {
        let tallies = findings::write(&self.folder, findings)?;
        let mut files = BTreeMap::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let entry = entry?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), hashes::file(&entry.path())?);
        }
        let label = Label { key: self.key, files, tallies, disputes: self.disputes, dropped: self.dropped };
        fs_err::write(self.folder.join(LABEL), serde_json::to_string_pretty(&label)? + "\n")?;
        if self.place.exists() {
            fs_err::remove_dir_all(&self.place)?;
        }
        fs_err::create_dir_all(self.place.parent().context("a stage has a folder")?)?;
        fs_err::rename(&self.folder, &self.place)?;
        Ok(Stage { folder: self.place, label })
    }
}

fn read_label(folder: &Path) -> Option<Label> {
    serde_json::from_str(&fs_err::read_to_string(folder.join(LABEL)).ok()?).ok()
}
