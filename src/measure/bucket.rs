//! What one bucket of subjects comes to at one date: own columns, features, counts of records, adverse records.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::evidence::Adverse;
pub use super::records::RecordCounts;
use super::records::{Conditions, Contested, contested_rows, undisputed, wanted};
use crate::contract::{Calendar, Contract};
use crate::engine::Frame;
use crate::features::Plan;
use crate::features::across_rows::Noted;
use crate::features::compute::{Computer, FeatureRows, Sums, TooLarge};
use crate::features::shared::{SharedTable, Wanted};
use crate::features::shared_rows::{AtDate, SharedRows};
use crate::ingest::check::findings::Findings;
use crate::ingest::pass::Ingested;
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::ROW;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::consents::SCORE;
use crate::ingest::settle::resolve::{RelatedRows, counting};
use crate::ingest::settle::subjects;
use crate::ingest::visibility::view::{Seen, Shown};
use crate::job::Job;
use crate::scorecard::policy::{Caps, PolicyRule, Trigger};
use crate::tables::evidence::Evidence;

/// Everything that buckets share at one date.
pub struct Measurer<'a> {
    ingested: &'a Ingested<'a>,
    plan: &'a Plan,
    computer: Computer<'a>,
    calendar: &'a Calendar,
    /// The date's position among those of the pass.
    date: usize,
    own: Cleaner,
    policies: Vec<(&'a PolicyRule, Trigger)>,
    caps: Caps,
    adverse: BTreeMap<String, Adverse>,
    files: BTreeMap<String, Vec<PathBuf>>,
    /// The day before which rows of a table count for nothing, as the whole catalogue says; nothing when all may count.
    first_days: BTreeMap<String, Option<i64>>,
    /// The stored columns of each table that something reads once its rows are settled.
    needed: BTreeMap<String, Vec<bool>>,
}

/// Subjects with disputed records, as they would be with them.
#[derive(Debug, Clone, Default)]
pub struct WithDisputed {
    /// Positions within the bucket.
    pub subjects: Vec<usize>,
    /// Their features.
    pub features: FeatureRows,
}

/// One bucket at one date. Subjects are those that the date sees, in order.
#[derive(Default)]
pub struct Measured {
    /// The version of each subject's own row that counts.
    pub subjects: BucketRows,
    /// Their consents.
    pub consents: Vec<u8>,
    /// What records say, by table.
    pub records: BTreeMap<String, RecordCounts>,
    /// The features of the plan.
    pub features: FeatureRows,
    /// Those with disputed records.
    pub with_disputed: WithDisputed,
    /// Adverse records by table; the subject is a position within the bucket.
    pub evidence: BTreeMap<String, Vec<Evidence>>,
    /// Counts and quarantined rows, by table.
    pub findings: BTreeMap<String, Findings>,
}

/// A bucket under way.
struct UnderWay<'a> {
    measured: Measured,
    own: Option<Frame>,
    may: Vec<bool>,
    sums: BTreeMap<&'a str, Sums>,
    contested: BTreeMap<&'a str, Contested>,
}

impl<'a> Measurer<'a> {
    /// Makes everything ready. `plan` holds those features of the job's catalogue that are wanted.
    ///
    /// # Errors
    /// When an expression is faulty, which the checks before exclude.
    pub fn new(job: &'a Job, plan: &'a Plan, ingested: &'a Ingested<'a>, date: usize) -> Result<Self> {
        let (layouts, calendar) = (&ingested.layouts, &job.snapshot.calendar);
        let mut adverse = BTreeMap::new();
        for (number, table) in job.contract.tables.iter().enumerate().filter(|(_, t)| t.has_records()) {
            if let Some(layout) = layouts.get(&table.name)
                && let Some(found) = Adverse::new(layout, number, ingested.record_form(&table.name), calendar)?
            {
                adverse.insert(table.name.clone(), found);
            }
        }
        let mut policies = Vec::new();
        for policy in &job.policies {
            if let Some(layout) = layouts.get(&policy.table) {
                policies.push((policy, policy.ready(layout, calendar)?));
            }
        }
        let computer = Computer::new(plan, layouts, calendar)?;
        let needed = tables(&job.contract).filter_map(|table| {
            let mut needed = vec![false; layouts.get(table)?.width];
            // A sum that does not fit is told with a row of it.
            needed[ROW] = true;
            let of_policies = policies.iter().filter(|(rule, _)| rule.table == table).flat_map(|(_, t)| t.reads());
            let of_evidence = adverse.get(table).into_iter().flat_map(Adverse::reads);
            let reads = computer.reads(table).into_iter().chain(of_policies).chain(of_evidence);
            reads.for_each(|column| needed[column] = true);
            Some((table.to_owned(), needed))
        });
        Ok(Self {
            ingested,
            plan,
            needed: needed.collect(),
            computer,
            calendar,
            date,
            own: Cleaner::new(layouts.get("subjects").context("no subjects")?, calendar, plan.subject_columns.clone())?,
            policies,
            caps: Caps::new(&job.policies)?,
            adverse,
            files: job
                .exports
                .iter()
                .map(|e| (e.table.name.clone(), e.files.iter().map(|f| f.file.path.clone()).collect()))
                .collect(),
            first_days: tables(&job.contract).map(|t| (t.to_owned(), first_day(job, t))).collect(),
        })
    }

