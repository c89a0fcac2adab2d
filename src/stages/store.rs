//! Where stages are kept, below the output folder: made under another name, renamed when whole, verified when reused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::findings::{self, Tallies};
use super::key;
use crate::ingest::check::findings::Findings;
use crate::ingest::links::ties::DroppedTies;
use crate::ingest::settle::disputes::DisputeCount;
use crate::storage::hashes::{self, Hash};
use crate::storage::key::Key;
use crate::storage::{durable, encryption, read};

/// The file that describes a stage.
const LABEL: &str = "stage.json";
/// How the names of stages under way begin.
const UNDER_WAY: &str = ".new-";

/// What a stage says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Label {
    /// What it was made from.
    pub key: key::Key,
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
    /// The id of the key that its files are encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<String>,
    /// The keyed hash of all this, when the output folder has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Hash>,
}

impl Label {
    /// Why the stage is not reused with the keys that are named.
    fn unfit(&self) -> Option<Missing> {
        match &self.encrypted {
            Some(id) if !encryption::knows(id) => Some(Missing::Locked(id.clone())),
            None if encryption::write_id().is_some() => Some(Missing::Plain),
            _ => None,
        }
    }

    /// What the label says, as its keyed hash is made of.
    fn said(&self) -> Result<String> {
        let said = Self { mac: None, ..self.clone() };
        Ok(format!("stage {}", serde_json::to_string(&said)?))
    }

    fn is_proven(&self, key: &Key) -> Result<bool> {
        let said = self.said()?;
        Ok(self.mac.as_ref().is_some_and(|mac| key.proves(&said, mac)))
    }
}

/// A stage that is there.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its folder.
    pub folder: PathBuf,
    /// What it says of itself.
    pub label: Label,
    /// What numbers in it are shuffled by.
    seed: [u8; 32],
}

impl Stage {
    /// What the numbers of subjects are shuffled by where their order would tell who they are.
    #[must_use]
    pub const fn seed(&self) -> [u8; 32] {
        self.seed
    }

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
    key: Option<Key>,
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
    /// It is encrypted with a key that is no longer named.
    Locked(String),
    /// It is not encrypted, and files now are.
    Plain,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => write!(f, "none was made for this date"),
            Self::Changed(parts) => write!(f, "{} changed", parts.join(", ")),
            Self::Damaged => write!(f, "the one that was kept is damaged"),
            Self::Locked(id) => write!(f, "the one that was kept is encrypted with the key `{id}`, which is not named"),
            Self::Plain => write!(f, "the one that was kept is not encrypted"),
        }
    }
}

impl StageStore {
    /// The stages below an output folder.
    #[must_use]
    pub fn of(output: &Path, key: Option<Key>) -> Self {
        Self { folder: output.join("stages"), key }
    }

    /// What a stage's numbers are shuffled by: from the key, which who only reads the folder does not have, or without one from what
    /// the stage is made of.
    fn seed(&self, key: &key::Key) -> [u8; 32] {
        let purpose = format!("numbers {}", key.hash());
        self.key.as_ref().map_or_else(|| *blake3::hash(purpose.as_bytes()).as_bytes(), |key| key.seed(&purpose))
    }

    fn stage(&self, folder: PathBuf, label: Label) -> Stage {
        let seed = self.seed(&label.key);
        Stage { folder, label, seed }
    }

    fn place(&self, key: &key::Key) -> PathBuf {
        self.folder.join(key.kind.name()).join(format!("{}-{}", key.as_of, &key.hash()[..16]))
    }

    /// The stage of a key, if it is there and may be used; its files are not looked at.
    #[must_use]
    pub fn find(&self, key: &key::Key) -> Option<Stage> {
        self.kept(key).filter(|stage| stage.label.unfit().is_none())
    }

    /// The stage of a key, if it is there.
    fn kept(&self, key: &key::Key) -> Option<Stage> {
        let folder = self.place(key);
        let label = read_label(&folder)?;
        (label.key == *key).then(|| self.stage(folder, label))
    }

    /// The stage of a key with its files as they were made, or why there is none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verified(&self, key: &key::Key) -> Result<std::result::Result<Stage, Missing>> {
        let Some(stage) = self.find(key) else { return Ok(Err(self.missing(key)?)) };
        if let Some(key) = &self.key
            && !stage.label.is_proven(key)?
        {
            return Ok(Err(Missing::Damaged));
        }
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
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn missing(&self, key: &key::Key) -> Result<Missing> {
        if let Some(why) = self.kept(key).and_then(|stage| stage.label.unfit()) {
            return Ok(why);
        }
        let of_date =
            self.in_folder(&self.folder.join(key.kind.name()))?.into_iter().filter(|s| s.label.key.as_of == key.as_of);
        let mut others = Vec::new();
        for stage in of_date {
            others.push((fs_err::metadata(stage.label_path())?.modified()?, stage.label.key));
        }
        others.sort_by_key(|(made, _)| *made);
        Ok(others.pop().map_or(Missing::Never, |(_, latest)| Missing::Changed(key.differences(&latest))))
    }

