//! Rows that every later date sees as this one does, and finds nothing wrong with, so that what was made of them holds for the nights to
//! come: as-of date and knowledge cut-off only move on.
//!
//! Such a row's subject is known; it is visible, and what is visible stays so; no value of it lies after the date or was learnt after the
//! cut-off, so that nothing is turned back now or later ([`Checks::turn_back`](crate::ingest::check::checks::Checks::turn_back) calls for
//! every row that it would turn back, and is told to leave it); and it breaks no rule, none of which knows the date. Whatever is not so is
//! left to the scan, which looks at each row by itself.

use std::cell::RefCell;

use anyhow::Result;

use super::{Scan, reliabilities};
use crate::contract::ColumnType;
use crate::ingest::check::checks::Columns;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::rule::Rule;
use crate::ingest::read::batches::Batch;
use crate::ingest::spine::Spine;
use crate::ingest::visibility::decoded::{Decoded, gather};
use crate::tables::ids::UNKNOWN;

/// A batch, divided.
pub(in crate::ingest) struct Divided {
    /// Row numbers in the file of the settled rows.
    pub(in crate::ingest) rows: Vec<i64>,
    /// Their positions in the batch.
    pub(in crate::ingest) settled: Vec<u32>,
    /// Their columns, as [`Scan::check`] would have them.
    pub(in crate::ingest) columns: Columns,
    /// The numbers in the spine of their subjects.
    pub(in crate::ingest) owners: Vec<u32>,
    /// Which rows of the batch are others.
    pub(in crate::ingest) rest: Vec<bool>,
    /// Whether an id of one of the others looks personal: nothing of such a row may be kept.
    pub(in crate::ingest) personal: bool,
}

