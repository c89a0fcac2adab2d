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
}

impl Scan<'_> {
    /// Finds the settled rows of a batch; `may` says of whom there may be some. The scan is for one date.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub(in crate::ingest) fn divide(
        &self,
        batch: &Batch,
        spine: &Spine,
        may: &dyn Fn(u32) -> bool,
    ) -> Result<Divided> {
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
        Ok(Divided { rows: few.iter().map(|row| batch.rows.get(*row)).collect(), settled, columns, owners, rest })
    }

    /// Adds what was found of rows that are kept, of which nothing is looked at any more. The scan is for one date.
    ///
    /// # Errors
    /// When far too many rows break a rule.
    pub(in crate::ingest) fn note(&self, mut found: Findings) -> Result<()> {
        self.merge(0, &mut found)
    }
}
