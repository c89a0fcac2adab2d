//! Having exports pseudonymised: a new folder, put in its place at once when all of it is written.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};
use parquet::file::metadata::KeyValue;

use super::plan::{Planned, Treatment, dropped, plan};
use super::report::{Dropped, Pseudonymised, Report, TableReport};
use super::source::Source;
use super::table::Streaming;
use crate::contract::Contract;
use crate::exit::{self, stop_on_signals};
use crate::ingest::read::export::Export;
use crate::ingest::read::key_ids::{KEY_CHECK, KEY_ID, KeyId};
use crate::output::Output;
use crate::pipeline::{Finding, Findings};
use crate::runs::output_folder::{is_within, keep_private};
use crate::runs::step::step;
use crate::storage::durable::{self, create_folders, sync_folder};
use crate::storage::hashes;
use crate::storage::pseudonym::Pseudonyms;
use crate::storage::secret::Secret;

/// The domain in which a key makes its check.
const CHECK: &str = "sesame.key_check";
/// Letters of the check that a key is called by when it has no name.
const UNNAMED: usize = 16;
/// The longest name of a key.
const LONGEST: usize = 64;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// A pipeline file, or a folder of tables.
    pub from: &'a Path,
    /// The folder to write, which must not hold anything.
    pub to: &'a Path,
    /// Where the key is.
    pub key: &'a str,
    /// How the key is called.
    pub key_id: Option<&'a str>,
    /// Columns of `groups` to keep.
    pub groups: &'a [String],
}

impl Request<'_> {
    /// Writes the folder.
    ///
    /// # Errors
    /// When the folder holds something, the key cannot be read, the exports do not fit the contract or hold free text, or the work
    /// is interrupted; then nothing is written.
    pub fn write(&self, log: &Output) -> Result<Report> {
        let to = path_clean::clean(std::path::absolute(self.to)?);
        vacant(&to)?;
        let secret = Secret::read("--key", self.key, |path| PathBuf::from(path))?;
        let names = Pseudonyms::of(&secret);
        let key = key_id(self.key_id, &secret, &names)?;
        let contract = Contract::load()?;
        let mut source = Source::open(self.from, &contract)?;
        source.keep_groups(self.groups)?;
        let mut findings = Vec::new();
        let plans: Vec<_> = source.exports.iter().map(|export| plan(export, &contract, &mut findings)).collect();
        Findings(std::mem::take(&mut findings)).or(())?;
        keep_private(source.mode);
        let stop = stop_on_signals()?;
        let parent = durable::folder(&to);
        create_folders(parent)?;
        let inside = self.from.is_dir() && is_within(&to, self.from)?;
        ensure!(!inside, "{} lies in {}, which is read; name a folder elsewhere", to.display(), self.from.display());
        // As any other folder, but for what the process's mask takes away.
        let mode = Permissions::from_mode(0o777);
        let under_way = tempfile::Builder::new().prefix(".sesame-").permissions(mode).tempdir_in(parent)?;
        let work = Work { names: &names, key: &key, stop: &stop, log };
        let mut tables = Vec::with_capacity(plans.len());
        for (export, columns) in source.exports.iter().zip(plans) {
            tables.push(work.table(export, columns, under_way.path(), &mut findings)?);
        }
        Findings(findings).or(())?;
        sync_folder(under_way.path())?;
        step("pseudonyms written");
        exit::check(&stop)?;
        durable::put_folder(under_way, &to)?;
        step("pseudonyms in their place");
        Ok(Report { folder: to, key_id: key.name, key_check: key.check, tables, left_out: source.left_out })
    }
}

/// What every table needs.
struct Work<'a> {
    names: &'a Pseudonyms,
    key: &'a KeyId,
    stop: &'a AtomicBool,
    log: &'a Output,
}

