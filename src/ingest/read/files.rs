//! Which files an input names: a file, a folder (Hive-partitioned or not), or a pattern.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;

use crate::expression::did_you_mean;
use crate::storage::object::Found;

/// One Parquet file of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Where it is: a path, or the URL of an object.
    pub path: PathBuf,
    /// What it is called in reports: the path below the input's folder, or the file's name.
    pub label: String,
    /// Columns that the path gives: `month=2025-11/…`.
    pub partitions: BTreeMap<String, String>,
    /// The object that it is, as it was found; nothing for a file on a disk.
    pub object: Option<Found>,
}

/// The files on a disk of an input, in the order of their labels.
///
/// # Errors
/// When nothing is there, the pattern is malformed, something is no regular file, or one file is named twice.
pub fn resolve(input: &str, base: &Path) -> Result<Vec<ExportFile>> {
    if let Some((scheme, _)) = input.split_once("://") {
        bail!("`{scheme}://` addresses are not supported by this build; copy or mount the export and give its folder");
    }
    let path = base.join(input);
    let mut files = Vec::new();
    if path.is_dir() {
        walk(&path, &path, &mut Vec::new(), &mut files)?;
        if files.is_empty() {
            let others = fs_err::read_dir(&path)?.filter_map(|e| advice(&e.ok()?.path())).next();
            bail!("the folder {} holds no .parquet file{}", path.display(), hint(others));
        }
    } else if path.exists() {
        files.push(export_file(&path, path.parent().unwrap_or(&path))?);
    } else if input.contains(['*', '?', '[']) {
        let pattern = path.to_str().with_context(|| format!("the pattern {} is not UTF-8", path.display()))?;
        let root = fixed_part(&path);
        for found in glob::glob(pattern).with_context(|| format!("the pattern {pattern}"))? {
            let found = found?;
            let name = found.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(['.', '_']) {
                continue;
            }
            if found.is_dir() {
                walk(&found, &root, &mut Vec::new(), &mut files)?;
            } else {
                files.push(export_file(&found, &root)?);
            }
        }
        if files.is_empty() {
            bail!("the pattern {pattern} matches nothing");
        }
    } else {
        let parent = path.parent().and_then(|folder| fs_err::read_dir(folder).ok());
        let beside =
            parent.into_iter().flatten().filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()));
        let (beside, name): (Vec<String>, _) =
            (beside.collect(), path.file_name().unwrap_or_default().to_string_lossy());
        bail!("{} does not exist{}", path.display(), did_you_mean(&name, beside.iter().map(String::as_str)));
    }
    files.sort_by(|a, b| a.label.cmp(&b.label));
    files.dedup();
    each_once(&files)?;
    Ok(files)
}

/// What to do about a file that is no Parquet but may hold rows.
#[must_use]
pub fn advice(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let stem = name.split('.').next()?;
    let reader = match name.strip_suffix(".gz").unwrap_or(&name).rsplit('.').next()? {
        "csv" | "tsv" | "txt" | "asc" => format!("read_csv('{}')", path.display()),
        "json" | "jsonl" | "ndjson" => format!("read_json('{}')", path.display()),
        _ => return None,
    };
    let to = path.with_file_name(format!("{stem}.parquet"));
    Some(format!(
        "{} is no Parquet file; DuckDB makes one of it: duckdb -c \"COPY (FROM {reader}) TO '{}' (FORMAT parquet)\"",
        path.display(),
        to.display()
    ))
}

pub(super) fn hint(advice: Option<String>) -> String {
    advice.map_or_else(String::new, |advice| format!("; {advice}"))
}

/// What the system tells a file or folder by.
fn inode(path: &Path) -> Result<(u64, u64)> {
    let of = fs_err::metadata(path)?;
    Ok((of.dev(), of.ino()))
}

/// Refuses one file under two names, whose rows would count twice.
fn each_once(files: &[ExportFile]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for file in files {
        if let Some(other) = seen.insert(inode(&file.path)?, &file.path) {
            bail!(
                "{} and {} are one file under two names (links); its rows would count twice, take one of them out",
                other.display(),
                file.path.display()
            );
        }
    }
    Ok(())
}

/// Adds the Parquet files below a folder, leaving out hidden ones and those that begin with `_`. `above` holds the folders above it.
fn walk(folder: &Path, root: &Path, above: &mut Vec<(u64, u64)>, files: &mut Vec<ExportFile>) -> Result<()> {
    let own = inode(folder)?;
    if above.contains(&own) {
        bail!("{} is a symbolic link to a folder above it; take it out", folder.display());
    }
    above.push(own);
    let mut entries = fs_err::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "_delta_log" {
            bail!("{} is a Delta table: its log says which files count; export a snapshot", folder.display());
        }
        if name.starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() && name == "metadata" && holds_metadata(&path)? {
            bail!("{} is an Iceberg table: its metadata says which files count; export a snapshot", folder.display());
        }
        if path.is_dir() {
            walk(&path, root, above, files)?;
        } else if Path::new(name.as_ref()).extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
            files.push(export_file(&path, root)?);
        } else if name.contains(".parquet") || is_parquet(&path)? {
            bail!(
                "{} is not named *.parquet and would not be read; rename it, take it out, or give the input as a pattern",
                path.display()
            );
        }
    }
    above.pop();
    Ok(())
}

