//! Friend links: which rows are ties.

use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tie_store::content;
use crate::NULL;
use crate::contract::Table;
use crate::ingest::check::conservation::Class;
use crate::ingest::read::batches::Batch;
use crate::ingest::settle::consents::NETWORK;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::scan::{Checked, Scan};
use crate::tables::ids::UNKNOWN;

/// Which subjects a tie may join.
#[derive(Debug, Clone, Copy)]
pub struct Joinable<'a> {
    /// The subjects.
    pub spine: &'a Spine,
    /// Each subject's consents, by date and number in the spine.
    pub consents: &'a [Vec<u8>],
    /// Days a tie must be old.
    pub min_age_days: i64,
}

/// A tie of two subjects, by their numbers at the date, and what [`content`] makes of the rest of the row.
pub type Tie = (u32, u32, u64);

/// Where ties come from: the file, and the number in it of the first of the rows that were read with them. No two times the same.
pub type Origin = (u32, i64);

/// Takes the ties of a date, some at a time, in any order.
pub type Keep<'a> = dyn Fn(usize, Origin, Vec<Tie>) -> Result<()> + Sync + 'a;

/// Why rows of `friend_links` are no ties; of several reasons the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DroppedTies {
    /// Both ends are one subject.
    pub self_link: u64,
    /// An end is no subject of the export.
    pub unknown_subject: u64,
    /// An end does not consent to ties.
    pub no_consent: u64,
    /// The tie has ended.
    pub ended: u64,
    /// An end has no score, or too little confidence in it.
    pub not_counted: u64,
    /// No row of the tie is as old as the model asks for.
    pub too_young: u64,
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

/// Reads links and hands on those that are ties.
pub struct TieReader<'a> {
    joinable: Joinable<'a>,
    /// Who consents to ties, by date a bit for each subject: ends come in no order, and a bit is more often in a cache.
    /// Nothing for a date at which everyone does.
    willing: Vec<Vec<u64>>,
    /// `since`, `until`, `interactions_90d`.
    columns: [usize; 3],
    keep: &'a Keep<'a>,
    dropped: Mutex<Vec<DroppedTies>>,
}

impl<'a> TieReader<'a> {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// When the contract's table lacks a column.
    pub fn new(table: &Table, joinable: Joinable<'a>, keep: &'a Keep<'a>) -> Result<Self> {
        let word = |some: &[u8]| some.iter().rev().fold(0, |word, c| word << 1 | u64::from(c & NETWORK != 0));
        let bits = |consents: &Vec<u8>| -> Vec<u64> {
            let everyone = consents.iter().all(|c| c & NETWORK != 0);
            if everyone { Vec::new() } else { consents.par_chunks(64).map(word).collect() }
        };
        Ok(Self {
            joinable,
            willing: joinable.consents.iter().map(bits).collect(),
            columns: [table.require("since")?, table.require("until")?, table.require("interactions_90d")?],
            keep,
            dropped: Mutex::new(vec![DroppedTies::default(); joinable.consents.len()]),
        })
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read or ties cannot be kept.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        scan.each(batch, Some(self.joinable.spine), &mut |date, rows| self.read_at(scan, &rows, date))
    }

    fn read_at(&self, scan: &Scan, rows: &Checked, date: usize) -> Result<()> {
        let [a, b] = rows.owners.as_slice() else { return Err(anyhow!("links need two ends")) };
        let [since, until, interactions] = self.columns;
        let (since, ends, interactions) = (&rows.columns[since], &rows.columns[until], &rows.columns[interactions]);
        let (calendar, members) = (&scan.snapshots()[date].calendar, self.joinable.spine.members(date));
        let mut dropped = DroppedTies::default();
        let mut ties = Vec::with_capacity(a.len());
        for row in 0..a.len() {
            let (a, b) = (a[row], b[row]);
            // A time after the as-of date has been turned back to null: what is left lies before it.
            let over = ends.get(row).is_some_and(|e| *e != NULL);
            match self.fault(date, (a, b), over) {
                Some(reason) => *reason(&mut dropped) += 1,
                None => {
                    let told = interactions.get(row).copied().filter(|i| *i != NULL);
                    // Rows of one tie are merged before its age is held against the model's.
                    let old = calendar.as_of_day() - since[row] >= self.joinable.min_age_days;
                    let months = calendar.months_ago(since[row]).context("a tie of an implausible day")?;
                    let content = content(told, old.then_some(months));
                    ties.push((members.number(a), members.number(b), content));
                }
            }
        }
        scan.findings()?[date].tally.add(rows.file, Class::Dropped, dropped.total());
        self.dropped.lock().map_err(|_| anyhow!("another thread failed"))?[date].add(&dropped);
        match rows.rows.first() {
            Some(first) if !ties.is_empty() => (self.keep)(date, (rows.file, *first), ties),
            _ => Ok(()),
        }
    }

    /// Which count of what is dropped a row belongs to.
    fn fault(&self, date: usize, (a, b): (u32, u32), over: bool) -> Option<fn(&mut DroppedTies) -> &mut u64> {
        if a == UNKNOWN || b == UNKNOWN {
            return Some(|d| &mut d.unknown_subject);
        }
        if a == b {
            return Some(|d| &mut d.self_link);
        }
        let bits = self.willing[date].as_slice();
        let willing = |end: u32| bits.is_empty() || bits[end as usize / 64] >> (end % 64) & 1 != 0;
        if !(willing(a) && willing(b)) {
            return Some(|d| &mut d.no_consent);
        }
        if over {
            return Some(|d| &mut d.ended);
        }
        None
    }

    /// Why rows were dropped, by date.
    ///
    /// # Errors
    /// When a thread failed.
    pub fn finish(self) -> Result<Vec<DroppedTies>> {
        self.dropped.into_inner().map_err(|_| anyhow!("another thread failed"))
    }
}
