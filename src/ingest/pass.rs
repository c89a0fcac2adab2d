//! The pass over the exports: every table read once for all dates, its rows by bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::file::metadata::RowGroupMetaData;

use super::check::checks::Checks;
use super::check::conservation::Class;
use super::check::findings::Findings;
use super::divided::Divided;
pub use super::ingested::Ingested;
use super::kept::Keeping;
use super::kept::held::Held;
use super::kept::nightly::Reading;
use super::links::ties::{DroppedTies, Joinable, Keep, TieReader};
use super::read::batches::{self, Batch};
use super::read::decode::{IdColumn, KeyMap};
use super::read::export::Export;
use super::rows::buckets::Buckets;
use super::rows::desks::Desks;
use super::rows::layout::Layout;
use super::rows::spare::Spare;
use super::rows::split::Rows;
use super::rows::store::Store;
use super::settle::consents::{Consents, NETWORK, SCORE};
use super::settle::contested::contested_dates;
use super::settle::disputes::Disputed;
use super::settle::groups::{GroupColumn, Groups};
use super::settle::outcomes::{Outcome, Outcomes};
use super::settle::subjects::Subjects;
use super::shuffled::Shuffled;
use super::spine::Spine;
use super::spine::shard::Shard;
use super::visibility::erased::without_erased;
use super::visibility::scan::{Scan, stored};
use super::visibility::setting::Setting;
use super::visibility::shard::{of_shard, shards_of};
use crate::contract::{Contract, DateSet, Snapshot};
use crate::machine::budget::Budget;
use crate::machine::resources::Resources;
use crate::storage::erased::Erased;
use crate::storage::objects;
use crate::tables::ids::IdForm;

/// What a pass needs to know.
pub struct Pass<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// The dates to score for.
    pub snapshots: &'a [Snapshot],
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The opened exports.
    pub exports: &'a [Export],
    /// Memory for rows.
    pub budget: &'a Budget,
    /// The rest of the machine.
    pub resources: &'a Resources<'a>,
    /// Whose rows are left out because they were erased.
    pub erased: &'a Erased,
    /// The shard whose subjects alone are read; all of them when none is given.
    pub shard: Option<Shard>,
    /// Its rows, where another engine chose them.
    pub shuffled: Option<&'a Shuffled>,
    /// The rows of the shards of this process, which are kept when an export is read first.
    pub divided: Option<&'a Divided>,
    /// Who keeps rows for later passes, and has those of earlier ones, if anyone does.
    pub keeping: Option<&'a dyn Keeping>,
}

/// Whether a file of an export is left out of a scan.
pub(super) type LeftOut<'a> = dyn Fn(u32) -> bool + Sync + 'a;
/// What a scan is told beside the batches that it reads.
pub(super) type Beside<'a> = dyn Fn(&Scan) -> Result<()> + 'a;

/// The tables that go whole to every shard.
const WHOLE: [&str; 2] = ["sources", "disputes"];

/// What the reading of a table is called.
fn reading(table: &str) -> String {
    format!("read {table}")
}

/// The table whose reading a step is, if it is one.
#[must_use]
pub fn table_of(step: &str) -> Option<&str> {
    step.strip_prefix("read ")
}

/// What was found so far, by date and table.
pub(super) type ByDate = Vec<BTreeMap<String, Findings>>;

pub(super) fn note(findings: &mut ByDate, table: &str, found: Vec<Findings>) {
    for (all, found) in findings.iter_mut().zip(found) {
        all.insert(table.to_owned(), found);
    }
}

