//! Erasures: subjects of whom nothing is kept any more.
//!
//! [`wanted`] are their ids, [`search`] finds which of the [`files`] hold them, [`journal`] is the durable order under which [`carry_out`]
//! writes these anew, and [`texts`] treats what is no table; [`room`] looks beforehand whether the disk has any. An erasure ends with a
//! receipt that the ledger tells of: what each file was and is, and keyed hashes of the ids, so that later runs leave these subjects out.
//! [`releases`] tells partners. Who reads meanwhile is [`undisturbed`], or is told.

pub mod carry_out;
pub mod files;
pub mod journal;
pub mod releases;
pub mod room;
pub mod search;
pub mod stages;
pub mod texts;
pub mod undisturbed;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::ledger::place::SCORES;
use super::ledger::{Event, Key, Ledger, Line};
use crate::job::inputs::Input;
use crate::storage::erased::Erased;
use crate::storage::hashes::{self, Hash};
use crate::storage::read;

/// The folder of erasures, in an output folder.
pub const FOLDER: &str = "erasures";
/// What an erasure did.
pub const RECEIPT: &str = "receipt.json";

/// A file that was written anew, or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its path below the output folder.
    pub path: String,
    /// Rows, or in a text places, that are gone. A receipt says so of quarantines alone, which gates compare: of how many rows of the
    /// erased the others were, nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its hash before.
    pub before: Hash,
    /// Its hash after; null when the file is gone.
    pub after: Option<Hash>,
}

/// An input file that held rows of the erased when they were erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// The table.
    pub table: String,
    /// The table and the file's name below the input's path; in a receipt the table alone where the name could hold an id.
    pub name: String,
    /// Its hash.
    pub hash: Hash,
    /// Rows of the erased in it, which gates do not take for a loss.
    pub rows: u64,
}

impl Carrier {
    /// As a receipt may keep it, for it is never searched again: without a name that could hold anybody's id.
    #[must_use]
    pub fn kept(&self) -> Self {
        let name = if texts::may_hold_an_id(&self.name) { self.table.clone() } else { self.name.clone() };
        Self { name, ..self.clone() }
    }

    /// Whether it is an input of a run.
    fn is(&self, input: &Input) -> bool {
        let named = self.name == input.name || (self.name == self.table && self.table == input.annotations.table);
        named && self.hash == input.digest.text()
    }
}

/// What a partner was told to forget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// The partner.
    pub partner: String,
    /// Pseudonyms; nothing where they are few, which would tell of somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonyms: Option<u64>,
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of this form.
    pub schema: u32,
    /// Its number, from 1.
    pub erasure: u64,
    /// When it began.
    pub begun: String,
    /// When it ended; empty while it is under way.
    pub ended: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Version of the program.
    pub program: String,
    /// Number of ids.
    pub ids: u64,
    /// Those of them that were met nowhere.
    #[serde(default)]
    pub ids_not_found: u64,
    /// Their keyed hashes; none without a key.
    pub hashes: BTreeSet<Hash>,
    /// Whether later runs leave these subjects out, in words.
    pub guard: String,
    /// Stages that were removed.
    pub stages: u64,
    /// The files that changed, by path.
    pub files: Vec<Changed>,
    /// Input files that still held them.
    pub inputs: Vec<Carrier>,
    /// Why inputs were not looked at; null when they were.
    pub inputs_not_searched: Option<String>,
    /// Whom partners must forget.
    pub notified: Vec<Notified>,
    /// Partners and names of keys whose releases could not be searched, for want of the key.
    pub releases_not_searched: Vec<String>,
    /// Files that could not be opened, for want of the key they are encrypted with: they are as they were.
    #[serde(default)]
    pub files_not_searched: BTreeSet<String>,
    /// Lines of the ledger that hold an id in a text that somebody gave: they stay.
    pub ledger_lines: u64,
}

