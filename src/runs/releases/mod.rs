//! What partners were given: a folder for each partner and as-of date, and those that newer ones replaced.
//!
//! `releases/partner=P/as_of=D/` holds what P is to have. What it replaced is kept in `releases/_earlier/`, because P still has it, and a
//! withdrawal must reach it. [`keys`] make pseudonyms, [`counts`] are what a receipt may tell, [`put`] makes a release, [`upload`] gives one into an object store, [`proof`] holds all of them against the ledger.

pub mod counts;
pub mod keys;
pub mod proof;
pub mod put;
pub mod upload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use self::counts::Counts;
use super::erasure::Erasures;
use super::ledger::entry::Given;
use super::ledger::{Event, Ledger, Line};
use crate::job::inputs::{Digest, Identity};
use crate::pipeline::partners::{Told, is_plain_name};
use crate::storage::hashes::{self, Hash};
use crate::storage::read;

/// The folder of releases, in an output folder.
pub const FOLDER: &str = "releases";
/// The table that a partner is given.
pub const RELEASE: &str = "release.parquet";
/// Whom the partner must forget.
pub const WITHDRAWN: &str = "withdrawn.parquet";
/// What it is, by hashes and counts.
pub const RECEIPT: &str = "receipt.json";

/// Where releases are made.
const STAGED: &str = "_staged";
/// Where replaced ones are kept, by its path in the output folder; in an object store all.
pub const EARLIER_FOLDER: &str = "releases/_earlier";
/// The same, in the folder of releases.
const EARLIER: &str = "_earlier";

/// A partner and an as-of date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    partner: String,
    as_of: Date,
}

impl Place {
    /// Of a partner and an as-of date.
    ///
    /// # Errors
    /// When the partner's id names no folder, and could lead elsewhere.
    pub fn new(partner: &str, as_of: Date) -> Result<Self> {
        ensure!(is_plain_name(partner), "'{partner}' names no partner");
        Ok(Self { partner: partner.to_owned(), as_of })
    }

    fn below(&self) -> String {
        format!("partner={}/as_of={}", self.partner, self.as_of)
    }

    /// The folder, by its path in the output folder.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{FOLDER}/{}", self.below())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self, output: &Path) -> PathBuf {
        output.join(self.name())
    }

    fn staged(&self, output: &Path) -> PathBuf {
        output.join(FOLDER).join(STAGED).join(self.below())
    }

    /// Where a release is kept once another replaced it, by its path in the output folder; in an object store from the first.
    #[must_use]
    pub fn earlier_name(&self, receipt: &str) -> String {
        format!("{FOLDER}/{EARLIER}/{}/{receipt}", self.below())
    }

    fn earlier(&self, output: &Path, receipt: &str) -> PathBuf {
        output.join(self.earlier_name(receipt))
    }
}

/// What a release is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of this form.
    pub schema: u32,
    /// The partner.
    pub partner: String,
    /// What people call it.
    pub title: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The run.
    pub run: String,
    /// `name-version` of the model.
    pub model: String,
    /// The as-of date.
    pub as_of: Date,
    /// The instant at which consents were in force.
    pub at: String,
    /// The version of the program.
    pub program: String,
    /// What is told of each subject.
    pub columns: Vec<Told>,
    /// What the column `above` means.
    pub above: Option<Above>,
    /// The key of the pseudonyms, by name.
    pub key_id: String,
    /// Their period; null when the partner may join all of them.
    pub key_period: Option<String>,
    /// Subjects, where that may be shown.
    pub counts: Counts,
    /// The files with their hashes.
    pub files: BTreeMap<String, Digest>,
    /// The id of the key that the tables are encrypted with; nothing when they are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<String>,
    /// The hashes that the tables have where they are written plain, when they are encrypted: encrypted bytes differ each time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plain: BTreeMap<String, Digest>,
    /// The hash of the run's table.
    pub scores: Hash,
    /// The files that consents were read from.
    pub consents: Vec<ConsentFile>,
}

/// A privilege's cut-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Above {
    /// The privilege.
    pub privilege: String,
    /// The lowest score that has it.
    pub from: i64,
}

/// A file of consents. The partner is not told its name, which may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentFile {
    /// Its hash, or its tag.
    pub digest: Identity,
}

impl Receipt {
    /// Reads the receipt of a release.
    ///
    /// # Errors
    /// When there is none, or it is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECEIPT);
        serde_json::from_str(&read::text(&path)?).with_context(|| format!("{} is no receipt", path.display()))
    }

    /// Its text.
    ///
    /// # Errors
    /// None that a receipt could cause.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Whether another says that the partner has the same of the same run: whatever else was counted, and whenever.
    #[must_use]
    pub fn gives_what(&self, other: &Self) -> bool {
        let files = |of: &Self| if of.plain.is_empty() { of.files.clone() } else { of.plain.clone() };
        self.promises_what(other) && files(self) == files(other)
    }

    /// Whether another is of the same run, under the same key and with the same columns; the rows may differ.
    #[must_use]
    pub fn promises_what(&self, other: &Self) -> bool {
        let promised = |of: &Self| Self {
            at: String::new(),
            program: String::new(),
            title: String::new(),
            counts: Counts::default(),
            consents: Vec::new(),
            files: BTreeMap::new(),
            plain: BTreeMap::new(),
            ..of.clone()
        };
        promised(self) == promised(other)
    }
}

