//! Which file of a table a row was in, by what another engine calls it: the label that it was planned with, its path, or a URL of it.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::percent_decode_str;

/// The files of a table by their names.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Their numbers by label and by path, as they are.
    names: BTreeMap<String, u32>,
    /// Their labels, and their paths without a scheme.
    files: Vec<(String, String)>,
    /// The folders, with a slash at the end, that paths are below and labels are told from.
    roots: Vec<String>,
}

impl Places {
    /// Those of some files in order: label and path.
    pub(super) fn of<'a>(files: impl Iterator<Item = (&'a str, &'a Path)>) -> Self {
        let mut places = Self::default();
        for ((label, path), number) in files.zip(0_u32..) {
            let path = path.to_string_lossy();
            places.names.insert(path.clone().into_owned(), number);
            places.names.insert(label.to_owned(), number);
            let bare = bare(&path);
            let root = bare.strip_suffix(label).filter(|root| root.len() > 1 && root.ends_with('/'));
            if let Some(root) = root.filter(|root| !places.roots.iter().any(|known| known == root)) {
                places.roots.push(root.to_owned());
            }
            places.files.push((label.to_owned(), bare));
        }
        places
    }

    /// The file of a name. One that could be two is none, and so is one in a folder of the table that was not planned with.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        if let Some(number) = self.names.get(name) {
            return Some(*number);
        }
        let bare = bare(name);
        let path = |of: &(String, String)| of.1 == bare;
        let ends_in_path = |of: &(String, String)| ends(&bare, &of.1);
        let ends_in_label = |of: &(String, String)| ends(&bare, &of.0);
        if let Some(number) = self.only(path).or_else(|| self.only(ends_in_path)) {
            return Some(number);
        }
        if self.roots.iter().any(|root| bare.starts_with(root.as_str())) {
            return None;
        }
        self.only(ends_in_label)
    }

    /// The one file of which something holds.
    fn only(&self, is: impl Fn(&(String, String)) -> bool) -> Option<u32> {
        let mut found = (0_u32..).zip(&self.files).filter(|(_, of)| is(of));
        let (number, _) = found.next()?;
        found.next().is_none().then_some(number)
    }
}

/// Whether a path ends in another one, folder by folder.
fn ends(path: &str, other: &str) -> bool {
    path.strip_suffix(other).is_some_and(|before| before.ends_with('/') || other.starts_with('/'))
}

/// A path, or a URL without its scheme and percent signs.
fn bare(name: &str) -> String {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (name.strip_prefix("file:"), name.split_once("://")) {
        (Some(path), _) => format!("/{}", decoded(path).trim_start_matches('/')),
        (None, Some((_, path))) => decoded(path),
        (None, None) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &str, labels: &[&str]) -> Places {
        let paths: Vec<String> = labels.iter().map(|label| format!("{root}{label}")).collect();
        Places::of(labels.iter().copied().zip(paths.iter().map(Path::new)))
    }

    #[test]
    fn a_file_is_found_by_its_label_or_by_its_path() {
        let bills = places("/exports/bills/", &["a.parquet", "month=2025-01/a.parquet", "month=2025-02/b.parquet"]);
        assert_eq!(bills.find("a.parquet"), Some(0));
        assert_eq!(bills.find("/exports/bills/month=2025-01/a.parquet"), Some(1));
        assert_eq!(bills.find("file:///exports/bills/month=2025-01/a.parquet"), Some(1));
        assert_eq!(bills.find("hdfs://host/exports/bills/month=2025-01/a.parquet"), Some(1));
        // Seen under another path, a label that is another's end has to be told as it is.
        assert_eq!(bills.find("/mnt/month=2025-02/b.parquet"), Some(2));
        assert_eq!(bills.find("/mnt/month=2025-01/a.parquet"), None);
        assert_eq!(bills.find("/exports/bills/ba.parquet"), None);
    }

    #[test]
    fn a_file_that_was_not_planned_is_taken_for_no_other() {
        let bills = places("/exports/bills/", &["a.parquet", "month=2025-01/a.parquet"]);
        assert_eq!(bills.find("/exports/bills/month=2025-03/a.parquet"), None);
        assert_eq!(bills.find("file:/exports/bills/month=2025-03/a.parquet"), None);
        let objects = places("s3://lake/bills/", &["a.parquet"]);
        assert_eq!(objects.find("s3a://lake/bills/a.parquet"), Some(0));
        assert_eq!(objects.find("s3a://lake/bills/month=2025-03/a.parquet"), None);
    }

    #[test]
    fn a_url_is_read_without_its_percent_signs() {
        let sales = places("/exports/", &["sub dir/b.parquet", "b.parquet", "50%25.parquet"]);
        assert_eq!(sales.find("file:///exports/sub%20dir/b.parquet"), Some(0));
        assert_eq!(sales.find("file:///exports/b.parquet"), Some(1));
        // A path is as it is.
        assert_eq!(sales.find("/exports/50%25.parquet"), Some(2));
        assert_eq!(sales.find("/exports/sub%20dir/b.parquet"), None);
    }
}