impl Work<'_> {
    /// Writes a table's file to a folder.
    fn table(
        &self,
        export: &Export,
        columns: Vec<Planned>,
        folder: &Path,
        findings: &mut Vec<Finding>,
    ) -> Result<TableReport> {
        let table = &export.table.name;
        let (mut pseudonymised, mut kept) = (Vec::new(), Vec::new());
        for column in &columns {
            match &column.treatment {
                Treatment::Pseudonyms(domain) => {
                    pseudonymised.push(Pseudonymised { column: column.name.clone(), domain: domain.to_string() })
                }
                Treatment::Words(_) | Treatment::Kept => kept.push(column.name.clone()),
            }
        }
        let rows_read = export.files.iter().map(|f| f.rows).sum();
        let progress = self.log.stage(table, rows_read, "rows");
        let file = format!("{table}.parquet");
        let path = folder.join(&file);
        let facts = vec![
            KeyValue::new(KEY_ID.to_owned(), self.key.name.clone()),
            KeyValue::new(KEY_CHECK.to_owned(), self.key.check.clone()),
        ];
        let faulty = BTreeSet::new();
        let (names, stop) = (self.names, self.stop);
        let streaming = Streaming { export, names, columns, progress: &progress, stop, findings, faulty };
        let rows = streaming.write(&path, facts)?;
        progress.finish();
        Ok(TableReport {
            table: table.clone(),
            file,
            bytes: fs_err::metadata(&path)?.len(),
            blake3: hashes::file_until(&path, self.stop)?,
            rows,
            rows_read,
            pseudonymised,
            kept,
            dropped: dropped(export).into_iter().map(|(column, why)| Dropped { column, why }).collect(),
        })
    }
}

/// Refuses a place where something is.
fn vacant(to: &Path) -> Result<()> {
    match fs_err::symlink_metadata(to) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e.into()),
        Ok(of) if !of.is_dir() => bail!("{} is no folder; name one that is not there yet", to.display()),
        Ok(_) => {
            ensure!(fs_err::read_dir(to)?.next().is_none(), "{} is not empty; choose a new folder", to.display());
            Ok(())
        }
    }
}

/// What the key is called: as asked for, or by the beginning of its check.
fn key_id(name: Option<&str>, secret: &Secret, names: &Pseudonyms) -> Result<KeyId> {
    let check = names.name(CHECK, b"");
    let Some(name) = name else {
        return Ok(KeyId { name: check.chars().take(UNNAMED).collect(), check });
    };
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    // A name that is none may be a key in the wrong place, and is not repeated.
    ensure!(
        (1..=LONGEST).contains(&name.len()) && name.bytes().all(lawful),
        "--key-id: write 1 to {LONGEST} letters, digits, `-`, `_` and `.`"
    );
    let key = secret.bytes();
    ensure!(
        !name.as_bytes().windows(key.len().max(1)).any(|part| part == key),
        "--key-id holds the key itself, which would be written into every file; name it otherwise"
    );
    Ok(KeyId { name: name.to_owned(), check })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Secret::read("--key", &format!("file:{}", file.path().display()), |path| PathBuf::from(path)).unwrap()
    }

    #[test]
    fn a_key_is_called_as_asked_or_by_what_it_makes_of_nothing() {
        let (one, other) = (secret("0123456789abcdef"), secret("fedcba9876543210"));
        let of = |name: Option<&str>, secret: &Secret| key_id(name, secret, &Pseudonyms::of(secret));
        let unnamed = of(None, &one).unwrap();
        assert!(unnamed.name.len() == 16 && unnamed.check.starts_with(&unnamed.name));
        assert_ne!(unnamed, of(None, &other).unwrap());
        let named = of(Some("bank-2026.1"), &one).unwrap();
        assert_eq!((named.name.as_str(), &named.check), ("bank-2026.1", &unnamed.check));
        for wrong in ["", "a b", "a/b", &"x".repeat(65), "0123456789abcdef", "k-0123456789abcdef"] {
            let error = of(Some(wrong), &one).unwrap_err().to_string();
            assert!(error.contains("--key-id") && !error.contains("0123456789abcdef"), "{wrong}: {error}");
        }
    }

    #[test]
    fn only_a_place_where_nothing_is_will_do() {
        let folder = tempfile::tempdir().unwrap();
        vacant(&folder.path().join("new")).unwrap();
        vacant(folder.path()).unwrap();
        std::fs::write(folder.path().join("file"), b"x").unwrap();
        assert!(vacant(folder.path()).unwrap_err().to_string().contains("not empty"));
        assert!(vacant(&folder.path().join("file")).unwrap_err().to_string().contains("no folder"));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(vacant(&folder.path().join("link")).is_err());
    }
}
