//! The pass over the exports: every table read once, its rows by bucket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use jiff::Timestamp;
use parquet::file::metadata::RowGroupMetaData;

use super::batches::{self, Batch};
use super::consents::{Consents, NETWORK, SCORE};
use super::conservation::Class;
use super::decode::{IdColumn, KeyMap};
use super::disputes::{Contested, DisputeCount, Disputed, contested};
use super::export::Export;
use super::outcomes::{Outcome, Outcomes};
use super::registers::Register;
use super::resolve::Layout;
use super::scan::{Findings, Scan, Setting};
use super::spine::{IdForm, Spine};
use super::store::{Buckets, Budget, Rows, Store};
use super::subjects::Subjects;
use super::tie_store::{TieStore, Ties};
use super::ties::{DroppedTies, Joinable, TieReader};
use crate::contract::{Calendar, Contract};
use crate::output::Output;

/// What a pass needs to know.
pub struct Pass<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// The as-of date.
    pub calendar: &'a Calendar,
    /// The knowledge cut-off.
    pub known_by: Timestamp,
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The opened exports.
    pub exports: &'a [Export],
    /// Memory for rows.
    pub budget: &'a Budget,
    /// Where rows are spilled.
    pub scratch: &'a Path,
    /// Set when the run is interrupted.
    pub stop: &'a AtomicBool,
    /// Where progress is shown.
    pub output: &'a Output,
}

/// Everything the exports hold, ready to be worked on bucket by bucket.
pub struct Ingested<'a> {
    /// The subjects.
    pub spine: Spine,
    /// How they are cut into buckets.
    pub buckets: Buckets,
    /// Each subject's consents.
    pub consents: Vec<u8>,
    /// Stored rows by table.
    pub stores: BTreeMap<String, Store<'a>>,
    /// What stored rows look like.
    pub layouts: BTreeMap<String, Layout>,
    /// What was counted and quarantined, by table.
    pub findings: BTreeMap<String, Findings>,
    /// Outcomes that follow the as-of date, by horizon and subject.
    pub outcomes: Vec<Outcome>,
    /// What the disputes came to, by table.
    pub disputes: BTreeMap<String, DisputeCount>,
    /// How each table's record ids are written; integers are their own keys, others are kept beside them.
    record_forms: BTreeMap<String, IdForm>,
}

impl Ingested<'_> {
    /// How a table's record ids are written.
    #[must_use]
    pub fn record_form(&self, table: &str) -> IdForm {
        self.record_forms.get(table).copied().unwrap_or(IdForm::Integer)
    }
}