impl<'a> Pass<'a> {
    /// Reads subjects and what is known of them, and of the other tables those that are wanted.
    ///
    /// # Errors
    /// When a file turns out corrupt, rows cannot be spilled, or the run is interrupted.
    pub fn run(&self, wanted: &BTreeSet<String>) -> Result<Ingested<'a>> {
        let mut findings: ByDate = self.snapshots.iter().map(|_| BTreeMap::new()).collect();
        let mut setting = self.setting()?;
        setting.reliability = self.sources(&setting, &mut findings)?;
        let desks = Arc::new(Desks::new(self.budget));
        let (spine, store) = self.subjects(&setting, &desks, &mut findings)?;
        let buckets = self.buckets(&spine);
        let nightly = if wanted.is_empty() { None } else { self.nightly(&spine, buckets)? };
        let consents = self.consents(&spine, &setting, &mut findings)?;
        let disputed = self.disputes(&spine, &setting, &mut findings)?;
        let mut stores = BTreeMap::from([("subjects".to_owned(), store)]);
        let mut layouts = BTreeMap::from([("subjects".to_owned(), self.layout(self.required("subjects")?)?)]);
        let read = |e: &&Export| e.table.has_records() && wanted.contains(&e.table.name);
        for export in self.exports.iter().filter(read) {
            let name = &export.table.name;
            let layout = self.layout(export)?;
            let store = Store::new(buckets, self.budget, &self.resources.scratch)?.cut_at(&desks);
            let nightly = nightly.as_ref();
            let reading = Reading { export, setting: &setting, spine: &spine, store: &store, nightly };
            let (found, held) = self.records(&reading, &layout, &disputed)?;
            note(&mut findings, name, found);
            stores.insert(name.clone(), store.with(held));
            layouts.insert(name.clone(), layout);
        }
        drop(desks);
        let outcomes = self.outcomes(&spine, &setting, wanted, &mut findings)?;
        let groups = self.groups(&spine, &setting, wanted, &mut findings)?;
        let tables = self.exports.iter().filter(|e| e.table.has_records());
        let record_forms = tables.map(|e| (e.table.name.clone(), e.record_form())).collect();
        let checks = self.exports.iter().filter(|e| layouts.contains_key(&e.table.name));
        let checks = checks.map(|e| Ok((e.table.name.clone(), Checks::new(&e.table, &self.contract.limits)?)));
        let checks = checks.collect::<Result<_>>()?;
        let snapshots = self.snapshots;
        Ok(Ingested {
            snapshots,
            spine,
            buckets,
            consents,
            stores,
            layouts,
            checks,
            findings,
            outcomes,
            groups,
            disputed,
            record_forms,
            spare: Spare::new(self.budget),
        })
    }

    /// Reads the links that are ties at each date; nothing else of the pass depends on them.
    ///
    /// # Errors
    /// When a file turns out corrupt, ties cannot be kept, or the run is interrupted.
    pub fn ties(&self, export: &Export, joinable: Joinable, keep: &Keep) -> Result<(Vec<DroppedTies>, Vec<Findings>)> {
        let reader = TieReader::new(&export.table, joinable, keep)?;
        let found =
            self.scan(export, &self.setting()?, Some(joinable.spine), &|scan, batch| reader.read(scan, &batch))?;
        Ok((reader.finish()?, found))
    }

    /// What every table's scan needs to know.
    pub(super) fn setting(&self) -> Result<Setting<'a>> {
        Ok(Setting {
            snapshots: self.snapshots,
            every_date: DateSet::first(self.snapshots.len())?,
            widest: Snapshot::widest(self.snapshots)?,
            currency: self.currency,
            limits: &self.contract.limits,
            reliability: KeyMap::default(),
            erased: self.erased,
        })
    }

    /// How subjects are divided, by how many rows the exports have of each at most.
    fn buckets(&self, spine: &Spine) -> Buckets {
        let rows = |e: &Export| {
            e.files.iter().map(|f| f.rows).sum::<u64>() * e.select.as_ref().map_or(1, |select| select.branches())
        };
        let most = self.exports.iter().map(rows).max().unwrap_or(0);
        Buckets::new(spine.len(), most / self.shard.map_or(1, |shard| u64::from(shard.of())))
    }

    /// The spine, and the subjects' own rows by bucket.
    fn subjects(&self, setting: &Setting, desks: &Arc<Desks<'a>>, findings: &mut ByDate) -> Result<(Spine, Store<'a>)> {
        let export = self.required("subjects")?;
        let subjects = Subjects::default();
        let found = self.scan(export, setting, None, &|scan, batch| subjects.read(scan, &batch))?;
        note(findings, "subjects", found);
        let (spine, numbered) = subjects.number(self.snapshots.len())?;
        let store = Store::new(self.buckets(&spine), self.budget, &self.resources.scratch)?.cut_at(desks);
        numbered.split(&spine, &self.layout(export)?, &store)?;
        Ok((spine, store.with(None)))
    }

    /// Each subject's consents; without the table everyone consents, as the pipeline's statement says.
    fn consents(&self, spine: &Spine, setting: &Setting, findings: &mut ByDate) -> Result<Vec<Vec<u8>>> {
        let dates = self.snapshots.len();
        let Some(export) = self.export("consents") else { return Ok(vec![vec![SCORE | NETWORK; spine.len()]; dates]) };
        let given = Consents::new(&export.table, spine, dates)?;
        let found = self.scan(export, setting, Some(spine), &|scan, batch| given.read(scan, &batch))?;
        note(findings, "consents", found);
        given.finish()
    }

    /// Splits one table's records by bucket: what was found in them, and those that are kept from night to night.
    fn records(&self, of: &Reading, layout: &Layout, disputed: &[Disputed]) -> Result<(Vec<Findings>, Option<Held>)> {
        let (export, spine, store) = (of.export, of.spine, of.store);
        let record = export.table.position("record_id").context("records without ids")?;
        let text = export.record_form() != IdForm::Integer;
        let usual: &(dyn Fn(&Scan, Batch) -> Result<()> + Sync) = &|scan, mut batch| {
            let ids = batch.columns[record].as_ref().filter(|_| text).map(IdColumn::new).transpose()?;
            let mut sifted = scan.sift(&mut batch, Some(spine))?;
            let flags = contested_dates(scan, &sifted, spine, record, disputed);
            let mut columns = Vec::with_capacity(layout.width);
            columns.push(batch.numbers());
            columns.push(stored(&flags));
            columns.push(stored(&sifted.faulty));
            columns.append(&mut sifted.told.columns);
            let records = ids.as_ref().map(|ids| (ids, sifted.kept.as_slice()));
            let (subjects, kept) = (&sifted.owners[0], sifted.fewer_than(batch.len));
            store.add(&Rows { file: sifted.file, subjects, columns: &columns, kept, records })
        };
        match of.nightly {
            Some(nightly) => self.read_nightly(nightly, of, usual),
            None => Ok((self.scan(export, of.setting, Some(spine), usual)?, None)),
        }
    }

    /// The outcomes of an export of nothing else, for subjects that are known already, by date; and what was found in it.
    ///
    /// # Errors
    /// When a file turns out corrupt, or the work is interrupted.
    pub fn outcomes_alone(&self, spine: &Spine) -> Result<(Vec<Vec<Outcome>>, Vec<Findings>)> {
        let mut findings: ByDate = self.snapshots.iter().map(|_| BTreeMap::new()).collect();
        let wanted = BTreeSet::from(["outcomes".to_owned()]);
        let outcomes = self.outcomes(spine, &self.setting()?, &wanted, &mut findings)?;
        let found = findings.into_iter().map(|mut of| of.remove("outcomes").unwrap_or_default()).collect();
        Ok((outcomes, found))
    }

    /// Outcomes that follow the as-of dates.
    fn outcomes(
        &self,
        spine: &Spine,
        setting: &Setting,
        wanted: &BTreeSet<String>,
        findings: &mut ByDate,
    ) -> Result<Vec<Vec<Outcome>>> {
        let dates = self.snapshots.len();
        let export = self.export("outcomes").filter(|_| wanted.contains("outcomes"));
        let Some(export) = export else { return Ok(vec![Vec::new(); dates]) };
        let (outcomes, table) = (Outcomes::new(dates), &export.table);
        let some = Some(spine);
        let mut found = self.scan(export, setting, some, &|scan, batch| outcomes.read(scan, &batch, spine, table))?;
        let settled = outcomes.settle(table, &mut found)?;
        note(findings, "outcomes", found);
        Ok(settled)
    }

    /// Protected groups, which only the fairness page reads.
    fn groups(
        &self,
        spine: &Spine,
        setting: &Setting,
        wanted: &BTreeSet<String>,
        findings: &mut ByDate,
    ) -> Result<Vec<Vec<GroupColumn>>> {
        let dates = self.snapshots.len();
        let export = self.export("groups").filter(|_| wanted.contains("groups"));
        let Some(export) = export else { return Ok(vec![Vec::new(); dates]) };
        let groups = Groups::new(export, dates);
        let mut found = self.scan(export, setting, Some(spine), &|scan, batch| groups.read(scan, &batch, spine))?;
        let subjects: Vec<usize> = (0..dates).map(|date| spine.members(date).positions(0..spine.len()).len()).collect();
        let settled = groups.settle(&subjects, &mut found)?;
        note(findings, "groups", found);
        Ok(settled)
    }

    fn layout(&self, export: &Export) -> Result<Layout> {
        Layout::new(&export.table, &self.contract.limits, self.snapshots.first().context("no date")?.calendar.zone())
    }

    pub(super) fn required(&self, table: &str) -> Result<&'a Export> {
        self.export(table).with_context(|| format!("no {table}"))
    }

    pub(super) fn export(&self, table: &str) -> Option<&'a Export> {
        self.exports.iter().find(|e| e.table.name == table)
    }

    /// Reads one export and returns what was found in it, by date.
    pub(super) fn scan(
        &self,
        export: &Export,
        setting: &Setting,
        spine: Option<&Spine>,
        work: &(dyn Fn(&Scan, Batch) -> Result<()> + Sync),
    ) -> Result<Vec<Findings>> {
        self.scan_but(export, setting, spine, (&|_| false, &|_| Ok(())), work)
    }

    /// The same without some files, of which what is `beside` tells the scan.
    pub(super) fn scan_but(
        &self,
        export: &Export,
        setting: &Setting,
        spine: Option<&Spine>,
        (left, beside): (&LeftOut, &Beside),
        work: &(dyn Fn(&Scan, Batch) -> Result<()> + Sync),
    ) -> Result<Vec<Findings>> {
        let name = &export.table.name;
        let shard = self.shard.filter(|_| !WHOLE.contains(&name.as_str()));
        // Where another engine divided the rows, all of a subject's have to be here.
        let strangers = self.shuffled.filter(|_| self.shard.is_some()).map(Shuffled::strangers);
        let scan = Scan::new(&export.table, setting)?.noting(strangers);
        let one = |batch: Batch| work(&scan, without_erased(&scan, batch, spine)?);
        if let Some(kept) = self.divided.map(|divided| divided.find(name)).transpose()?.flatten() {
            let number = shard.map_or(0, Shard::number);
            let progress = self.resources.log.stage(&reading(name), kept.rows(number)?, "rows");
            kept.read(number, export, &progress, self.resources.stop, &one)?;
            if let Some(divided) = self.divided.filter(|_| self.shard.is_some_and(Shard::is_last)) {
                divided.release(name, kept)?;
            }
            beside(&scan)?;
            progress.finish();
            return scan.finish();
        }
        let dividing = match (self.divided, self.shard) {
            (Some(divided), Some(own)) => divided.begin(export, (own, shard.is_none()), self.budget, self.resources)?,
            _ => None,
        };
        let from = self.shuffled.and_then(|rows| rows.export(name)).unwrap_or(export);
        let rows = from.files.iter().map(|f| f.rows).sum();
        let progress = self.resources.log.stage(&reading(name), rows, "rows");
        let skipped = |meta: &RowGroupMetaData, file: u32| {
            if left(file) {
                return Ok(true);
            }
            // Who of the subjects comes later is found in their rows.
            let skips = export.select.is_none() && name != "subjects" && self.shuffled.is_none();
            if !skips || !hidden(export, meta, &setting.widest) {
                return Ok(false);
            }
            let rows = u64::try_from(meta.num_rows())?;
            if shard.is_none_or(Shard::is_first) {
                scan.findings()?.iter_mut().for_each(|f| f.tally.add(file, Class::NotVisible, rows));
            }
            Ok(true)
        };
        objects::bound(self.resources.memory);
        batches::read(from, &skipped, &progress, self.resources.stop, &|batch| {
            if let Some(rows) = self.shuffled {
                return rows.placed(name, &batch)?.into_iter().try_for_each(one);
            }
            let shards = shard.map(|any| shards_of(&scan, &batch, any)).transpose()?;
            if let Some(dividing) = &dividing {
                dividing.add(&batch, shards.as_deref().unwrap_or(&[]), self.budget)?;
            }
            match shard.zip(shards) {
                Some((shard, shards)) => one(of_shard(batch, &shards, shard)?),
                None => one(batch),
            }
        })?;
        if let Some((divided, dividing)) = self.divided.zip(dividing) {
            divided.keep(name, dividing, self.resources)?;
        }
        beside(&scan)?;
        progress.finish();
        scan.finish()
    }
}

/// Whether the statistics of a row group say that all its rows happened after the as-of date.
fn hidden(export: &Export, meta: &RowGroupMetaData, widest: &Snapshot) -> bool {
    let date = |name: &&str| {
        export.table.columns.iter().any(|c| c.name == **name && c.kind == crate::contract::ColumnType::Date)
    };
    let event = export.table.event.as_deref().filter(date);
    event.is_some_and(|e| batches::smallest(meta, e).is_some_and(|least| least > widest.last(false)))
}
