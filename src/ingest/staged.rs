//! Tables that another engine read for a run: Delta, Iceberg, or whatever only it can read. It stages their rows as Parquet, divided into
//! shards, with the place of each row beside them, and says in `tables.json` which files they were in and what version stands for their
//! content. Planning, making shards and gathering read the staged rows; the tables themselves are not opened.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::numbers::Sums;
use super::read::export::Export;
use super::shuffled::{Original, OriginalFile, Shuffled};
use super::spine::shard::Shard;
use crate::contract::Contract;
use crate::pipeline::{Finding, Pipeline};
use crate::storage::hashes::{self, Hash};
use crate::storage::read;
use crate::storage::version::Version;

/// Its name in the folder.
pub const TABLES: &str = "tables.json";

/// Version of the shape.
const SCHEMA: u32 = 1;

/// What is staged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// Version of this shape.
    schema: u32,
    /// Number of shards.
    pub shards: u32,
    /// The tables, in any order.
    tables: Vec<StagedTable>,
    /// The folder with the rows of subjects, of whatever shard, that disputes name.
    #[serde(default)]
    disputed_subjects: Option<String>,
    /// Where it is.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The hash of what it says.
    #[serde(skip)]
    pub hash: Hash,
}

/// A table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StagedTable {
    /// Its name.
    table: String,
    /// The folder with its rows.
    rows: String,
    /// Whether they are divided: the rows of a shard K are in the folder `shard=K` below it.
    divided: bool,
    /// The files that its rows were in.
    files: Vec<StagedFile>,
}

/// A file as the engine read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StagedFile {
    /// What it is called in reports.
    label: String,
    /// What `_file` says of its rows.
    place: String,
    /// Rows.
    rows: u64,
    /// Size in bytes; 0 when it is not told.
    bytes: u64,
    /// What the numbers of its rows add up to, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numbers: Option<Sums>,
    /// What stands for its content: a kind and what tells it from others of the kind.
    version: String,
}

impl Staged {
    /// Reads what a folder says of itself.
    ///
    /// # Errors
    /// When it says nothing, or what cannot be.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(TABLES);
        let text = read::text(&path)?;
        let parse = || -> Result<Self> {
            let staged: Self = serde_json::from_str(&text)?;
            staged.check()?;
            Ok(staged)
        };
        let staged = parse().with_context(|| format!("{}", path.display()))?;
        Ok(Self { folder: std::path::absolute(folder)?, hash: hashes::text(&text), ..staged })
    }

    fn check(&self) -> Result<()> {
        ensure!(self.schema == SCHEMA, "it has schema {}, and this program reads {SCHEMA}", self.schema);
        Shard::new(0, self.shards)?;
        self.disputed_subjects.iter().try_for_each(|folder| below("disputed_subjects", folder))?;
        let mut names = BTreeSet::new();
        for table in &self.tables {
            let name = &table.table;
            ensure!(names.insert(name), "{name} stands twice");
            below("rows", &table.rows)?;
            ensure!(
                !table.files.is_empty(),
                "{name}: no file is told of; a table without rows is one file without rows"
            );
            let (mut labels, mut places) = (BTreeSet::new(), BTreeSet::new());
            for file in &table.files {
                ensure!(labels.insert(&file.label), "{name}: two files are called {}", file.label);
                ensure!(places.insert(&file.place), "{name}: {} stands twice", file.place);
                let kind = file.version.split_once(':').filter(|(kind, of)| !kind.is_empty() && !of.is_empty());
                ensure!(
                    kind.is_some(),
                    "{name}: {} has the version `{}`, which is no KIND:ID",
                    file.label,
                    file.version
                );
            }
        }
        Ok(())
    }

    fn table(&self, name: &str) -> Result<&StagedTable> {
        let found = self.tables.iter().find(|table| table.table == name);
        found.with_context(|| format!("{name} is not staged in {}", self.folder.display()))
    }

    /// What the numbers of the rows of a table's file add up to, where it is told.
    #[must_use]
    pub fn sums(&self, table: &str, label: &str) -> Option<Sums> {
        self.table(table).ok()?.files.iter().find(|file| file.label == label)?.numbers
    }

    /// Whether the rows of a table are divided into shards; else all of them are read by who needs them.
    ///
    /// # Errors
    /// When it is not staged.
    pub fn is_divided(&self, table: &str) -> Result<bool> {
        Ok(self.table(table)?.divided)
    }

    /// The folder with the rows of a table that a shard reads.
    ///
    /// # Errors
    /// When it is not staged.
    pub fn rows(&self, table: &str, shard: u32) -> Result<PathBuf> {
        let table = self.table(table)?;
        let folder = self.folder.join(&table.rows);
        Ok(if table.divided { folder.join(format!("shard={shard}")) } else { folder })
    }

    /// The folder with the rows of subjects that disputes name.
    #[must_use]
    pub fn disputed(&self) -> Option<PathBuf> {
        self.disputed_subjects.as_ref().map(|name| self.folder.join(name))
    }

    /// The exports as the engine found them, with the types that their staged rows have; and the rows of tables that are not divided.
    ///
    /// # Errors
    /// When rows are missing.
    pub fn open(&self, pipeline: &Pipeline, contract: &Contract) -> Result<(Shuffled, Vec<Export>, Vec<Finding>)> {
        let mut findings = self.differing(pipeline);
        let mut originals = Vec::with_capacity(self.tables.len());
        let known = |name: &str| self.tables.iter().find(|table| table.table == name);
        for table in contract.tables.iter().filter_map(|table| known(&table.name)) {
            let file = |file: &StagedFile| OriginalFile {
                label: file.label.clone(),
                path: PathBuf::from(&file.place),
                rows: file.rows,
                sums: file.numbers,
                version: Some(Version { text: file.version.clone(), bytes: file.bytes }),
            };
            originals.push(Original {
                table: table.table.clone(),
                // The rows of any shard have the types of all.
                rows: Some(self.rows(&table.table, 0)?),
                extra: None,
                files: table.files.iter().map(file).collect(),
            });
        }
        let (rows, exports, found) = Shuffled::open(&originals, None, pipeline, contract)?;
        findings.extend(found);
        Ok((rows, exports, findings))
    }

    /// Tables that are staged and not the pipeline's, or the other way round: a table that is not there changes what features mean.
    fn differing(&self, pipeline: &Pipeline) -> Vec<Finding> {
        let (inputs, folder) = (&pipeline.settings.inputs, self.folder.display());
        let mut found = Vec::new();
        for (name, input) in inputs {
            if self.table(name).is_err() {
                found.push(pipeline.finding(name, format!("inputs.{name} is not staged in {folder}")));
            } else if input.select.is_some() {
                let message = format!(
                    "inputs.{name} has a `select`, which another engine cannot run; have it give the contract's columns, and plan without"
                );
                found.push(pipeline.finding(name, message));
            }
        }
        for table in self.tables.iter().filter(|table| !inputs.contains_key(&table.table)) {
            let name = &table.table;
            found
                .push(pipeline.finding("inputs", format!("{name} is staged in {folder} and no input of the pipeline")));
        }
        found
    }
}

