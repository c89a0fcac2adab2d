//! What a command does that writes to an output in an object store, before it does anything else: the lease, the ledger as it is, and
//! whatever earlier processes left undone.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::lease::Lease;
use super::look::{Need, refresh};
use super::mirror::{Mirror, held};
use super::tidy::tidy;
use super::{attach, publish, settle};
use crate::output::Output;
use crate::runs::erasure::journal::JOURNAL;
use crate::runs::ledger::{Event, Key, Ledger};

/// Begins to write to an output: returns its mirror, and the lease, which ends with the value.
///
/// # Errors
/// [`Locked`](crate::exit::Locked) when another process has the lease; when the ledger does not hold, is not whole, or its key is missing;
/// when the store does not answer.
pub fn begin(url: &str, command: &str, key: Option<&Key>, log: &Output) -> Result<(Arc<Mirror>, Option<Lease>)> {
    let mirror = attach(url)?;
    let lease = Lease::take(&mirror, command)?;
    // Before the ledger: what is done follows lines that are there by then.
    let settled = mirror.settled()?;
    refresh(&mirror, Need::Small)?;
    mirror.bring_below("erasures")?;
    let ledger = whole(&mirror, settled, key)?;
    if ledger.behind {
        ledger.mend()?;
    }
    count_erased(&mirror, &ledger);
    tidy(&mirror)?;
    if settle::settle(&mirror, key).context("nothing was done")? {
        refresh(&mirror, Need::Small)?;
    }
    if lease.is_some() {
        publish::give_up_orphans(&mirror, key, log).context("nothing was done")?;
    }
    Ok((mirror, lease))
}

/// Notes how many erasures this process knows of: it leaves out whom they were of.
pub fn count_erased(mirror: &Mirror, ledger: &Ledger) {
    let erased = ledger.lines.iter().filter(|line| line.entry.event == Event::Erased).count();
    *held(&mirror.erased) = Some(erased);
}

/// The ledger, which is not begun anew where one was lost: whatever it does not tell of would be taken for the leavings of the dead.
/// `settled` is for how many lines all was done.
///
/// # Errors
/// When the ledger is not whole, does not hold, or its key is missing.
pub(super) fn whole(mirror: &Mirror, settled: u64, key: Option<&Key>) -> Result<Ledger> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    ledger.open_to_lines()?;
    let count = ledger.lines.len();
    ensure!(
        settled <= count as u64,
        "{} has {count} line(s) in its ledger and had {settled}: put ledger/ and ledger.head.json back from a copy; nothing was done",
        mirror.url()
    );
    let Some(left) = published(mirror).filter(|_| count == 0) else { return Ok(ledger) };
    // Another process may have published the first one meanwhile.
    mirror.bring_ledger()?;
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    ensure!(
        !ledger.lines.is_empty(),
        "{}/{left} is there and the ledger is missing: put ledger/ and ledger.head.json back from a copy, or publish below another \
         prefix; nothing was done",
        mirror.url()
    );
    Ok(ledger)
}

/// An object that is there only after a line of the ledger.
fn published(mirror: &Mirror) -> Option<String> {
    let seen = held(&mirror.seen);
    let after = |below: &&String| {
        let table =
            ["scores/", "releases/"].iter().any(|folder| below.starts_with(folder)) && below.ends_with(".parquet");
        // With its journal it may be one that is under way.
        let ended = below
            .strip_prefix("erasures/")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(number, _)| !seen.contains_key(&format!("erasures/{number}/{JOURNAL}")));
        table || ended
    };
    seen.keys().find(after).cloned()
}
