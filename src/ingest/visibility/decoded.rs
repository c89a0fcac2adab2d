//! A batch as integers, with its owners looked up and what is wrong with it whatever the date.

use anyhow::Result;
use arrow::array::{Array, ArrayRef};

use super::setting::{OwnerIds, Owners, Setting};
use crate::contract::{ColumnType, DateSet, Table};
use crate::ingest::check::checks::Columns;
use crate::ingest::check::pii::looks_personal;
use crate::ingest::check::rule::{Fault, Rule};
use crate::ingest::read::batches::Batch;
use crate::ingest::read::decode::{IdColumn, faulty_ids};
use crate::ingest::read::recent::Recent;
use crate::ingest::read::taken::{decode_taken, serves};
use crate::ingest::spine::Spine;
use crate::ingest::spine::strangers::Strangers;
use crate::tables::ids::UNKNOWN;

/// A batch as integers, with what is wrong whatever the date.
#[derive(Clone)]
pub(super) struct Decoded {
    pub columns: Columns,
    pub faults: Vec<Fault>,
    /// For rows of subjects whom no date sees, the dates that do not see them yet.
    pub early: Vec<DateSet>,
    /// Numbers in the spine per owner column; empty where no spine was given.
    pub owners: Owners,
    /// The id columns of the owners.
    pub owner_ids: OwnerIds,
}

/// Decodes the batches of one table.
pub(super) struct Decoder<'a> {
    table: &'a Table,
    setting: &'a Setting<'a>,
    /// Id columns of records whose text could be personal data.
    plain_ids: Vec<usize>,
    /// Whose row it is.
    pub owners: Vec<usize>,
    /// Where ids that are none of the spine's are noted, if they are.
    pub strangers: Option<&'a Strangers>,
}

impl<'a> Decoder<'a> {
    /// For a table.
    pub(super) fn new(table: &'a Table, setting: &'a Setting<'a>) -> Self {
        let owners: Vec<usize> =
            ["subject_id", "subject_a", "subject_b"].iter().filter_map(|c| table.position(c)).collect();
        let ids = table.columns.iter().enumerate().filter(|(at, c)| c.kind == ColumnType::Id && !owners.contains(at));
        let plain_ids = ids.map(|(at, _)| at).collect();
        Self { table, setting, plain_ids, owners, strangers: None }
    }

    /// Decodes a batch; with a spine its owners are looked up.
    ///
    /// # Errors
    /// When a column is of a type the structural check should have refused.
    pub(super) fn decode(&self, batch: &Batch, spine: Option<&Spine>) -> Result<Decoded> {
        self.decode_arrays(batch, batch.columns.clone(), self.faulty_ids(batch)?, spine)
    }

