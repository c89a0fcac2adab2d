//! What an export holds no more since an earlier run: rows, files, columns, tables.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::inputs::Input;

/// How a table's files, rows and columns changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableChange {
    /// The table.
    pub table: String,
    /// Rows of its files then and now.
    pub rows: [u64; 2],
    /// Number of files then and now.
    pub files: [usize; 2],
    /// Folders, or files of a table without folders, that are gone with their rows; at most [`NAMED`].
    pub gone: Vec<String>,
    /// Files that are new; at most [`NAMED`].
    pub new: Vec<String>,
    /// The contract's columns that some file held then and none holds now.
    pub columns_gone: Vec<String>,
}

/// Names that are told.
const NAMED: usize = 5;

impl TableChange {
    /// The share of the earlier rows that there are fewer.
    #[must_use]
    pub fn lost(&self) -> f64 {
        let [then, now] = self.rows;
        if then == 0 { 0.0 } else { then.saturating_sub(now) as f64 / then as f64 }
    }

    /// What vanished as a whole, in words; nothing when nothing did.
    #[must_use]
    pub fn vanished(&self) -> Option<String> {
        let table = &self.table;
        if self.files[0] > 0 && self.files[1] == 0 {
            return Some(format!("the table {table} is gone"));
        }
        if !self.columns_gone.is_empty() {
            return Some(format!("no file of {table} holds {} any more", self.columns_gone.join(", ")));
        }
        (!self.gone.is_empty()).then(|| format!("{} of {table} is gone with its rows", self.gone.join(", ")))
    }

    /// Whether there is less of a table than there was for the same date: its rows may well stand in other folders, and a table
    /// that is no input any more was taken out of the pipeline file.
    #[must_use]
    pub fn is_less(&self) -> bool {
        self.files[1] > 0 && (self.rows[1] < self.rows[0] || !self.columns_gone.is_empty())
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rows[0] == self.rows[1] && self.gone.is_empty() && self.new.is_empty() && self.columns_gone.is_empty()
    }
}

/// What changed from one run's inputs to another's, by table.
#[must_use]
pub fn changes(then: &[Input], now: &[Input]) -> Vec<TableChange> {
    let tables: BTreeSet<&str> = then.iter().chain(now).map(|i| i.annotations.table.as_str()).collect();
    tables.into_iter().map(|table| change(table, &of(then, table), &of(now, table))).collect()
}

fn of<'a>(inputs: &'a [Input], table: &str) -> Vec<&'a Input> {
    inputs.iter().filter(|i| i.annotations.table == table).collect()
}

fn change(table: &str, then: &[&Input], now: &[&Input]) -> TableChange {
    let rows = |inputs: &[&Input]| inputs.iter().map(|i| i.annotations.rows).sum();
    let columns = |inputs: &[&Input]| -> BTreeSet<String> {
        inputs.iter().flat_map(|i| i.annotations.columns.iter().cloned()).collect()
    };
    let (before, after) = (by_folder(then), by_folder(now));
    // A folder whose files have other names and no fewer rows was written again; nothing of it is gone.
    let gone = before.iter().filter(|(folder, (names, rows))| {
        let (other, left) = after.get(*folder).cloned().unwrap_or_default();
        names.iter().any(|name| !other.contains(name)) && left < *rows
    });
    let label = |folder: &str, names: &BTreeSet<&str>| match folder {
        "" => names
            .iter()
            .find(|name| !after.get("").is_some_and(|(other, _)| other.contains(*name)))
            .map(|n| (*n).to_owned()),
        folder => Some(folder.to_owned()),
    };
    let gone = gone.filter_map(|(folder, (names, _))| label(folder, names)).take(NAMED).collect();
    let known: BTreeSet<&str> = then.iter().map(|i| i.name.as_str()).collect();
    let new = now.iter().map(|i| i.name.as_str()).filter(|name| !known.contains(name));
    let strip = |name: &str| name.split_once('/').map_or(name, |(_, label)| label).to_owned();
    TableChange {
        table: table.to_owned(),
        rows: [rows(then), rows(now)],
        files: [then.len(), now.len()],
        gone,
        new: new.take(NAMED).map(strip).collect(),
        columns_gone: columns(then).difference(&columns(now)).cloned().collect(),
    }
}

/// The names of files and the number of rows in each folder of a table.
fn by_folder<'a>(inputs: &[&'a Input]) -> BTreeMap<&'a str, (BTreeSet<&'a str>, u64)> {
    let mut folders: BTreeMap<&str, (BTreeSet<&str>, u64)> = BTreeMap::new();
    for input in inputs {
        let label = input.name.split_once('/').map_or(input.name.as_str(), |(_, label)| label);
        let (folder, name) = label.rsplit_once('/').unwrap_or(("", label));
        let (names, rows) = folders.entry(folder).or_default();
        names.insert(name);
        *rows += input.annotations.rows;
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::inputs::{Annotations, Identity};

    fn input(name: &str, rows: u64, columns: &[&str]) -> Input {
        let table = name.split('/').next().unwrap().to_owned();
        let columns = columns.iter().map(ToString::to_string).collect();
        Input {
            name: name.to_owned(),
            uri: name.into(),
            digest: Identity::default(),
            annotations: Annotations { table, rows, bytes: 1, checksums: None, columns, ignored_columns: Vec::new() },
        }
    }

    #[test]
    fn what_is_gone_is_named_and_what_was_written_again_is_not() {
        let then = [input("t/m=1/a", 10, &["x", "y"]), input("t/m=2/a", 20, &["x"]), input("u/one", 5, &["z"])];
        let same = changes(&then, &then);
        assert!(same.iter().all(|c| c.is_none() && c.vanished().is_none() && c.lost() == 0.0));
        let again = [input("t/m=1/b", 10, &["x", "y"]), input("t/m=2/a", 20, &["x"]), input("u/one", 5, &["z"])];
        assert!(changes(&then, &again).iter().all(|c| c.vanished().is_none()));
        let month = [input("t/m=2/a", 20, &["x"]), input("u/one", 5, &["z"])];
        let found = changes(&then, &month);
        assert_eq!(
            (found[0].gone.clone(), found[0].columns_gone.clone()),
            (vec!["m=1".to_owned()], vec!["y".to_owned()])
        );
        assert!((found[0].lost() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(changes(&then, &then[..2])[1].vanished().unwrap(), "the table u is gone");
        let flat = [input("u/one", 5, &["z"]), input("u/two", 5, &["z"])];
        assert_eq!(changes(&flat, &flat[..1])[0].gone, ["two"]);
    }
}
