//! Ids in stages. Stages go as a whole, whoever is in them; they are looked at only for ids that were met nowhere else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::search::OWNERS;
use super::wanted::{self, Wanted};
use crate::exit;
use crate::tables::{columns, read, without};

/// Which of some ids stand in a stage. What cannot be read holds nobody: it goes with the others.
///
/// # Errors
/// When a folder cannot be read, or the work is interrupted.
pub fn met(output: &Path, ids: &BTreeSet<String>, stop: &AtomicBool) -> Result<BTreeSet<String>> {
    let (sought, mut found) = (Wanted::of(ids), BTreeSet::new());
    for path in tables(&output.join("stages"))? {
        let Ok((names, _)) = without::outline(&path) else { continue };
        let owners: Vec<&str> = OWNERS.into_iter().filter(|owner| names.iter().any(|name| name == owner)).collect();
        if owners.is_empty() {
            continue;
        }
        let Ok(batches) = read::batches(&path, Some(&owners)) else { continue };
        for batch in batches {
            exit::check(stop)?;
            let Ok(batch) = batch else { break };
            for owner in &owners {
                let column = columns::named(&batch, owner)?;
                found.extend(wanted::met(column, &sought.rows(column)?)?);
            }
        }
    }
    Ok(found)
}

/// The tables below a folder; none when there is no folder.
fn tables(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                found.extend(tables(&entry.path())?);
            } else if kind.is_file() && entry.path().extension().is_some_and(|end| end == "parquet") {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::StringArray;
    use arrow::datatypes::{DataType, Field, Schema};

    use crate::tables::parquet_file::{ParquetFile, properties};

    #[test]
    fn ids_are_met_in_stages_and_what_is_damaged_holds_nobody() {
        let output = tempfile::tempdir().unwrap();
        let folder = output.path().join("stages/subjects/ab");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("damaged.parquet"), "PAR1").unwrap();
        for (name, column) in [("ids", "subject_id"), ("own", "kind")] {
            let schema = Schema::new(vec![Field::new(column, DataType::Utf8, true)]);
            let path = folder.join(format!("{name}.parquet"));
            let mut file = ParquetFile::create(&path, Arc::new(schema), properties().unwrap().build()).unwrap();
            file.write(vec![Arc::new(StringArray::from(vec![name, "a"]))]).unwrap();
            file.finish().unwrap();
        }
        let ids = BTreeSet::from(["a", "b", "own"].map(str::to_owned));
        assert_eq!(met(output.path(), &ids, &AtomicBool::new(false)).unwrap(), BTreeSet::from(["a".to_owned()]));
    }
}