impl Receipt {
    /// Adds the files that changed, with no more about the erased than gates need.
    fn tell(&mut self, files: impl Iterator<Item = Changed>) {
        let told = |file: Changed| {
            let rows = file.rows.filter(|_| is_quarantine(&file.path));
            Changed { rows, ..file }
        };
        self.files = files.map(told).collect();
    }
}

/// Whether a path below the output folder is that of a run's quarantine.
fn is_quarantine(path: &str) -> bool {
    path.starts_with("runs/") && path.split('/').nth(2) == Some("quarantine")
}

/// Whether a path below the output folder is that of a release: the files of releases move when others replace them.
fn is_release(path: &str) -> bool {
    path.starts_with("releases/")
}

/// The run that the ledger's line about an erasure names.
#[must_use]
pub fn name(erasure: u64) -> String {
    format!("erasure-{erasure}")
}

/// Where the receipt of an erasure is, below the output folder.
#[must_use]
pub fn receipt_path(erasure: u64) -> String {
    format!("{FOLDER}/{erasure}/{RECEIPT}")
}

/// What an erasure made of files, by what they were: path and new hash of each.
type ByHash = BTreeMap<Hash, Vec<(String, Option<Hash>)>>;

/// The erasures of an output folder that came to their end, as the ledger tells.
#[derive(Debug, Default)]
pub struct Erasures {
    key: Option<Key>,
    receipts: Vec<(u64, Receipt, ByHash)>,
}

impl Erasures {
    /// Those that a ledger tells of.
    ///
    /// # Errors
    /// When a receipt is missing or was changed.
    pub fn of(output: &Path, ledger: &Ledger, key: Option<&Key>) -> Result<Self> {
        let mut receipts = Vec::new();
        for line in ledger.lines.iter().filter(|line| line.entry.event == Event::Erased) {
            let number: Option<u64> = line.entry.run.strip_prefix("erasure-").and_then(|n| n.parse().ok());
            let below =
                receipt_path(number.with_context(|| format!("line {} of the ledger names no erasure", line.n))?);
            let path = output.join(&below);
            ensure!(path.is_file() && !path.is_symlink(), "{below} is missing; put it back from a copy");
            let text = read::text(&path)?;
            ensure!(hashes::text(&text) == line.entry.manifest, "{below} is not the one the ledger knows");
            let receipt: Receipt = serde_json::from_str(&text).with_context(|| format!("{below} is no receipt"))?;
            let mut by_hash = ByHash::new();
            for file in &receipt.files {
                by_hash.entry(file.before.clone()).or_default().push((file.path.clone(), file.after.clone()));
            }
            receipts.push((line.n, receipt, by_hash));
        }
        Ok(Self { key: key.cloned(), receipts })
    }

    /// Those of an output folder.
    ///
    /// # Errors
    /// When the ledger does not hold, or a receipt is missing or was changed.
    pub fn open(output: &Path, key: Option<&Key>) -> Result<Self> {
        Self::of(output, &Ledger::open(output, key.cloned())?, key)
    }

    /// The hash that a file has now which had another at a line of the ledger: erasures since may have changed it. A file of a release,
    /// which moves when another replaces it, is known by its hash alone; any other by its path as well, for two files that were the same
    /// need not be so afterwards.
    #[must_use]
    pub fn hash_now(&self, path: &str, then: &Hash, since: u64) -> Hash {
        let mut now = then.clone();
        for (_, _, by_hash) in self.receipts.iter().filter(|(n, ..)| *n > since) {
            let Some(same) = by_hash.get(&now) else { continue };
            let moved = || same.iter().find(|(other, _)| is_release(path) && is_release(other));
            let of = same.iter().find(|(other, _)| other == path).or_else(moved);
            if let Some((_, Some(after))) = of {
                now.clone_from(after);
            }
        }
        now
    }

