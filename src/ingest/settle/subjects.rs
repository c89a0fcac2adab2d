//! Subjects: their versions, and the spine made of those that are visible.

use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};

use crate::contract::{DateSet, Snapshot};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::IdColumn;
use crate::ingest::rows::layout::{DISPUTED, Layout, ROW};
use crate::ingest::rows::pack::{Unpacker, pack};
use crate::ingest::rows::split::Rows;
use crate::ingest::rows::store::{BucketRows, Store};
use crate::ingest::spine::Spine;
use crate::ingest::spine::members::Members;
use crate::ingest::visibility::scan::{Checked, Scan, stored};
use crate::ingest::visibility::view::Seen;
use crate::pipeline::{Finding, Findings as Report};
use crate::tables::ids::{IdForm, Ids};

/// Checked rows of `subjects`, packed until the spine is known.
struct Held {
    file: u32,
    rows: usize,
    packed: Vec<u8>,
    ids: Ids,
    /// Who sees each row; empty when there is one date, which sees them all.
    sights: Vec<Sight>,
}

/// Collects subjects.
#[derive(Default)]
pub struct Subjects {
    held: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    parts: Vec<Held>,
    form: IdForm,
    /// Ids of rows that no date sees, and the dates that do not see them yet.
    later: Ids,
    later_dates: Vec<DateSet>,
}

/// The dates that see a row, and those that do not see it yet.
#[derive(Debug, Clone, Copy)]
struct Sight {
    visible: DateSet,
    hidden: DateSet,
}

impl Subjects {
    /// Reads a batch.
    ///
    /// # Errors
    /// When the batch cannot be read.
    pub fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let checked = scan.check(batch, None)?;
        let column = checked.owner_ids.first().and_then(Option::as_ref).context("subjects without ids")?;
        let mut ids = Ids::default();
        for row in &checked.kept {
            ids.push(column.get(*row as usize).context("a subject without id")?);
        }
        let mut packed = Vec::new();
        pack(&checked.rows, &mut packed);
        pack(&stored(&checked.faulty), &mut packed);
        for column in &checked.columns {
            pack(column, &mut packed);
        }
        let sights = sights(scan, &checked);
        let held = Held { file: checked.file, rows: checked.rows.len(), packed, ids, sights };
        let mut all = self.held.lock().map_err(|_| anyhow!("another thread failed"))?;
        all.form = IdColumn::form(column);
        all.parts.push(held);
        for (row, dates) in &checked.hidden {
            if let Some(id) = column.get(*row as usize) {
                all.later.push(id);
                all.later_dates.push(*dates);
            }
        }
        Ok(())
    }

    /// Numbers the subjects and settles which of so many dates sees whom; their rows wait for their store.
    ///
    /// # Errors
    /// When there are too many subjects.
    pub fn number(self, dates: usize) -> Result<(Spine, Numbered)> {
        let Collected { parts, form, later, later_dates } =
            self.held.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let mut all = Ids::default();
        for part in &parts {
            all.append(&part.ids);
        }
        let spine = Spine::build(&all, form)?;
        let members = match dates {
            1 => vec![Members::all(spine.len())],
            _ => members(&spine, &parts, (&later, &later_dates), dates),
        };
        let spine = spine.with_later(&later, &later_dates)?.with_members(members);
        Ok((spine, Numbered { held: parts }))
    }
}

/// Who sees each row of a batch; with one date all rows that are left.
fn sights(scan: &Scan, rows: &Checked) -> Vec<Sight> {
    if scan.snapshots().len() == 1 {
        return Vec::new();
    }
    let sight = |row: usize| {
        let faulty = rows.faulty.get(row).copied().unwrap_or_default();
        let sees = |snapshot: &Snapshot| scan.checks().sees(|c| rows.columns[c].get(row), snapshot);
        let seen = DateSet::filter(scan.snapshots(), sees);
        Sight { visible: seen.without(faulty), hidden: scan.every_date().without(seen) }
    };
    (0..rows.rows.len()).map(sight).collect()
}

