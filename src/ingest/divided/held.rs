//! What memory divided rows take for as long as shards are made: to know where they are, and to remember whom disputes name. Each may be a
//! part of the memory for rows, so that neither is in the way of the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::machine::budget::Budget;
use crate::machine::resources::Resources;
use crate::output::thousands;

/// What part of the memory for rows may say where divided rows are.
const PART_FOR_PLACES: u64 = 8;
/// What part of it may hold the subjects that disputes name.
const PART_FOR_NAMED: u64 = 16;

/// What part of it may be set aside for the batches that are cut while a table is read, and how many bytes for each thread that cuts.
const PART_FOR_CUTTING: u64 = 16;
const CUTTING_BYTES: u64 = 16 << 20;

/// Bytes that are held.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of what says where the rows of a table are, from when it is begun.
    places: BTreeMap<String, u64>,
    /// Of the subjects that disputes name.
    named: u64,
    /// What the budget of the pass under way has set aside for places, of which nothing says yet where rows are.
    reserved: u64,
    /// What it has set aside for batches while they are cut, if any will be.
    cutting: Option<Arc<Budget>>,
}

impl Held {
    /// All of them.
    pub(super) fn bytes(&self) -> u64 {
        self.of_places().saturating_add(self.named)
    }

    fn of_places(&self) -> u64 {
        self.places.values().fold(0, |all, bytes| all.saturating_add(*bytes))
    }

    /// Whether the rows of any table are kept, or were about to be.
    pub(super) fn any_rows(&self) -> bool {
        !self.places.is_empty()
    }

    /// Sets memory of a pass aside that begins, so many bytes or what is left of the part for places, and what cutting takes if any rows will be
    /// cut: rows that come before a table then leave it room, and threads need not wait for each other. It is the pass's as long as its budget.
    pub(super) fn reserve(&mut self, bytes: u64, (budget, resources): (&Budget, &Resources)) {
        let threads = rayon::current_num_threads() as u64;
        let cutting = (resources.memory / PART_FOR_CUTTING).min(threads.saturating_mul(CUTTING_BYTES));
        self.cutting = (bytes > 0 && budget.take(cutting)).then(|| Arc::new(Budget::new(cutting)));
        let bytes = bytes.min((resources.memory / PART_FOR_PLACES).saturating_sub(self.of_places()));
        self.reserved = if budget.take(bytes) { bytes } else { 0 };
    }

    /// Holds what says where the rows of a table are: of what is set aside, and of the rest of the memory where that is less. Returns what is
    /// set aside for cutting them.
    ///
    /// # Errors
    /// What is short, if there is no room.
    pub(super) fn places(
        &mut self,
        table: &str,
        bytes: u64,
        (budget, resources): (&Budget, &Resources),
    ) -> Result<Option<Arc<Budget>>, String> {
        // Those of a shard before this one, which failed on the way, are held no more.
        self.places.remove(table);
        let left = (resources.memory / PART_FOR_PLACES).saturating_sub(self.of_places());
        let aside = self.reserved.min(bytes);
        take("to know where they are", (bytes, aside), (left, PART_FOR_PLACES), budget)?;
        self.reserved -= aside;
        self.places.insert(table.to_owned(), bytes);
        Ok(self.cutting.clone())
    }

    /// Holds the subjects that disputes name.
    ///
    /// # Errors
    /// What is short, if there is no room.
    pub(super) fn named(&mut self, bytes: u64, (budget, resources): (&Budget, &Resources)) -> Result<(), String> {
        take("to remember them", (bytes, 0), (resources.memory / PART_FOR_NAMED, PART_FOR_NAMED), budget)?;
        self.named = bytes;
        Ok(())
    }

    /// Holds nothing for a table any more.
    pub(super) fn forget(&mut self, table: &str) {
        self.places.remove(table);
    }

    /// Holds nothing for the rows of any table any more.
    pub(super) fn forget_rows(&mut self) {
        self.places.clear();
    }
}

/// Takes memory, of which so much is left of a part of all of it; some of it was set aside before.
fn take(why: &str, (bytes, aside): (u64, u64), (left, part): (u64, u64), budget: &Budget) -> Result<(), String> {
    let needed = thousands(bytes);
    if bytes > left {
        let left = thousands(left);
        return Err(format!(
            "{why} takes {needed} bytes, and {left} are left of 1/{part} of --memory, which it may take"
        ));
    }
    if !budget.take(bytes.saturating_sub(aside)) {
        return Err(format!("{why} takes {needed} bytes, for which the rows of this shard leave no room in --memory"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicBool;

    use crate::output::{LogFormat, Output};

    #[test]
    fn each_has_a_part_of_its_own_and_it_is_said_which_is_short() {
        let (log, stop) = (Output::new(true, LogFormat::Text), AtomicBool::new(false));
        let resources = Resources { memory: 1_600, scratch: PathBuf::from("."), stop: &stop, log: &log };
        let (mut held, budget) = (Held::default(), resources.budget());
        let with = (&budget, &resources);
        // An eighth and a sixteenth; all of one leaves the other as it is.
        assert!(held.named(101, with).unwrap_err().contains("100 are left of 1/16 of --memory"));
        held.named(100, with).unwrap();
        held.places("sales", 150, with).unwrap();
        assert!(held.places("consents", 51, with).unwrap_err().contains("50 are left of 1/8 of --memory"));
        held.places("consents", 50, with).unwrap();
        assert_eq!(held.bytes(), 300);
        // What an attempt before held of a table counts no more.
        held.places("sales", 150, with).unwrap();
        held.forget("consents");
        assert_eq!(held.bytes(), 250);
        // Where there is a part, and rows have the memory.
        assert!(budget.take(1_140));
        let short = held.places("purchases", 50, with).unwrap_err();
        assert!(short.contains("rows of this shard leave no room") && !short.contains("1/8"), "{short}");
        assert!(held.any_rows());
        held.forget_rows();
        assert!(!held.any_rows() && held.bytes() == 100);
    }

    #[test]
    fn what_is_set_aside_is_there_when_rows_have_all_else() {
        let (log, stop) = (Output::new(true, LogFormat::Text), AtomicBool::new(false));
        let resources = Resources { memory: 1_600, scratch: PathBuf::from("."), stop: &stop, log: &log };
        let (mut held, budget) = (Held::default(), resources.budget());
        held.reserve(120, (&budget, &resources));
        // A sixteenth is for cutting.
        assert!(budget.take(1_380) && !budget.take(1) && held.bytes() == 0);
        let with = (&budget, &resources);
        assert_eq!(held.places("outcomes", 70, with).unwrap().map(|room| room.bytes()), Some(100));
        assert!(held.places("groups", 60, with).unwrap_err().contains("rows of this shard leave no room"));
        held.places("groups", 50, with).unwrap();
        assert_eq!(held.bytes(), 120);
        // Never more than the part that it may be, and of every pass anew.
        let (mut held, budget) = (Held::default(), resources.budget());
        held.reserve(u64::MAX, (&budget, &resources));
        assert!(budget.take(1_300) && !budget.take(1));
        let budget = resources.budget();
        held.reserve(0, (&budget, &resources));
        assert!(budget.take(1_600) && held.places("groups", 1, (&budget, &resources)).is_err());
        assert!(held.cutting.is_none(), "nothing is cut");
    }
}