    fn begin(&self, bucket: usize, seen: &Seen, found: &mut Findings) -> Result<UnderWay<'a>> {
        let layout = self.ingested.layouts.get("subjects").context("no subjects")?;
        let subjects = subjects::latest(seen, layout, self.files.get("subjects").context("no subjects")?, found)?;
        let own = self.own.clean(&subjects, 0..subjects.len(), self.calendar)?;
        let range = self.ingested.buckets.subjects(bucket);
        let all = &self.ingested.consents[self.date][range.clone()];
        let consents: Vec<u8> =
            self.ingested.spine.members(self.date).positions(range).into_iter().map(|p| all[p]).collect();
        Ok(UnderWay {
            may: consents.iter().map(|c| c & SCORE != 0).collect(),
            measured: Measured { subjects, consents, ..Measured::default() },
            own: Some(own),
            sums: BTreeMap::new(),
            contested: BTreeMap::new(),
        })
    }

    /// Settles and adds up the rows of one table.
    fn add(
        &self,
        work: &mut UnderWay<'a>,
        table: &'a str,
        (seen, related): (Shown<'_>, &RelatedRows),
        found: &mut Findings,
    ) -> Result<()> {
        let layout = self.ingested.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let first_day = self.first_days.get(table).copied().flatten();
        let needed = self.needed.get(table).map_or(&[][..], Vec::as_slice);
        let counting = counting(&seen, related, layout, &work.may, first_day, found)?;
        let mut counts = RecordCounts::default();
        let spare = &self.ingested.spare;
        let (keep, starts) = undisputed(&counting, &mut counts)?;
        // What is given away is no longer what was seen.
        let contested = contested_rows(&seen.rows, &counting, &counts, needed)?;
        let rows = seen.only(&keep, starts, &wanted(needed), spare);
        counts.used =
            (0..work.may.len()).map(|s| i32::try_from(rows.of(s).len())).collect::<std::result::Result<_, _>>()?;
        let by_row = self.triggered(table, &rows, &mut counts.triggered)?;
        counts.triggered_with.clone_from(&counts.triggered);
        if let Some(contested) = contested {
            let mut with = Vec::new();
            self.triggered(table, &contested.rows, &mut with)?;
            // Of the others all rows were looked at.
            for (subject, rule) in contested.subjects.iter().zip(with) {
                let held = &mut counts.triggered_with[*subject];
                *held = rule.map_or(*held, |rule| self.caps.stricter(*held, rule));
            }
            work.contested.insert(table, contested);
        }
        if let Some(adverse) = self.adverse.get(table) {
            work.measured.evidence.insert(table.to_owned(), adverse.find(&rows, 0, &by_row, self.calendar)?);
        }
        let sums = self.computer.sums(table, &rows, work.may.len()).map_err(|e| self.placed(e))?;
        spare.keep(rows.columns);
        work.sums.insert(table, sums);
        work.measured.records.insert(table.to_owned(), counts);
        Ok(())
    }

    /// Settles the rows of one table, which was looked at for all dates, and adds them up but for what is added up for all.
    fn add_shared(
        &self,
        work: &mut UnderWay<'a>,
        (table, shared, noted): (&'a str, &SharedRows, &mut Noted),
        (seen, related): (&Seen, &RelatedRows),
        found: &mut Findings,
    ) -> Result<()> {
        let layout = self.ingested.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let first_day = self.first_days.get(table).copied().flatten();
        let counting = counting(seen, related, layout, &work.may, first_day, found)?;
        let rows = (&seen.rows, seen.subjects.as_slice());
        let AtDate { sums, holds } =
            shared.at(self.date, rows, &counting, noted).map_err(|error| self.placed(error))?;
        let (counts, evidence) = self.conditions(table)?.records(&seen.rows, &counting, &holds)?;
        if let Some(evidence) = evidence {
            work.measured.evidence.insert(table.to_owned(), evidence);
        }
        let needed = self.needed.get(table).map_or(&[][..], Vec::as_slice);
        if let Some(rows) = contested_rows(&seen.rows, &counting, &counts, needed)? {
            work.contested.insert(table, rows);
        }
        work.sums.insert(table, sums);
        work.measured.records.insert(table.to_owned(), counts);
        Ok(())
    }

    /// Adds up the rows of one table as if there were no other date.
    fn add_alone(&self, work: &mut UnderWay<'a>, table: &'a str, (seen, related): (&Seen, &RelatedRows)) -> Result<()> {
        let layout = self.ingested.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let first_day = self.first_days.get(table).copied().flatten();
        let needed = self.needed.get(table).map_or(&[][..], Vec::as_slice);
        // What is found was told when the rows were settled before.
        let counting = counting(seen, related, layout, &work.may, first_day, &mut Findings::default())?;
        let spare = &self.ingested.spare;
        let (keep, starts) = undisputed(&counting, &mut RecordCounts::default())?;
        let rows = seen.rows.only(&keep, starts, &wanted(needed), spare);
        let sums = self.computer.sums(table, &rows, work.may.len()).map_err(|error| self.placed(error))?;
        spare.keep(rows.columns);
        work.sums.insert(table, sums);
        Ok(())
    }

    /// The conditions over a table's records.
    fn conditions(&self, table: &str) -> Result<Conditions<'_>> {
        let rules = self.policies.iter().filter(|(rule, _)| rule.table == table);
        let rules = rules.map(|(rule, trigger)| Ok((u8::try_from(rule.position)?, trigger)));
        let (adverse, calendar) = (self.adverse.get(table), self.calendar);
        Ok(Conditions { adverse, rules: rules.collect::<Result<_>>()?, caps: &self.caps, calendar })
    }

    /// An error with the file and row it is about, where it has one.
    fn placed(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(TooLarge { table, place: (file, row), .. }) = error.downcast_ref() else { return error };
        let path = self.files.get(table).and_then(|files| files.get(*file as usize));
        let place = path.map_or_else(String::new, |p| format!("{} (the subject of row {row})", p.display()));
        error.context(place)
    }

    /// The policy rule each row of a table triggers; for each subject the strictest is kept.
    fn triggered(&self, table: &str, rows: &BucketRows, policy: &mut Vec<Option<u8>>) -> Result<Vec<Option<u8>>> {
        let mut by_row = Vec::new();
        policy.resize(rows.starts.len().saturating_sub(1), None);
        for (rule, trigger) in self.policies.iter().filter(|(r, _)| r.table == table) {
            let position = u8::try_from(rule.position)?;
            by_row.resize(rows.len(), None);
            let hits = trigger.rows(rows, self.calendar)?;
            for (subject, held) in policy.iter_mut().enumerate() {
                for row in rows.of(subject).filter(|r| hits[*r] == 1) {
                    by_row[row] = self.caps.stricter(by_row[row], position);
                    *held = self.caps.stricter(*held, position);
                }
            }
        }
        Ok(by_row)
    }

    fn finish(&self, mut work: UnderWay<'a>) -> Result<Measured> {
        let own = work.own.take().context("no subjects")?;
        let count = work.may.len();
        let disputes = |s: &usize| work.measured.records.values().any(|r| r.disputed[*s] > 0);
        let chosen: Vec<usize> = (0..count).filter(disputes).collect();
        if !chosen.is_empty() {
            let features = self.with_disputed(&chosen, &own, &work)?;
            work.measured.with_disputed = WithDisputed { subjects: chosen, features };
        }
        // Nobody asks for the sums again.
        work.measured.features = self.computer.finish(count, &own, std::mem::take(&mut work.sums))?;
        Ok(work.measured)
    }

    /// The features of some subjects with their disputed records.
    fn with_disputed(&self, chosen: &[usize], own: &Frame, work: &UnderWay) -> Result<FeatureRows> {
        let mut sums = BTreeMap::new();
        for (table, all) in &work.sums {
            let few: Sums = match work.contested.get(table) {
                Some(contested) => {
                    let with = self.computer.sums(table, &contested.rows, contested.subjects.len())?;
                    // Without contested rows of the table a subject's sums are the same with them.
                    let of = |column: usize, s: &usize| match contested.subjects.binary_search(s) {
                        Ok(at) => with[column][at],
                        Err(_) => all[column][*s],
                    };
                    (0..all.len()).map(|column| chosen.iter().map(|s| of(column, s)).collect()).collect()
                }
                None => all.iter().map(|column| chosen.iter().map(|s| column[*s]).collect()).collect(),
            };
            sums.insert(*table, few);
        }
        self.computer.finish(chosen.len(), &own.pick(chosen)?, sums)
    }
}

