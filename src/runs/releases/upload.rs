//! Giving a release into an object store.

use anyhow::{Context, Result};

use super::put::discard;
use super::{FOLDER, Place, RECEIPT, RELEASE, WITHDRAWN};
use crate::runs::ledger::{Entry, Key, Ledger};
use crate::runs::remote::mirror::Mirror;
use crate::runs::remote::publish::unchanged;
use crate::runs::remote::settle::settled_after;
use crate::runs::step::step;

/// Gives a release that was made into an object store: its files under a name of their own, a line in the ledger, and then copies of them
/// where the partner looks.
///
/// # Errors
/// [`Lost`](crate::runs::remote::lines::Lost) when another process has added a line to those that it was decided by: `seen` ones. After the
/// line, whoever comes next does the rest.
pub fn give(mirror: &Mirror, place: &Place, entry: Entry, key: Option<&Key>, seen: usize) -> Result<()> {
    let staged = place.staged(mirror.root());
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    unchanged(&ledger, seen, mirror)?;
    let given = entry.given.clone().context("defect: a release that gives nothing")?;
    for name in [RELEASE, WITHDRAWN, RECEIPT] {
        mirror.fits(&staged.join(name))?;
        mirror.push_as(&staged.join(name), &format!("{}/{name}", place.earlier_name(&given.receipt)))?;
    }
    step("release uploaded");
    // Whoever took this process for dead has removed what no line tells of.
    mirror.still_held()?;
    mirror.all_there(&place.earlier_name(&given.receipt), &[RELEASE, WITHDRAWN, RECEIPT])?;
    ledger.prepare(entry)?.commit()?;
    settled_after(mirror, key, &format!("the ledger tells of {}", place.name()))?;
    discard(&staged)?;
    mirror.look()?;
    mirror.bring_below(FOLDER)?;
    Ok(())
}
