//! The stages of rows: of each file of a table those that were read, for runs of later dates, and the roster that they name subjects by.
//!
//! A run that has most of its files from a run before reads the others alone. Keeping rows costs a run something, so it is done for
//! tables of which it has seen a file before: who sees it twice will see it again. What the next run has no use for goes at once: rows of
//! files that are no more, rows that depend on something else, and with a new roster all of them. Like every stage they are known by
//! what they were made from and verified before they are used; unlike others they serve every date from their own on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use rayon::prelude::*;

use super::key::{Key, Kind};
use super::later;
use super::store::{Missing, NewStage, Stage, StageStore};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::kept::roster::Roster;
use crate::ingest::kept::{Counted, Keeping, OfFile};
use crate::ingest::read::export::{Export, OpenFile};
use crate::job::Job;
use crate::job::dependencies::{CUT_OFF, Dependencies, input_file, input_part};
use crate::output::Output;
use crate::storage::hashes::{self, Hash, part};

/// The ids of a roster.
const IDS: &str = "ids.parquet";
/// What a roster is made from, and what rows depend on of it.
const ROSTER: &str = "the roster";
const BUCKETS: &str = "the size of buckets";
/// What rows depend on beside their file and the pipeline.
const TOLD: &str = "sources and forms of ids";
/// Files of a table whose rows are written in one run, at most: each is open until all are read. The next run goes on.
const MOST_FILES: usize = 128;

/// Of which tables rows are kept.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Of all.
    All,
    /// Of those of which some file has one of these contents.
    Seen(BTreeSet<Hash>),
}

/// The rows that are kept in an output folder, for one job.
pub struct KeptRows<'a> {
    exports: &'a [Export],
    /// The content of their files, export by export.
    hashes: &'a [Vec<Hash>],
    /// What rows depend on beside their file, and the knowledge cut-off.
    parts: BTreeMap<String, Hash>,
    as_of: Date,
    store: &'a StageStore,
    log: &'a Output,
    wanted: Wanted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the roster is made from.
    roster: Option<Hash>,
    /// By table and position of the file.
    under_way: BTreeMap<(String, u32), NewStage>,
}

/// Forgets all rows that are kept.
///
/// # Errors
/// When a folder cannot be removed.
pub fn forget(store: &StageStore) -> Result<()> {
    let of_rows = |stage: &Stage| matches!(stage.label.key.kind, Kind::Rows(_) | Kind::Roster);
    store.all()?.iter().filter(|stage| of_rows(stage)).try_for_each(StageStore::remove)
}

/// Forgets the rows of files that some exports do not have any more.
///
/// # Errors
/// When a folder cannot be read or removed.
pub fn forget_others(exports: &[Export], hashes: &[Vec<Hash>], store: &StageStore) -> Result<()> {
    let mut there: BTreeMap<&str, BTreeSet<Hash>> = BTreeMap::new();
    for (export, hashes) in exports.iter().zip(hashes) {
        let files = export.files.iter().zip(hashes).map(|(file, hash)| input_file(export, file, hash));
        there.insert(&export.table.name, files.collect());
    }
    let is_other = |stage: &&Stage| match &stage.label.key.kind {
        Kind::Rows(table) => {
            let content = stage.label.key.parts.get(&input_part(table));
            !content.zip(there.get(table.as_str())).is_some_and(|(content, files)| files.contains(content))
        }
        _ => false,
    };
    store.all()?.iter().filter(is_other).try_for_each(StageStore::remove)
}

impl<'a> KeptRows<'a> {
    /// Those of a job, whose input files have some content.
    #[must_use]
    pub fn new(job: &'a Job, hashes: &'a [Vec<Hash>], store: &'a StageStore, log: &'a Output, wanted: Wanted) -> Self {
        let (exports, as_of) = (job.exports.as_slice(), job.snapshot.calendar.as_of());
        let parts = Dependencies::of(job, hashes).of_stage(&[]);
        Self { exports, hashes, parts, as_of, store, log, wanted, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of an export's files.
    fn content(&self, table: &str) -> &'a [Hash] {
        let at = self.exports.iter().position(|export| export.table.name == table);
        at.and_then(|at| self.hashes.get(at)).map_or(&[][..], Vec::as_slice)
    }

    /// Whether rows of a table are to be kept.
    fn wants(&self, table: &str) -> bool {
        match &self.wanted {
            Wanted::All => true,
            Wanted::Seen(seen) => self.content(table).iter().any(|hash| seen.contains(hash)),
        }
    }

    /// Keeps a roster in the place of all that there are.
    fn keep_roster(&self, roster: &Roster) -> Result<Hash> {
        forget(self.store)?;
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, format!("{:?} {}", roster.subjects.form, roster.shift).as_bytes());
        (0..roster.subjects.len()).for_each(|n| part(&mut hasher, roster.subjects.ids.get(n)));
        let hash = hasher.finalize().to_hex().to_string();
        let parts = [(ROSTER, hash.clone()), (BUCKETS, roster.shift.to_string())];
        let parts = parts.map(|(name, text)| (name.to_owned(), text)).into();
        let stage = self.store.begin(&Key { kind: Kind::Roster, as_of: self.as_of, parts })?;
        later::write(&stage.path(IDS), &roster.subjects)?;
        stage.keep(&BTreeMap::new())?;
        Ok(hash)
    }