/// What the dates share of each table; nothing where there is one date only.
///
/// # Errors
/// When an expression is faulty, which the checks before exclude.
pub fn share<'m>(
    measurers: &'m [Measurer<'m>],
    ingested: &Ingested,
    tables: &[&'m str],
) -> Result<BTreeMap<&'m str, SharedTable<'m>>> {
    let mut shared = BTreeMap::new();
    for table in tables.iter().copied().filter(|_| measurers.len() > 1) {
        let layout = ingested.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let mut wanted = Vec::with_capacity(measurers.len());
        for measurer in measurers {
            wanted.push(Wanted {
                plan: measurer.plan.tables.iter().find(|plan| plan.table == table),
                conditions: measurer.conditions(table)?.all(),
                calendar: measurer.calendar,
            });
        }
        shared.insert(table, SharedTable::new(layout, &wanted)?);
    }
    Ok(shared)
}

/// Measures one bucket at every date: its rows are taken out and unpacked once, and where `shared` has their table, looked at once.
///
/// # Errors
/// When versions of a subject contradict each other, the scratch file cannot be read, or the engine fails.
pub fn bucket<'m>(
    measurers: &'m [Measurer<'m>],
    ingested: &Ingested,
    bucket: usize,
    tables: &[&'m str],
    shared: &BTreeMap<&'m str, SharedTable<'m>>,
) -> Result<Vec<Measured>> {
    let mut work = Vec::with_capacity(measurers.len());
    let mut findings = Vec::new();
    let found = ingested.take("subjects", bucket, &mut |date, seen, _, found| {
        work.push(measurers[date].begin(bucket, &seen, found)?);
        Ok(())
    })?;
    findings.push(("subjects", found));
    for table in tables {
        let found = match shared.get(table) {
            None => ingested.take(table, bucket, &mut |date, seen, related, found| {
                measurers[date].add(&mut work[date], table, (seen, related), found)
            })?,
            Some(shared) => {
                let (all, related) = ingested.rows(table, bucket)?;
                let all = shared.with_days(all);
                let rows = shared.rows(&all)?;
                let mut noted = rows.noted();
                let found = ingested.seen(table, bucket, &all, &mut |date, seen, found| {
                    let shared = (*table, &rows, &mut noted);
                    measurers[date].add_shared(&mut work[date], shared, (seen, &related), found)
                })?;
                let mut sums: Vec<&mut Sums> = work.iter_mut().map(|of| of.sums.entry(*table).or_default()).collect();
                if !rows.add_up(noted, &mut sums) {
                    ingested.seen(table, bucket, &all, &mut |date, seen, _| {
                        measurers[date].add_alone(&mut work[date], table, (seen, &related))
                    })?;
                }
                found
            }
        };
        findings.push((table, found));
    }
    for (table, found) in findings {
        for (work, found) in work.iter_mut().zip(found) {
            work.measured.findings.insert(table.to_owned(), found);
        }
    }
    measurers.iter().zip(work).map(|(measurer, work)| measurer.finish(work)).collect()
}

/// The tables of records, in the order of the contract.
pub fn tables(contract: &Contract) -> impl Iterator<Item = &str> {
    contract.tables.iter().filter(|t| t.has_records()).map(|t| t.name.as_str())
}

/// The day before which rows of a table count for nothing; policy rules look at every record, however old.
#[must_use]
pub fn first_day(job: &Job, table: &str) -> Option<i64> {
    let policed = job.policies.iter().any(|rule| rule.table == table);
    job.plan.tables.iter().find(|t| t.table == table).and_then(|t| t.first_day).filter(|_| !policed)
}