impl Scan<'_> {
    /// Finds the settled rows of a batch; `may` says of whom there may be some. The scan is for one date.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub(in crate::ingest) fn divide(&self, batch: &Batch, spine: &Spine, may: &dyn Fn(u32) -> bool) -> Result<Divided> {
        let Decoded { mut columns, mut faults, owners, .. } = self.decoder.decode(batch, Some(spine))?;
        let mut owners = owners.into_iter().next().unwrap_or_default();
        owners.resize(batch.len, UNKNOWN);
        let mut rest: Vec<bool> = owners.iter().map(|owner| *owner == UNKNOWN || !may(*owner)).collect();
        let snapshot = &self.setting.widest;
        self.checks.hidden(|at| &columns[at], snapshot, |row| rest[row] = true);
        let late = RefCell::new(Vec::new());
        let leave = |row: usize| {
            late.borrow_mut().push(row);
            false
        };
        let mut editable: Vec<&mut Vec<i64>> = columns.iter_mut().collect();
        self.checks.turn_back(&mut editable, (batch.len, &leave), snapshot, &mut faults);
        self.checks.faults(&columns, batch.len, &snapshot.calendar, &mut faults);
        faults.iter().for_each(|fault| rest[fault.row] = true);
        let personal = faults.iter().any(|fault| fault.rule == Rule::PiiSuspect);
        late.into_inner().into_iter().for_each(|row| rest[row] = true);
        if let Some(at) = self.source {
            columns[at] = reliabilities(&columns[at], &self.setting.reliability);
        }
        for (at, column) in self.table.columns.iter().enumerate() {
            if column.kind == ColumnType::Currency || self.decoder.owners.contains(&at) {
                columns[at] = Vec::new();
            }
        }
        let few: Vec<usize> = (0..batch.len).filter(|row| !rest[*row]).collect();
        if few.len() < batch.len {
            columns = columns.iter().map(|column| gather(column, &few)).collect();
            owners = gather(&owners, &few);
        }
        let settled = few.iter().map(|row| u32::try_from(*row)).collect::<Result<Vec<u32>, _>>()?;
        let rows = few.iter().map(|row| batch.rows.get(*row)).collect();
        Ok(Divided { rows, settled, columns, owners, rest, personal })
    }

    /// Adds what was found of rows that are kept, of which nothing is looked at any more. The scan is for one date.
    ///
    /// # Errors
    /// When far too many rows break a rule.
    pub(in crate::ingest) fn note(&self, mut found: Findings) -> Result<()> {
        self.merge(0, &mut found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use crate::NULL;
    use crate::contract::{Contract, DateSet, Snapshot, Table, Zone};
    use crate::ingest::check::conservation::Class;
    use crate::ingest::check::rule::Quarantined;
    use crate::ingest::read::batches::RowNumbers;
    use crate::ingest::read::decode::{KeyMap, text_key};
    use crate::ingest::visibility::erased::picked;
    use crate::ingest::visibility::scan::Checked;
    use crate::ingest::visibility::setting::Setting;
    use crate::storage::erased::NOBODY;
    use crate::tables::ids::{IdForm, Ids};

    /// 2025-01-01.
    const FIRST: i64 = 20_089;
    const DAY: i64 = 86_400_000_000;

    fn snapshot(contract: &Contract, day: i64) -> Snapshot {
        let as_of = jiff::civil::date(2025, 1, 1).checked_add(jiff::Span::new().days(day - FIRST)).unwrap();
        let known_by = jiff::Timestamp::from_microsecond((day + 1) * DAY - 1).unwrap();
        Snapshot { calendar: contract.calendar(as_of, &Zone::default()).unwrap(), known_by }
    }

    fn setting<'a>(contract: &'a Contract, snapshots: &'a [Snapshot]) -> Setting<'a> {
        Setting {
            snapshots,
            every_date: DateSet::first(1).unwrap(),
            widest: Snapshot::widest(snapshots).unwrap(),
            currency: "CNY",
            limits: &contract.limits,
            reliability: KeyMap::from_iter([(text_key(b"half"), 500)]),
            erased: &NOBODY,
        }
    }

    /// Whose the bill is, when it is due, paid, and known, in days from the first date; what is due; and words that may be wrong.
    type Bill = (u8, i64, Option<i64>, Option<i64>, i64, u8);

    fn batch(table: &Table, bills: &[Bill]) -> Batch {
        let text = |of: &dyn Fn(&Bill) -> String| -> ArrayRef {
            Arc::new(bills.iter().map(|bill| Some(of(bill))).collect::<StringArray>())
        };
        let date = |of: &dyn Fn(&Bill) -> Option<i64>| -> ArrayRef {
            let day = |bill: &Bill| of(bill).map(|day| i32::try_from(FIRST + day).unwrap());
            Arc::new(bills.iter().map(day).collect::<Date32Array>())
        };
        let amount: ArrayRef = Arc::new(bills.iter().map(|bill| Some(bill.4)).collect::<Int64Array>());
        let known = bills.iter().map(|bill| bill.3.map(|day| (FIRST + day) * DAY));
        let known: ArrayRef = Arc::new(known.collect::<TimestampMicrosecondArray>().with_timezone("UTC"));
        let columns: BTreeMap<&str, ArrayRef> = BTreeMap::from([
            ("record_id", text(&|bill| format!("r{}", bill.4))),
            ("subject_id", text(&|bill| format!("s{}", bill.0))),
            ("account_id", text(&|_| "a".to_owned())),
            ("product", text(&|bill| if bill.5 == 1 { "no product" } else { "instalment" }.to_owned())),
            ("currency", text(&|bill| if bill.5 == 2 { "USD" } else { "CNY" }.to_owned())),
            ("source_id", text(&|bill| if bill.5 == 3 { "half" } else { "whole" }.to_owned())),
            ("due_on", date(&|bill| Some(bill.1))),
            ("paid_on", date(&|bill| bill.2)),
            ("amount_due_minor", Arc::clone(&amount)),
            ("amount_paid_minor", amount),
            ("known_at", known),
        ]);
        Batch {
            file: 2,
            from: 70,
            rows: RowNumbers::From(70),
            columns: table.columns.iter().map(|column| columns.get(column.name.as_str()).cloned()).collect(),
            extra: Vec::new(),
            left_out: 0,
            multiplied: 0,
            len: bills.len(),
        }
    }

    /// Whose each row is and what its columns hold, by its number.
    fn told(rows: &[i64], owners: &[u32], columns: &[Vec<i64>]) -> BTreeMap<i64, (u32, Vec<i64>)> {
        let values = |at: usize| columns.iter().map(|c| c.get(at).copied().unwrap_or(NULL)).collect();
        rows.iter().enumerate().map(|(at, row)| (*row, (owners[at], values(at)))).collect()
    }

    fn found(scan: Scan) -> (u64, Vec<Quarantined>) {
        let mut found = scan.finish().unwrap().pop().unwrap();
        found.quarantined.sort_unstable();
        (found.tally.get(2, Class::NotVisible), found.quarantined)
    }

    fn spine() -> Spine {
        let mut ids = Ids::default();
        (0..4).for_each(|n| ids.push(format!("s{n}").as_bytes()));
        Spine::build(&ids, IdForm::Text).unwrap()
    }

    proptest! {
        #[test]
        fn settled_rows_and_the_others_come_to_what_all_come_to_at_any_later_date(
            bills in proptest::collection::vec(
                (0_u8..5, 0_i64..20, proptest::option::of(0_i64..30), proptest::option::of(0_i64..30), -1_i64..5, 0_u8..9), 0..60),
            first in 5_i64..15, later in 0_i64..20,
        ) {
            let (contract, spine) = (Contract::load().unwrap(), spine());
            let table = contract.table("repayments").unwrap();
            let all = batch(table, &bills);
            let dates = [[snapshot(&contract, FIRST + first)], [snapshot(&contract, FIRST + first + later)]];
            let [then, now] = [setting(&contract, &dates[0]), setting(&contract, &dates[1])];
            let divided = Scan::new(table, &then).unwrap().divide(&all, &spine, &|owner| owner != 3).unwrap();
            let rest = picked(&all, &divided.rest).unwrap();
            prop_assert_eq!(divided.rows.len() + rest.len, bills.len());
            prop_assert!(divided.owners.iter().all(|owner| *owner < 3));
            let numbered: Vec<i64> = divided.settled.iter().map(|at| i64::from(*at) + 70).collect();
            prop_assert_eq!(&numbered, &divided.rows);

            let (whole, others) = (Scan::new(table, &now).unwrap(), Scan::new(table, &now).unwrap());
            let of = |checked: &Checked| told(&checked.rows, &checked.owners[0], &checked.columns);
            let expected = of(&whole.check(&all, Some(&spine)).unwrap());
            let mut rows = of(&others.check(&rest, Some(&spine)).unwrap());
            rows.extend(told(&divided.rows, &divided.owners, &divided.columns));
            prop_assert_eq!(rows, expected);
            prop_assert_eq!(found(others), found(whole));
        }
    }

    #[test]
    fn what_a_later_date_may_see_otherwise_is_not_settled() {
        let (contract, spine) = (Contract::load().unwrap(), spine());
        let table = contract.table("repayments").unwrap();
        let date = [snapshot(&contract, FIRST + 10)];
        let settled = |bill: Bill| {
            let setting = setting(&contract, &date);
            let scan = Scan::new(table, &setting).unwrap();
            scan.divide(&batch(table, &[bill]), &spine, &|_| true).unwrap().rows.len() == 1
        };
        assert!(settled((0, 5, Some(6), Some(10), 100, 0)));
        assert!(settled((0, 10, None, None, 100, 3)));
        let usual = setting(&contract, &date);
        let personal = |bill: Bill| {
            let scan = Scan::new(table, &usual).unwrap();
            let mut batch = batch(table, &[bill]);
            if bill.5 == 7 {
                let at = table.position("account_id").unwrap();
                batch.columns[at] = Some(Arc::new(StringArray::from(vec!["someone@example.com"])));
            }
            scan.divide(&batch, &spine, &|_| true).unwrap().personal
        };
        assert!(personal((0, 5, None, None, 100, 7)) && !personal((0, 5, None, None, 100, 1)));
        for (bill, why) in [
            ((0, 11, None, None, 100, 0), "due later"),
            ((0, 5, Some(11), None, 100, 0), "paid later"),
            ((0, 5, None, Some(11), 100, 0), "known later"),
            ((0, 5, None, None, -1, 0), "a negative amount"),
            ((0, 5, None, None, 100, 1), "no word of the contract"),
            ((4, 5, None, None, 100, 0), "of nobody"),
        ] {
            assert!(!settled(bill), "{why}");
        }
    }
}
