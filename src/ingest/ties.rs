//! Friend links: which rows are ties that count.

use std::sync::Mutex;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::batches::Batch;
use super::consents::NETWORK;
use super::conservation::Class;
use super::registers::position;
use super::scan::Scan;
use super::spine::{Spine, UNKNOWN};
use super::tie_store::{TieStore, content};
use crate::NULL;
use crate::contract::{Calendar, Table};

/// Which subjects a tie may join.
#[derive(Debug, Clone, Copy)]
pub struct Joinable<'a> {
    /// The subjects.
    pub spine: &'a Spine,
    /// Each subject's consents.
    pub consents: &'a [u8],
    /// Whether each subject is scored with enough confidence to lend and to get.
    pub counted: &'a [bool],
    /// Days a tie must be old.
    pub min_age_days: i64,
}

/// Why rows of `friend_links` are no ties; of several reasons the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DroppedTies {
    /// Both ends are one subject.
    pub self_link: u64,
    /// An end is no subject of the export.
    pub unknown_subject: u64,
    /// An end does not consent to ties.
    pub no_consent: u64,
    /// The tie has ended.
    pub ended: u64,
    /// The tie is younger than the model asks for.
    pub too_young: u64,
    /// An end has no score, or too little confidence in it.
    pub not_counted: u64,
}

impl DroppedTies {
    fn add(&mut self, other: &Self) {
        self.self_link += other.self_link;
        self.unknown_subject += other.unknown_subject;
        self.no_consent += other.no_consent;
        self.ended += other.ended;
        self.too_young += other.too_young;
        self.not_counted += other.not_counted;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.self_link + self.unknown_subject + self.no_consent + self.ended + self.too_young + self.not_counted
    }
}

/// Reads links into a store of ties.
pub struct TieReader<'a> {
    joinable: Joinable<'a>,
    calendar: &'a Calendar,
    /// `since`, `until`, `interactions_90d`.
    columns: [usize; 3],
    /// One bit per subject that consents to ties and counts.
    open: Vec<u64>,
    store: &'a TieStore<'a>,
    dropped: Mutex<DroppedTies>,
}

impl<'a> TieReader<'a> {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn new(table: &Table, joinable: Joinable<'a>, calendar: &'a Calendar, store: &'a TieStore<'a>) -> Result<Self> {
        let mut open = vec![0_u64; joinable.spine.len().div_ceil(64)];
        for s in (0..joinable.spine.len()).filter(|s| joinable.counted[*s] && joinable.consents[*s] & NETWORK != 0) {
            open[s / 64] |= 1 << (s % 64);
        }
        Ok(Self {
            open,
            joinable,
            calendar,
            columns: [position(table, "since")?, position(table, "until")?, position(table, "interactions_90d")?],
            store,
            dropped: Mutex::default(),
        })
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read or ties cannot be spilled.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let rows = scan.check(batch, Some(self.joinable.spine))?;
        let [a, b] = rows.owners.as_slice() else { return Err(anyhow!("links need two ends")) };
        let [since, until, interactions] = self.columns;
        let (since, ends, interactions) = (&rows.columns[since], &rows.columns[until], &rows.columns[interactions]);
        let mut dropped = DroppedTies::default();
        let mut ties = Vec::with_capacity(a.len());
        for row in 0..a.len() {
            let (a, b) = (a[row], b[row]);
            let age = self.calendar.as_of_day() - since[row];
            // A time after the as-of date has been turned back to null: what is left lies before it.
            let over = ends.get(row).is_some_and(|e| *e != NULL);
            let known = a != b && a != UNKNOWN && b != UNKNOWN;
            let open = |s: u32| self.open[s as usize / 64] >> (s % 64) & 1 == 1;
            let counts = known && !over && age >= self.joinable.min_age_days && open(a) && open(b);
            let fault = if counts { None } else { self.fault(a, b, over, age) };
            match fault {
                Some(reason) => *reason(&mut dropped) += 1,
                None => {
                    let told = interactions.get(row).copied().filter(|i| *i != NULL);
                    ties.push((a, b, content(told, self.calendar.months_ago(since[row]).unwrap_or(0))));
                }
            }
        }
        let mut findings = scan.findings.lock().map_err(|_| anyhow!("another thread failed"))?;
        findings.tally.add(rows.file, Class::Dropped, dropped.total());
        drop(findings);
        self.dropped.lock().map_err(|_| anyhow!("another thread failed"))?.add(&dropped);
        self.store.add(rows.file, &ties)
    }

    /// Which count of what is dropped a row belongs to.
    fn fault(&self, a: u32, b: u32, over: bool, age: i64) -> Option<fn(&mut DroppedTies) -> &mut u64> {
        let Joinable { consents, counted, .. } = self.joinable;
        if a == UNKNOWN || b == UNKNOWN {
            return Some(|d| &mut d.unknown_subject);
        }
        if a == b {
            return Some(|d| &mut d.self_link);
        }
        let (a, b) = (a as usize, b as usize);
        if consents[a] & consents[b] & NETWORK == 0 {
            return Some(|d| &mut d.no_consent);
        }
        if over {
            return Some(|d| &mut d.ended);
        }
        if age < self.joinable.min_age_days {
            return Some(|d| &mut d.too_young);
        }
        if !(counted[a] && counted[b]) {
            return Some(|d| &mut d.not_counted);
        }
        None
    }

    /// Why rows were dropped.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<DroppedTies> {
        self.dropped.into_inner().map_err(|_| anyhow!("another thread failed"))
    }
}
