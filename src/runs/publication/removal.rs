//! Removing a run that nobody needs any more.

use anyhow::Result;

use crate::runs::folder::{LINEAGE, RunFolder, STATE, State};
use crate::runs::ledger::{Entry, Event, Key, Ledger, Line};
use crate::runs::monitoring::lineage::now;
use crate::runs::remote;
use crate::runs::remote::mirror::Mirror;
use crate::runs::remote::publish::add;
use crate::runs::remote::settle::settled_after;
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
pub fn remove(run: &RunFolder, key: Option<&Key>) -> Result<()> {
    let mirror = remote::of(&run.output);
    let removed = |of: &Line| Entry { at: now(), event: Event::Removed, replaces: None, ..of.entry.clone() };
    let noted = match &mirror {
        // In an object store others may have published meanwhile: asked for the line that will be the next one.
        Some(mirror) => add(mirror, key, &|ledger| {
            let gone = ledger.last_of(&run.id).is_some_and(|line| line.entry.event == Event::Removed);
            Ok(ledger.of_run(&run.id).filter(|_| !gone && is_needless(run, ledger)).map(removed))
        })?,
        None => {
            let ledger = Ledger::open(&run.output, key.cloned())?;
            let line = ledger.of_run(&run.id);
            line.map_or(Ok(()), |line| ledger.prepare(removed(line))?.commit())?;
            line.is_some()
        }
    };
    if noted {
        step("removal noted");
    }
    match &mirror {
        Some(mirror) => remove_objects(run, key, mirror),
        None => run.remove(),
    }
}

/// Removes what an object store holds of a run, if the ledger tells of that.
fn remove_objects(run: &RunFolder, key: Option<&Key>, mirror: &Mirror) -> Result<()> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    match ledger.last_of(&run.id).map(|line| line.entry.event) {
        // Its objects go with what follows from the line.
        Some(Event::Removed) => {
            settled_after(mirror, key, &format!("the ledger tells that the run {} was removed", run.id))?
        }
        // Another run of the same name may be on its way; the record of this one is what goes.
        None => [STATE, LINEAGE].iter().try_for_each(|name| mirror.remove(&format!("runs/{}/{name}", run.id)))?,
        Some(_) => return Ok(()),
    }
    run.remove()
}