    /// The hashes that the table of a line may have now in its fixed place: as erasures left it there, or in its run's folder, from which it is
    /// put there; where they left both alone, what it was.
    #[must_use]
    pub fn tables_now(&self, line: &Line) -> Vec<Hash> {
        let then = &line.entry.scores;
        let of = |path: &str| self.hash_now(path, then, line.n);
        let mut now = vec![of(&line.entry.table), of(&format!("runs/{}/{SCORES}", line.entry.run))];
        now.retain(|hash| hash != then);
        if now.is_empty() {
            now.push(then.clone());
        }
        now
    }

    /// The last erasure that changed a file, if one did.
    #[must_use]
    pub fn last_of(&self, path: &str) -> Option<u64> {
        let changed = |receipt: &Receipt| receipt.files.iter().any(|file| file.path == path);
        self.receipts.iter().rev().find(|(_, receipt, _)| changed(receipt)).map(|(_, receipt, _)| receipt.erasure)
    }

    /// Those whom a run leaves out whose line of the ledger comes at a place: nobody without a key.
    #[must_use]
    pub fn guarded(&self, at: u64) -> Erased {
        let Some(key) = &self.key else { return Erased::default() };
        let before = self.receipts.iter().filter(|(n, ..)| *n < at);
        Erased::new(key.clone(), before.flat_map(|(_, receipt, _)| receipt.hashes.iter().cloned()).collect())
    }

    /// Rows of an input file that are of subjects who were erased, as far as they were found in it when they were. Erasures without a key
    /// may all have been of the same ones; those with a key count nobody twice.
    #[must_use]
    pub fn carried(&self, input: &Input) -> u64 {
        let rows = |receipt: &Receipt| -> u64 {
            receipt.inputs.iter().filter(|carrier| carrier.is(input)).map(|carrier| carrier.rows).sum()
        };
        let of = |keyed: bool| {
            let receipts = self.receipts.iter().map(|(_, receipt, _)| receipt);
            receipts.filter(move |receipt| receipt.hashes.is_empty() != keyed).map(rows)
        };
        of(true).sum::<u64>().max(of(false).max().unwrap_or(0))
    }

    /// Quarantined rows of a run's table that were erased.
    #[must_use]
    pub fn quarantined(&self, run: &str, table: &str) -> u64 {
        let path = format!("runs/{run}/{}", crate::tables::quarantine::file(table));
        let files = self.receipts.iter().flat_map(|(_, receipt, _)| &receipt.files);
        files.filter(|file| file.path == path).filter_map(|file| file.rows).sum()
    }

    /// The receipts with the lines of the ledger that tell of them, in order.
    pub fn receipts(&self) -> impl Iterator<Item = (u64, &Receipt)> {
        self.receipts.iter().map(|(n, receipt, _)| (*n, receipt))
    }
}