    /// The stages of one kind's folder, by name.
    fn in_folder(&self, folder: &Path) -> Result<Vec<Stage>> {
        let mut stages: Vec<Stage> = Vec::new();
        for folder in folders(folder)? {
            stages.extend(read_label(&folder).map(|label| self.stage(folder, label)));
        }
        Ok(stages)
    }

    /// The stages of a kind, by name; their files are not looked at.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of_kind(&self, kind: &key::Kind) -> Result<Vec<Stage>> {
        self.in_folder(&self.folder.join(kind.name()))
    }

    /// Removes a stage, if it is still there.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn remove(stage: &Stage) -> Result<()> {
        match fs_err::remove_dir_all(&stage.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Every stage, by kind and name.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn all(&self) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        for kind in folders(&self.folder)?.iter().filter(|f| !is_under_way(f)) {
            stages.extend(self.in_folder(kind)?);
        }
        Ok(stages)
    }

    /// The files that stages are made of, by their path below the folder of all stages, and what is remembered of inputs.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn files(&self) -> Result<BTreeSet<String>> {
        let mut files = BTreeSet::from(["inputs.json".to_owned()]);
        for stage in self.all()? {
            let below = stage.folder.strip_prefix(&self.folder).unwrap_or(&stage.folder).to_string_lossy().into_owned();
            files.extend(
                stage.label.files.keys().map(String::as_str).chain([LABEL]).map(|name| format!("{below}/{name}")),
            );
        }
        Ok(files)
    }

    /// Removes what was under way when a process ended. Only while the output is locked.
    ///
    /// # Errors
    /// When a folder cannot be read or removed.
    pub fn sweep(&self) -> Result<()> {
        for folder in folders(&self.folder)?.iter().filter(|f| is_under_way(f)) {
            fs_err::remove_dir_all(folder)?;
        }
        if self.folder.is_dir() { durable::sweep(&self.folder) } else { Ok(()) }
    }

    /// Begins a stage: a folder for its files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self, key: &key::Key) -> Result<NewStage> {
        let name = format!("{UNDER_WAY}{}-{}-{}", key.kind.name(), key.as_of, &key.hash()[..16]);
        let folder = self.folder.join(name);
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        fs_err::create_dir_all(&folder)?;
        let (place, seed) = (self.place(key), self.seed(key));
        Ok(NewStage { key: key.clone(), folder, place, seed, secret: self.key.clone(), disputes: None, dropped: None })
    }
}

/// A stage under way.
#[derive(Debug)]
pub struct NewStage {
    key: key::Key,
    folder: PathBuf,
    place: PathBuf,
    seed: [u8; 32],
    secret: Option<Key>,
    /// What the disputes of its table came to.
    pub disputes: Option<DisputeCount>,
    /// Why rows are no ties.
    pub dropped: Option<DroppedTies>,
}

impl NewStage {
    /// What the numbers of subjects are shuffled by; see [`Stage::seed`].
    #[must_use]
    pub const fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// A file of the stage.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Ends the stage without keeping it.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn give_up(self) -> Result<()> {
        Ok(fs_err::remove_dir_all(&self.folder)?)
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
        let (disputes, dropped) = (self.disputes, self.dropped);
        let encrypted = encryption::write_id();
        let mut label = Label { key: self.key, files, tallies, disputes, dropped, encrypted, mac: None };
        let said = label.said()?;
        label.mac = self.secret.as_ref().map(|key| key.mac(&said));
        fs_err::write(self.folder.join(LABEL), serde_json::to_string_pretty(&label)? + "\n")?;
        if self.place.exists() {
            fs_err::remove_dir_all(&self.place)?;
        }
        fs_err::create_dir_all(self.place.parent().context("a stage has a folder")?)?;
        fs_err::rename(&self.folder, &self.place)?;
        Ok(Stage { folder: self.place, label, seed: self.seed })
    }
}

/// The folders in a folder, by name; none where there is no folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn is_under_way(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNDER_WAY))
}

fn read_label(folder: &Path) -> Option<Label> {
    serde_json::from_str(&read::text(&folder.join(LABEL)).ok()?).ok()
}