/// Checks that a folder is one of the staging folder's own.
fn below(what: &str, folder: &str) -> Result<()> {
    let mut parts = Path::new(folder).components();
    let only = (parts.next(), parts.next());
    ensure!(matches!(only, (Some(Component::Normal(_)), None)), "{what}: `{folder}` is no folder beside {TABLES}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Staged> {
        let folder = tempfile::tempdir()?;
        fs_err::write(folder.path().join(TABLES), text)?;
        Staged::read(folder.path())
    }

    fn of(files: &str) -> String {
        format!(
            r#"{{"schema": 1, "shards": 3, "tables": [
                {{"table": "subjects", "rows": "subjects-1", "divided": true, "files": [{files}]}},
                {{"table": "sources", "rows": "sources-1", "divided": false,
                  "files": [{{"label": "s", "place": "file:/s", "rows": 1, "bytes": 9, "version": "iceberg:7"}}]}}]}}"#
        )
    }

    const FILE: &str = r#"{"label": "a", "place": "file:/x/a", "rows": 1, "bytes": 9, "version": "delta:t@7"}"#;

    #[test]
    fn rows_of_a_divided_table_are_in_the_shards_folder() {
        let staged = told(&of(FILE)).unwrap();
        assert!(staged.rows("subjects", 2).unwrap().ends_with("subjects-1/shard=2"));
        assert!(staged.rows("sources", 2).unwrap().ends_with("sources-1"));
        assert!(staged.is_divided("subjects").unwrap() && !staged.is_divided("sources").unwrap());
        let numbers = "\"rows\": 1, \"numbers\": {\"sum\": 4, \"squares\": 16},";
        let summed = told(&of(&FILE.replace("\"rows\": 1,", numbers))).unwrap();
        assert_eq!(summed.sums("subjects", "a"), Some(Sums { sum: 4, squares: 16 }));
        assert_eq!((summed.sums("subjects", "b"), staged.sums("subjects", "a")), (None, None));
        assert!(staged.rows("repayments", 0).is_err() && staged.disputed().is_none());
        assert_ne!(staged.hash, told(&of(FILE).replace("t@7", "t@8")).unwrap().hash);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |text: &str| format!("{:#}", told(text).unwrap_err());
        assert!(error(&of("")).contains("no file is told of"));
        assert!(error(&of(&format!("{FILE}, {FILE}"))).contains("two files are called a"));
        assert!(error(&of(&FILE.replace("delta:t@7", "17"))).contains("KIND:ID"));
        assert!(error(&of(FILE).replace("\"shards\": 3", "\"shards\": 0")).contains("0 shards"));
        assert!(error(&of(FILE).replace("\"schema\": 1", "\"schema\": 2")).contains("schema 2"));
        assert!(error(&of(FILE).replace("sources\", \"rows", "subjects\", \"rows")).contains("stands twice"));
        for folder in ["/etc", "../other", "a/b", ""] {
            assert!(
                error(&of(FILE).replace("sources-1", folder)).contains("is no folder beside tables.json"),
                "{folder}"
            );
            let named = of(FILE).replacen("\"schema\"", &format!("\"disputed_subjects\": \"{folder}\", \"schema\""), 1);
            assert!(error(&named).contains("disputed_subjects"), "{folder}");
        }
    }
}
