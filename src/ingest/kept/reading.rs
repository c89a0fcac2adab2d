//! Reads a table of which rows are kept, and keeps those of its other files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::held::{Held, Place};
use super::keeper::{self, Keeper, With};
use super::nightly::{Nightly, Reading};
use super::roster::{Numbers, Roster, bytes};
use super::{Counted, OfFile, file, lost, rest};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::pass::{Beside, Pass};
use crate::ingest::read::batches::Batch;
use crate::ingest::read::export::Export;
use crate::ingest::rows::buckets::Buckets;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::Scan;
use crate::ingest::visibility::setting::Setting;
use crate::tables::ids::{IdForm, SubjectIds};

impl<'a> Pass<'a> {
    /// Lays kept rows beside the subjects; nothing where none are kept, which also holds for shards, for several dates, and when there is
    /// no room for the numbers.
    ///
    /// # Errors
    /// When kept rows cannot be read or written.
    pub(in crate::ingest) fn nightly(&self, spine: &Spine, buckets: Buckets) -> Result<Option<Nightly<'a>>> {
        let alone = self.snapshots.len() == 1 && self.shard.is_none() && self.shuffled.is_none();
        let Some(keeping) = self.keeping.filter(|_| alone && !spine.is_empty()) else { return Ok(None) };
        // Blocks of far larger buckets would be unpacked again for each of ours.
        let fits = |roster: &Roster| roster.shift <= buckets.shift() + 1;
        let found = keeping.roster()?.filter(fits).and_then(|roster| Numbers::of(&roster, spine).zip(Some(roster)));
        let needed = bytes(found.as_ref().map_or(spine.len(), |(_, roster)| roster.subjects.len()), spine.len());
        // For as long as the pass is under way: nobody gives it back. What there is is not forgotten for want of it.
        if !self.budget.take(needed) {
            return Ok(None);
        }
        let found = match found {
            Some((numbers, _)) => Some(numbers),
            None => {
                let subjects = SubjectIds { ids: spine.ids.clone(), form: spine.form };
                let roster = Roster { subjects, shift: buckets.shift() };
                if keeping.renew(&roster)? { Numbers::of(&roster, spine) } else { None }
            }
        };
        if found.is_none() {
            self.budget.give_back(needed);
        }
        Ok(found.map(|numbers| Nightly { keeping, numbers: Arc::new(numbers) }))
    }

    /// Reads a table's records: of files whose rows are kept those, and `usual` has the others. Rows that are kept are not in the store,
    /// but beside it.
    ///
    /// # Errors
    /// As those of a pass; when kept rows cannot be read.
    pub(in crate::ingest) fn read_nightly(
        &self,
        nightly: &Nightly,
        of: &Reading,
        usual: &(dyn Fn(&Scan, Batch) -> Result<()> + Sync),
    ) -> Result<(Vec<Findings>, Option<Held>)> {
        let (export, table) = (of.export, &of.export.table);
        let files = nightly.keeping.files(export, &told(export, of.setting))?;
        let mut held = Held::new(Arc::clone(&nightly.numbers));
        let (mut kept, mut keepers) = (BTreeMap::new(), BTreeMap::new());
        for (number, file) in (0_u32..).zip(files) {
            match file {
                OfFile::Kept(folder, counted) => {
                    let path = Place::Path(folder.join(super::ROWS));
                    held.add(number, path, &file::read_index(&folder)?)?;
                    kept.insert(number, (folder, counted));
                }
                OfFile::Keep(folder) => match Keeper::new(&folder, table) {
                    Ok(keeper) => drop(keepers.insert(number, (folder, keeper))),
                    Err(error) => nightly.keeping.give_up(&table.name, number, Some(&error)),
                },
                OfFile::Read => {}
            }
        }
        let record = table.position("record_id").filter(|_| export.record_form() != IdForm::Integer);
        let with = With { spine: of.spine, numbers: &nightly.numbers, record, store: of.store };
        let beside: &Beside = &|scan| {
            scan.note(lost::found(&held, table.require("subject_id")?)?)?;
            let rest_of = |(number, (folder, counted)): (&u32, &(PathBuf, Counted))| {
                self.resources.check()?;
                scan.note(keeper::beside(*number, *counted))?;
                rest::read(folder, table, *number, &mut |batch| usual(scan, batch))
            };
            kept.par_iter().try_for_each(rest_of)
        };
        let is_kept = |file: u32| kept.contains_key(&file);
        let found = self.scan_but(export, of.setting, Some(of.spine), (&is_kept, beside), &|scan, batch| {
            let rest = match keepers.get(&batch.file) {
                Some((_, keeper)) => keeper.add(scan, &batch, &with)?,
                None => Some(batch),
            };
            rest.map_or(Ok(()), |batch| usual(scan, batch))
        })?;
        let written: Vec<(u32, PathBuf, Keeper)> =
            keepers.into_iter().map(|(number, (folder, keeper))| (number, folder, keeper)).collect();
        let ends = written.into_par_iter().map(|(number, folder, keeper)| {
            let rows = export.files.get(number as usize).context("defect: no such file")?.rows;
            // Of the one date.
            let erased = found.first().map_or(0, |found| found.tally.get(number as usize, Class::Erased));
            let written = keeper.finish(&folder, rows, erased)?;
            let place = match written.counted {
                Some(counted) => nightly.keeping.keep(&table.name, number, counted).map(|kept| kept.join(super::ROWS)),
                None => Err(anyhow::anyhow!("nothing of it is kept")),
            };
            let place = match place {
                Ok(path) => Place::Path(path),
                Err(error) => {
                    let why = written.failed.as_ref().or(written.counted.map(|_| &error));
                    nightly.keeping.give_up(&table.name, number, why);
                    Place::Open(written.file)
                }
            };
            Ok((number, place, written.blocks))
        });
        for (number, place, blocks) in ends.collect::<Result<Vec<_>>>()? {
            held.add(number, place, &blocks)?;
        }
        Ok((found, (!held.is_empty()).then_some(held)))
    }
}

/// What the rows of a table depend on that its file, the contract and the pipeline do not tell: the reliability of sources, and how the
/// ids of records are written.
fn told(export: &Export, setting: &Setting) -> String {
    let mut reliability: Vec<(&i64, &i64)> = setting.reliability.iter().collect();
    reliability.sort_unstable();
    format!("{:?} {reliability:?}", export.record_form())
}
