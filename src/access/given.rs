//! Who received what of the subject: its pseudonyms are worked out again with each partner's key, for no table of ids is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use arrow::array::RecordBatch;

use super::parts::{OfRelease, Unknown, named};
use crate::contract::Zone;
use crate::pipeline::partners::Partners;
use crate::runs::erasure::Erasures;
use crate::runs::ledger::Ledger;
use crate::runs::releases::keys::Keys;
use crate::runs::releases::{Held, RELEASE, Receipt, WITHDRAWN, lines};
use crate::storage::encryption::KeyError;
use crate::tables::release::{PSEUDONYM, find};

/// Every release that tells of the subject, whose id is as tables write it, or of which that cannot be found out; and what is wrong with
/// keys, for the operator.
///
/// # Errors
/// When a table is damaged, or the work is interrupted.
pub fn releases(
    output: &Path,
    ledger: &Ledger,
    partners: Option<&Partners>,
    subject: &str,
    zone: &Zone,
    stop: &AtomicBool,
) -> Result<(Vec<OfRelease>, Vec<String>)> {
    let erasures = Erasures::of(output, ledger, None)?;
    let held = Held { output, erasures: &erasures, stop };
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let mut keys: BTreeMap<String, Option<Keys>> = BTreeMap::new();
    for (line, given) in lines(ledger) {
        let keys = keys.entry(given.partner.clone()).or_insert_with(|| {
            let declared = partners.and_then(|p| Some((p, p.get(&given.partner).ok()?)));
            let Some((partners, partner)) = declared else {
                wrong.push(format!("the partner {} is not declared any more; its key is not available", given.partner));
                return None;
            };
            let (keys, missing) = Keys::available(partners, partner);
            wrong.extend(missing.iter().map(|error| format!("{error:#}")));
            Some(keys)
        });
        let mut of = OfRelease {
            partner: given.partner.clone(),
            as_of: line.entry.as_of,
            at: line.entry.at.clone(),
            values: Vec::new(),
            pseudonym: None,
            withdrawn: false,
            unknown: None,
            columns: Vec::new(),
        };
        let Some(folder) = held.folder(line, given)? else {
            found.push(OfRelease { unknown: Some(Unknown::NoFiles), ..of });
            continue;
        };
        let receipt = Receipt::read(&folder)?;
        of.columns = receipt.columns.iter().map(|column| column.name().to_owned()).collect();
        let name = keys.as_ref().and_then(|k| k.name(&receipt.key_id, receipt.key_period.as_deref(), subject));
        let Some(name) = name else {
            found.push(OfRelease { unknown: Some(Unknown::NoKey), ..of });
            continue;
        };
        match opened(&folder.join(RELEASE), &name)? {
            Ok(Some(row)) => {
                of.values = named(&row, 0, zone, &[PSEUDONYM])?;
                of.pseudonym = Some(name);
                found.push(of);
            }
            Ok(None) => {}
            Err(fault) => {
                wrong.push(fault);
                found.push(OfRelease { unknown: Some(Unknown::NoKey), ..of });
            }
        }
    }
    wrong.extend(forgotten(&held, ledger, &mut found)?);
    Ok((found, wrong))
}

/// The row of a pseudonym in a table, if it is there; or that the table cannot be opened for want of its key.
fn opened(path: &Path, name: &str) -> Result<Result<Option<RecordBatch>, String>> {
    match find(path, name) {
        Err(error) if error.is::<KeyError>() => Ok(Err(format!("{error:#}"))),
        found => found.map(Ok),
    }
}

/// Marks what a partner was told to forget, by its last release; what cannot be opened is said.
fn forgotten(held: &Held, ledger: &Ledger, found: &mut [OfRelease]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for of in found {
        let last = lines(ledger).filter(|(_, given)| given.partner == of.partner).last();
        let (Some(name), Some((line, given))) = (&of.pseudonym, last) else { continue };
        if let Some(folder) = held.folder(line, given)? {
            match opened(&folder.join(WITHDRAWN), name)? {
                Ok(row) => of.withdrawn = row.is_some(),
                Err(fault) => wrong.push(fault),
            }
        }
    }
    Ok(wrong)
}
