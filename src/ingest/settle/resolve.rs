//! Versions, duplicates, disputes and consent: which rows of a bucket count.

use std::ops::Range;

use anyhow::Result;

use super::counted::{Counted, Usual};
use super::repeated::KeyIndex;
use crate::NULL;
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::Rule;
use crate::ingest::rows::layout::{DISPUTED, FIRST, Layout};
use crate::ingest::rows::store::BucketRows;
use crate::ingest::visibility::view::Seen;

/// The rows of a bucket that count, by their positions in it.
#[derive(Debug, Default)]
pub struct Counting {
    /// Their positions, in order; contested ones included.
    pub rows: Vec<usize>,
    /// Where the rows of each subject that the date sees begin among them; one more entry than subjects.
    pub starts: Vec<u32>,
    /// Which of them are contested; empty when none is.
    pub disputed: Vec<bool>,
}

impl Counting {
    /// Number of subjects that the date sees.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where a subject's rows stand among those that count.
    #[must_use]
    pub fn of(&self, subject: usize) -> Range<usize> {
        self.starts[subject] as usize..self.starts[subject + 1] as usize
    }

    /// Whether one of the rows that count is contested.
    #[must_use]
    pub fn contested(&self, at: usize) -> bool {
        self.disputed.get(at).copied().unwrap_or(false)
    }
}

/// Settles the versions of each subject's rows and tells which rows count.
///
/// `consents` tells for each subject that the date sees whether it may be scored; `first_day` is the earliest day any
/// feature looks at.
///
/// # Errors
/// When the rows do not have the layout's columns.
pub fn counting(
    seen: &Seen,
    related: &RelatedRows,
    layout: &Layout,
    consents: &[bool],
    first_day: Option<i64>,
    found: &mut Findings,
) -> Result<Counting> {
    let rows = &seen.rows;
    let mut fate: Vec<Option<Class>> = vec![None; rows.len()];
    for subject in &related.large {
        let alive: Vec<usize> = rows.of(*subject).filter(|row| seen.sees(*row)).collect();
        if let Some((rule, column)) = excessive(rows, layout, &alive.iter().copied()) {
            for row in alive {
                fate[row] = Some(Class::Quarantined);
                found.quarantine(layout.quarantined(rows, row, rule, column));
            }
        }
    }
    for group in &related.repeated {
        let alive: Vec<usize> = group.iter().copied().filter(|r| seen.sees(*r) && fate[*r].is_none()).collect();
        if alive.len() > 1 {
            settle(rows, layout, alive, &mut fate, found);
        }
    }
    refunds(seen, related, layout, &mut fate, found);
    // The time before which a row is outside every window, in the unit of the event.
    let earliest = layout.event.as_ref().zip(first_day).map_or(NULL, |(event, first)| event.first_of(first));
    let events = layout.event.as_ref().map_or(&[][..], |event| rows.columns[event.column].as_slice());
    let happened = |row: usize| events.get(row).copied().unwrap_or(NULL);
    let disputes = rows.columns[DISPUTED].as_slice();
    let usual = Usual { fate: &fate, files: &rows.files, times: events, earliest };
    let are_usual = |own: &Range<usize>| {
        let all_seen = seen.alive.is_empty() && events.len() == rows.len();
        all_seen && disputes.get(own.clone()).is_none_or(|own| !own.contains(&1))
    };
    let mut counted = Counted::of(&rows.files);
    let mut starts = vec![0_u32; consents.len() + 1];
    let mut disputed = Vec::new();
    let mut counts: Vec<[u64; Class::ALL.len()]> = Vec::new();
    for (number, subject) in seen.subjects.iter().enumerate() {
        let (own, consents) = (rows.of(*subject), consents[number]);
        if consents && are_usual(&own) {
            usual.add(own, &mut counted, |row, class| {
                if class != Class::Quarantined {
                    count(&mut counts, rows.files[row], class, 1);
                }
            });
            starts[number + 1] = u32::try_from(counted.rows.len())?;
            continue;
        }
        let of_rows = fate[own.clone()].iter().zip(&rows.files[own.clone()]);
        for (row, (fate, file)) in own.zip(of_rows).filter(|(row, _)| seen.sees(*row)) {
            let (contested, when) = (disputes.get(row) == Some(&1), happened(row));
            let class = match *fate {
                Some(class) => class,
                None if contested => Class::DisputedOut,
                None if !consents => Class::WithoutConsent,
                None if when < earliest => Class::OutsideWindows,
                None => Class::Used,
            };
            if class == Class::Used {
                counted.push(row, *file, when);
                continue;
            }
            if class != Class::Quarantined {
                counted.newest = counted.newest.max(when);
                count(&mut counts, *file, class, 1);
            }
            // A contested row still says what the score would be with it.
            if class == Class::DisputedOut && consents {
                disputed.push(counted.rows.len());
                counted.rows.push(row);
            }
        }
        starts[number + 1] = u32::try_from(counted.rows.len())?;
    }
    let Counted { rows: keep, by_file, newest } = counted;
    for (file, rows) in (0_u32..).zip(by_file) {
        count(&mut counts, file, Class::Used, rows.iter().sum());
    }
    for (file, counts) in (0_u32..).zip(&counts) {
        Class::ALL.iter().for_each(|class| found.tally.add(file, *class, counts[*class as usize]));
    }
    if let Some(event) = layout.event.as_ref().filter(|_| newest != NULL) {
        found.newest = found.newest.max(Some(event.day(newest)));
    }
    let disputed = match disputed.is_empty() {
        true => Vec::new(),
        false => {
            let mut flags = vec![false; keep.len()];
            disputed.into_iter().for_each(|at| flags[at] = true);
            flags
        }
    };
    Ok(Counting { rows: keep, starts, disputed })
}