impl<'a> Pass<'a> {
    /// Reads every export.
    ///
    /// # Errors
    /// When a file turns out corrupt, rows cannot be spilled, or the run is interrupted.
    pub fn run(&self) -> Result<Ingested<'a>> {
        let mut findings = BTreeMap::new();
        let mut setting = self.setting();
        setting.reliability = self.sources(&setting, &mut findings)?;
        let (spine, store) = self.subjects(&setting, &mut findings)?;
        let buckets = Buckets::new(spine.len());
        let consents = self.consents(&spine, &setting, &mut findings)?;
        let disputed = self.disputes(&spine, &setting, &mut findings)?;
        let mut stores = BTreeMap::from([("subjects".to_owned(), store)]);
        let mut layouts = BTreeMap::from([("subjects".to_owned(), self.layout(self.required("subjects")?))]);
        for export in self.exports.iter().filter(|e| e.table.has_records()) {
            let name = &export.table.name;
            let layout = self.layout(export);
            let store = Store::new(buckets, self.budget, self.scratch)?;
            let found = self.records(export, &setting, &spine, &layout, disputed.get(name), &store)?;
            findings.insert(name.clone(), found);
            stores.insert(name.clone(), store);
            layouts.insert(name.clone(), layout);
        }
        let outcomes = self.outcomes(&spine, &setting, &mut findings)?;
        self.groups(&spine, &setting, &mut findings)?;
        let tables = self.exports.iter().filter(|e| e.table.has_records());
        let record_forms = tables.map(|e| (e.table.name.clone(), e.record_form())).collect();
        let disputes = disputed.iter().map(|(table, contested)| (table.clone(), contested.count())).collect();
        Ok(Ingested { spine, buckets, consents, stores, layouts, findings, outcomes, disputes, record_forms })
    }

    /// Reads the ties between subjects that may be joined; nothing else of the pass depends on them.
    ///
    /// # Errors
    /// When a file turns out corrupt, ties cannot be spilled, or the run is interrupted.
    pub fn ties<'b>(
        &self,
        export: &Export,
        joinable: Joinable,
        budget: &'b Budget,
    ) -> Result<(Ties<'b>, DroppedTies, Findings)> {
        let store = TieStore::new(joinable.spine.len(), export.files.len(), budget, self.scratch)?;
        let reader = TieReader::new(&export.table, joinable, self.calendar, &store)?;
        let found = self.scan(export, &self.setting(), &|scan, batch| reader.read(scan, &batch))?;
        let dropped = reader.finish()?;
        Ok((store.finish()?, dropped, found))
    }

    fn setting(&self) -> Setting<'a> {
        Setting {
            calendar: self.calendar,
            known_by: self.known_by.as_microsecond(),
            currency: self.currency,
            limits: &self.contract.limits,
            reliability: KeyMap::default(),
        }
    }

    /// The reliability of each source.
    fn sources(&self, setting: &Setting, findings: &mut BTreeMap<String, Findings>) -> Result<KeyMap<i64>> {
        let Some(export) = self.export("sources") else { return Ok(KeyMap::default()) };
        let register = Register::default();
        let mut found = self.scan(export, setting, &|scan, batch| register.read(scan, &batch, None))?;
        let reliability = register.reliability(&export.table, &mut found)?;
        findings.insert("sources".to_owned(), found);
        Ok(reliability)
    }

    /// The spine, and the subjects' own rows by bucket.
    fn subjects(&self, setting: &Setting, findings: &mut BTreeMap<String, Findings>) -> Result<(Spine, Store<'a>)> {
        let export = self.required("subjects")?;
        let subjects = Subjects::default();
        let found = self.scan(export, setting, &|scan, batch| subjects.read(scan, &batch))?;
        findings.insert("subjects".to_owned(), found);
        let (spine, numbered) = subjects.number()?;
        let store = Store::new(Buckets::new(spine.len()), self.budget, self.scratch)?;
        numbered.split(&spine, &self.layout(export), &store)?;
        Ok((spine, store))
    }

    /// Each subject's consents; without the table everyone consents, as the pipeline's statement says.
    fn consents(&self, spine: &Spine, setting: &Setting, findings: &mut BTreeMap<String, Findings>) -> Result<Vec<u8>> {
        let Some(export) = self.export("consents") else { return Ok(vec![SCORE | NETWORK; spine.len()]) };
        let given = Consents::new(&export.table, spine, self.calendar)?;
        let found = self.scan(export, setting, &|scan, batch| given.read(scan, &batch))?;
        findings.insert("consents".to_owned(), found);
        given.finish()
    }

    /// The records under dispute.
    fn disputes(
        &self,
        spine: &Spine,
        setting: &Setting,
        findings: &mut BTreeMap<String, Findings>,
    ) -> Result<Disputed> {
        let Some(export) = self.export("disputes") else { return Ok(Disputed::new()) };
        let register = Register::default();
        let mut found = self.scan(export, setting, &|scan, batch| register.read(scan, &batch, Some(spine)))?;
        let disputed = contested(register, &export.table, &mut found)?;
        findings.insert("disputes".to_owned(), found);
        Ok(disputed)
    }

    /// Splits one table's records by bucket.
    fn records(
        &self,
        export: &Export,
        setting: &Setting,
        spine: &Spine,
        layout: &Layout,
        contested: Option<&Contested>,
        store: &Store,
    ) -> Result<Findings> {
        let record = export.table.position("record_id").context("records without ids")?;
        let text = export.record_form() != IdForm::Integer;
        self.scan(export, setting, &|scan, batch| {
            let checked = scan.check(&batch, Some(spine))?;
            let mut columns = Vec::with_capacity(layout.width);
            let mut flags = Vec::new();
            if let Some(contested) = contested {
                let keys = checked.columns[record].iter().zip(&checked.owners[0]);
                flags.extend(keys.map(|(key, owner)| i64::from(contested.contains(*key, *owner))));
            }
            columns.push(checked.rows);
            columns.push(if flags.contains(&1) { flags } else { Vec::new() });
            columns.extend(checked.columns);
            let ids = batch.columns[record].as_ref().filter(|_| text).map(IdColumn::new).transpose()?;
            let records = ids.as_ref().map(|ids| (ids, checked.kept.as_slice()));
            store.add(&Rows { file: checked.file, subjects: &checked.owners[0], columns: &columns, records })
        })
    }

    /// Outcomes that follow the as-of date.
    fn outcomes(
        &self,
        spine: &Spine,
        setting: &Setting,
        findings: &mut BTreeMap<String, Findings>,
    ) -> Result<Vec<Outcome>> {
        let Some(export) = self.export("outcomes") else { return Ok(Vec::new()) };
        let (outcomes, table) = (Outcomes::default(), &export.table);
        let read = |scan: &Scan, batch: Batch| outcomes.read(scan, &batch, spine, self.calendar, table);
        let mut found = self.scan(export, setting, &read)?;
        let settled = outcomes.settle(table, &mut found)?;
        findings.insert("outcomes".to_owned(), found);
        Ok(settled)
    }

    /// Protected groups are checked like any table; only the fairness page reads them.
    fn groups(&self, spine: &Spine, setting: &Setting, findings: &mut BTreeMap<String, Findings>) -> Result<()> {
        let Some(export) = self.export("groups") else { return Ok(()) };
        let found = self.scan(export, setting, &|scan, batch| {
            let rows = scan.check(&batch, Some(spine))?;
            scan.used(rows.file, rows.rows.len() as u64)
        })?;
        findings.insert("groups".to_owned(), found);
        Ok(())
    }

    fn layout(&self, export: &Export) -> Layout {
        Layout::new(&export.table, &self.contract.limits)
    }

    fn required(&self, table: &str) -> Result<&'a Export> {
        self.export(table).with_context(|| format!("no {table}"))
    }

    fn export(&self, table: &str) -> Option<&'a Export> {
        self.exports.iter().find(|e| e.table.name == table)
    }

    /// Reads one export and returns what was found in it.
    fn scan(
        &self,
        export: &Export,
        setting: &Setting,
        work: &(dyn Fn(&Scan, Batch) -> Result<()> + Sync),
    ) -> Result<Findings> {
        let scan = Scan::new(&export.table, setting)?;
        let rows = export.files.iter().map(super::export::OpenFile::rows).sum();
        let progress = self.output.stage(&format!("read {}", export.table.name), rows, "rows");
        let skipped = |meta: &RowGroupMetaData, file: u32| {
            let hidden = export.select.is_none() && self.hidden(export, meta);
            if hidden && let Ok(mut findings) = scan.findings.lock() {
                findings.tally.add(file, Class::NotVisible, u64::try_from(meta.num_rows()).unwrap_or(0));
                return true;
            }
            false
        };
        batches::read(export, &skipped, &progress, self.stop, &|batch| work(&scan, batch))?;
        progress.finish();
        scan.finish()
    }

    /// Whether the statistics of a row group say that all its rows happened or became known after the cut-off.
    fn hidden(&self, export: &Export, meta: &RowGroupMetaData) -> bool {
        let after = |column: &str, last: i64| batches::smallest(meta, column).is_some_and(|least| least > last);
        let date = |name: &&str| {
            export.table.columns.iter().any(|c| c.name == **name && c.kind == crate::contract::ColumnType::Date)
        };
        let event = export.table.event.as_deref().filter(date);
        event.is_some_and(|e| after(e, self.calendar.as_of_day()))
    }
}