    /// The keys that the files of an export would be kept under.
    fn keys(&self, export: &Export, told: &str, roster: &Hash) -> Vec<Key> {
        let kind = Kind::Rows(export.table.name.clone());
        let mut parts = self.parts.clone();
        parts.insert(TOLD.to_owned(), hashes::text(told));
        parts.insert(ROSTER.to_owned(), roster.clone());
        let key = |content: Hash| {
            let mut parts = parts.clone();
            parts.insert(input_part(&export.table.name), content);
            Key { kind: kind.clone(), as_of: self.as_of, parts }
        };
        let files = export.files.iter().zip(self.content(&export.table.name));
        files.map(|(file, hash)| key(input_file(export, file, hash))).collect()
    }

    /// Of some stages one that a date may use, with its files as they were made. A damaged one is told of and removed.
    fn usable(&self, key: &Key, path: &Path, there: &[&Stage]) -> Result<Option<Stage>> {
        for stage in there.iter().filter(|stage| serves(&stage.label.key, key)) {
            match self.store.verified(&stage.label.key)? {
                Ok(stage) => return Ok(Some(stage)),
                Err(why) => {
                    if why == Missing::Damaged {
                        let what = path.display();
                        self.log.warn(&format!("the rows that are kept of {what} are damaged; it is read again"));
                    }
                    StageStore::remove(stage)?;
                }
            }
        }
        Ok(None)
    }
}

/// Whether two keys are of the same rows, whatever the dates.
fn same(one: &Key, other: &Key) -> bool {
    one.kind == other.kind && timeless(one).eq(timeless(other))
}

/// The parts of a key that no date is.
fn timeless(key: &Key) -> impl Iterator<Item = (&String, &Hash)> {
    key.parts.iter().filter(|(name, _)| name.as_str() != CUT_OFF)
}

/// Whether rows of one key are those of another: the same, as an earlier date, or the same one, saw them.
fn serves(one: &Key, other: &Key) -> bool {
    let known_by = |key: &Key| key.parts.get(CUT_OFF).and_then(|text| text.parse::<Timestamp>().ok());
    let earlier = known_by(one).zip(known_by(other)).is_some_and(|(one, other)| one <= other);
    same(one, other) && one.as_of <= other.as_of && earlier
}

/// What was counted of the rows that a stage keeps of a file of so many rows.
fn counted(stage: &Stage, table: &str, rows: u64) -> Result<Counted> {
    let found = stage.findings()?;
    let tally = &found.get(table).context("a stage of rows without its counts")?.tally;
    let of = |class: Class| tally.get(0, class);
    let (settled, left_out, erased) = (of(Class::Used), of(Class::LeftOut), of(Class::Erased));
    let multiplied = tally.multiplied(0);
    let rest = (rows + multiplied).checked_sub(settled + left_out + erased);
    let rest = rest.context("a stage of more rows than its file has")?;
    Ok(Counted { settled, rest, left_out, multiplied, erased })
}