/// Counts rows of a file, if there are any.
fn count(counts: &mut Vec<[u64; Class::ALL.len()]>, file: u32, class: Class, rows: u64) {
    if rows == 0 {
        return;
    }
    let file = file as usize;
    if file >= counts.len() {
        counts.resize(file + 1, [0; Class::ALL.len()]);
    }
    counts[file][class as usize] += rows;
}

/// What the rows of a bucket have to do with each other, whatever the date: found once, settled for each date.
#[derive(Debug, Default)]
pub struct RelatedRows {
    /// Rows of one subject and record, where there are several, by place in the exports.
    repeated: Vec<Vec<usize>>,
    /// Refunds of one record by a subject, and the rows of that record.
    refunds: Vec<Refunds>,
    /// Subjects who may have more rows or larger amounts than sums can hold.
    large: Vec<usize>,
}

#[derive(Debug)]
struct Refunds {
    refunding: Vec<usize>,
    originals: Vec<usize>,
}

impl RelatedRows {
    /// Finds what belongs together; of a table without records nothing does.
    ///
    /// # Errors
    /// When there are more rows than 32 bits count.
    pub fn of(rows: &BucketRows, layout: &Layout) -> Result<Self> {
        let mut related = Self::default();
        let Some(record) = layout.record else { return Ok(related) };
        let mut index = KeyIndex::default();
        let none_excessive = none_excessive(rows, layout);
        for subject in 0..rows.starts.len().saturating_sub(1) {
            let range = rows.of(subject);
            if range.is_empty() {
                continue;
            }
            // No date sees more rows, or larger amounts.
            if !none_excessive && excessive(rows, layout, &range).is_some() {
                related.large.push(subject);
            }
            index.repeated(rows, record, range.clone())?;
            related.repeated.extend(index.groups(rows, record));
            if let Some((refund_of, _)) = layout.refund {
                related.refunds.extend(refunds_of(rows, range, record, refund_of));
            }
        }
        Ok(related)
    }
}

fn refunds_of(rows: &BucketRows, range: Range<usize>, record: usize, refund_of: usize) -> Vec<Refunds> {
    // Most subjects refund nothing, which is seen without a branch for each row.
    let some = rows.columns[refund_of].get(range.clone()).unwrap_or(&[]);
    if some.iter().fold(true, |none, key| none & (*key == NULL)) {
        return Vec::new();
    }
    let refunded = |row: usize| rows.value(refund_of, row);
    let mut refunding: Vec<(i64, usize)> =
        range.clone().filter(|r| refunded(*r) != NULL).map(|r| (refunded(r), r)).collect();
    refunding.sort_unstable();
    let mut refunds: Vec<(i64, Refunds)> = refunding
        .chunk_by(|a, b| a.0 == b.0)
        .map(|g| (g[0].0, Refunds { refunding: g.iter().map(|(_, r)| *r).collect(), originals: Vec::new() }))
        .collect();
    for row in range {
        if let Ok(at) = refunds.binary_search_by_key(&rows.value(record, row), |r| r.0) {
            refunds[at].1.originals.push(row);
        }
    }
    refunds.into_iter().map(|(_, r)| r).filter(|r| !r.originals.is_empty()).collect()
}

/// Whether it is certain that no subject's rows are [`excessive`]: as many as any has, of the largest amount, are not.
fn none_excessive(rows: &BucketRows, layout: &Layout) -> bool {
    let longest = rows.starts.windows(2).map(|subject| subject[1] - subject[0]).max().unwrap_or(0);
    // Null is the one number that stays below 0 without its sign, and is never the largest.
    let size = |column: &usize| rows.columns[*column].iter().fold(0_i64, |most, v| most.max(v.wrapping_abs()));
    let largest = |column: &usize| size(column).unsigned_abs();
    let total = |column: &usize| largest(column).saturating_mul(u64::from(longest));
    let mut totals = layout.money.iter().map(total);
    longest as usize <= layout.limits.subject_rows && totals.all(|t| t <= layout.limits.subject_total.unsigned_abs())
}