/// Whether a file begins as Parquet files do, whatever it is called.
fn is_parquet(path: &Path) -> Result<bool> {
    if !fs_err::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut first = [0; 4];
    let read = fs_err::File::open(path)?.into_parts().0.read_at(&mut first, 0)?;
    Ok([b"PAR1", b"PARE"].iter().any(|magic| first[..read] == **magic))
}

/// Whether a folder holds the metadata files of a table.
fn holds_metadata(folder: &Path) -> Result<bool> {
    for entry in fs_err::read_dir(folder)? {
        if entry?.file_name().to_string_lossy().ends_with(".metadata.json") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file with what its path says below the input's folder.
fn export_file(path: &Path, root: &Path) -> Result<ExportFile> {
    if path.to_str().is_none() {
        bail!("the path {} is not UTF-8, in which everything that names it is written; rename it", path.display());
    }
    // Opening a pipe or a device could wait for ever.
    if !fs_err::metadata(path)?.is_file() {
        bail!("{} is no regular file", path.display());
    }
    described(path, path.strip_prefix(root).unwrap_or(path), None)
}

/// A file or object with what its path says below the input's folder.
///
/// # Errors
/// When the path says two things of a column.
pub(super) fn described(path: &Path, below: &Path, object: Option<Found>) -> Result<ExportFile> {
    let mut partitions = BTreeMap::new();
    for folder in below.parent().into_iter().flat_map(Path::components) {
        let Some((key, value)) = folder.as_os_str().to_str().and_then(|name| name.split_once('=')) else { continue };
        let value = unescaped(value);
        if partitions.insert(key.to_owned(), value.clone()).is_some_and(|other| other != value) {
            bail!("the path of {} gives two values of {key}", path.display());
        }
    }
    let label = below.to_string_lossy().replace('\\', "/");
    Ok(ExportFile { path: path.to_owned(), label, partitions, object })
}

/// A partition's value without the percent signs that Hive puts for what a path cannot hold.
fn unescaped(value: &str) -> String {
    percent_decode_str(value).decode_utf8().map_or_else(|_| value.to_owned(), Cow::into_owned)
}

/// The folders of a pattern before its first wildcard.
fn fixed_part(pattern: &Path) -> PathBuf {
    let fixed: PathBuf =
        pattern.components().take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect();
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_its_partitions_and_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        let month = folder.path().join("month=2025-01");
        fs_err::create_dir_all(&month).unwrap();
        for name in ["b.parquet", "a.parquet", "_SUCCESS", ".c.parquet", "notes.txt"] {
            fs_err::write(month.join(name), b"").unwrap();
        }
        let files = resolve(folder.path().to_str().unwrap(), Path::new("/")).unwrap();
        let labels: Vec<&str> = files.iter().map(|f| f.label.as_str()).collect();
        assert_eq!(labels, ["month=2025-01/a.parquet", "month=2025-01/b.parquet"]);
        assert_eq!(files[0].partitions["month"], "2025-01");
        let pattern = format!("{}/month=*/b.parquet", folder.path().display());
        assert_eq!(resolve(&pattern, Path::new("/")).unwrap()[0].label, "month=2025-01/b.parquet");
    }

    #[test]
    fn a_partition_is_read_as_hive_writes_it_and_only_below_the_input() {
        assert_eq!(
            (unescaped("a%3Db%2f"), unescaped("50%"), unescaped("%zz")),
            ("a=b/".into(), "50%".into(), "%zz".into())
        );
        let folder = tempfile::tempdir().unwrap();
        let month = folder.path().join("currency=EUR/month=2025-01");
        fs_err::create_dir_all(&month).unwrap();
        fs_err::write(month.join("a.parquet"), b"").unwrap();
        let input = folder.path().join("currency=EUR");
        let files = resolve(input.to_str().unwrap(), Path::new("/")).unwrap();
        assert_eq!(files[0].partitions.keys().collect::<Vec<_>>(), ["month"]);
        let file = month.join("a.parquet");
        assert!(resolve(file.to_str().unwrap(), Path::new("/")).unwrap()[0].partitions.is_empty());
    }

    #[test]
    fn nothing_there_is_an_error_that_says_so() {
        let error = |input| resolve(input, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error("x.parquet").contains("/nowhere/x.parquet does not exist"));
        assert!(error("*.parquet").contains("matches nothing"));
        assert!(error("ftp://host/x").contains("not supported"));
    }
}
