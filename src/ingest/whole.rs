//! The small tables that go whole to every shard: sources, and disputes, which need not say whose record they are about. The first shard
//! counts their rows.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};

use super::check::findings::Findings;
use super::pass::{ByDate, Pass, note};
use super::read::batches;
use super::read::decode::{IdColumn, KeyMap};
use super::read::export::Export;
use super::settle::disputes::{Disputed, ELSEWHERE, contested};
use super::settle::registers::Register;
use super::settle::subjects::Subjects;
use super::shuffled::DISPUTED;
use super::spine::Spine;
use super::visibility::erased::without_erased;
use super::visibility::scan::Scan;
use super::visibility::setting::Setting;
use super::visibility::shard::{SomeIds, of_some};
use crate::tables::ids::UNKNOWN;

impl Pass<'_> {
    /// The reliability of each source.
    pub(super) fn sources(&self, setting: &Setting, findings: &mut ByDate) -> Result<KeyMap<i64>> {
        let Some(export) = self.export("sources") else { return Ok(KeyMap::default()) };
        let register = Register::new(self.snapshots.len());
        let mut found = self.scan(export, setting, None, &|scan, batch| register.read(scan, &batch, None))?;
        let reliability = register.reliability(&export.table, &mut found)?;
        note(findings, "sources", self.counted_once(found));
        Ok(reliability)
    }

    /// The records under dispute at each date.
    pub(super) fn disputes(&self, spine: &Spine, setting: &Setting, findings: &mut ByDate) -> Result<Vec<Disputed>> {
        let dates = self.snapshots.len();
        let Some(export) = self.export("disputes") else { return Ok((0..dates).map(|_| Disputed::new()).collect()) };
        let register = Register::new(dates);
        let named = self.shard.map(|_| self.named_once(export, setting)).transpose()?;
        let some = Some(named.as_deref().unwrap_or(spine));
        let mut found = self.scan(export, setting, some, &|scan, batch| register.read(scan, &batch, some))?;
        let number = |owner: u32| match &named {
            Some(named) if owner != UNKNOWN => match spine.find(named.ids.get(owner as usize)) {
                UNKNOWN => ELSEWHERE,
                own => own,
            },
            _ => owner,
        };
        let disputed = contested(register, &export.table, &number, &mut found)?;
        note(findings, "disputes", self.counted_once(found));
        Ok(disputed)
    }

    /// The subjects that disputes name, as the first shard of this process found them: they are the same for all of them.
    fn named_once(&self, disputes: &Export, setting: &Setting) -> Result<Arc<Spine>> {
        let Some(divided) = self.divided else { return Ok(Arc::new(self.named(disputes, setting)?)) };
        if let Some(named) = divided.named()? {
            return Ok(named);
        }
        let named = Arc::new(self.named(disputes, setting)?);
        divided.name(&named, self.budget, self.resources)?;
        Ok(named)
    }

    /// The subjects that disputes name, whatever shard they are in: which dispute holds depends on whether they are known.
    fn named(&self, disputes: &Export, setting: &Setting) -> Result<Spine> {
        let (log, stop) = (self.resources.log, self.resources.stop);
        let disputes = self.shuffled.and_then(|rows| rows.export("disputes")).unwrap_or(disputes);
        let rows = |export: &Export| export.files.iter().map(|f| f.rows).sum::<u64>();
        let (at, ids) = (disputes.table.require("subject_id")?, Mutex::new(SomeIds::default()));
        let progress = log.stage("whom disputes name", rows(disputes), "rows");
        batches::read(disputes, &|_, _| Ok(false), &progress, stop, &|batch| {
            let Some(column) = batch.columns[at].as_ref().map(IdColumn::new).transpose()? else { return Ok(()) };
            let found = (0..batch.len).filter_map(|row| column.get(row)).map(<[u8]>::to_vec);
            ids.lock().map_err(|_| anyhow!("another thread failed"))?.extend(found);
            Ok(())
        })?;
        progress.finish();
        let ids = ids.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let subjects = Subjects::default();
        if !ids.is_empty() {
            let export = match self.shuffled {
                Some(rows) => {
                    rows.disputed().with_context(|| format!("disputes name subjects: {DISPUTED} is missing"))?
                }
                None => self.required("subjects")?,
            };
            let scan = Scan::new(&export.table, setting)?;
            let progress = log.stage("subjects that disputes name", rows(export), "rows");
            batches::read(export, &|_, _| Ok(false), &progress, stop, &|batch| {
                let batch = of_some(&scan, batch, &ids)?;
                subjects.read(&scan, &without_erased(&scan, batch, None)?)
            })?;
            progress.finish();
        }
        Ok(subjects.number(self.snapshots.len())?.0)
    }

    /// What was found in a table that every shard reads, with the first shard; with the others nothing.
    fn counted_once(&self, found: Vec<Findings>) -> Vec<Findings> {
        match self.shard {
            Some(shard) if !shard.is_first() => found.iter().map(|_| Findings::default()).collect(),
            _ => found,
        }
    }
}