/// The lines of the ledger about releases with what was given, in order.
pub fn lines(ledger: &Ledger) -> impl Iterator<Item = (&Line, &Given)> {
    let released = ledger.lines.iter().filter(|line| line.entry.event == Event::Released);
    released.filter_map(|line| Some((line, line.entry.given.as_ref()?)))
}

/// The lines of the ledger about releases to one place, in order.
///
/// # Errors
/// When a line names no place.
pub fn of_place<'l>(ledger: &'l Ledger, place: &Place) -> Result<Vec<(&'l Line, &'l Given)>> {
    let mut found = Vec::new();
    for (line, given) in lines(ledger) {
        if self::place(line, given)? == *place {
            found.push((line, given));
        }
    }
    Ok(found)
}

/// The place of a release that the ledger tells of.
///
/// # Errors
/// When the line names none.
pub fn place(line: &Line, given: &Given) -> Result<Place> {
    let plain = [&given.receipt, &given.release, &given.withdrawn].iter().all(|hash| is_plain_name(hash));
    ensure!(plain, "line {} of the ledger names no hashes", line.n);
    Place::new(&given.partner, line.entry.as_of).with_context(|| format!("line {} of the ledger", line.n))
}

/// Looks for what was given, as it was or as erasures since left it.
pub struct Held<'a> {
    /// The output folder.
    pub output: &'a Path,
    /// The erasures that the ledger tells of.
    pub erasures: &'a Erasures,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
}

impl Held<'_> {
    /// Whether a folder holds what was given, file by file.
    ///
    /// # Errors
    /// When a file cannot be read, or the work is interrupted.
    pub fn in_folder(&self, folder: &Path, line: &Line, given: &Given) -> Result<bool> {
        for (name, hash) in [(RECEIPT, &given.receipt), (RELEASE, &given.release), (WITHDRAWN, &given.withdrawn)] {
            let path = folder.join(name);
            let now = self.erasures.hash_now(&self.below(&path), hash, line.n);
            if !path.is_file() || path.is_symlink() || hashes::file_until(&path, self.stop)? != now {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every file of a release's folder is of one of some releases: their files are replaced one after another.
    ///
    /// # Errors
    /// When a file cannot be read, or the work is interrupted.
    pub fn are_of(&self, folder: &Path, releases: &[(&Line, &Given)]) -> Result<bool> {
        for name in [RECEIPT, RELEASE, WITHDRAWN] {
            let path = folder.join(name);
            if !path.exists() && !path.is_symlink() {
                continue;
            }
            let (below, now) = (self.below(&path), hashes::file_until(&path, self.stop)?);
            let is = |(line, given): &(&Line, &Given)| {
                let then = match name {
                    RECEIPT => &given.receipt,
                    RELEASE => &given.release,
                    _ => &given.withdrawn,
                };
                self.erasures.hash_now(&below, then, line.n) == now
            };
            if path.is_symlink() || !releases.iter().any(is) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn below(&self, path: &Path) -> String {
        path.strip_prefix(self.output).unwrap_or(path).display().to_string()
    }

    /// Which of some releases a folder holds, the last of several that are alike: told by its receipt, and named by the hash that this
    /// had when the ledger was told, whatever erasures made of it since. Nothing when it is none of them.
    ///
    /// # Errors
    /// When the receipt cannot be read.
    pub fn which(&self, releases: &[(&Line, &Given)], folder: &Path) -> Result<Option<Hash>> {
        let path = folder.join(RECEIPT);
        if !path.is_file() || path.is_symlink() {
            return Ok(None);
        }
        let (hash, below) = (hashes::file_until(&path, self.stop)?, self.below(&path));
        let mut latest = releases.iter().rev();
        let found = latest.find(|(line, given)| self.erasures.hash_now(&below, &given.receipt, line.n) == hash);
        Ok(found.map(|(_, given)| given.receipt.clone()))
    }

    /// Where a release is that the ledger tells of: in its place, or kept since another replaced it. Nothing when it is neither.
    ///
    /// # Errors
    /// When a file cannot be read, or the work is interrupted.
    pub fn folder(&self, line: &Line, given: &Given) -> Result<Option<PathBuf>> {
        let place = place(line, given)?;
        for folder in [place.folder(self.output), place.earlier(self.output, &given.receipt)] {
            if self.in_folder(&folder, line, given)? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }
}
