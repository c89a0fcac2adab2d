//! What of an output folder holds some subjects, file by file, and what each file would be without them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;

use super::journal::{Order, Places};
use super::texts::InTexts;
use super::wanted::{Wanted, met};
use crate::exit;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::runs::ledger::place::SCORES;
use crate::tables::columns::{longs, named, texts as words};
use crate::tables::scores::SUBJECT_ID;
use crate::tables::{read, without};

/// The column of what partners were given.
pub const PSEUDONYM: &str = "pseudonym";
/// The columns that say whose row it is.
pub const OWNERS: [&str; 3] = [SUBJECT_ID, "subject_a", "subject_b"];

/// How a file holds subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// In columns of ids.
    Ids(Vec<String>),
    /// By the place of its rows, which is that in a run's table.
    Places(String),
    /// By where the rows of an input stood, of a run and table.
    Quarantine(String, String),
    /// By pseudonyms.
    Pseudonyms,
    /// As words of a text.
    Text,
    /// A state that is not worth a change: without the file all begins anew.
    Dispensable,
    /// Not at all.
    None,
}

/// The rows of a run's table that are of those who are looked for, and how many it has.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    places: Vec<usize>,
    rows: usize,
}

/// Looks for subjects.
pub struct Search<'a> {
    output: &'a Path,
    order: &'a Order,
    stop: &'a AtomicBool,
    wanted: Wanted,
    in_texts: InTexts,
    /// By run's table, for all files that go by it: they are treated before it.
    found: RefCell<BTreeMap<String, Rc<Found>>>,
    met: RefCell<BTreeSet<String>>,
}

/// A file's new content.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    /// It was written; so many rows, or places in a text, are gone.
    Written(u64),
    /// The file goes as a whole.
    Removed,
}

impl<'a> Search<'a> {
    /// Looks for those of an order, until a signal asks to stop.
    #[must_use]
    pub fn new(output: &'a Path, order: &'a Order, stop: &'a AtomicBool) -> Self {
        Self {
            output,
            order,
            stop,
            wanted: Wanted::of(&order.ids),
            in_texts: InTexts::of(&order.ids),
            found: RefCell::default(),
            met: RefCell::default(),
        }
    }

    /// The ids that were met in tables and texts while they were counted.
    #[must_use]
    pub fn met(self) -> BTreeSet<String> {
        self.met.into_inner()
    }

    fn kind(&self, path: &str) -> Result<Kind> {
        let parts: Vec<&str> = path.split('/').collect();
        if !path.ends_with(".parquet") {
            return Ok(if parts[0] == "backfills" { Kind::Dispensable } else { Kind::Text });
        }
        if let ["runs", run, kind, file] = parts.as_slice() {
            match *kind {
                "features" => return Ok(Kind::Places(format!("runs/{run}/{SCORES}"))),
                "quarantine" => {
                    return Ok(Kind::Quarantine((*run).to_owned(), file.trim_end_matches(".parquet").to_owned()));
                }
                _ => {}
            }
        }
        let (names, _) = without::outline(&self.output.join(path))?;
        let owners: Vec<String> = names.iter().filter(|name| OWNERS.contains(&name.as_str())).cloned().collect();
        Ok(match owners.is_empty() {
            false => Kind::Ids(owners),
            true if names.iter().any(|name| name == PSEUDONYM) => Kind::Pseudonyms,
            true => Kind::None,
        })
    }

    /// How many rows of a file, or places in a text, are of those who are looked for.
    ///
    /// # Errors
    /// When a table is damaged, or does not fit the table of its run.
    pub fn count(&self, path: &str) -> Result<u64> {
        let full = self.output.join(path);
        let mut count = 0;
        match self.kind(path)? {
            Kind::None => {}
            Kind::Text => {
                if let Some(new) = self.in_texts.without(path, &fs_err::read(&full)?)? {
                    count = new.places;
                    self.met.borrow_mut().extend(new.met);
                }
            }
            Kind::Dispensable => {
                let met = self.in_texts.met(&fs_err::read(&full)?);
                count = met.len() as u64;
                self.met.borrow_mut().extend(met);
            }
            Kind::Places(table) => count = self.places(path, &table)?.places.len() as u64,
            Kind::Quarantine(run, table) => {
                let places = self.quarantined(&run, &table)?;
                for batch in read::batches(&full, Some(&["file", "row"]))? {
                    let batch = batch.with_context(|| format!("{path} is damaged"))?;
                    count += of(&self.in_quarantine(&places, &batch)?);
                }
            }
            kind @ (Kind::Ids(_) | Kind::Pseudonyms) => {
                let names = match &kind {
                    Kind::Ids(names) => names.iter().map(String::as_str).collect(),
                    _ => vec![PSEUDONYM],
                };
                for batch in read::batches(&full, Some(&names))? {
                    let batch = batch.with_context(|| format!("{path} is damaged"))?;
                    count += of(&self.gone(&kind, &batch)?);
                }
            }
        }
        Ok(count)
    }

