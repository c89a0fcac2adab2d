//! The subject's own rows in the exports as they are now, and why those that do not count do not. Every row is read as a run reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use jiff::Timestamp;

use super::parts::{Links, Named, OwnRow, OwnTable, Standing};
use super::versions::{Read, settle};
use crate::NULL;
use crate::contract::{ColumnType, Contract, DateSet, Snapshot, Table, Zone, day_text, parse_day};
use crate::ingest::check::rule::Rule;
use crate::ingest::read::batches::{self, Batch, RowNumbers};
use crate::ingest::read::decode::{IdColumn, KeyMap};
use crate::ingest::read::export::Export;
use crate::ingest::sample::text_of;
use crate::ingest::visibility::scan::Scan;
use crate::ingest::visibility::setting::Setting;
use crate::output::Output;
use crate::storage::erased::NOBODY;
use crate::tables::ids::{IdForm, id_bytes, id_text};

/// Said instead of an id that looks like personal data, which is never copied.
const WITHHELD: &str = "…";

/// About whom, and at what time.
pub struct Asked<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// The exports.
    pub exports: &'a [Export],
    /// The pipeline's currency.
    pub currency: &'a str,
    /// The pipeline's time zone.
    pub zone: &'a Zone,
    /// The subject, as tables of the exports' form write it.
    pub subject: &'a str,
    /// The date that rows are held against.
    pub snapshot: &'a Snapshot,
    /// Now, for consents.
    pub now: Timestamp,
    /// The fewest ties that are told.
    pub at_least: u64,
    /// Whether the subject was erased, so that runs leave it out.
    pub erased: bool,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
    /// Where progress is shown.
    pub log: &'a Output,
}

/// Which rows of a batch are wanted.
type Wanted<'a> = dyn Fn(&Batch) -> Result<Vec<u32>> + Sync + 'a;

/// The subject's own rows, table by table, and its ties.
///
/// # Errors
/// When a file turns out corrupt, or the work is interrupted.
pub fn own(asked: &Asked) -> Result<(Vec<OwnTable>, Links)> {
    let mut read: Vec<(&Table, Vec<Read>)> = Vec::new();
    for export in asked.exports.iter().filter(|e| e.table.position("subject_id").is_some()) {
        let table = &export.table;
        let rows = match table.name.as_str() {
            "disputes" => {
                let records = record_ids(&read);
                asked.rows(export, asked.snapshot, &|batch| asked.disputes(table, batch, &records))?
            }
            "consents" => asked.rows(export, &asked.today()?, &|batch| asked.own_rows(table, batch))?,
            _ => asked.rows(export, asked.snapshot, &|batch| asked.own_rows(table, batch))?,
        };
        read.push((table, rows));
    }
    asked.judge(&mut read)?;
    let tables = read.into_iter().filter(|(_, rows)| !rows.is_empty()).map(|(table, rows)| OwnTable {
        table: table.name.clone(),
        rows: rows.into_iter().map(|read| read.row).collect(),
    });
    Ok((tables.collect(), asked.links()?))
}

/// The ids of the records that were found, by table.
fn record_ids(read: &[(&Table, Vec<Read>)]) -> BTreeSet<(String, String)> {
    let records = read.iter().filter(|(table, _)| table.has_records());
    records.flat_map(|(table, rows)| rows.iter().map(|row| (table.name.clone(), row.key.clone()))).collect()
}

/// Some rows of a batch by themselves.
fn picked(batch: &Batch, rows: &[u32]) -> Result<Batch> {
    let places = UInt32Array::from(rows.to_vec());
    let pick = |array: &ArrayRef| take(array, &places, None);
    Ok(Batch {
        file: batch.file,
        from: batch.from,
        rows: RowNumbers::Listed(rows.iter().map(|row| batch.rows.get(*row as usize)).collect()),
        columns: batch.columns.iter().map(|c| c.as_ref().map(pick).transpose()).collect::<Result<_, _>>()?,
        extra: batch.extra.iter().map(pick).collect::<Result<_, _>>()?,
        left_out: 0,
        multiplied: 0,
        len: rows.len(),
    })
}

