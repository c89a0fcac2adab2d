//! The pass over the exports: every table read once, its rows by bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use jiff::Timestamp;
use parquet::file::metadata::RowGroupMetaData;

use super::batches::{self, Batch};
use super::conservation::Class;
use super::decode::KeyMap;
use super::export::Export;
use super::registers::{Consents, Disputed, NETWORK, Register, SCORE, outcomes};
use super::resolve::Layout;
use super::scan::{Findings, Scan, Setting};
use super::spine::Spine;
use super::store::{Buckets, Budget, Rows, Store};
use super::subjects::Subjects;
use super::ties;
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
    /// Outcomes that follow the as-of date.
    pub outcomes: Vec<(u32, bool)>,
    /// Number of records under dispute, by table.
    pub disputed_keys: BTreeMap<String, u64>,
    /// Tables whose record ids are kept as text.
    pub text_records: BTreeSet<String>,
}

impl<'a> Pass<'a> {
    /// Reads every export.
    ///
    /// # Errors
    /// When a file turns out corrupt, rows cannot be spilled, or the run is interrupted.
    pub fn run(&self) -> Result<Ingested<'a>> {
        let mut findings = BTreeMap::new();
        let mut setting = Setting {
            calendar: self.calendar,
            known_by: self.known_by.as_microsecond(),
            currency: self.currency,
            limits: &self.contract.limits,
            reliability: KeyMap::default(),
        };
        if let Some(export) = self.export("sources") {
            let register = Register::default();
            let mut found = self.scan(export, &setting, &|scan, batch| register.read(scan, &batch))?;
            let reliability = register.reliability(&export.table, &mut found)?;
            findings.insert("sources".to_owned(), found);
            setting.reliability = reliability;
        }
        let export = self.export("subjects").context("no subjects")?;
        let subjects = Subjects::default();
        let found = self.scan(export, &setting, &|scan, batch| subjects.read(scan, &batch))?;
        findings.insert("subjects".to_owned(), found);
        let (spine, numbered) = subjects.number()?;
        let buckets = Buckets::new(spine.len());
        let mut stores = BTreeMap::new();
        let mut layouts = BTreeMap::new();
        let layout = Layout::new(&export.table, &self.contract.limits);
        let store = Store::new(buckets, self.budget, self.scratch)?;
        numbered.split(&spine, &layout, &store)?;
        stores.insert("subjects".to_owned(), store);
        layouts.insert("subjects".to_owned(), layout);

        let mut consents = vec![SCORE | NETWORK; spine.len()];
        if let Some(export) = self.export("consents") {
            let given = Consents::new(&export.table, &spine, self.calendar)?;
            let found = self.scan(export, &setting, &|scan, batch| given.read(scan, &batch))?;
            findings.insert("consents".to_owned(), found);
            consents = given.finish()?;
        }
        let mut disputed = Disputed::new();
        if let Some(export) = self.export("disputes") {
            let register = Register::default();
            let mut found = self.scan(export, &setting, &|scan, batch| register.read(scan, &batch))?;
            disputed = register.disputed(&export.table, &mut found)?;
            findings.insert("disputes".to_owned(), found);
        }
        for export in self.exports.iter().filter(|e| e.table.has_records() || e.table.name == "friend_links") {
            let layout = Layout::new(&export.table, &self.contract.limits);
            let store = Store::new(buckets, self.budget, self.scratch)?;
            let name = export.table.name.clone();
            let found = if export.table.has_records() {
                let contested = disputed.get(&name);
                let record = export.table.position("record_id").context("records without ids")?;
                let text = export.has_text_records();
                self.scan(export, &setting, &|scan, batch| {
                    let checked = scan.check(&batch, Some(&spine))?;
                    let mut columns = Vec::with_capacity(layout.width);
                    let keys = &checked.columns[record];
                    let flags = match contested {
                        Some(contested) if keys.iter().any(|k| contested.contains(k)) => {
                            keys.iter().map(|k| i64::from(contested.contains(k))).collect()
                        }
                        _ => Vec::new(),
                    };
                    columns.push(checked.rows);
                    columns.push(flags);
                    columns.extend(checked.columns);
                    let ids = batch.columns[record]
                        .as_ref()
                        .filter(|_| text)
                        .map(super::decode::IdColumn::new)
                        .transpose()?;
                    let records = ids.as_ref().map(|ids| (ids, checked.kept.as_slice()));
                    store.add(&Rows { file: checked.file, subjects: &checked.owners[0], columns: &columns, records })
                })?
            } else {
                self.scan(export, &setting, &|scan, batch| {
                    ties::read(scan, &batch, &spine, &consents, &layout, &store)
                })?
            };
            findings.insert(name.clone(), found);
            stores.insert(name.clone(), store);
            layouts.insert(name, layout);
        }
        let known_outcomes = Mutex::new(Vec::new());
        if let Some(export) = self.export("outcomes") {
            let found = self.scan(export, &setting, &|scan, batch| {
                outcomes(scan, &batch, &spine, self.calendar, &export.table, &known_outcomes)
            })?;
            findings.insert("outcomes".to_owned(), found);
        }
        let mut outcomes = known_outcomes.into_inner().map_err(|_| anyhow::anyhow!("another thread failed"))?;
        outcomes.sort_unstable();
        outcomes.dedup_by_key(|o| o.0);
        let text = self.exports.iter().filter(|e| e.table.has_records() && e.has_text_records());
        let text_records = text.map(|e| e.table.name.clone()).collect();
        let disputed_keys = disputed.iter().map(|(t, k)| (t.clone(), k.len() as u64)).collect();
        Ok(Ingested { spine, buckets, consents, stores, layouts, findings, outcomes, disputed_keys, text_records })
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