    /// Makes a file's content without those who are looked for, in another place, durably.
    ///
    /// # Errors
    /// As [`Self::count`], and when the disk is full.
    pub fn make(&self, path: &str, to: &Path) -> Result<Made> {
        let full = self.output.join(path);
        let rows = match self.kind(path)? {
            Kind::None => bail!("defect: {path} holds nobody"),
            Kind::Dispensable => return Ok(Made::Removed),
            Kind::Text => {
                let old = fs_err::read(&full)?;
                let new = self.in_texts.without(path, &old)?.context("defect: no id in a text")?;
                fs_err::write(to, new.text)?;
                fs_err::File::open(to)?.sync_all()?;
                new.places
            }
            Kind::Places(table) => {
                let found = self.places(path, &table)?;
                let going = |row: usize| found.places.binary_search(&row).is_ok();
                without::write(&full, to, &mut |first, batch| {
                    exit::check(self.stop)?;
                    Ok((first..first + batch.num_rows()).map(going).collect())
                })?
            }
            Kind::Quarantine(run, table) => {
                let places = self.quarantined(&run, &table)?;
                without::write(&full, to, &mut |_, batch| self.in_quarantine(&places, batch))?
            }
            kind @ (Kind::Ids(_) | Kind::Pseudonyms) => {
                without::write(&full, to, &mut |_, batch| self.gone(&kind, batch))?
            }
        };
        Ok(Made::Written(rows))
    }

    /// Whether two files that had the same content have the same without those who are looked for, so that one may be the other by a second
    /// name: their rows alone say whose they are, or the same rows of the runs' tables or inputs do.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn are_alike(&self, path: &str, other: &str) -> Result<bool> {
        Ok(match (self.kind(path)?, self.kind(other)?) {
            (Kind::Ids(_), Kind::Ids(_)) => true,
            (Kind::Places(one), Kind::Places(other)) => self.found_in(&one)? == self.found_in(&other)?,
            (Kind::Quarantine(run, table), Kind::Quarantine(other, its)) => {
                self.quarantined(&run, &table)? == self.quarantined(&other, &its)?
            }
            _ => false,
        })
    }

    /// Which rows of a batch go.
    fn gone(&self, kind: &Kind, batch: &RecordBatch) -> Result<Vec<bool>> {
        exit::check(self.stop)?;
        let Kind::Ids(names) = kind else {
            let names = words(batch, PSEUDONYM)?;
            return Ok(names.iter().map(|name| name.is_some_and(|n| self.order.pseudonyms.contains(n))).collect());
        };
        let mut gone = vec![false; batch.num_rows()];
        for name in names {
            let column = named(batch, name)?;
            let found = self.wanted.rows(column)?;
            self.met.borrow_mut().extend(met(column, &found)?);
            gone.iter_mut().zip(found).for_each(|(gone, found)| *gone |= found);
        }
        Ok(gone)
    }

    /// The places in a run's table of those who are looked for, which are those of another file that has a row for each of its rows.
    fn places(&self, path: &str, table: &str) -> Result<Rc<Found>> {
        ensure!(
            self.output.join(table).is_file(),
            "{path} is there and {table} is not, so that nobody can tell whose its rows are; remove the run first (one that is under way \
             ends by itself)"
        );
        let found = self.found_in(table)?;
        if !found.places.is_empty() {
            let ((_, rows), first) = (without::outline(&self.output.join(path))?, found.rows);
            ensure!(
                rows == first,
                "{path} has {rows} rows and {table} has {first}, so that nobody can tell whose they are; remove the run first"
            );
        }
        Ok(found)
    }

    /// Those who are looked for in a run's table.
    fn found_in(&self, table: &str) -> Result<Rc<Found>> {
        if let Some(found) = self.found.borrow().get(table) {
            return Ok(Rc::clone(found));
        }
        let (mut places, mut rows) = (Vec::new(), 0);
        for batch in read::batches(&self.output.join(table), Some(&[SUBJECT_ID]))? {
            exit::check(self.stop)?;
            let batch = batch.with_context(|| format!("{table} is damaged"))?;
            let found = self.wanted.rows(named(&batch, SUBJECT_ID)?)?;
            places.extend(found.iter().enumerate().filter(|(_, found)| **found).map(|(row, _)| rows + row));
            rows += batch.num_rows();
        }
        let found = Rc::new(Found { places, rows });
        self.found.borrow_mut().insert(table.to_owned(), Rc::clone(&found));
        Ok(found)
    }

    /// The input files of a run's table whose rows are known, by their name in its quarantine.
    fn quarantined(&self, run: &str, table: &str) -> Result<BTreeMap<String, &'a Places>> {
        let folder = RunFolder::of(self.output, run);
        if !folder.path(MANIFEST).is_file() {
            return Ok(BTreeMap::new());
        }
        let manifest = Manifest::read(&folder)?;
        let of = |name: &str, hash: &str| self.order.places.get(name).filter(|places| places.hash == hash);
        let known = manifest.inputs().iter().filter(|input| input.annotations.table == table).filter_map(|input| {
            let label = input.name.split_once('/').map_or(input.name.as_str(), |(_, label)| label);
            Some((label.to_owned(), of(&input.name, input.digest.text())?))
        });
        Ok(known.collect())
    }

    /// Which rows of a quarantine go: those of the erased, and those whose file is named by an id.
    fn in_quarantine(&self, places: &BTreeMap<String, &Places>, batch: &RecordBatch) -> Result<Vec<bool>> {
        exit::check(self.stop)?;
        let (files, rows) = (words(batch, "file")?, longs(batch, "row")?);
        let mut gone = Vec::with_capacity(rows.len());
        let mut last: Option<(&str, bool)> = None;
        for (file, row) in files.iter().zip(rows) {
            let file = file.unwrap_or("");
            let named = match last {
                Some((same, named)) if same == file => named,
                _ => self.in_texts.stand_in(file),
            };
            last = Some((file, named));
            gone.push(named || places.get(file).is_some_and(|places| places.rows.contains(&row)));
        }
        Ok(gone)
    }
}

