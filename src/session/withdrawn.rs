//! Whom a partner must forget: pseudonyms that it was given, whose subjects' consent is no longer in force, or who were erased. No table
//! of ids is kept: the pseudonyms of all whose consent is in force are worked out again, and what is left over has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use rayon::prelude::*;

use crate::exit::{GateFailed, check};
use crate::ingest::settle::release::Releasable;
use crate::runs::ledger::Ledger;
use crate::runs::releases::keys::Keys;
use crate::runs::releases::{Held, RELEASE, Receipt, lines};
use crate::storage::erased::Erased;
use crate::storage::pseudonym::Name;
use crate::tables::ids::{IdForm, id_text};
use crate::tables::release::{Withdrawn, each_name};

/// How pseudonyms were made: the key's name, and the period.
type Under = (String, Option<String>);

/// The pseudonyms that a partner must forget, of all that it was ever given.
///
/// # Errors
/// [`GateFailed`] when an earlier release is missing or was changed; when a key of an earlier one is neither given nor said to be lost.
pub(super) fn withdrawn(held: &Held, ledger: &Ledger, keys: &Keys, agreed: &Releasable) -> Result<Vec<Withdrawn>> {
    let erased = held.erasures.guarded(u64::MAX);
    let mut ended = Vec::new();
    for (under, folders) in given(held, ledger, keys.partner())? {
        let (key_id, key_period) = (under.0.as_str(), under.1.as_deref());
        if !keys.has(key_id) && !keys.is_lost(key_id) {
            bail!(
                "{} was given pseudonyms under the key `{key_id}`, which is not declared: name it in `earlier_keys`, or in `lost_keys` \
                 when nobody has it any more",
                keys.partner()
            );
        }
        let name = |id: &str| keys.bytes(key_id, key_period, id);
        let in_force = in_force(agreed, &erased, &name, held.stop)?;
        let mut left: Vec<Name> = Vec::new();
        for folder in folders {
            each_name(&folder.join(RELEASE), &mut |name| {
                check(held.stop)?;
                if in_force.binary_search(&name).is_err() {
                    left.push(name);
                }
                Ok(())
            })?;
            left.sort_unstable();
            left.dedup();
        }
        let (key_id, key_period): (Arc<str>, Option<Arc<str>>) = (key_id.into(), key_period.map(Into::into));
        ended.extend(left.into_iter().map(|name| Withdrawn {
            name,
            key_id: Arc::clone(&key_id),
            key_period: key_period.clone(),
        }));
    }
    ended.sort_unstable();
    Ok(ended)
}

/// Where everything is that a partner was ever given, by how its pseudonyms were made.
fn given(held: &Held, ledger: &Ledger, partner: &str) -> Result<BTreeMap<Under, BTreeSet<PathBuf>>> {
    let mut given: BTreeMap<Under, BTreeSet<PathBuf>> = BTreeMap::new();
    for (line, what) in lines(ledger).filter(|(_, what)| what.partner == partner) {
        check(held.stop)?;
        let Some(folder) = held.folder(line, what)? else {
            let text = format!(
                "what {} was given as of {} (line {} of the ledger) is missing or was changed, so that nobody can tell whom it must \
                 forget; put it back from a copy",
                what.partner, line.entry.as_of, line.n
            );
            return Err(GateFailed(text).into());
        };
        let receipt = Receipt::read(&folder)?;
        given.entry((receipt.key_id, receipt.key_period)).or_default().insert(folder);
    }
    Ok(given)
}

/// The pseudonyms of all whose consent is in force, in order. Who was erased has none, whatever an export still says: what the erasure
/// could not find, for want of the partner's key, is left over here.
fn in_force(
    agreed: &Releasable,
    erased: &Erased,
    name: &(dyn Fn(&str) -> Option<Name> + Sync),
    stop: &AtomicBool,
) -> Result<Vec<Name>> {
    let form = agreed.form.unwrap_or(IdForm::Text);
    let named = |id: &[u8]| -> Result<Option<Name>> {
        check(stop)?;
        let id = id_text(id, form);
        Ok(if erased.is_empty() || !erased.holds(&id) { name(&id) } else { None })
    };
    let mut names: Vec<Name> = agreed.in_force().map(named).filter_map(Result::transpose).collect::<Result<_>>()?;
    names.par_sort_unstable();
    Ok(names)
}
