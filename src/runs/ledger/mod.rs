//! The ledger: what was announced, published, refused and removed, a line each with the hash of the line before it.
//!
//! `ledger.ndjson` holds the lines, `ledger.head.json` their number and the hash of the last one. Given a key, every line and
//! the head carry a keyed BLAKE3 hash, so that whoever does not have the key can change, reorder, remove or cut off
//! nothing without being found out. Putting back an old ledger together with its old head is not found out.

mod addition;
mod chain;
pub mod entry;
pub mod place;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub use self::addition::Addition;
use self::chain::{hash, head_text, is_run_id, split_mac};
use self::place::{HEAD, LINES};
pub use crate::runs::ledger::entry::{Accepted, Entry, Event, Given, Line, TableOf, TableSize};
use crate::runs::remote;
use crate::runs::remote::lines::Added;
use crate::storage::durable::Prepared;
use crate::storage::hashes::Hash;
pub use crate::storage::key::Key;
use crate::storage::read;

/// What stands before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    count: u64,
    last: Hash,
    mac: Option<Hash>,
}

/// The ledger of an output folder, found to hold.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    text: String,
    key: Option<Key>,
    /// Its lines, in order.
    pub lines: Vec<Line>,
    /// Whether the head was one line behind, as a crash leaves it.
    pub behind: bool,
    /// Whether a line or the head is keyed, with whatever key.
    sealed: bool,
}

impl Ledger {
    /// Reads and checks the ledger of an output folder; an empty one when there is none.
    ///
    /// # Errors
    /// The first thing that does not hold, with its line.
    pub fn open(output: &Path, key: Option<Key>) -> Result<Self> {
        let (path, head) = (output.join(LINES), output.join(HEAD));
        let _reading = remote::reading(output)?;
        let text = if path.exists() { read::text(&path)? } else { String::new() };
        let head: Option<Head> = match head.exists() {
            true => Some(
                serde_json::from_str(&read::text(&head)?)
                    .with_context(|| format!("{} is no head of a ledger", head.display()))?,
            ),
            false => None,
        };
        let mut ledger = Self { folder: output.to_owned(), text, key, lines: Vec::new(), behind: false, sealed: false };
        ledger.check(head).with_context(|| format!("the ledger {} does not hold", path.display()))?;
        Ok(ledger)
    }

