//! Which input files carry some subjects, and in which rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::ingest::read::batches;
use crate::ingest::read::export::Export;
use crate::output::Output;
use crate::runs::erasure::Carrier;
use crate::runs::erasure::journal::Places;
use crate::runs::erasure::search::OWNERS;
use crate::runs::erasure::wanted::{Wanted, met};
use crate::runs::inputs::Memory;
use crate::runs::ledger::Key;

/// Exports that are looked at for rows of some subjects.
pub(super) struct Exports<'a> {
    /// They.
    pub(super) exports: &'a [Export],
    /// All that are erased.
    pub(super) all: &'a BTreeSet<String>,
    /// Those of them who were not erased before, whose rows were taken out of the books then.
    pub(super) fresh: &'a BTreeSet<String>,
    /// Set when a signal asks to stop.
    pub(super) stop: &'a AtomicBool,
    /// What is told how far it is.
    pub(super) log: &'a Output,
}

/// What exports hold of some subjects.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// The files that carry them.
    pub(super) carriers: Vec<Carrier>,
    /// Where.
    pub(super) places: BTreeMap<String, Places>,
    /// The ids that were met.
    pub(super) met: BTreeSet<String>,
}

/// What a file holds of them: the rows of all, those of the fresh, and their ids.
type OfFile = (BTreeSet<i64>, BTreeSet<i64>, BTreeSet<String>);

impl Exports<'_> {
    /// What they hold.
    ///
    /// # Errors
    /// When a file cannot be read, or the work is interrupted.
    pub(super) fn search(&self, output: &Path, key: Option<&Key>) -> Result<Carried> {
        let hashes = Memory::of(output, key).hashes(self.exports, self.log, self.stop)?;
        let (all, fresh) = (Wanted::of(self.all), Wanted::of(self.fresh));
        let mut carried = Carried::default();
        for (export, hashes) in self.exports.iter().zip(hashes) {
            let table = &export.table;
            let owners: Vec<usize> = OWNERS.iter().filter_map(|name| table.position(name)).collect();
            if owners.is_empty() {
                continue;
            }
            let progress = self.log.stage(
                &format!("look for them in {}", table.name),
                export.files.iter().map(|file| file.rows).sum(),
                "rows",
            );
            let found: Mutex<Vec<OfFile>> = Mutex::new(vec![OfFile::default(); export.files.len()]);
            batches::read(export, &|_, _| Ok(false), &progress, self.stop, &|batch| {
                let (mut held, mut new, mut ids) = OfFile::default();
                for at in &owners {
                    let Some(column) = batch.columns.get(*at).and_then(Option::as_ref) else { continue };
                    for (wanted, rows) in [(&all, &mut held), (&fresh, &mut new)] {
                        let found = wanted.rows(column)?;
                        rows.extend((0..batch.len).filter(|row| found[*row]).map(|row| batch.rows.get(row)));
                        ids.extend(met(column, &found)?);
                    }
                }
                if !held.is_empty() {
                    let mut found = found.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
                    let of_file = found.get_mut(batch.file as usize).context("defect: a batch of no file")?;
                    of_file.0.append(&mut held);
                    of_file.1.append(&mut new);
                    of_file.2.append(&mut ids);
                }
                Ok(())
            })?;
            progress.finish();
            let found = found.into_inner().map_err(|_| anyhow::anyhow!("another thread failed"))?;
            for ((file, hash), (held, new, mut ids)) in export.files.iter().zip(hashes).zip(found) {
                if held.is_empty() {
                    continue;
                }
                carried.met.append(&mut ids);
                let name = format!("{}/{}", table.name, file.file.label);
                let rows = new.len() as u64;
                let carrier = Carrier { table: table.name.clone(), name: name.clone(), hash: hash.clone(), rows };
                carried.carriers.push(carrier);
                carried.places.insert(name, Places { hash, rows: held });
            }
        }
        Ok(carried)
    }
}