impl Keeping for KeptRows<'_> {
    fn roster(&self) -> Result<Option<Roster>> {
        for stage in self.store.of_kind(&Kind::Roster)? {
            let Ok(stage) = self.store.verified(&stage.label.key)? else {
                self.log.warn("the roster of rows that are kept is damaged; files are read again");
                continue;
            };
            let parts = &stage.label.key.parts;
            let shift = parts.get(BUCKETS).and_then(|text| text.parse::<u32>().ok());
            if let (Some(shift), Some(hash)) = (shift, parts.get(ROSTER)) {
                let subjects = later::read(&stage.path(IDS))?;
                self.state().roster = Some(hash.clone());
                return Ok(Some(Roster { subjects, shift }));
            }
        }
        Ok(None)
    }

    fn renew(&self, roster: &Roster) -> Result<bool> {
        self.state().roster = None;
        if !self.exports.iter().any(|export| export.table.has_records() && self.wants(&export.table.name)) {
            return Ok(false);
        }
        match self.keep_roster(roster) {
            Ok(hash) => {
                self.state().roster = Some(hash);
                Ok(true)
            }
            Err(error) => {
                self.log.warn(&format!("no rows are kept for other nights: {error:#}"));
                Ok(false)
            }
        }
    }

    fn files(&self, export: &Export, told: &str) -> Result<Vec<OfFile>> {
        let Some(roster) = self.state().roster.clone() else { return Ok(vec![OfFile::Read; export.files.len()]) };
        let (table, keys) = (&export.table.name, self.keys(export, told, &roster));
        let all = self.store.of_kind(&Kind::Rows(table.clone()))?;
        let (there, gone): (Vec<&Stage>, Vec<&Stage>) =
            all.iter().partition(|stage| keys.iter().any(|key| same(&stage.label.key, key)));
        gone.into_iter().try_for_each(StageStore::remove)?;
        // Files of one content have one stage, which is looked at once: a damaged one goes.
        let mut first: BTreeMap<&Key, &OpenFile> = BTreeMap::new();
        for (key, file) in keys.iter().zip(&export.files) {
            first.entry(key).or_insert(file);
        }
        let usable = first.into_par_iter().map(|(key, file)| {
            Ok(match self.usable(key, &file.file.path, &there)? {
                Some(stage) => (key, OfFile::Kept(stage.folder.clone(), counted(&stage, table, file.rows)?)),
                None => (key, OfFile::Read),
            })
        });
        let usable = usable.collect::<Result<BTreeMap<&Key, OfFile>>>()?;
        let mut found: Vec<OfFile> = keys
            .iter()
            .map(|key| usable.get(key).cloned().context("defect: a key of no file"))
            .collect::<Result<_>>()?;
        let kept = found.iter().filter(|file| matches!(file, OfFile::Kept(..))).count();
        let mut writes = 0;
        let mut begun: Vec<&Key> = Vec::new();
        let wanted = self.wants(table);
        for ((number, key), file) in (0_u32..).zip(&keys).zip(&mut found).filter(|_| wanted) {
            // Of a later date there is what serves more dates than this one would; two files of one content are kept once.
            let other = || there.iter().any(|stage| same(&stage.label.key, key) && stage.folder.exists());
            if matches!(file, OfFile::Kept(..)) || writes == MOST_FILES || begun.contains(&key) || other() {
                continue;
            }
            match self.store.begin(key) {
                Ok(stage) => {
                    *file = OfFile::Keep(stage.path(""));
                    self.state().under_way.insert((table.clone(), number), stage);
                    begun.push(key);
                    writes += 1;
                }
                Err(error) => self.log.warn(&format!("rows of {table} are not kept for other nights: {error:#}")),
            }
        }
        if kept > 0 || writes > 0 {
            self.log.line(&format!(
                "{table}: the rows of {kept} of {} file(s) are kept from before, and those of {writes} are kept from now on",
                export.files.len()
            ));
        }
        Ok(found)
    }

    fn keep(&self, table: &str, file: u32, counted: Counted) -> Result<PathBuf> {
        let stage = self.state().under_way.remove(&(table.to_owned(), file)).context("defect: rows of no stage")?;
        let mut found = Findings::default();
        found.tally.add(0, Class::Used, counted.settled);
        found.tally.add(0, Class::LeftOut, counted.left_out);
        found.tally.add(0, Class::Erased, counted.erased);
        found.tally.multiply(0, counted.multiplied);
        Ok(stage.keep(&BTreeMap::from([(table.to_owned(), found)]))?.folder)
    }

    fn give_up(&self, table: &str, file: u32, why: Option<&anyhow::Error>) {
        let stage = self.state().under_way.remove(&(table.to_owned(), file));
        // What cannot be removed now is swept when the folder is locked next.
        let _ = stage.map(NewStage::give_up);
        if let Some(why) = why {
            let export = self.exports.iter().find(|export| export.table.name == table);
            let of = export.and_then(|export| export.files.get(file as usize));
            let what = of.map_or_else(|| table.to_owned(), |of| of.file.path.display().to_string());
            self.log.warn(&format!("the rows of {what} are not kept for other nights: {why:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn key(as_of: i8, known_by: &str, parts: &[(&str, &str)]) -> Key {
        let mut all: BTreeMap<String, Hash> = parts.iter().map(|(n, h)| ((*n).to_owned(), (*h).to_owned())).collect();
        all.insert(CUT_OFF.to_owned(), known_by.to_owned());
        Key { kind: Kind::Rows("repayments".to_owned()), as_of: date(2025, 1, as_of), parts: all }
    }

    #[test]
    fn rows_serve_the_dates_from_their_own_on_and_nothing_else() {
        let of = |as_of, known_by: &str| key(as_of, known_by, &[("the contract", "a")]);
        let made = of(10, "2025-01-10T23:59:59Z");
        assert!(serves(&made, &made));
        assert!(serves(&made, &of(11, "2025-01-11T23:59:59Z")));
        // By another time of the day, which as text would come before.
        assert!(serves(&made, &of(11, "2025-01-11T01:00:00.5Z")));
        assert!(!serves(&made, &of(9, "2025-01-11T23:59:59Z")));
        assert!(!serves(&made, &of(11, "2025-01-10T23:59:58Z")));
        assert!(!serves(&made, &of(11, "no time")));
        assert!(!serves(&made, &key(11, "2025-01-11T23:59:59Z", &[("the contract", "b")])));
        assert!(!serves(&made, &key(11, "2025-01-11T23:59:59Z", &[])));
        assert!(same(&made, &of(9, "2024-01-11T23:59:59Z")));
        let other = Key { kind: Kind::Rows("purchases".to_owned()), ..made.clone() };
        assert!(!same(&made, &other) && !serves(&made, &other));
    }
}
