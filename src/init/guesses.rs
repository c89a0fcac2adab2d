//! The words that tables and columns are told by, as `guesses.toml` beside this file lists them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::contract::Table;

/// How one column is told, and what stands for it where it is not found.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnWords {
    /// Other names of it.
    #[serde(default)]
    pub names: Vec<String>,
    /// SQL that stands for it where no column is it.
    pub without: Option<String>,
    /// Why that may stand.
    pub because: Option<String>,
}

/// How one table is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableWords {
    /// Whether a subject has one row, so that a file whose subjects repeat is another table.
    #[serde(default)]
    pub one_per_subject: bool,
    /// Whether only its path tells it.
    #[serde(default)]
    pub only_by_path: bool,
    /// Words in the name of its file or folder.
    #[serde(default)]
    pub words: Vec<String>,
    /// Its columns.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnWords>,
    /// By column of words: the contract's word and what others say for it.
    #[serde(default)]
    pub says: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// All of them, by table; `common` holds what any table may have.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Guesses(BTreeMap<String, TableWords>);

impl Guesses {
    /// The list that the program carries.
    ///
    /// # Errors
    /// When it is faulty: a defect of the build.
    pub fn load() -> Result<Self> {
        toml::from_str(include_str!("guesses.toml")).context("guesses.toml")
    }

    /// The words of a table; nothing for one that is never guessed.
    #[must_use]
    pub fn table(&self, table: &Table) -> Option<&TableWords> {
        self.0.get(&table.name)
    }

    /// The words of a column.
    #[must_use]
    pub fn column(&self, table: &Table, column: &str) -> Option<&ColumnWords> {
        let of = |name: &str| self.0.get(name).and_then(|t| t.columns.get(column));
        of(&table.name).or_else(|| of("common"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;

    #[test]
    fn every_guess_is_about_the_contract() {
        let (guesses, contract) = (Guesses::load().unwrap(), Contract::load().unwrap());
        for (name, words) in guesses.0.iter().filter(|(name, _)| *name != "common") {
            let table = contract.table(name).unwrap();
            for column in words.columns.keys() {
                assert!(table.position(column).is_some(), "{name}.{column}");
            }
            for (column, says) in &words.says {
                let column = &table.columns[table.require(column).unwrap()];
                assert!(says.keys().all(|word| column.values.contains(word)), "{name}.{}", column.name);
            }
        }
        for column in guesses.0["common"].columns.keys() {
            assert!(contract.tables.iter().any(|t| t.position(column).is_some()), "{column}");
        }
    }
}