fn members(spine: &Spine, parts: &[Held], (later, not_yet): (&Ids, &[DateSet]), dates: usize) -> Vec<Members> {
    let (mut visible, mut hidden) = (vec![DateSet::NONE; spine.len()], vec![DateSet::NONE; spine.len()]);
    let mut numbers = Vec::new();
    for part in parts {
        numbers.clear();
        spine.find_all((0..part.rows).map(|r| Some(part.ids.get(r))), &mut numbers);
        for (s, sight) in numbers.iter().zip(&part.sights) {
            visible[*s as usize] = visible[*s as usize].or(sight.visible);
            hidden[*s as usize] = hidden[*s as usize].or(sight.hidden);
        }
    }
    for (n, dates) in not_yet.iter().enumerate() {
        if let Some(hidden) = hidden.get_mut(spine.find(later.get(n)) as usize) {
            *hidden = hidden.or(*dates);
        }
    }
    (0..dates).map(|date| Members::at(date, &visible, &hidden)).collect()
}

/// Subjects' rows that wait for their store.
pub struct Numbered {
    held: Vec<Held>,
}

impl Numbered {
    /// Splits the rows by bucket.
    ///
    /// # Errors
    /// When rows cannot be spilled.
    pub fn split(self, spine: &Spine, layout: &Layout, store: &Store) -> Result<()> {
        for part in self.held {
            let mut subjects = Vec::with_capacity(part.rows);
            spine.find_all((0..part.rows).map(|r| Some(part.ids.get(r))), &mut subjects);
            let mut unpacker = Unpacker::new(&part.packed, part.rows);
            let mut columns: Vec<Vec<i64>> = Vec::with_capacity(layout.width);
            for at in 0..layout.table.columns.len() + 2 {
                if at == DISPUTED {
                    // No subject's row is disputed.
                    columns.push(Vec::new());
                }
                let mut column = Vec::new();
                if !unpacker.next_is_null() {
                    column.reserve(part.rows);
                }
                let null = unpacker.next_is_null();
                unpacker.column(|_, v| {
                    if !null {
                        column.push(v);
                    }
                })?;
                columns.push(column);
            }
            store.add(&Rows { file: part.file, subjects: &subjects, columns: &columns, kept: None, records: None })?;
        }
        Ok(())
    }
}

/// The version of each subject that counts: the latest known.
///
/// # Errors
/// When two versions with the same `known_at` contradict each other; all such subjects of the bucket are named.
pub fn latest(seen: &Seen, layout: &Layout, paths: &[std::path::PathBuf], found: &mut Findings) -> Result<BucketRows> {
    let rows = &seen.rows;
    let mut report = Report::default();
    let mut keep = Vec::with_capacity(seen.subjects.len());
    for subject in &seen.subjects {
        let mut versions: Vec<usize> = rows.of(*subject).filter(|row| seen.sees(*row)).collect();
        versions.sort_by_key(|r| (std::cmp::Reverse(layout.known(rows, *r)), rows.files[*r], rows.value(ROW, *r)));
        let Some(first) = versions.first().copied() else { bail!("a subject without a row") };
        for row in &versions[1..] {
            let same = layout.same(rows, first, *row);
            if !same && layout.known(rows, *row) == layout.known(rows, first) {
                report.0.push(Finding {
                    file: paths[rows.files[*row] as usize].clone(),
                    line: 0,
                    message: format!(
                        "subjects: row {} contradicts row {} of {} for one subject, both known at the same time; give each version its own known_at",
                        rows.value(ROW, *row),
                        rows.value(ROW, first),
                        paths[rows.files[first] as usize].display()
                    ),
                });
            }
            found.tally.add(rows.files[*row], if same { Class::Duplicate } else { Class::Superseded }, 1);
        }
        found.tally.add(rows.files[first], Class::Used, 1);
        keep.push(first);
    }
    let starts = (0..=u32::try_from(seen.subjects.len())?).collect();
    report.or(())?;
    Ok(rows.pick(&keep, starts))
}
