//! Which files an input names, on a disk or in an object store. There a listing is a snapshot: each object by its name, tag and size.
//! Patterns, folders and partitions mean the same over it as on a disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use glob::{MatchOptions, Pattern};

use super::files::{ExportFile, advice, described, hint, resolve};
use crate::storage::object::Found;
use crate::storage::objects::{Listed, Place, Seen, is_url, lists, no_secret};

/// What a path holds that is a pattern.
const WILD: [char; 3] = ['*', '?', '['];

/// The files of an input, in the order of their labels: a file, a folder (Hive-partitioned or not), a pattern, or a URL of such.
///
/// # Errors
/// When nothing is there, the pattern is malformed, something is no regular file, one file is named twice, or a store cannot be asked.
pub fn find(input: &str, base: &Path) -> Result<Vec<ExportFile>> {
    if !is_url(input) {
        return resolve(input, base);
    }
    no_secret(input)?;
    let mut files = if lists(input) { listed(input)? } else { single(input)? };
    files.sort_by(|a, b| a.label.cmp(&b.label));
    Ok(files)
}

/// What a user names on the command line, where relative paths are relative to where the user is; a URL is what it is.
///
/// # Errors
/// When the current folder is not known.
pub fn from_here(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    match path.to_str().filter(|text| is_url(text)) {
        Some(url) => Ok(url.to_owned()),
        None => Ok(std::path::absolute(path)?.to_string_lossy().into_owned()),
    }
}

/// An absolute path; a URL is one.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    if path.to_str().is_some_and(is_url) {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The one object that a web address names.
fn single(url: &str) -> Result<Vec<ExportFile>> {
    let place = Place::parse(url)?;
    ensure!(
        !url.ends_with('/') && !url.contains(WILD),
        "{url}: a web server lists no objects, so a folder or a pattern cannot be read from it; name single files, or use the store's own \
address (s3://, gs://, az://)"
    );
    let seen = place.seen()?.with_context(|| format!("{url} does not exist"))?;
    Ok(vec![one(Found { place, seen })?])
}

/// An object that is an input by itself.
fn one(found: Found) -> Result<ExportFile> {
    let path = PathBuf::from(found.place.url());
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    described(&path, &name, Some(found))
}

/// The objects that an address of a store names.
fn listed(url: &str) -> Result<Vec<ExportFile>> {
    if url.contains(WILD) {
        return matching(url);
    }
    let place = Place::parse(url)?;
    if !url.ends_with('/')
        && let Some(seen) = place.seen()?
        && seen.tag.size > 0
    {
        return Ok(vec![one(Found { place, seen })?]);
    }
    let all = place.list()?;
    ensure!(!all.is_empty(), "{url} does not exist: there is no such object, and none below it");
    let mut files = Vec::new();
    for object in &all {
        files.extend(in_folder(object, "", &object.below, &all)?);
    }
    if files.is_empty() {
        let others = all.iter().filter(|o| visible(&o.below)).find_map(|o| advice(Path::new(o.place.url())));
        bail!("the folder {url} holds no .parquet file{}", hint(others));
    }
    Ok(files)
}

/// The objects that match a pattern, and those in folders that do.
fn matching(url: &str) -> Result<Vec<ExportFile>> {
    // The folders before the first wildcard.
    let wild = url.find(WILD).unwrap_or(url.len());
    let fixed = url.get(..wild).and_then(|before| before.rfind('/')).unwrap_or(wild);
    let (root, rest) = url.split_at(fixed);
    ensure!(!root.ends_with('/'), "{url}: the name of a bucket cannot be a pattern");
    let rest = rest.trim_start_matches('/').trim_end_matches('/');
    let pattern = Pattern::new(rest).with_context(|| format!("the pattern {url}"))?;
    // As in the patterns of paths, a wildcard stays within its folder.
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let all = Place::parse(root)?.list()?;
    let mut files = Vec::new();
    for object in &all {
        let below = &object.below;
        let folder = below.match_indices('/').map(|(at, _)| at).find(|at| {
            below.get(..*at).is_some_and(|folder| pattern.matches_with(folder, options) && visible(last(folder)))
        });
        if let Some(at) = folder {
            let (above, within) = below.split_at(at);
            files.extend(in_folder(object, above, within.trim_start_matches('/'), &all)?);
        } else if pattern.matches_with(below, options) && visible(last(below)) && !is_folder(object, &all) {
            files.push(file(object)?);
        }
    }
    ensure!(!files.is_empty(), "the pattern {url} matches nothing");
    Ok(files)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether no part of a path is hidden.
fn visible(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with(['.', '_']))
}

/// Whether an object is an empty one that stands for a folder.
fn is_folder(object: &Listed, all: &[Listed]) -> bool {
    let within = format!("{}/", object.below);
    object.tag.size == 0
        && (object.below.ends_with('/') || {
            let after = all.partition_point(|other| other.below < within);
            all.get(after).is_some_and(|next| next.below.starts_with(&within))
        })
}

/// An object of a listing that is read: its label is its path below the listed prefix.
fn file(object: &Listed) -> Result<ExportFile> {
    let mut seen = Seen { tag: object.tag.clone(), modified: object.modified };
    if !seen.vouched() {
        // Some listings leave out what the object itself tells.
        let url = object.place.url();
        seen = object.place.seen()?.with_context(|| format!("{url} was removed while the export was listed"))?;
    }
    let path = PathBuf::from(object.place.url());
    described(&path, Path::new(&object.below), Some(Found { place: object.place.clone(), seen }))
}

