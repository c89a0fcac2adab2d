//! The records that hurt, so that a subject can dispute them.

use anyhow::{Context, Result};

use crate::runs::folder::RunFolder;
use crate::tables::evidence::{self, Record};
use crate::tables::find::{SubjectId, SubjectTable};

/// The adverse records of a subject, the latest first.
///
/// # Errors
/// When a table is damaged.
pub fn of(run: &RunFolder, subject: &SubjectId) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let folder = run.path("evidence");
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs_err::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();
    for path in files {
        let table = SubjectTable::open(&path)?;
        for rows in table.find(subject)? {
            let found = evidence::records(&table.read(rows, None)?).with_context(|| path.display().to_string())?;
            records.extend(found);
        }
    }
    records.sort_by(|a, b| b.cmp(a));
    Ok(records)
}
