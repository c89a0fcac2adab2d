//! The journal of an erasure under way: the order, with all that is needed to carry it out, and a line for each file before it is replaced.
//! With a key every line has a keyed hash, so that nobody else can order an erasure. It holds the ids, and goes when the erasure ends;
//! where tables are encrypted, it is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Changed, FOLDER, Receipt, next};
use crate::exit::Locked;
use crate::runs::ledger::{Key, Ledger};
use crate::runs::remote;
use crate::storage::encryption::{self, FileKey};
use crate::storage::hashes::Hash;
use crate::storage::{disk, durable, read, sealed};

/// The journal, in an erasure's folder.
pub const JOURNAL: &str = "journal.ndjson";

/// Rows of an input file that were of the erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The file's hash.
    pub hash: Hash,
    /// The rows' numbers, from 0.
    pub rows: BTreeSet<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The ids, as people write them.
    pub ids: BTreeSet<String>,
    /// Their pseudonyms at partners.
    pub pseudonyms: BTreeSet<String>,
    /// Where inputs had rows of them, by table and file: what quarantines tell of those rows goes.
    pub places: BTreeMap<String, Places>,
    /// What the receipt will say, as far as it is known.
    pub receipt: Receipt,
}

/// A line as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    /// What it says, sealed where a key is named.
    said: String,
    mac: Option<Hash>,
    /// The id of the key that opens it; nothing when it is plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Of the first: the pipeline that gave the order, for whoever cannot open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

impl Line {
    /// What it says, and the key that opened it.
    fn opened(self, number: u64, line: u64) -> Result<(String, Option<Arc<FileKey>>)> {
        let Some(id) = self.key else { return Ok((self.said, None)) };
        let key = encryption::key(&id)?;
        Ok((sealed::open(&key, &beside(number, line), &self.said)?, Some(key)))
    }
}

/// An erasure under way.
#[derive(Debug)]
pub struct Journal {
    /// The erasure's folder.
    pub folder: PathBuf,
    key: Option<Key>,
    sealing: Option<Arc<FileKey>>,
    number: u64,
    /// What is to be done.
    pub order: Order,
    /// The files that are, or were about to be, replaced, by path.
    pub steps: BTreeMap<String, Changed>,
    /// All hashes that were noted for what a file is to be: where files are encrypted, each try makes another one.
    noted: BTreeMap<String, BTreeSet<Hash>>,
    lines: u64,
}

/// What a sealed line is authenticated with: its place.
fn beside(number: u64, line: u64) -> String {
    format!("erasure {number} {line}")
}

fn mac(key: Option<&Key>, number: u64, line: u64, said: &str) -> Option<Hash> {
    key.map(|key| key.mac(&format!("erasure {number} {line} {said}")))
}

/// The folder of an erasure.
#[must_use]
pub fn folder(output: &Path, number: u64) -> PathBuf {
    output.join(FOLDER).join(number.to_string())
}