impl Asked<'_> {
    /// The rows of a batch whose column of ids names the subject.
    fn naming(&self, batch: &Batch, column: usize) -> Result<Vec<u32>> {
        let Some(ids) = batch.columns[column].as_ref().map(IdColumn::new).transpose()? else { return Ok(Vec::new()) };
        let Some(wanted) = id_bytes(self.subject, ids.form()) else { return Ok(Vec::new()) };
        let rows = u32::try_from(batch.len)?;
        Ok((0..rows).filter(|row| ids.get(*row as usize) == Some(wanted.as_slice())).collect())
    }

    fn own_rows(&self, table: &Table, batch: &Batch) -> Result<Vec<u32>> {
        self.naming(batch, table.require("subject_id")?)
    }

    /// Disputes of the subject, and those that name nobody but one of its records.
    fn disputes(&self, table: &Table, batch: &Batch, records: &BTreeSet<(String, String)>) -> Result<Vec<u32>> {
        let column = |name: &str| Ok::<_, anyhow::Error>(batch.columns[table.require(name)?].as_ref());
        let subjects = column("subject_id")?.map(IdColumn::new).transpose()?;
        let mut rows: BTreeSet<u32> = self.own_rows(table, batch)?.into_iter().collect();
        let (Some(tables), Some(ids)) = (column("table")?, column("record_id")?) else {
            return Ok(rows.into_iter().collect());
        };
        let ids = IdColumn::new(ids)?;
        for row in 0..u32::try_from(batch.len)? {
            let at = row as usize;
            if subjects.as_ref().is_some_and(|s| s.get(at).is_some()) {
                continue;
            }
            let Some(record) = ids.get(at) else { continue };
            if records.contains(&(text_of(tables, at, self.zone)?, id_text(record, ids.form()))) {
                rows.insert(row);
            }
        }
        Ok(rows.into_iter().collect())
    }

    /// What is visible now.
    fn today(&self) -> Result<Snapshot> {
        let at = self.now.as_microsecond();
        let day = parse_day(&day_text(self.zone.day(at)))?;
        let known_by = Timestamp::from_microsecond(at - 1)?;
        Ok(Snapshot { calendar: self.contract.calendar(day, self.zone)?, known_by })
    }

    /// The wanted rows of an export, as a date sees them.
    fn rows(&self, export: &Export, snapshot: &Snapshot, wanted: &Wanted) -> Result<Vec<Read>> {
        let snapshots = [snapshot.clone()];
        let setting = Setting {
            snapshots: &snapshots,
            every_date: DateSet::first(1)?,
            widest: Snapshot::widest(&snapshots)?,
            currency: self.currency,
            limits: &self.contract.limits,
            reliability: KeyMap::default(),
            // The subject's rows are read whether it was erased or not.
            erased: &NOBODY,
        };
        let scan = Scan::new(&export.table, &setting)?;
        let found: Mutex<Vec<Read>> = Mutex::default();
        let rows = export.files.iter().map(|f| f.rows).sum();
        let progress = self.log.stage(&format!("look in {}", export.table.name), rows, "rows");
        let work = |batch: Batch| -> Result<()> {
            let rows = wanted(&batch)?;
            if !rows.is_empty() {
                let read = self.read(export, &scan, &picked(&batch, &rows)?)?;
                found.lock().map_err(|_| anyhow!("another thread failed"))?.extend(read);
            }
            Ok(())
        };
        batches::read(export, &|_, _| Ok(false), &progress, self.stop, &work)?;
        progress.finish();
        let mut rows = found.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let broken = scan.finish()?.into_iter().next().context("no date")?.quarantined;
        let broken: BTreeMap<(u32, i64), (Rule, usize)> =
            broken.iter().map(|q| ((q.file, q.row), (q.rule, q.column))).collect();
        let number = |label: &str| export.files.iter().position(|f| f.file.label == label);
        for read in rows.iter_mut().filter(|read| read.row.standing == Standing::Quarantined) {
            let file =
                number(&read.row.file).and_then(|n| u32::try_from(n).ok()).context("defect: a file without a name")?;
            let Some((rule, column)) = broken.get(&(file, read.row.row)) else { continue };
            read.quarantine(*rule, &export.table.columns[*column].name);
            if *rule == Rule::PiiSuspect {
                let is_id = |name: &str| {
                    name != "subject_id"
                        && export.table.columns.iter().any(|c| c.name == name && c.kind == ColumnType::Id)
                };
                read.row.values.iter_mut().filter(|v| is_id(&v.name)).for_each(|v| v.value = WITHHELD.to_owned());
            }
        }
        rows.sort_by(|a, b| (&a.row.file, a.row.row).cmp(&(&b.row.file, b.row.row)));
        Ok(rows)
    }

    /// Rows of one batch, all of them wanted.
    fn read(&self, export: &Export, scan: &Scan, batch: &Batch) -> Result<Vec<Read>> {
        let checked = scan.check(batch, None)?;
        let key = ["record_id", "dispute_id", "subject_id"].iter().find_map(|name| export.table.position(name));
        let mut all = Vec::with_capacity(batch.len);
        for at in 0..batch.len {
            let place = u32::try_from(at)?;
            let kept = checked.kept.iter().position(|row| *row == place);
            let standing = match kept {
                Some(_) => Standing::Counts,
                None if checked.hidden.iter().any(|(row, _)| *row == place) => Standing::NotVisible,
                None => Standing::Quarantined,
            };
            let mut values = Vec::new();
            let columns = export.table.columns.iter().map(|c| &c.name).zip(&batch.columns);
            let columns = columns.filter_map(|(name, array)| Some((name, array.as_ref()?)));
            for (name, array) in columns.chain(export.extra.iter().zip(&batch.extra)) {
                if array.is_valid(at) {
                    values.push(Named { name: name.clone(), value: text_of(array, at, self.zone)? });
                }
            }
            let ids = key.and_then(|column| batch.columns[column].as_ref());
            let key = ids.map_or_else(|| Ok(String::new()), |ids| text_of(ids, at, self.zone))?;
            let file = export.files.get(batch.file as usize).map(|f| f.file.label.clone()).context("no such file")?;
            let value = |column: &Vec<i64>, row: usize| column.get(row).copied().unwrap_or(NULL);
            let decoded = kept.map_or_else(Vec::new, |row| checked.columns.iter().map(|c| value(c, row)).collect());
            let row = OwnRow { file, row: batch.rows.get(at), standing, rule: None, column: None, values };
            all.push(Read { row, values: decoded, key });
        }
        Ok(all)
    }

    /// Which of the rows count: versions, disputes, consents.
    fn judge(&self, read: &mut [(&Table, Vec<Read>)]) -> Result<()> {
        for (table, rows) in read.iter_mut() {
            match table.name.as_str() {
                "consents" => self.consents(table, rows)?,
                "outcomes" | "groups" => {
                    let held = rows.iter_mut().filter(|read| read.row.standing == Standing::Counts);
                    held.for_each(|read| read.row.standing = Standing::Held);
                }
                "subjects" => settle(rows, table, "subject_id", self.zone),
                "disputes" => settle(rows, table, "dispute_id", self.zone),
                _ => settle(rows, table, "record_id", self.zone),
            }
        }
        let disputed = disputed(read)?;
        let known = read.iter().filter(|(table, _)| table.name == "subjects").flat_map(|(_, rows)| rows);
        let known: BTreeSet<Standing> = known.map(|read| read.row.standing).collect();
        let scored = self.may_be_scored(read)?;
        for (table, rows) in read.iter_mut().filter(|(table, _)| table.has_records()) {
            for read in rows.iter_mut().filter(|read| read.row.standing == Standing::Counts) {
                if known.contains(&Standing::Counts) {
                    read.row.standing = match disputed.contains(&(table.name.clone(), read.key.clone())) {
                        true => Standing::Disputed,
                        false if !scored => Standing::WithoutConsent,
                        false => Standing::Counts,
                    };
                } else if known.contains(&Standing::NotVisible) {
                    read.row.standing = Standing::NotVisible;
                } else {
                    read.quarantine(Rule::UnknownSubject, "subject_id");
                }
            }
        }
        if self.erased {
            read.iter_mut().flat_map(|(_, rows)| rows).for_each(|read| read.row.standing = Standing::Erased);
        }
        Ok(())
    }

    /// Says of each consent whether it is in force now. Of rows of one grant the one that ends first counts.
    fn consents(&self, table: &Table, rows: &mut [Read]) -> Result<()> {
        let ended = ended(table, rows, self.now.as_microsecond())?;
        for (read, ended) in rows.iter_mut().zip(ended) {
            if read.row.standing == Standing::Counts {
                read.row.standing = if ended { Standing::Ended } else { Standing::InForce };
            }
        }
        Ok(())
    }

    /// Whether the subject consented to be scored at the end of the as-of date; without a table everyone does.
    fn may_be_scored(&self, read: &[(&Table, Vec<Read>)]) -> Result<bool> {
        let Some((table, rows)) = read.iter().find(|(table, _)| table.name == "consents") else { return Ok(true) };
        let (purpose, granted) = (table.require("purpose")?, table.require("granted_at")?);
        let score = table.columns[purpose].values.iter().position(|word| word == "score");
        let score = i64::try_from(score.context("contract: consents have no purpose `score`")?)?;
        let cutoff = self.snapshot.calendar.cutoff_micros();
        let ended = ended(table, rows, cutoff)?;
        let agrees =
            |read: &Read| read.value(purpose) == score && read.value(granted) < cutoff && read.value(granted) != NULL;
        Ok(rows.iter().zip(ended).any(|(read, ended)| agrees(read) && !ended))
    }

    /// With how many others the subject is tied, if they are enough.
    fn links(&self) -> Result<Links> {
        let others: Mutex<BTreeSet<Vec<u8>>> = Mutex::default();
        let Some(export) = self.exports.iter().find(|e| e.table.name == "friend_links") else {
            return Ok(Links { count: None, at_least: self.at_least });
        };
        let ends = [export.table.require("subject_a")?, export.table.require("subject_b")?];
        let rows = export.files.iter().map(|f| f.rows).sum();
        let progress = self.log.stage("look in friend_links", rows, "rows");
        let work = |batch: Batch| -> Result<()> {
            for (own, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                let Some(ids) = batch.columns[other].as_ref().map(IdColumn::new).transpose()? else { continue };
                let rows = self.naming(&batch, own)?;
                let found = rows.iter().filter_map(|row| ids.get(*row as usize)).map(<[u8]>::to_vec);
                others.lock().map_err(|_| anyhow!("another thread failed"))?.extend(found);
            }
            Ok(())
        };
        batches::read(export, &|_, _| Ok(false), &progress, self.stop, &work)?;
        progress.finish();
        let mut others = others.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        others.retain(|id| {
            ![IdForm::Text, IdForm::Integer, IdForm::Binary]
                .iter()
                .any(|form| id_bytes(self.subject, *form).as_ref() == Some(id))
        });
        let count = others.len() as u64;
        Ok(Links { count: (count >= self.at_least).then_some(count), at_least: self.at_least })
    }
}

