//! What a pass kept of the exports, taken out bucket by bucket.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::check::checks::Checks;
use super::check::findings::Findings;
use super::kept::contest;
use super::rows::buckets::Buckets;
use super::rows::layout::{FIRST, Layout};
use super::rows::spare::Spare;
use super::rows::store::{BucketRows, Store};
use super::settle::disputes::{Disputed, Matches};
use super::settle::groups::GroupColumn;
use super::settle::outcomes::Outcome;
use super::settle::resolve::RelatedRows;
use super::spine::Spine;
use super::visibility::view::{Seen, Shown, View};
use crate::contract::Snapshot;
use crate::tables::ids::IdForm;

/// Everything the exports hold, ready to be worked on bucket by bucket.
pub struct Ingested<'a> {
    /// The dates.
    pub(super) snapshots: &'a [Snapshot],
    /// The subjects that one of the dates sees.
    pub spine: Spine,
    /// How they are cut into buckets.
    pub buckets: Buckets,
    /// Each subject's consents, by date and number in the spine.
    pub consents: Vec<Vec<u8>>,
    pub(super) stores: BTreeMap<String, Store<'a>>,
    /// What stored rows look like.
    pub layouts: BTreeMap<String, Layout>,
    pub(super) checks: BTreeMap<String, Checks>,
    /// What was counted and quarantined, by date and table.
    pub findings: Vec<BTreeMap<String, Findings>>,
    /// Outcomes that follow each as-of date, by horizon and subject.
    pub outcomes: Vec<Vec<Outcome>>,
    /// Protected groups at each date.
    pub groups: Vec<Vec<GroupColumn>>,
    /// The records under dispute at each date.
    pub(super) disputed: Vec<Disputed>,
    /// How each table's record ids are written; integers are their own keys, others are kept beside them.
    pub(super) record_forms: BTreeMap<String, IdForm>,
    /// Columns of buckets that were worked on, for the next ones; whoever has worked on all of them gives these up.
    pub spare: Spare<'a>,
}

impl Ingested<'_> {
    /// How a table's record ids are written.
    #[must_use]
    pub fn record_form(&self, table: &str) -> IdForm {
        self.record_forms.get(table).copied().unwrap_or(IdForm::Integer)
    }

    /// What records the disputes match at a date, by table: known once the rows of every bucket were taken out.
    #[must_use]
    pub fn disputes(&self, date: usize) -> BTreeMap<String, Matches> {
        let of_date = self.disputed.get(date).into_iter().flatten();
        of_date.map(|(table, contested)| (table.clone(), contested.matches())).collect()
    }

    /// Takes the rows of a table and bucket out, as each date sees them, date by date; the only date is given them. What a date does not see
    /// is counted.
    ///
    /// # Errors
    /// When the table was not read, or the scratch file cannot be read; or the first error of `work`.
    pub fn take(
        &self,
        table: &str,
        bucket: usize,
        work: &mut dyn FnMut(usize, Shown<'_>, &RelatedRows, &mut Findings) -> Result<()>,
    ) -> Result<Vec<Findings>> {
        let (all, related) = self.rows(table, bucket)?;
        if self.snapshots.len() == 1 {
            let (mut seen, mut found) = (Seen::all(all), Findings::default());
            work(0, Shown::Given(&mut seen), &related, &mut found)?;
            // What is left of them.
            self.spare.keep(seen.rows.columns);
            return Ok(vec![found]);
        }
        let mut work = |date: usize, seen: &Seen, found: &mut Findings| work(date, Shown::Lent(seen), &related, found);
        let found = self.seen(table, bucket, &all, &mut work)?;
        self.spare.keep(all.columns);
        Ok(found)
    }

    /// Takes the rows of a table and bucket out, as they were stored, with what they have to do with each other.
    ///
    /// # Errors
    /// When the table was not read, or the scratch file cannot be read.
    pub fn rows(&self, table: &str, bucket: usize) -> Result<(BucketRows, RelatedRows)> {
        let layout = self.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let store = self.stores.get(table).with_context(|| format!("{table} was not read"))?;
        let mut all = store.take(bucket, layout.width, self.record_form(table) != IdForm::Integer, &self.spare)?;
        if let Some(contested) = self.disputed.first().and_then(|of| of.get(table)).filter(|_| store.holds_kept()) {
            contest::mark(&mut all, u32::try_from(self.buckets.subjects(bucket).start)?, layout, contested);
        }
        let related = RelatedRows::of(&all, layout)?;
        Ok((all, related))
    }

    /// Shows the rows of a bucket as each of several dates sees them, date by date. What a date does not see is counted.
    ///
    /// # Errors
    /// When the table was not read; or the first error of `work`.
    pub fn seen(
        &self,
        table: &str,
        bucket: usize,
        all: &BucketRows,
        work: &mut dyn FnMut(usize, &Seen, &mut Findings) -> Result<()>,
    ) -> Result<Vec<Findings>> {
        let layout = self.layouts.get(table).with_context(|| format!("{table} was not read"))?;
        let checks = self.checks.get(table).with_context(|| format!("{table} was not read"))?;
        let first = u32::try_from(self.buckets.subjects(bucket).start)?;
        let mut found: Vec<Findings> = self.snapshots.iter().map(|_| Findings::default()).collect();
        // With two dates it is as soon found for each.
        let since = (self.snapshots.len() > 2)
            .then(|| checks.since(|at| &all.columns[at + FIRST], all.len(), self.snapshots))
            .flatten();
        let mut other = None;
        for (date, (snapshot, found)) in self.snapshots.iter().zip(&mut found).enumerate() {
            let view = View { date, snapshot, members: Some(self.spine.members(date)) };
            let seen = view.of((all, first, since.as_deref()), other.take(), (layout, checks), found);
            work(date, &seen, found)?;
            other = Some(seen);
        }
        Ok(found)
    }
}
