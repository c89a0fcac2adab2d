//! Whom a partner must forget: pseudonyms that it was given, whose subjects' consent is no longer in force. No table of ids is kept: the
//! pseudonyms of all whose consent is in force are worked out again, and what is left over has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};

use crate::exit::{GateFailed, check};
use crate::ingest::settle::release::Releasable;
use crate::runs::erasure::Erasures;
use crate::runs::ledger::Ledger;
use crate::runs::output_folder::OutputFolder;
use crate::runs::releases::keys::Keys;
use crate::runs::releases::{Held, RELEASE, Receipt, lines};
use crate::tables::ids::{IdForm, id_text};
use crate::tables::release::{Withdrawn, pseudonyms};

/// The pseudonyms that a partner must forget, of all that it was ever given.
///
/// # Errors
/// [`GateFailed`] when an earlier release is missing or was changed; when a key of an earlier one is neither given nor said to be lost.
pub(super) fn withdrawn(
    folder: &OutputFolder,
    ledger: &Ledger,
    keys: &Keys,
    agreed: &Releasable,
    stop: &AtomicBool,
) -> Result<Vec<Withdrawn>> {
    let erasures = Erasures::of(&folder.path, ledger, folder.key.as_ref())?;
    let erased = erasures.guarded(u64::MAX);
    let held = Held { output: &folder.path, erasures: &erasures, stop };
    let mut given: BTreeMap<(String, Option<String>), BTreeSet<String>> = BTreeMap::new();
    for (line, what) in lines(ledger).filter(|(_, what)| what.partner == keys.partner()) {
        check(stop)?;
        let Some(place) = held.folder(line, what)? else {
            let text = format!(
                "what {} was given as of {} (line {} of the ledger) is missing or was changed, so that nobody can tell whom it must \
                 forget; put it back from a copy",
                what.partner, line.entry.as_of, line.n
            );
            return Err(GateFailed(text).into());
        };
        let receipt = Receipt::read(&place)?;
        let names = pseudonyms(&place.join(RELEASE))?;
        let of_key = given.entry((receipt.key_id, receipt.key_period)).or_default();
        of_key.extend(names.iter().flatten().map(ToOwned::to_owned));
    }
    let form = agreed.form.unwrap_or(IdForm::Text);
    let mut ended = Vec::new();
    for ((key_id, key_period), mut names) in given {
        if !keys.has(&key_id) && !keys.is_lost(&key_id) {
            bail!(
                "{} was given pseudonyms under the key `{key_id}`, which is not declared: name it in `earlier_keys`, or in `lost_keys` \
                 when nobody has it any more",
                keys.partner()
            );
        }
        for id in agreed.in_force() {
            check(stop)?;
            let id = id_text(id, form);
            // Whoever was erased is to be forgotten, whatever an export still says.
            let name = if erased.holds(&id) { None } else { keys.name(&key_id, key_period.as_deref(), &id) };
            if let Some(name) = name {
                names.remove(&name);
            }
        }
        ended.extend(names.into_iter().map(|pseudonym| Withdrawn {
            pseudonym,
            key_id: key_id.clone(),
            key_period: key_period.clone(),
        }));
    }
    ended.sort_unstable();
    Ok(ended)
}