/// An object within a folder that is read as a whole, `within` of it: a Parquet file, or nothing that is read. `above` is the folder's own
/// path below the listed prefix.
fn in_folder(object: &Listed, above: &str, within: &str, all: &[Listed]) -> Result<Option<ExportFile>> {
    let folder = |parts: &str| {
        let url = object.place.url();
        let root = url.strip_suffix(within).unwrap_or(url);
        format!("{root}{parts}").trim_end_matches('/').to_owned()
    };
    let mut before = String::new();
    for part in within.split('/') {
        if part == "_delta_log" {
            bail!("{} is a Delta table: its log says which files count; export a snapshot", folder(&before));
        }
        if part.starts_with(['.', '_']) {
            return Ok(None);
        }
        if part == "metadata" && within.len() > before.len() + part.len() {
            let parts = [above, before.as_str(), part];
            let parts = parts.iter().filter(|p| !p.is_empty()).map(|p| p.trim_end_matches('/'));
            let path = parts.collect::<Vec<_>>().join("/") + "/";
            let of_table = |other: &&Listed| {
                other.below.strip_prefix(&path).is_some_and(|n| !n.contains('/') && n.ends_with(".metadata.json"))
            };
            let first = all.partition_point(|other| other.below < path);
            let mut inside = all.iter().skip(first).take_while(|other| other.below.starts_with(&path));
            if inside.any(|other| of_table(&other)) {
                bail!(
                    "{} is an Iceberg table: its metadata says which files count; export a snapshot",
                    folder(&before)
                );
            }
        }
        before.push_str(part);
        before.push('/');
    }
    let name = last(within);
    if Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
        return if is_folder(object, all) { Ok(None) } else { file(object).map(Some) };
    }
    if name.contains(".parquet") || is_parquet(object)? {
        bail!(
            "{} is not named *.parquet and would not be read; rename it, take it out, or give the input as a pattern",
            object.place.url()
        );
    }
    Ok(None)
}

/// Whether an object begins as Parquet files do, whatever it is called.
fn is_parquet(object: &Listed) -> Result<bool> {
    if object.tag.size < 4 {
        return Ok(false);
    }
    let seen = Seen { tag: object.tag.clone(), modified: object.modified };
    let first = object.place.parts(&seen, std::slice::from_ref(&(0..4)))?;
    Ok(first.first().is_some_and(|bytes| [b"PAR1", b"PARE"].iter().any(|magic| bytes[..] == magic[..])))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use object_store::memory::InMemory;

    use super::*;
    use crate::storage::objects::Condition;

    /// Lists objects of some names, as below an input's folder.
    fn folder(names: &[&str]) -> Result<Vec<String>> {
        let root = Place::of(Arc::new(InMemory::new()), "x", "s3://b/x");
        for name in names {
            let content = if name.contains("disguised") { "PAR1 and more" } else { "some" };
            root.join(name).put(Bytes::from_static(content.as_bytes()), Condition::Any)?;
        }
        let all = root.list()?;
        let mut files = Vec::new();
        for object in &all {
            files.extend(in_folder(object, "", &object.below, &all)?);
        }
        Ok(files.into_iter().map(|f| format!("{} {:?}", f.label, f.partitions)).collect())
    }

    #[test]
    fn a_folder_is_read_with_its_partitions_and_without_hidden_files() {
        let found = folder(&[
            "month=2025-01/b.parquet",
            "month=2025-01/a.PARQUET",
            "month=2025-01/_SUCCESS",
            ".tmp/c.parquet",
            "notes.txt",
            "currency=a%3Db/d.parquet",
        ]);
        assert_eq!(
            found.unwrap(),
            [
                "currency=a%3Db/d.parquet {\"currency\": \"a=b\"}",
                "month=2025-01/a.PARQUET {\"month\": \"2025-01\"}",
                "month=2025-01/b.parquet {\"month\": \"2025-01\"}"
            ]
        );
    }

    #[test]
    fn what_is_no_plain_folder_of_files_is_refused() {
        let error = |names: &[&str]| folder(names).unwrap_err().to_string();
        let delta = error(&["t/a.parquet", "t/_delta_log/0.json"]);
        assert!(delta.starts_with("s3://b/x/t is a Delta table"), "{delta}");
        let iceberg = error(&["data/a.parquet", "metadata/v1.metadata.json"]);
        assert!(iceberg.starts_with("s3://b/x is an Iceberg table"), "{iceberg}");
        assert_eq!(folder(&["metadata/a.parquet"]).unwrap().len(), 1);
        assert!(error(&["a.parquet.tmp"]).contains("is not named *.parquet"));
        assert!(error(&["disguised"]).contains("s3://b/x/disguised is not named *.parquet"));
    }

    #[test]
    fn the_web_and_buckets_are_no_patterns() {
        let error = |input: &str| format!("{:#}", find(input, Path::new("/")).unwrap_err());
        assert!(error("https://host/exports/").contains("lists no objects"));
        assert!(error("https://host/exports/*.parquet").contains("lists no objects"));
        assert!(error("s3://*/x").contains("cannot be a pattern"));
        assert!(error("ftp://host/x").contains("not supported"));
        assert_eq!(from_here("s3://b/x").unwrap(), "s3://b/x");
        assert_eq!(absolute(Path::new("s3://b/x")), PathBuf::from("s3://b/x"));
        assert_eq!(absolute(Path::new("/a/b")), PathBuf::from("/a/b"));
    }
}
