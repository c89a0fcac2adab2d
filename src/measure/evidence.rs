//! Adverse records: the visible rows that hurt, kept with their ids so that a subject can see and dispute them.

use anyhow::Result;

use crate::NULL;
use crate::contract::{Calendar, ColumnType};
use crate::expression::Expression;
use crate::ingest::rows::cleaner::Cleaner;
use crate::ingest::rows::layout::{FIRST, Layout};
use crate::ingest::rows::store::BucketRows;
use crate::scorecard::policy::Trigger;
use crate::tables::evidence::Evidence;
use crate::tables::ids::{IdForm, id_text};

/// Finds the adverse records of one table.
pub(super) struct Adverse {
    trigger: Trigger,
    lateness: Option<Cleaner>,
    record: usize,
    event: (usize, bool),
    amount: Option<usize>,
    number: u8,
    /// How the records' ids are written.
    form: IdForm,
}

impl Adverse {
    /// Prepares the search; nothing for a table without adverse records.
    ///
    /// # Errors
    /// When the contract's condition is faulty.
    pub(super) fn new(layout: &Layout, number: usize, form: IdForm, calendar: &Calendar) -> Result<Option<Self>> {
        let table = &layout.table;
        let (Some(condition), Some(record), Some(event)) =
            (&table.adverse, table.position("record_id"), table.event.as_deref().and_then(|e| table.position(e)))
        else {
            return Ok(None);
        };
        let late = "days_past_due";
        let has_lateness = table.position(late).is_some() || table.computed.iter().any(|c| c.name == late);
        Ok(Some(Self {
            trigger: Trigger::new(condition, layout, calendar)?,
            lateness: has_lateness.then(|| Cleaner::new(layout, calendar, [late.to_owned()])).transpose()?,
            record: record + FIRST,
            event: (event + FIRST, table.columns[event].kind == ColumnType::Instant),
            amount: table.adverse_amount.as_deref().and_then(|a| table.position(a)).map(|p| p + FIRST),
            number: u8::try_from(number)?,
            form,
        }))
    }

    /// What makes a row adverse.
    pub(super) const fn condition(&self) -> &Expression {
        self.trigger.condition()
    }

    /// The stored columns it reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        let own = [Some(self.record), Some(self.event.0), self.amount].into_iter().flatten();
        self.trigger.reads().chain(self.lateness.iter().flat_map(Cleaner::reads)).chain(own)
    }

    /// The adverse rows among some, with the policy rule each triggers, in order of subject, day and record.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn find(
        &self,
        rows: &BucketRows,
        first: u32,
        policy: &[Option<u8>],
        calendar: &Calendar,
    ) -> Result<Vec<Evidence>> {
        let hits = self.trigger.rows(rows, calendar)?;
        let adverse = |row: &usize| hits[*row] == 1 || policy.get(*row).is_some_and(Option::is_some);
        let chosen: Vec<usize> = (0..rows.len()).filter(adverse).collect();
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let mut subjects = Vec::with_capacity(chosen.len());
        let mut subject = 0;
        for row in &chosen {
            while rows.starts[subject + 1] as usize <= *row {
                subject += 1;
            }
            subjects.push(first + u32::try_from(subject)?);
        }
        let policy: Vec<Option<u8>> = chosen.iter().map(|row| policy.get(*row).copied().flatten()).collect();
        self.records(rows, (&chosen, &subjects, &policy), calendar)
    }

    /// Chosen rows as evidence, with their subjects and the policy rule each triggers, in order of subject, day and record.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn records(
        &self,
        rows: &BucketRows,
        (chosen, subjects, policy): (&[usize], &[u32], &[Option<u8>]),
        calendar: &Calendar,
    ) -> Result<Vec<Evidence>> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let needed: Vec<usize> = self.reads().collect();
        let few = rows.pick_columns(chosen, vec![0, u32::try_from(chosen.len())?], &|column| needed.contains(&column));
        let mut found = Vec::with_capacity(chosen.len());
        let lateness = match &self.lateness {
            Some(cleaner) => {
                let clean = cleaner.clean(&few, 0..few.len(), calendar)?;
                Some(clean.values("days_past_due")?.to_vec())
            }
            None => None,
        };
        let known = |v: i64| (v != NULL).then_some(v);
        for (at, (subject, policy)) in subjects.iter().zip(policy).enumerate() {
            let event = few.value(self.event.0, at);
            found.push(Evidence {
                subject: *subject,
                table: self.number,
                record_text: few.records.get(at).map_or_else(String::new, |id| id_text(id, self.form)),
                record_number: few.value(self.record, at),
                day: if self.event.1 { calendar.zone().day(event) } else { event },
                days_past_due: lateness.as_ref().and_then(|l| known(l[at])),
                amount: self.amount.and_then(|a| known(few.value(a, at))),
                policy: *policy,
            });
        }
        found.sort_unstable_by(|a, b| {
            (a.subject, a.day, &a.record_text, a.record_number).cmp(&(
                b.subject,
                b.day,
                &b.record_text,
                b.record_number,
            ))
        });
        Ok(found)
    }
}