/// The folders of erasures.
///
/// # Errors
/// When they cannot be read.
pub fn folders(output: &Path) -> Result<Vec<PathBuf>> {
    let all = output.join(FOLDER);
    let mut found = Vec::new();
    if all.is_dir() {
        for entry in fs_err::read_dir(all)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The numbers of erasures that are under way.
///
/// # Errors
/// When the folder cannot be read.
pub fn under_way(output: &Path) -> Result<Vec<u64>> {
    let number = |folder: &PathBuf| folder.file_name()?.to_string_lossy().parse::<u64>().ok();
    let open = folders(output)?.into_iter().filter(|folder| folder.join(JOURNAL).exists());
    let mut found: Vec<u64> = open.filter_map(|folder| number(&folder)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The pipeline that ordered an erasure, as far as its journal can be read.
#[must_use]
pub fn ordered_by(output: &Path, number: u64) -> Option<String> {
    let text = read::text(&folder(output, number).join(JOURNAL)).ok()?;
    serde_json::from_str::<Line>(text.lines().next()?).ok()?.by
}

impl Journal {
    /// Gives the order: from now on the erasure is carried out, by whoever comes next if need be. It is sealed with a key of files, if
    /// there is one.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn begin(output: &Path, order: Order, key: Option<Key>, sealing: Option<Arc<FileKey>>) -> Result<Self> {
        let (number, steps) = (order.receipt.erasure, BTreeMap::new());
        let (folder, noted) = (folder(output, number), BTreeMap::new());
        let mut journal = Self { folder, key, sealing, number, order, steps, noted, lines: 0 };
        durable::create_folders(&journal.folder)?;
        let line = journal.line(serde_json::to_string(&journal.order)?)?;
        let Some(mirror) = remote::of(output) else {
            durable::replace(&journal.path(), line.as_bytes())?;
            journal.lines = 1;
            return Ok(journal);
        };
        // What was planned by a ledger that others have added to is another erasure than this number is.
        mirror.still_held()?;
        mirror.bring_ledger()?;
        let below = format!("{FOLDER}/{number}/{JOURNAL}");
        let claimed = match next(&Ledger::open(output, journal.key.clone())?) == number {
            true => mirror.claim(&below, &line)?,
            false => None,
        };
        let Some(tag) = claimed else {
            let text = format!("another process has begun the erasure {number}; nothing was erased, ask again");
            return Err(Locked(text).into());
        };
        durable::replace(&journal.path(), line.as_bytes())?;
        mirror.claimed(&below, tag)?;
        journal.lines = 1;
        Ok(journal)
    }

    /// An erasure that is under way.
    ///
    /// # Errors
    /// When its journal was not written with the ledger's key, or is damaged.
    pub fn open(output: &Path, number: u64, key: Option<&Key>) -> Result<Self> {
        let folder = folder(output, number);
        let path = folder.join(JOURNAL);
        let read = || -> Result<Self> {
            let text = read::text(&path)?;
            // A crash may have cut off the last line: what it was to say had not been done.
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            let (mut order, mut steps, mut lines, mut sealing) = (None, BTreeMap::new(), 0, None);
            let mut noted: BTreeMap<String, BTreeSet<Hash>> = BTreeMap::new();
            for text in whole.lines() {
                let line: Line = serde_json::from_str(text).with_context(|| format!("line {} is none", lines + 1))?;
                if key.is_some() && line.mac != mac(key, number, lines, &line.said) {
                    bail!("line {} was not written with the ledger's key, or changed since", lines + 1);
                }
                let (said, with) = line.opened(number, lines).with_context(|| format!("line {}", lines + 1))?;
                if lines == 0 {
                    order = Some(serde_json::from_str(&said)?);
                    sealing = with;
                } else {
                    let step: Changed = serde_json::from_str(&said)?;
                    noted.entry(step.path.clone()).or_default().extend(step.after.clone());
                    steps.insert(step.path.clone(), step);
                }
                lines += 1;
            }
            if whole.len() < text.len() {
                durable::replace(&path, whole.as_bytes())?;
            }
            let order: Order = order.context("it is empty")?;
            anyhow::ensure!(order.receipt.erasure == number, "it is that of another erasure");
            Ok(Self { folder: folder.clone(), key: key.cloned(), sealing, number, order, steps, noted, lines })
        };
        read().with_context(|| format!("the journal {} does not hold", path.display()))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    fn line(&self, said: String) -> Result<String> {
        let said = match &self.sealing {
            Some(key) => sealed::seal(key, &beside(self.number, self.lines), &said)?,
            None => said,
        };
        let mac = mac(self.key.as_ref(), self.number, self.lines, &said);
        let key = self.sealing.as_ref().map(|key| key.id().to_owned());
        let by = (self.lines == 0).then(|| self.order.receipt.pipeline.clone());
        Ok(serde_json::to_string(&Line { said, mac, key, by })? + "\n")
    }

    /// Notes, durably, that a file is about to be replaced.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn note(&mut self, step: Changed) -> Result<()> {
        let line = self.line(serde_json::to_string(&step)?)?;
        let path = self.path();
        remote::record(&path, &|| {
            disk::append(&path, line.as_bytes()).with_context(|| format!("writing {}", path.display()))
        })?;
        self.lines += 1;
        self.noted.entry(step.path.clone()).or_default().extend(step.after.clone());
        self.steps.insert(step.path.clone(), step);
        Ok(())
    }

    /// Whether a file is what it was to be, by whichever try.
    #[must_use]
    pub fn made(&self, path: &str, now: &Hash) -> bool {
        self.noted.get(path).is_some_and(|noted| noted.contains(now))
    }

    /// Removes the journal, and with it the ids.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn end(&self) -> Result<()> {
        remote::remove(&self.path())?;
        disk::remove_file(&self.path())?;
        durable::sync_folder(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let receipt = serde_json::from_value(serde_json::json!({
            "schema": 1, "erasure": 3, "begun": "", "ended": "", "pipeline": "p", "program": "s", "ids": 1, "hashes": [],
            "guard": "", "stages": 0, "files": [], "inputs": [], "inputs_not_searched": null, "notified": [],
            "releases_not_searched": [], "ledger_lines": 0,
        }));
        let ids = BTreeSet::from(["a-1".to_owned()]);
        Order { ids, pseudonyms: BTreeSet::new(), places: BTreeMap::new(), receipt: receipt.unwrap() }
    }

    fn changed(path: &str) -> Changed {
        Changed { path: path.to_owned(), rows: Some(1), before: "1".to_owned(), after: Some("2".to_owned()) }
    }

    #[test]
    fn a_journal_comes_back_and_a_line_that_was_cut_off_is_none() {
        for key in [None, Some(Key::of([7; 32]))] {
            let output = tempfile::tempdir().unwrap();
            let mut journal = Journal::begin(output.path(), order(), key.clone(), None).unwrap();
            journal.note(changed("a")).unwrap();
            assert_eq!(under_way(output.path()).unwrap(), [3]);
            let path = output.path().join("erasures/3/journal.ndjson");
            let whole = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("{whole}{{\"said\": \"{{")).unwrap();
            let mut again = Journal::open(output.path(), 3, key.as_ref()).unwrap();
            assert_eq!((&again.order, again.steps.len()), (&order(), 1));
            again.note(changed("b")).unwrap();
            again.note(Changed { after: Some("3".to_owned()), ..changed("a") }).unwrap();
            let again = Journal::open(output.path(), 3, key.as_ref()).unwrap();
            let made = |hash: &str| again.made("a", &hash.to_owned());
            assert!(made("2") && made("3") && !made("1") && !again.made("c", &"2".to_owned()));
            assert_eq!(again.steps.keys().collect::<Vec<_>>(), ["a", "b"]);
            again.end().unwrap();
            assert!(under_way(output.path()).unwrap().is_empty());
        }
    }

    #[test]
    fn nobody_without_the_key_can_order_an_erasure_or_tell_what_was_done() {
        let key = Some(Key::of([7; 32]));
        let output = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(output.path(), order(), key.clone(), None).unwrap();
        journal.note(changed("a")).unwrap();
        let path = output.path().join("erasures/3/journal.ndjson");
        let text = std::fs::read_to_string(&path).unwrap();
        for other in
            [text.replace("a-1", "a-2"), text.lines().map(|_| text.lines().next().unwrap().to_owned() + "\n").collect()]
        {
            assert_ne!(other, text);
            std::fs::write(&path, other).unwrap();
            let error = format!("{:#}", Journal::open(output.path(), 3, key.as_ref()).unwrap_err());
            assert!(error.contains("was not written with the ledger's key"), "{error}");
        }
        let planted = tempfile::tempdir().unwrap();
        Journal::begin(planted.path(), order(), None, None).unwrap();
        assert!(Journal::open(planted.path(), 3, key.as_ref()).is_err());
    }

    #[test]
    fn where_files_are_encrypted_the_journal_holds_no_id_that_is_not_sealed() {
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("k"), "000102030405060708090a0b0c0d0e0f").unwrap();
        let at = BTreeMap::from([("unit-journal".to_owned(), "file:k".to_owned())]);
        encryption::name(None, &at, keys.path(), encryption::By::User);
        let output = tempfile::tempdir().unwrap();
        let sealing = Some(encryption::key("unit-journal").unwrap());
        let mut journal = Journal::begin(output.path(), order(), Some(Key::of([7; 32])), sealing).unwrap();
        journal.note(changed("of a-1")).unwrap();
        let path = output.path().join("erasures/3/journal.ndjson");
        let told = || std::fs::read_to_string(&path).unwrap();
        assert!(!told().contains("a-1") && told().contains("unit-journal"), "{}", told());
        let mut again = Journal::open(output.path(), 3, Some(&Key::of([7; 32]))).unwrap();
        assert_eq!((&again.order, again.steps.len()), (&order(), 1));
        // What is noted later is sealed as well.
        again.note(changed("of a-1 too")).unwrap();
        assert!(!told().contains("a-1"), "{}", told());
        assert_eq!(Journal::open(output.path(), 3, Some(&Key::of([7; 32]))).unwrap().steps.len(), 2);
        assert_eq!(ordered_by(output.path(), 3).as_deref(), Some("p"));
        // Neither without the key, nor with lines in another order.
        let missing = told().replace("unit-journal", "unit-journal-gone");
        let swapped: String = told().lines().rev().map(|line| line.to_owned() + "\n").collect();
        for text in [missing, swapped] {
            std::fs::write(&path, text).unwrap();
            let error = Journal::open(output.path(), 3, None).unwrap_err();
            assert!(error.is::<encryption::KeyError>(), "{error:#}");
        }
    }
}