/// The records under an open or upheld dispute.
fn disputed(read: &[(&Table, Vec<Read>)]) -> Result<BTreeSet<(String, String)>> {
    let Some((table, rows)) = read.iter().find(|(table, _)| table.name == "disputes") else {
        return Ok(BTreeSet::new());
    };
    let state = table.require("state")?;
    let word = |code: i64| usize::try_from(code).ok().and_then(|c| table.columns[state].values.get(c));
    let contests = |read: &&Read| {
        // What happened after the cut-off is turned back in the decoded value.
        let word = word(read.value(state));
        read.row.standing == Standing::Counts && word.is_some_and(|w| w == "open" || w == "upheld")
    };
    let said = |read: &Read, name: &str| read.row.values.iter().find(|v| v.name == name).map(|v| v.value.clone());
    Ok(rows.iter().filter(contests).filter_map(|read| Some((said(read, "table")?, said(read, "record_id")?))).collect())
}

/// Whether each consent had ended before an instant, by itself or by another row of its grant.
fn ended(table: &Table, rows: &[Read], at: i64) -> Result<Vec<bool>> {
    let column = |name| table.require(name);
    let (purpose, partner, granted) = (column("purpose")?, column("partner_id")?, column("granted_at")?);
    let ends = [column("revoked_at")?, column("expires_at")?];
    let has = |read: &Read| ends.iter().any(|end| read.value(*end) != NULL && read.value(*end) < at);
    let grant = |read: &Read| (read.value(purpose), read.value(partner), read.value(granted));
    let over: BTreeSet<(i64, i64, i64)> = rows.iter().filter(|read| has(read)).map(grant).collect();
    Ok(rows.iter().map(|read| over.contains(&grant(read))).collect())
}