/// The number of the next erasure.
#[must_use]
pub fn next(ledger: &Ledger) -> u64 {
    1 + ledger.lines.iter().filter(|line| line.entry.event == Event::Erased).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path, hash before and hash after.
    type Files<'a> = &'a [(&'a str, &'a str, &'a str)];

    fn erasures(all: &[(u64, Files)]) -> Erasures {
        let receipts = all.iter().map(|(n, files)| {
            let mut by_hash = ByHash::new();
            for (path, before, after) in *files {
                by_hash.entry((*before).to_owned()).or_default().push(((*path).to_owned(), Some((*after).to_owned())));
            }
            let receipt: Receipt = serde_json::from_value(serde_json::json!({
                "schema": 1, "erasure": n, "begun": "", "ended": "", "pipeline": "p", "program": "s", "ids": 1,
                "hashes": [], "guard": "", "stages": 0, "inputs": [], "inputs_not_searched": null, "notified": [],
                "releases_not_searched": [], "ledger_lines": 0,
                "files": files.iter().map(|(path, before, after)| serde_json::json!({
                    "path": path, "rows": 1, "before": before, "after": after,
                })).collect::<Vec<_>>(),
            }))
            .unwrap();
            (*n, receipt, by_hash)
        });
        Erasures { key: None, receipts: receipts.collect() }
    }

    #[test]
    fn a_hash_is_followed_through_later_erasures_and_no_earlier_ones() {
        let all = erasures(&[
            (5, &[("runs/a/x", "1", "2"), ("runs/b/x", "1", "3")]),
            (9, &[("runs/a/x", "2", "4"), ("runs/b/x", "3", "5")]),
        ]);
        let now = |path: &str, then: &str, since| all.hash_now(path, &then.to_owned(), since);
        assert_eq!((now("runs/a/x", "1", 1), now("runs/b/x", "1", 1)), ("4".to_owned(), "5".to_owned()));
        assert_eq!(now("runs/a/x", "2", 6), "4");
        assert_eq!(now("runs/a/x", "1", 6), "1", "a file made after an erasure is not that of before");
        assert_eq!(now("runs/a/x", "7", 1), "7");
        assert_eq!(now("runs/c/x", "1", 1), "1", "the same content elsewhere need not have changed");
        assert_eq!((all.last_of("runs/a/x"), all.last_of("moved")), (Some(9), None));
        assert!(all.guarded(u64::MAX).is_empty());
    }

    #[test]
    fn a_file_of_a_release_is_known_wherever_it_was_moved() {
        let place = "releases/partner=p/as_of=2025-10-31/release.parquet";
        let all = erasures(&[(5, &[("runs/a/x", "1", "9"), (place, "1", "2")]), (9, &[(place, "2", "3")])]);
        let now = |path: &str| all.hash_now(path, &"1".to_owned(), 1);
        assert_eq!(
            (now(place), now("releases/_earlier/partner=p/1/release.parquet")),
            ("3".to_owned(), "3".to_owned())
        );
        assert_eq!(now("runs/b/x"), "1");
    }

    fn input(name: &str) -> Input {
        serde_json::from_value(serde_json::json!({
            "name": name, "uri": "/x", "digest": { "blake3": "h" },
            "annotations": { "table": "t", "rows": 9, "bytes": 9, "ignored_columns": [] },
        }))
        .unwrap()
    }

    #[test]
    fn rows_of_the_same_subjects_are_not_counted_again_by_an_erasure_that_cannot_tell() {
        let mut all = erasures(&[(1, &[]), (2, &[]), (3, &[]), (4, &[])]);
        for ((_, receipt, _), (rows, keyed)) in
            all.receipts.iter_mut().zip([(5, false), (4, false), (3, true), (4, true)])
        {
            receipt.inputs = vec![Carrier { table: "t".into(), name: "t/a".into(), hash: "h".into(), rows }];
            receipt.hashes = keyed.then(|| "k".to_owned()).into_iter().collect();
        }
        assert_eq!(all.carried(&input("t/a")), 7);
        all.receipts.truncate(2);
        assert_eq!((all.carried(&input("t/a")), all.carried(&input("t/b"))), (5, 0));
    }

    #[test]
    fn a_receipt_keeps_neither_names_that_could_hold_an_id_nor_how_many_rows_somebody_had() {
        let carrier = |name: &str| Carrier { table: "t".into(), name: name.into(), hash: "h".into(), rows: 5 };
        assert_eq!(carrier("t/month=2025-01/part.parquet").kept().name, "t/month=2025-01/part.parquet");
        let kept = carrier("t/subject=ab12cd34/part.parquet").kept();
        assert_eq!(kept.name, "t");
        assert!(kept.is(&input("t/subject=ab12cd34/part.parquet")) && kept.is(&input("t/subject=erased/part.parquet")));
        let mut all = erasures(&[(1, &[])]);
        let changed = |path: &str| Changed { path: path.into(), rows: Some(2), before: "1".into(), after: None };
        all.receipts[0].1.tell(["runs/a/scores.parquet", "runs/a/quarantine/t.parquet"].map(changed).into_iter());
        assert_eq!(all.receipts[0].1.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [None, Some(2)]);
        assert_eq!((all.quarantined("a", "t"), all.quarantined("b", "t")), (2, 0));
    }
}