fn of(gone: &[bool]) -> u64 {
    gone.iter().filter(|gone| **gone).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use crate::tables::parquet_file::{ParquetFile, properties};

    fn write(path: &Path, name: &str, column: ArrayRef) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let schema = Schema::new(vec![Field::new(name, column.data_type().clone(), true)]);
        let mut file = ParquetFile::create(path, Arc::new(schema), properties().unwrap().build()).unwrap();
        file.write(vec![column]).unwrap();
        file.finish().unwrap();
    }

    fn order(ids: &[&str]) -> Order {
        let receipt = serde_json::from_value(serde_json::json!({
            "schema": 1, "erasure": 1, "begun": "", "ended": "", "pipeline": "p", "program": "s", "ids": 1, "hashes": [],
            "guard": "", "stages": 0, "files": [], "inputs": [], "inputs_not_searched": null, "notified": [],
            "releases_not_searched": [], "ledger_lines": 0,
        }));
        Order {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            pseudonyms: BTreeSet::new(),
            places: BTreeMap::new(),
            receipt: receipt.unwrap(),
        }
    }

    fn scores(output: &Path, run: &str, ids: &[&str]) {
        write(&output.join(format!("runs/{run}/{SCORES}")), SUBJECT_ID, Arc::new(StringArray::from(ids.to_vec())));
    }

    fn features(output: &Path, run: &str, values: &[i64]) {
        write(
            &output.join(format!("runs/{run}/features/wealth.parquet")),
            "x",
            Arc::new(Int64Array::from(values.to_vec())),
        );
    }

    #[test]
    fn features_are_those_of_the_rows_of_their_runs_table() {
        let (output, never, order) = (tempfile::tempdir().unwrap(), AtomicBool::new(false), order(&["b", "nobody"]));
        let of = |run: &str| format!("runs/{run}/features/wealth.parquet");
        for (run, ids) in [("one", ["a", "b", "c"]), ("two", ["a", "b", "d"]), ("other", ["b", "c", "d"])] {
            scores(output.path(), run, &ids);
            features(output.path(), run, &[1, 2, 3]);
        }
        let search = Search::new(output.path(), &order, &never);
        assert_eq!((search.count(&of("one")).unwrap(), search.count(&of("other")).unwrap()), (1, 1));
        // Equal files are equal without somebody where the same row goes.
        assert!(
            search.are_alike(&of("one"), &of("two")).unwrap() && !search.are_alike(&of("one"), &of("other")).unwrap()
        );
        assert!(search.are_alike("runs/one/scores.parquet", "runs/two/scores.parquet").unwrap());
        assert!(!search.are_alike("runs/one/scores.parquet", &of("one")).unwrap());
        let next = output.path().join("next");
        assert_eq!(search.make(&of("other"), &next).unwrap(), Made::Written(1));
        let left = read::all(&next, None).unwrap();
        assert_eq!(longs(&left, "x").unwrap(), [2, 3]);
        assert_eq!(search.count("runs/one/scores.parquet").unwrap(), 1);
        assert_eq!(search.met(), BTreeSet::from(["b".to_owned()]));
    }

    #[test]
    fn whose_rows_nobody_can_tell_are_not_taken_for_those_of_nobody() {
        let (output, never, order) = (tempfile::tempdir().unwrap(), AtomicBool::new(false), order(&["a"]));
        features(output.path(), "alone", &[1]);
        let path = "runs/alone/features/wealth.parquet";
        let count = || Search::new(output.path(), &order, &never).count(path).map_err(|error| format!("{error:#}"));
        assert!(count().unwrap_err().contains("whose its rows are"));
        scores(output.path(), "alone", &["a", "b"]);
        assert!(count().unwrap_err().contains("has 1 rows and runs/alone/scores.parquet has 2"));
        never.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(count().unwrap_err().contains("interrupted"));
    }
}