    fn check(&mut self, head: Option<Head>) -> Result<()> {
        let mut last = NOTHING.to_owned();
        let mut hashes = vec![last.clone()];
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            bail!("its last line is cut off");
        }
        for (n, text) in (1_u64..).zip(self.text.lines()) {
            let line: Line = serde_json::from_str(text).with_context(|| format!("line {n} is no entry"))?;
            if line.previous != last {
                bail!("line {n} does not follow line {}: one of them was changed, removed or moved", n - 1);
            }
            if line.n != n {
                bail!("line {n} says it is line {}", line.n);
            }
            if !is_run_id(&line.entry.run) {
                bail!("line {n} tells of a run whose id is no name of a folder");
            }
            self.sealed |= split_mac(text).is_some();
            self.check_mac(text).with_context(|| format!("line {n} (run {})", line.entry.run))?;
            last = hash(text);
            hashes.push(last.clone());
            self.lines.push(line);
        }
        let count = self.lines.len() as u64;
        let Some(head) = head else {
            if count > 0 {
                bail!("{HEAD} is missing");
            }
            return Ok(());
        };
        self.sealed |= head.mac.is_some();
        if let Some(key) = &self.key {
            match &head.mac {
                Some(mac) if key.proves(&head_text(head.count, &head.last), mac) => {}
                Some(_) => bail!("{HEAD} was not written with this key"),
                None => bail!("{HEAD} was written without a key"),
            }
        }
        if head.count > count {
            bail!("it has {count} lines and had {}: the last were removed", head.count);
        }
        let at = usize::try_from(head.count)?;
        if hashes[at] != head.last {
            bail!(
                "line {at} is not the one that was added last: it was changed, or lines were removed and others added"
            );
        }
        if count > head.count + 1 {
            bail!("lines {} to {count} were added past the head", head.count + 1);
        }
        self.behind = count == head.count + 1;
        Ok(())
    }

    fn check_mac(&self, text: &str) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let Some((body, mac)) = split_mac(text) else { bail!("it was written without a key") };
        if key.proves(&body, mac) { Ok(()) } else { bail!("it was not written with this key, or changed since") }
    }

    /// Whether lines and head are keyed.
    #[must_use]
    pub const fn keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether lines can be added: a keyed ledger takes none without its key, which would be the end of it.
    ///
    /// # Errors
    /// When the key is missing.
    pub fn open_to_lines(&self) -> Result<()> {
        if self.sealed && self.key.is_none() {
            bail!(
                "the ledger {} is keyed and no key is given: name it in the pipeline file, [privacy] ledger_key",
                self.folder.join(LINES).display()
            );
        }
        Ok(())
    }

    /// The last line about a published table.
    #[must_use]
    pub fn current(&self, table: &str) -> Option<&Line> {
        self.lines.iter().rev().find(|l| l.entry.event == Event::Published && l.entry.table == table)
    }

    /// The line about how a run ended: published or refused.
    #[must_use]
    pub fn of_run(&self, run: &str) -> Option<&Line> {
        let ended = |l: &&Line| l.entry.run == run && matches!(l.entry.event, Event::Published | Event::Refused);
        self.lines.iter().rev().find(ended)
    }

    /// The last line about a run, whatever was released of it since.
    #[must_use]
    pub fn last_of(&self, run: &str) -> Option<&Line> {
        self.lines.iter().rev().find(|l| l.entry.run == run && l.entry.event != Event::Released)
    }

    /// What was announced and has come to no end.
    pub fn announced(&self) -> impl Iterator<Item = &Line> {
        let open =
            |l: &&Line| l.entry.event == Event::Announced && self.last_of(&l.entry.run).is_some_and(|o| o.n == l.n);
        self.lines.iter().filter(open)
    }

    /// Writes the ledger with one more line beside the ledger.
    ///
    /// # Errors
    /// When the disk is full, or the ledger's key is missing.
    pub fn prepare(&self, entry: Entry) -> Result<Addition> {
        self.open_to_lines()?;
        if self.behind {
            // Two lines past the head are no crash's.
            self.mend()?;
        }
        if self.lines.is_empty() {
            // From the first line on there is always a head: one that is missing was removed.
            self.addition("", 0, NOTHING)?.head.commit()?;
        }
        let previous = self.text.lines().last().map_or_else(|| NOTHING.to_owned(), hash);
        let n = self.lines.len() as u64 + 1;
        let mut line = serde_json::to_string(&Line { n, previous: previous.clone(), entry })?;
        if let Some(key) = &self.key {
            let mac = key.mac(&line);
            line.truncate(line.len() - 1);
            line.push_str(&format!(",\"mac\":\"{mac}\"}}"));
        }
        let mut addition = self.addition(&format!("{}{line}\n", self.text), n, &hash(&line))?;
        if let Some(mirror) = remote::of(&self.folder) {
            let (before, head) = (self.head(n - 1, &previous)?, self.head(n, &hash(&line))?);
            addition.remote = Some((mirror, Added { n, line, before, head }));
        }
        Ok(addition)
    }

    /// Writes the head that belongs to the lines, when a crash has left it behind.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn mend(&self) -> Result<()> {
        let last = self.text.lines().last().map_or_else(|| NOTHING.to_owned(), hash);
        let count = self.lines.len() as u64;
        self.addition(&self.text, count, &last)?.commit()?;
        remote::of(&self.folder).map_or(Ok(()), |mirror| mirror.head_to(count, &self.head(count, &last)?))
    }

    fn head(&self, count: u64, last: &str) -> Result<String> {
        let mac = self.key.as_ref().map(|k| k.mac(&head_text(count, last)));
        Ok(serde_json::to_string(&Head { count, last: last.to_owned(), mac })? + "\n")
    }

    fn addition(&self, text: &str, count: u64, last: &str) -> Result<Addition> {
        Ok(Addition {
            lines: Prepared::write(&self.folder.join(LINES), text.as_bytes())?,
            head: Prepared::write(&self.folder.join(HEAD), self.head(count, last)?.as_bytes())?,
            remote: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str) -> Entry {
        Entry {
            at: "2026-01-01T00:00:00Z".into(),
            event: Event::Published,
            run: run.into(),
            pipeline: "p".into(),
            as_of: jiff::civil::date(2025, 12, 31),
            known_by: "2026-01-01T00:00:00Z".into(),
            model: "m-1".into(),
            program: "sesame".into(),
            manifest: NOTHING.into(),
            scores: NOTHING.into(),
            plain: None,
            table: "scores".into(),
            replaces: None,
            begun: None,
            lineage: None,
            given: None,
            size: None,
            because: None,
            accepted: vec![Accepted { gate: "g".into(), found: "f".into(), because: "said \",\"mac\":\" so".into() }],
        }
    }

    fn key() -> Option<Key> {
        Some(Key::of([7; 32]))
    }

    fn of(runs: &[&str], key: Option<&Key>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for run in runs {
            Ledger::open(folder.path(), key.cloned()).unwrap().prepare(entry(run)).unwrap().commit().unwrap();
        }
        folder
    }

    fn broken(folder: &Path, key: Option<Key>) -> String {
        format!("{:#}", Ledger::open(folder, key).unwrap_err())
    }

    fn edit(folder: &Path, change: impl Fn(Vec<String>) -> Vec<String>) {
        let path = folder.join(LINES);
        let lines = fs_err::read_to_string(&path).unwrap().lines().map(ToOwned::to_owned).collect();
        fs_err::write(&path, change(lines).iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    }

    #[test]
    fn a_ledger_comes_back_as_it_was_written() {
        for key in [None, key()] {
            let folder = of(&["a", "b", "c"], key.as_ref());
            let ledger = Ledger::open(folder.path(), key).unwrap();
            let runs: Vec<&str> = ledger.lines.iter().map(|l| l.entry.run.as_str()).collect();
            assert_eq!((runs, ledger.behind), (vec!["a", "b", "c"], false));
            assert_eq!(ledger.current("scores").unwrap().entry, entry("c"));
        }
    }

    #[test]
    fn every_change_to_a_keyed_ledger_is_found_and_its_line_named() {
        type Change = fn(Vec<String>) -> Vec<String>;
        let changes: [(Change, &str); 6] = [
            (
                |mut l| {
                    l[1] = l[1].replace("2025-12-31", "2025-12-30");
                    l
                },
                "line 2 (run b)",
            ),
            (
                |mut l| {
                    l[2] = l[2].replace("2025-12-31", "2025-12-30");
                    l
                },
                "line 3 (run c)",
            ),
            (
                |mut l| {
                    l.swap(0, 1);
                    l
                },
                "line 1 does not follow",
            ),
            (
                |mut l| {
                    l.remove(1);
                    l
                },
                "line 2 does not follow",
            ),
            (
                |mut l| {
                    l.pop();
                    l
                },
                "it has 2 lines and had 3",
            ),
            (|_| Vec::new(), "it has 0 lines and had 3"),
        ];
        for (change, says) in changes {
            let folder = of(&["a", "b", "c"], key().as_ref());
            edit(folder.path(), change);
            assert!(broken(folder.path(), key()).contains(says), "{says}: {}", broken(folder.path(), key()));
        }
    }

    #[test]
    fn lines_put_in_place_of_removed_ones_are_found() {
        // Whoever has no key can write neither a line nor the head.
        let folder = of(&["a", "b", "c"], key().as_ref());
        edit(folder.path(), |mut l| {
            l.truncate(2);
            l
        });
        fs_err::remove_file(folder.path().join(HEAD)).unwrap();
        assert!(broken(folder.path(), key()).contains("is missing"));
        let forged = of(&["a", "b", "x"], None);
        for file in [LINES, HEAD] {
            fs_err::copy(forged.path().join(file), folder.path().join(file)).unwrap();
        }
        assert!(broken(folder.path(), key()).contains("line 1 (run a): it was written without a key"));
        // Cut off, and added to by a program that has the key but saw neither: the head it read does not fit.
        let folder = of(&["a", "b", "c"], key().as_ref());
        edit(folder.path(), |mut l| {
            l.truncate(1);
            l
        });
        assert!(Ledger::open(folder.path(), key()).is_err(), "nothing is added to a ledger that does not hold");
    }

    #[test]
    fn without_a_key_the_chain_and_the_head_still_find_what_they_can() {
        let folder = of(&["a", "b", "c"], None);
        edit(folder.path(), |mut l| {
            l[2] = l[2].replace("2025-12-31", "2025-12-30");
            l
        });
        assert!(broken(folder.path(), None).contains("line 3 is not the one that was added last"));
        assert!(broken(folder.path(), key()).contains("line 1 (run a): it was written without a key"));
    }

    #[test]
    fn a_head_that_a_crash_left_behind_is_mended() {
        let folder = of(&["a"], key().as_ref());
        let head = fs_err::read(folder.path().join(HEAD)).unwrap();
        Ledger::open(folder.path(), key()).unwrap().prepare(entry("b")).unwrap().commit().unwrap();
        fs_err::write(folder.path().join(HEAD), head).unwrap();
        let ledger = Ledger::open(folder.path(), key()).unwrap();
        assert!(ledger.behind);
        ledger.mend().unwrap();
        assert!(!Ledger::open(folder.path(), key()).unwrap().behind);
    }
}
