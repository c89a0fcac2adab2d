//! What of an output folder holds some subjects, file by file, and what each file would be without them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;

use super::FOLDER;
use super::journal::{Order, Places};
use super::texts::InTexts;
use super::wanted::Wanted;
use crate::runs::folder::RunFolder;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::runs::ledger::place::SCORES;
use crate::storage::durable::is_under_way;
use crate::storage::encryption::KeyError;
use crate::storage::hashes::Hash;
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

/// Looks for subjects.
pub struct Search<'a> {
    output: &'a Path,
    order: &'a Order,
    wanted: Wanted,
    in_texts: InTexts,
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
    /// Looks for those of an order.
    #[must_use]
    pub fn new(output: &'a Path, order: &'a Order) -> Self {
        Self { output, order, wanted: Wanted::of(&order.ids), in_texts: InTexts::of(&order.ids) }
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
        let names = match without::outline(&self.output.join(path)) {
            Ok((names, _)) => names,
            // Told before, and left where that was allowed.
            Err(error) if error.is::<KeyError>() && parts[0] == "releases" => return Ok(Kind::None),
            Err(error) => return Err(error),
        };
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
            Kind::Text | Kind::Dispensable => {
                let text = fs_err::read(&full)?;
                count = self.in_texts.without(&text).map_or(0, |(_, count)| count);
                let is_text = count == 0 || std::str::from_utf8(&text).is_ok();
                ensure!(is_text, "{path} is neither a table nor a text, and holds an id; remove it first");
            }
            Kind::Places(table) => count = self.places(path, &table)?.len() as u64,
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
                    count += of(&self.gone(&kind, &batch.with_context(|| format!("{path} is damaged"))?)?);
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
                let (text, count) = self.in_texts.without(&old).context("defect: no id in a text")?;
                fs_err::write(to, text)?;
                fs_err::File::open(to)?.sync_all()?;
                count
            }
            Kind::Places(table) => {
                let places = self.places(path, &table)?;
                let going = |row: usize| places.binary_search(&row).is_ok();
                without::write(&full, to, &mut |first, batch| {
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

    /// Which rows of a batch go.
    fn gone(&self, kind: &Kind, batch: &RecordBatch) -> Result<Vec<bool>> {
        let Kind::Ids(names) = kind else {
            let names = words(batch, PSEUDONYM)?;
            return Ok(names.iter().map(|name| name.is_some_and(|n| self.order.pseudonyms.contains(n))).collect());
        };
        let mut gone = vec![false; batch.num_rows()];
        for name in names {
            let found = self.wanted.rows(named(batch, name)?)?;
            gone.iter_mut().zip(found).for_each(|(gone, found)| *gone |= found);
        }
        Ok(gone)
    }

    /// The places in a run's table of those who are looked for, which are those of another file that has a row for each of its rows.
    fn places(&self, path: &str, table: &str) -> Result<Vec<usize>> {
        let scores = self.output.join(table);
        if !scores.is_file() {
            return Ok(Vec::new());
        }
        let (mut places, mut first) = (Vec::new(), 0);
        for batch in read::batches(&scores, Some(&[SUBJECT_ID]))? {
            let batch = batch.with_context(|| format!("{table} is damaged"))?;
            let found = self.wanted.rows(named(&batch, SUBJECT_ID)?)?;
            places.extend(found.iter().enumerate().filter(|(_, found)| **found).map(|(row, _)| first + row));
            first += batch.num_rows();
        }
        if !places.is_empty() {
            let (_, rows) = without::outline(&self.output.join(path))?;
            ensure!(
                rows == first,
                "{path} has {rows} rows and {table} has {first}, so that nobody can tell whose they are; remove the run first"
            );
        }
        Ok(places)
    }

    /// The input files of a run's table whose rows are known, by their name in its quarantine.
    fn quarantined(&self, run: &str, table: &str) -> Result<BTreeMap<String, &'a Places>> {
        let folder = RunFolder::of(self.output, run);
        if !folder.path(MANIFEST).is_file() {
            return Ok(BTreeMap::new());
        }
        let manifest = Manifest::read(&folder)?;
        let of = |name: &str, hash: &Hash| self.order.places.get(name).filter(|places| places.hash == *hash);
        let known = manifest.inputs().iter().filter(|input| input.annotations.table == table).filter_map(|input| {
            let label = input.name.split_once('/').map_or(input.name.as_str(), |(_, label)| label);
            Some((label.to_owned(), of(&input.name, &input.digest.blake3)?))
        });
        Ok(known.collect())
    }

    /// Which rows of a quarantine go: those of the erased, and those whose file is named by an id.
    fn in_quarantine(&self, places: &BTreeMap<String, &Places>, batch: &RecordBatch) -> Result<Vec<bool>> {
        let (files, rows) = (words(batch, "file")?, longs(batch, "row")?);
        let mut gone = Vec::with_capacity(rows.len());
        let mut last: Option<(&str, bool)> = None;
        for (file, row) in files.iter().zip(rows) {
            let file = file.unwrap_or("");
            let named = match last {
                Some((same, named)) if same == file => named,
                _ => self.in_texts.stand_in(file.as_bytes()),
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

/// The files of an output folder that may hold subjects, in the order in which they are treated: a run's table after all that is told by
/// its places. Stages go as a whole, the ledger stays; what a crash left is swept by whoever opens the folder.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(output: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, below: &str, files: &mut Vec<String>) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = format!("{below}{file}");
            let kind = entry.file_type()?;
            let left = ["stages", FOLDER, ".lock", "ledger.ndjson", "ledger.head.json"].contains(&name.as_str());
            if kind.is_dir() && !left {
                walk(&entry.path(), &format!("{name}/"), files)?;
            } else if kind.is_file() && !left && !is_under_way(&file) && !file.ends_with(".incoming") {
                files.push(name);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    if output.is_dir() {
        walk(output, "", &mut files)?;
    }
    let last = |name: &String| name.ends_with(&format!("/{SCORES}"));
    files.sort_by(|a, b| (last(a), a).cmp(&(last(b), b)));
    Ok(files)
}
