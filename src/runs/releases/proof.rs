//! Proof: whether what partners were given is still what the ledger says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::{EARLIER_FOLDER, FOLDER, Held, Place, RECEIPT, RELEASE, STAGED, WITHDRAWN, lines, of_place, place};
use crate::runs::erasure::Erasures;
use crate::runs::ledger::Ledger;
use crate::runs::remote;
use crate::storage::durable::no_links;

/// What was found.
#[derive(Debug, Default)]
pub struct Proof {
    /// What holds, line by line.
    pub said: Vec<String>,
    /// The first thing that does not.
    pub mismatch: Option<String>,
}

impl Proof {
    fn of(said: Vec<String>, mismatch: String) -> Self {
        Self { said, mismatch: Some(mismatch) }
    }
}

/// Holds the releases of a run, or of all, against the ledger; of all, also that nothing else is there.
///
/// # Errors
/// When a file cannot be read, or the work is interrupted.
pub fn prove(output: &Path, ledger: &Ledger, run: Option<&str>, stop: &AtomicBool) -> Result<Proof> {
    let mut said = Vec::new();
    if let Err(link) = no_links(output, &output.join(FOLDER)) {
        return Ok(Proof::of(said, format!("{link:#}")));
    }
    // The last line about a place says what is in it.
    let mut current: BTreeMap<Place, u64> = BTreeMap::new();
    for (line, given) in lines(ledger) {
        current.insert(place(line, given)?, line.n);
    }
    let erasures = match Erasures::of(output, ledger, None) {
        Ok(erasures) => erasures,
        Err(error) => return Ok(Proof::of(said, format!("{error:#}"))),
    };
    let held = Held { output, erasures: &erasures, stop };
    let mut known = BTreeSet::new();
    let mut proven = 0;
    for (line, given) in lines(ledger) {
        let place = place(line, given)?;
        let is_current = current.get(&place) == Some(&line.n);
        let folder = match is_current {
            true => place.folder(output),
            false => place.earlier(output, &given.receipt),
        };
        known.extend([RECEIPT, RELEASE, WITHDRAWN].map(|name| folder.join(name)));
        if remote::of(output).is_some() {
            // In an object store every release is kept there from the first.
            let kept = place.earlier(output, &given.receipt);
            known.extend([RECEIPT, RELEASE, WITHDRAWN].map(|name| kept.join(name)));
        }
        if run.is_some_and(|run| run != line.entry.run) {
            continue;
        }
        let what = format!("the release {} (line {} of the ledger)", place.name(), line.n);
        let there = match is_current {
            true => held.in_folder(&folder, line, given)?,
            // In its place still, when a crash came before it was replaced.
            false => held.folder(line, given)?.is_some(),
        };
        if there {
            proven += 1;
        } else if remote::is_late(output, line.n)
            && held.in_folder(&place.earlier(output, &given.receipt), line, given)?
            && held.are_of(&folder, &of_place(ledger, &place)?)?
        {
            said.push(format!("{what} is not in its place yet; the next command that writes there does that"));
        } else if held.in_folder(&place.staged(output), line, given)? {
            said.push(format!("{what} is not in its place yet, or being replaced; the next command does that"));
        } else {
            return Ok(Proof::of(said, format!("{what} is missing or was changed")));
        }
    }
    if proven > 0 {
        said.push(format!("releases: {proven} as the ledger says"));
    }
    if run.is_none() {
        for file in files_below(&output.join(FOLDER))? {
            let name = file.strip_prefix(output).unwrap_or(&file).display().to_string();
            if file.starts_with(output.join(FOLDER).join(STAGED)) {
                said.push(format!("{name}: left by a crash; the next command removes it"));
            } else if remote::of(output).is_some()
                && file.starts_with(output.join(EARLIER_FOLDER))
                && !known.contains(&file)
            {
                said.push(format!(
                    "{name}: of a release that is being given, or was not; the next command removes it then"
                ));
            } else if !known.contains(&file) {
                return Ok(Proof::of(said, format!("{name} is there, and nothing tells of it")));
            }
        }
    }
    Ok(Proof { said, mismatch: None })
}

fn files_below(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => files.extend(files_below(&entry.path())?),
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}
