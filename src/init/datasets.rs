//! Which files belong together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arrow::datatypes::Schema;

use super::facts::{Facts, facts};
use super::names::words;
use super::tree::{Disk, Listing, Tree};
use crate::ingest::read::files::advice;
use crate::ingest::read::peek::{Peek, peek};
use crate::storage::objects::{Place, is_url, lists};

/// How many rows are looked at.
const ROWS: usize = 10_000;

/// Files of one kind, and what their first rows tell.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The file or folder, or its URL.
    pub path: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Number of rows.
    pub rows: u64,
    /// Its columns.
    pub columns: Vec<Facts>,
    /// Columns that its path gives.
    pub partitions: Vec<String>,
}

impl Dataset {
    /// The words of the name of its file or folder.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        words(&self.path.file_stem().unwrap_or_default().to_string_lossy())
    }
}

/// What was found at some paths.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Files of one kind each.
    pub datasets: Vec<Dataset>,
    /// Files that are no Parquet, with what to do about them.
    pub others: Vec<String>,
}

/// Looks at files and folders, on a disk or in an object store.
///
/// # Errors
/// When one does not exist or cannot be read, or nothing is there.
pub fn find(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if let Some(url) = path.to_str().filter(|text| is_url(text)) {
            objects(url, &mut found)?;
            continue;
        }
        let path = path_clean::clean(std::path::absolute(path)?);
        match fs_err::metadata(&path)? {
            of if of.is_dir() => folder(&path, &Disk, &mut found)?,
            _ => file(&path, &mut found)?,
        }
    }
    if found.datasets.is_empty() && found.others.is_empty() {
        bail!("no Parquet file is there; --from takes files and folders of *.parquet");
    }
    Ok(found)
}

/// Adds what a URL names: an object, or those below it.
fn objects(url: &str, found: &mut Found) -> Result<()> {
    let place = Place::parse(url)?;
    let path = PathBuf::from(place.url());
    if place.seen()?.is_some_and(|seen| seen.tag.size > 0) {
        return file(&path, found);
    }
    if !lists(url) {
        bail!("{url} does not exist; of a web server name single files");
    }
    let listed = place.list()?;
    if listed.is_empty() {
        bail!("{url} does not exist: there is no such object, and none below it");
    }
    folder(&path, &Listing::of(&path, &listed), found)
}

/// Adds one file.
fn file(path: &Path, found: &mut Found) -> Result<()> {
    if is_parquet(path) {
        let peeked = peek(path, ROWS)?;
        found.datasets.push(dataset(path, &[(path.to_owned(), peeked)], Vec::new())?);
    } else if let Some(advice) = advice(path) {
        found.others.push(advice);
    }
    Ok(())
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet") || e.eq_ignore_ascii_case("pq"))
}

/// Adds what a folder holds: its files as one if they are of one kind, and its folders.
fn folder(path: &Path, tree: &dyn Tree, found: &mut Found) -> Result<()> {
    let mut entries = tree.entries(path)?;
    entries.sort();
    entries.retain(|p| !p.file_name().unwrap_or_default().to_string_lossy().starts_with(['.', '_']));
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|p| tree.is_folder(p));
    let keys: Vec<String> = folders.iter().filter_map(|f| partition(f)).collect();
    if !keys.is_empty() && keys.len() == folders.len() {
        return partitioned(path, tree, found);
    }
    let parquet: Vec<&PathBuf> = files.iter().filter(|f| is_parquet(f)).collect();
    let peeked = parquet.iter().map(|f| Ok(((*f).clone(), peek(f, ROWS)?))).collect::<Result<Vec<_>>>()?;
    let alike = peeked.windows(2).all(|pair| same(&pair[0].1.rows.schema(), &pair[1].1.rows.schema()));
    let named_parquet = files.iter().all(|f| f.extension().is_none_or(|e| !e.eq_ignore_ascii_case("pq")));
    if peeked.len() > 1 && alike && named_parquet {
        found.datasets.push(dataset(path, &peeked, Vec::new())?);
    } else {
        for (file, peeked) in peeked {
            found.datasets.push(dataset(&file.clone(), &[(file, peeked)], Vec::new())?);
        }
    }
    found.others.extend(files.iter().filter(|f| !is_parquet(f)).filter_map(|f| advice(f)));
    folders.iter().try_for_each(|below| folder(below, tree, found))
}

/// The column that a folder's name gives, as in `month=2025-10`.
fn partition(folder: &Path) -> Option<String> {
    folder.file_name()?.to_str()?.split_once('=').map(|(key, _)| key.to_owned())
}

/// Adds a folder of partitions as one.
fn partitioned(path: &Path, tree: &dyn Tree, found: &mut Found) -> Result<()> {
    let (mut below, mut files, mut keys) = (vec![path.to_owned()], Vec::new(), Vec::new());
    while let Some(folder) = below.pop() {
        for entry in tree.entries(&folder)? {
            if tree.is_folder(&entry) {
                keys.extend(partition(&entry));
                below.push(entry);
            } else if is_parquet(&entry) {
                files.push(entry);
            }
        }
    }
    files.sort();
    keys.sort();
    keys.dedup();
    let first = files.first().with_context(|| format!("{} holds no .parquet file", path.display()))?;
    let mut dataset = dataset(path, &[(first.clone(), peek(first, ROWS)?)], keys)?;
    dataset.files = files.len();
    dataset.rows = files.iter().map(|f| Ok(peek(f, 0)?.of)).sum::<Result<u64>>()?;
    found.datasets.push(dataset);
    Ok(())
}

fn same(one: &Schema, other: &Schema) -> bool {
    let kinds = |schema: &Schema| -> Vec<(String, String)> {
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().to_string())).collect()
    };
    kinds(one) == kinds(other)
}

fn dataset(path: &Path, files: &[(PathBuf, Peek)], partitions: Vec<String>) -> Result<Dataset> {
    let (_, first) = files.iter().max_by_key(|(_, p)| p.rows.num_rows()).context("a dataset has a file")?;
    Ok(Dataset {
        path: path.to_owned(),
        files: files.len(),
        rows: files.iter().map(|(_, p)| p.of).sum(),
        columns: facts(&first.rows)?,
        partitions,
    })
}
