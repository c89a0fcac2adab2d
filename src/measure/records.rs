//! What the records of a table say of each subject: how many count, which policy rule they trigger, which are adverse.

use std::borrow::Cow;

use anyhow::Result;

use super::evidence::Adverse;
use crate::contract::Calendar;
use crate::expression::Expression;
use crate::ingest::rows::store::BucketRows;
use crate::ingest::settle::resolve::Counting;
use crate::scorecard::policy::{Caps, Trigger};
use crate::tables::evidence::Evidence;

/// What the records of one table say of each subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records that count.
    pub used: Vec<i32>,
    /// Records left out because they are disputed.
    pub disputed: Vec<i32>,
    /// The strictest policy rule that a record triggers.
    pub triggered: Vec<Option<u8>>,
    /// The same with disputed records.
    pub triggered_with: Vec<Option<u8>>,
}

/// The rows of subjects with contested ones, these included.
pub(super) struct Contested {
    /// Positions of the subjects within the bucket, in order.
    pub subjects: Vec<usize>,
    /// Their rows.
    pub rows: BucketRows,
}

/// The conditions over a table's records beside those of features.
pub(super) struct Conditions<'a> {
    /// What makes a record adverse, if anything can.
    pub adverse: Option<&'a Adverse>,
    /// The policy rules over the table, with their positions in the model file.
    pub rules: Vec<(u8, &'a Trigger)>,
    pub caps: &'a Caps,
    pub calendar: &'a Calendar,
}

impl<'a> Conditions<'a> {
    /// All of them: what is adverse, if anything can be, and then the policy rules.
    pub(super) fn all(&self) -> Vec<&'a Expression> {
        let rules = self.rules.iter().map(|(_, trigger)| trigger.condition());
        self.adverse.map(Adverse::condition).into_iter().chain(rules).collect()
    }

    /// What the rows that count say of each subject, and which are adverse. `holds` tells where each of the conditions is met.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn records(
        &self,
        rows: &BucketRows,
        counting: &Counting,
        holds: &[Vec<u8>],
    ) -> Result<(RecordCounts, Option<Vec<Evidence>>)> {
        let subjects = counting.subjects();
        let (of_adverse, of_rules) = holds.split_at(usize::from(self.adverse.is_some()));
        let mut counts = RecordCounts {
            used: vec![0; subjects],
            disputed: vec![0; subjects],
            triggered: vec![None; subjects],
            triggered_with: vec![None; subjects],
        };
        if holds.is_empty() && counting.disputed.is_empty() {
            for (subject, used) in counts.used.iter_mut().enumerate() {
                *used = i32::try_from(counting.of(subject).len())?;
            }
            return Ok((counts, None));
        }
        let (mut chosen, mut of, mut policy) = (Vec::new(), Vec::new(), Vec::new());
        let certain = counting.disputed.is_empty();
        for subject in 0..subjects {
            if certain {
                counts.used[subject] = i32::try_from(counting.of(subject).len())?;
            }
            for at in counting.of(subject) {
                let row = counting.rows[at];
                // Nearly all rows meet none of the conditions, and count.
                if certain && !holds.iter().any(|holds| holds[row] == 1) {
                    continue;
                }
                let met = self.rules.iter().zip(of_rules).filter(|(_, holds)| holds[row] == 1);
                let strictest = met.fold(None, |held, ((rule, _), _)| self.caps.stricter(held, *rule));
                if let Some(rule) = strictest {
                    counts.triggered_with[subject] = self.caps.stricter(counts.triggered_with[subject], rule);
                }
                if counting.contested(at) {
                    counts.disputed[subject] += 1;
                    continue;
                }
                counts.used[subject] += i32::from(!certain);
                if let Some(rule) = strictest {
                    counts.triggered[subject] = self.caps.stricter(counts.triggered[subject], rule);
                }
                if strictest.is_some() || of_adverse.iter().any(|holds| holds[row] == 1) {
                    chosen.push(row);
                    of.push(u32::try_from(subject)?);
                    policy.push(strictest);
                }
            }
        }
        let evidence = self.adverse.map(|adverse| adverse.records(rows, (&chosen, &of, &policy), self.calendar));
        Ok((counts, evidence.transpose()?))
    }
}

/// The rows that count and are not contested, with where each subject's begin among them; contested ones are counted.
///
/// # Errors
/// When there are more rows than 32 bits count.
pub(super) fn undisputed<'c>(
    counting: &'c Counting,
    counts: &mut RecordCounts,
) -> Result<(Cow<'c, [usize]>, Vec<u32>)> {
    counts.disputed = vec![0; counting.subjects()];
    if counting.disputed.is_empty() {
        return Ok((Cow::Borrowed(counting.rows.as_slice()), counting.starts.clone()));
    }
    let mut keep = Vec::with_capacity(counting.rows.len());
    let mut starts = vec![0_u32];
    for (subject, disputed) in counts.disputed.iter_mut().enumerate() {
        for at in counting.of(subject) {
            if counting.contested(at) {
                *disputed += 1;
            } else {
                keep.push(counting.rows[at]);
            }
        }
        starts.push(u32::try_from(keep.len())?);
    }
    Ok((Cow::Owned(keep), starts))
}

/// Whether a stored column is one of those that are needed.
pub(super) fn wanted(needed: &[bool]) -> impl Fn(usize) -> bool + '_ {
    move |column| needed.get(column).copied().unwrap_or(false)
}

/// The rows that count of those subjects who have contested ones, if any has.
///
/// # Errors
/// When there are more rows than 32 bits count.
pub(super) fn contested_rows(
    rows: &BucketRows,
    counting: &Counting,
    counts: &RecordCounts,
    needed: &[bool],
) -> Result<Option<Contested>> {
    if counting.disputed.is_empty() {
        return Ok(None);
    }
    let subjects: Vec<usize> = (0..counts.disputed.len()).filter(|s| counts.disputed[*s] > 0).collect();
    let (mut few, mut begins) = (Vec::new(), vec![0_u32]);
    for s in &subjects {
        few.extend_from_slice(&counting.rows[counting.of(*s)]);
        begins.push(u32::try_from(few.len())?);
    }
    let rows = rows.pick_columns(&few, begins, &wanted(needed));
    Ok(Some(Contested { subjects, rows }))
}
