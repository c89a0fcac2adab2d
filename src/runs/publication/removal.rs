//! Removing a run that nobody needs any more.

use anyhow::Result;

use crate::runs::folder::{RunFolder, State};
use crate::runs::ledger::{Entry, Event, Key, Ledger};
use crate::runs::monitoring::lineage::now;
use crate::runs::step::step;

/// Whether a run may go: it has ended, and its table is not the one that is published.
#[must_use]
pub fn is_needless(run: &RunFolder, ledger: &Ledger) -> bool {
    let line = ledger.of_run(&run.id);
    let current = line.is_some_and(|l| ledger.current(&l.entry.table).is_some_and(|c| c.entry.run == run.id));
    // What the ledger does not tell of goes when it is the record of a run that came to nothing.
    let ended = line.is_some() || matches!(run.state(), Some(State::Failed { .. } | State::Interrupted));
    ended && !current
}

/// Removes a run. The ledger tells of it before it happens, so that a missing folder is never taken for tampering.
///
/// # Errors
/// When the ledger does not hold, or something cannot be removed.
pub fn remove(run: &RunFolder, key: Option<Key>) -> Result<()> {
    let ledger = Ledger::open(&run.output, key)?;
    if let Some(line) = ledger.of_run(&run.id) {
        ledger.prepare(Entry { at: now(), event: Event::Removed, replaces: None, ..line.entry.clone() })?.commit()?;
        step("removal noted");
    }
    run.remove()
}