/// Whether some rows of a subject are more, or their amounts larger, than sums can hold.
fn excessive(
    rows: &BucketRows,
    layout: &Layout,
    some: &(impl ExactSizeIterator<Item = usize> + Clone),
) -> Option<(Rule, usize)> {
    if some.len() > layout.limits.subject_rows {
        return Some((Rule::TooManyRows, layout.record.unwrap_or(FIRST)));
    }
    layout.money.iter().find_map(|c| {
        let values = &rows.columns[*c];
        if values.is_empty() {
            return None;
        }
        let amounts = some.clone().map(|r| values[r]).filter(|v| *v != NULL).map(i64::unsigned_abs);
        let total = amounts.fold(0, u64::saturating_add);
        (total > layout.limits.subject_total.unsigned_abs()).then_some((Rule::AmountTooLarge, *c))
    })
}

/// One record's versions: the latest known counts, of equal ones that of the most reliable source; its repetitions are
/// duplicates, the rest superseded.
fn settle(rows: &BucketRows, layout: &Layout, group: Vec<usize>, fate: &mut [Option<Class>], found: &mut Findings) {
    let latest = group.iter().map(|r| layout.known(rows, *r)).max().unwrap_or(NULL);
    let newest: Vec<usize> = group.iter().copied().filter(|r| layout.known(rows, *r) == latest).collect();
    // Of several alike the first: the last that `max_by_key` meets.
    let reliability = |row: &usize| layout.reliability(rows, *row);
    let Some(kept) = newest.iter().copied().rev().max_by_key(reliability) else { return };
    if newest.iter().any(|r| !layout.same(rows, kept, *r)) {
        for row in group {
            fate[row] = Some(Class::Quarantined);
            found.quarantine(layout.quarantined(rows, row, Rule::ConflictingVersions, layout.record.unwrap_or(FIRST)));
        }
        return;
    }
    for row in group.into_iter().filter(|r| *r != kept) {
        fate[row] = Some(if layout.same(rows, kept, row) { Class::Duplicate } else { Class::Superseded });
    }
}

/// Refunds of one order that add up to more than the order are quarantined.
fn refunds(seen: &Seen, related: &RelatedRows, layout: &Layout, fate: &mut [Option<Class>], found: &mut Findings) {
    let Some((refund_of, amount)) = layout.refund else { return };
    let rows = &seen.rows;
    let mut above = Vec::new();
    for Refunds { refunding, originals } in &related.refunds {
        let counts = |row: &usize| seen.sees(*row) && fate[*row].is_none();
        let Some(original) = originals.iter().copied().find(|r| counts(r)) else { continue };
        let refunding = refunding.iter().copied().filter(|r| counts(r) && rows.value(refund_of, *r) != NULL);
        let total: i64 = refunding.clone().map(|r| rows.value(amount, r)).sum();
        if total > rows.value(amount, original) {
            above.extend(refunding);
        }
    }
    for row in above {
        fate[row] = Some(Class::Quarantined);
        found.quarantine(layout.quarantined(rows, row, Rule::RefundAboveOriginal, refund_of));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::contract::{Contract, Zone};

    proptest! {
        #[test]
        fn where_none_can_be_excessive_none_is(
            subjects in proptest::collection::vec(proptest::collection::vec(proptest::option::of(-60_i64..60), 0..9), 0..6),
        ) {
            let (contract, zone) = (Contract::load().unwrap(), Zone::named("UTC").unwrap());
            let mut layout = Layout::new(contract.table("purchases").unwrap(), &contract.limits, &zone).unwrap();
            (layout.limits.subject_total, layout.limits.subject_rows) = (120, 6);
            let mut rows = BucketRows { columns: vec![Arc::default(); layout.width], ..BucketRows::default() };
            let ends = subjects.iter().scan(0, |end, subject| {
                *end += u32::try_from(subject.len()).unwrap();
                Some(*end)
            });
            rows.starts = std::iter::once(0).chain(ends).collect();
            let amounts: Vec<i64> = subjects.iter().flatten().map(|amount| amount.unwrap_or(NULL)).collect();
            rows.columns[layout.money[0]] = Arc::new(amounts);
            let longest = subjects.iter().map(Vec::len).max().unwrap_or(0);
            let largest = subjects.iter().flatten().flatten().map(|amount| amount.abs()).max().unwrap_or(0);
            let small = longest <= 6 && i64::try_from(longest).unwrap() * largest <= 120;
            prop_assert_eq!(none_excessive(&rows, &layout), small);
            let excessive = (0..subjects.len()).any(|subject| excessive(&rows, &layout, &rows.of(subject)).is_some());
            prop_assert!(!(small && excessive));
        }
    }
}