    /// The same of a batch that is left without those of its columns, but for the owners', whose arrays become what is decoded.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(super) fn decode_taken(&self, batch: &mut Batch, spine: Option<&Spine>) -> Result<Decoded> {
        let faulty_ids = self.faulty_ids(batch)?;
        let take = |(at, array): (usize, &mut Option<ArrayRef>)| match self.owners.contains(&at) {
            true => array.clone(),
            false => array.take_if(|array| serves(array)).or_else(|| array.clone()),
        };
        let arrays = batch.columns.iter_mut().enumerate().map(take).collect();
        self.decode_arrays(batch, arrays, faulty_ids, spine)
    }

    /// Decodes arrays of a batch, in which those of the owners are.
    fn decode_arrays(
        &self,
        batch: &Batch,
        arrays: Vec<Option<ArrayRef>>,
        faulty_ids: Vec<Fault>,
        spine: Option<&Spine>,
    ) -> Result<Decoded> {
        let rows = batch.len;
        let mut faults: Vec<Fault> = Vec::new();
        let mut columns: Columns = Vec::with_capacity(self.table.columns.len());
        for (at, (column, array)) in self.table.columns.iter().zip(arrays).enumerate() {
            columns.push(match array {
                // Owners are looked up by their bytes; all that matters here is whether they are null.
                Some(array) if self.owners.contains(&at) => {
                    if array.null_count() == 0 {
                        vec![0; rows]
                    } else {
                        (0..rows).map(|r| if array.is_null(r) { crate::NULL } else { 0 }).collect()
                    }
                }
                Some(array) => decode_taken(column, at, array, self.setting.currency, &mut faults)?,
                None => Vec::new(),
            });
        }
        faults.extend(faulty_ids);
        let mut decoded = Decoded { columns, faults, early: Vec::new(), owners: Vec::new(), owner_ids: Vec::new() };
        self.look_up(batch, spine, &mut decoded)?;
        Ok(decoded)
    }

    /// Ids that cannot be any, and those that look personal.
    fn faulty_ids(&self, batch: &Batch) -> Result<Vec<Fault>> {
        let mut faults: Vec<Fault> = Vec::new();
        for (at, column) in self.table.columns.iter().enumerate().filter(|(_, c)| c.kind == ColumnType::Id) {
            if let Some(array) = &batch.columns[at] {
                let faulty = faulty_ids(array, column.required)?.into_iter();
                faults.extend(faulty.map(|(row, rule)| Fault { row, column: at, rule }));
            }
        }
        self.personal_ids(batch, &mut faults)?;
        Ok(faults)
    }

    /// Finds the owners. A row of a subject that is itself not visible yet is not visible either.
    fn look_up(&self, batch: &Batch, spine: Option<&Spine>, decoded: &mut Decoded) -> Result<()> {
        for at in &self.owners {
            let column = batch.columns[*at].as_ref().map(IdColumn::new).transpose()?;
            let dense = match (spine, &column) {
                (Some(spine), Some(column)) => column.numbers(spine, batch.len),
                _ => Vec::new(),
            };
            // An id of the spine has been looked at when the spine was built.
            let all_known = dense.len() == batch.len && !dense.contains(&UNKNOWN);
            let mut strange: Vec<usize> = Vec::new();
            for row in (0..batch.len).filter(|_| !all_known) {
                if dense.get(row).is_some_and(|d| *d != UNKNOWN) {
                    continue;
                }
                let Some(id) = column.as_ref().and_then(|c| c.get(row)) else { continue };
                if matches!(column, Some(IdColumn::Text(_))) && looks_personal(id) {
                    decoded.faults.push(Fault { row, column: *at, rule: Rule::PiiSuspect });
                    continue;
                }
                let later = spine.map_or(DateSet::NONE, |s| s.later(id));
                if !later.is_empty() {
                    decoded.early.resize(batch.len, DateSet::NONE);
                    decoded.early[row] = decoded.early[row].or(later);
                }
                // At dates that see neither the subject nor that it comes later, the row is nobody's.
                if spine.is_some() && self.owners.len() == 1 && later != self.setting.every_date {
                    decoded.faults.push(Fault { row, column: *at, rule: Rule::UnknownSubject });
                    if self.strangers.is_some() {
                        strange.push(row);
                    }
                }
            }
            if let (Some(strangers), Some(column)) = (self.strangers.filter(|_| !strange.is_empty()), &column) {
                strangers.add(strange.iter().filter_map(|row| column.get(*row)).map(<[u8]>::to_vec), column.form())?;
            }
            decoded.owners.push(dense);
            decoded.owner_ids.push(column);
        }
        Ok(())
    }

    fn personal_ids(&self, batch: &Batch, faults: &mut Vec<Fault>) -> Result<()> {
        for at in &self.plain_ids {
            let Some(array) = &batch.columns[*at] else { continue };
            if array.data_type().is_integer() {
                continue;
            }
            if let IdColumn::Text(ids) = IdColumn::new(array)? {
                let mut plain = PlainTexts::default();
                for (row, view) in ids.views().iter().enumerate() {
                    // Whatever stands where there is no id: one that is known does not look personal.
                    if plain.has(*view) || !ids.is_valid(row) {
                        continue;
                    }
                    if plain.looks_personal(*view, || ids.value(row).as_bytes()) {
                        faults.push(Fault { row, column: *at, rule: Rule::PiiSuspect });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Texts of one array that do not look personal, by their views, of which equal ones are equal texts: what a dictionary's page repeats is
/// looked at once.
#[derive(Default)]
struct PlainTexts(Recent<u128, ()>);

impl PlainTexts {
    /// Whether the text of a view was looked at, and remembered.
    #[inline(always)]
    fn has(&self, view: u128) -> bool {
        self.0.get(view).is_some()
    }

    /// Whether the text of a view looks personal.
    fn looks_personal<'a>(&mut self, view: u128, text: impl FnOnce() -> &'a [u8]) -> bool {
        if self.has(view) {
            return false;
        }
        let personal = looks_personal(text());
        if !personal {
            self.0.put(view, ());
        }
        personal
    }
}

impl Decoded {
    /// Some rows by themselves, renumbered; nothing that only a whole batch needs.
    pub(super) fn pick(&self, rows: &[usize]) -> Self {
        let place = |row: usize| rows.binary_search(&row).ok();
        Self {
            columns: self.columns.iter().map(|c| gather(c, rows)).collect(),
            faults: self.faults.iter().filter_map(|f| Some(Fault { row: place(f.row)?, ..*f })).collect(),
            early: gather(&self.early, rows),
            owners: self.owners.iter().map(|c| gather(c, rows)).collect(),
            owner_ids: Vec::new(),
        }
    }
}

/// Chosen values of a column; an empty column stays empty.
pub(super) fn gather<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
    if column.is_empty() { Vec::new() } else { rows.iter().map(|r| column[*r]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_that_repeat_look_as_each_by_itself(
            texts in proptest::collection::vec(
                prop_oneof!["[a-z]{1,4}@[a-z]{3}[.]com", "1[3-9][0-9]{9}", "[0-9a-f]{0,16}", "pseudonym [0-9]{3}"], 1..300),
            rows in proptest::collection::vec(0_usize..300, 0..900),
        ) {
            let ids: StringViewArray = rows.iter().map(|row| texts.get(*row % texts.len()).map(String::as_str)).collect();
            let mut plain = PlainTexts::default();
            for (row, view) in ids.views().iter().enumerate() {
                let alone = looks_personal(ids.value(row).as_bytes());
                prop_assert_eq!(plain.looks_personal(*view, || ids.value(row).as_bytes()), alone);
            }
        }
    }
}
