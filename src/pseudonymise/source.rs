//! The exports to read: the inputs of a pipeline file, or a folder with a file or folder for each table of the contract.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::contract::Contract;
use crate::expression::did_you_mean;
use crate::ingest::read::export::Export;
use crate::ingest::read::open::open;
use crate::pipeline::settings::OutputMode;
use crate::pipeline::{Finding, Findings, Pipeline};

/// Exports that were opened and fit the contract.
pub(super) struct Source {
    pub exports: Vec<Export>,
    /// Who may read what is written.
    pub mode: OutputMode,
    /// What lies in the folder and is no table.
    pub left_out: Vec<PathBuf>,
}

impl Source {
    /// Opens what is at a path.
    ///
    /// # Errors
    /// All findings about the files at once; also when nothing is there.
    pub(super) fn open(from: &Path, contract: &Contract) -> Result<Self> {
        let (pipeline, left_out) = if from.is_dir() {
            of_folder(from, contract)?
        } else {
            let is_parquet = from.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
            ensure!(!is_parquet, "{}: name the folder it is in, or a pipeline file", from.display());
            (Pipeline::load(from, &[])?, Vec::new())
        };
        let mut findings = Findings(unknown(&pipeline, contract));
        let (exports, found) = open(&pipeline, contract)?;
        findings.0.extend(found);
        for export in &exports {
            for (file, key) in export.files.iter().filter_map(|f| Some((f, f.key_id()?))) {
                findings.0.push(Finding {
                    file: file.file.path.clone(),
                    line: 0,
                    message: format!(
                        "{}: its ids are pseudonyms already, under the key {key}; begin with the raw export",
                        export.table.name
                    ),
                });
            }
        }
        findings.or(())?;
        ensure!(!exports.is_empty(), "{} names no inputs", from.display());
        Ok(Self { exports, mode: pipeline.settings.output_mode, left_out })
    }

    /// Keeps these columns of `groups`, and no other.
    ///
    /// # Errors
    /// When there is no such column.
    pub(super) fn keep_groups(&mut self, wanted: &[String]) -> Result<()> {
        let Some(export) = self.exports.iter_mut().find(|e| e.table.name == "groups") else {
            ensure!(wanted.is_empty(), "--group: there is no table `groups` to keep a column of");
            return Ok(());
        };
        if let Some(name) = wanted.iter().find(|name| !export.extra.contains(name)) {
            let hint = did_you_mean(name, export.extra.iter().map(String::as_str));
            let given = export.extra.join(", ");
            bail!("--group {name}: `groups` has no such column in every file{hint}; it has {given}");
        }
        export.extra.retain(|name| wanted.contains(name));
        Ok(())
    }
}

/// Inputs of a pipeline file that the contract does not know, which would be left out without a word.
fn unknown(pipeline: &Pipeline, contract: &Contract) -> Vec<Finding> {
    let names: Vec<&str> = contract.tables.iter().map(|t| t.name.as_str()).collect();
    let unknown = pipeline.settings.inputs.keys().filter(|t| !names.contains(&t.as_str()));
    unknown
        .map(|table| {
            let hint = did_you_mean(table, names.iter().copied());
            pipeline.finding(table, format!("`inputs.{table}` is no table of the contract{hint}"))
        })
        .collect()
}

/// A pipeline whose inputs are the tables in a folder, `table.parquet` or `table/`, and what else lies there.
fn of_folder(folder: &Path, contract: &Contract) -> Result<(Pipeline, Vec<PathBuf>)> {
    let folder = path_clean::clean(std::path::absolute(folder)?);
    let mut entries = fs_err::read_dir(&folder)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let (mut inputs, mut left_out): (Vec<(&str, PathBuf)>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        let stem = if entry.is_dir() { Some(name.as_str()) } else { name.strip_suffix(".parquet") };
        let Some(table) = contract.tables.iter().map(|t| t.name.as_str()).find(|t| stem == Some(*t)) else {
            left_out.push(entry);
            continue;
        };
        if let Some((_, other)) = inputs.iter().find(|(of, _)| *of == table) {
            bail!("{} and {} are both the table {table}; take one of them out", other.display(), entry.display());
        }
        inputs.push((table, entry));
    }
    ensure!(
        !inputs.is_empty(),
        "{} holds no table of the contract, such as subjects.parquet or repayments/; `sesame init` writes a pipeline file for other names",
        folder.display()
    );
    let paths = inputs.iter().map(|(table, path)| {
        let path = path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))?;
        Ok(format!("{table} = {}", toml::Value::String(path.to_owned())))
    });
    let paths = paths.collect::<Result<Vec<_>>>()?.join(", ");
    // Only the inputs of it are read.
    let text = format!(
        "name = \"exports\"\nmodel = \"none\"\nas_of = \"yesterday\"\ncurrency = \"XXX\"\noutput = \"none\"\ninputs = {{ {paths} }}\n"
    );
    Ok((Pipeline::parse(&folder, text)?, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_by_the_names_of_tables() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("sales")).unwrap();
        for name in ["subjects.parquet", "clients.parquet", "_SUCCESS", "repayments.csv"] {
            fs_err::write(folder.path().join(name), b"").unwrap();
        }
        let (pipeline, left_out) = of_folder(folder.path(), &Contract::load().unwrap()).unwrap();
        let names: Vec<&String> = pipeline.settings.inputs.keys().collect();
        assert_eq!(names, ["sales", "subjects"]);
        assert!(pipeline.settings.inputs["subjects"].path.ends_with("/subjects.parquet"));
        let left: Vec<String> =
            left_out.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(left, ["clients.parquet", "repayments.csv"]);
        fs_err::create_dir(folder.path().join("subjects")).unwrap();
        let twice = of_folder(folder.path(), &Contract::load().unwrap()).unwrap_err().to_string();
        assert!(twice.contains("both the table subjects"), "{twice}");
    }

    #[test]
    fn a_folder_without_tables_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = of_folder(folder.path(), &Contract::load().unwrap()).unwrap_err().to_string();
        assert!(error.contains("holds no table"), "{error}");
    }
}
