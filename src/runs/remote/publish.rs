//! Publishing a run into an object store: a claim on its name, its objects, and a line in the ledger that is put only where there is none.
//! After the line it is published, whatever happens then; before it nobody sees anything.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::lines::{Lost, is_lost};
use super::look::is_small;
use super::mirror::{CLAIM, Mirror, held};
use super::settle::{settle, settled_after};
use super::store::TRIES;
use crate::exit::Locked;
use crate::output::Output;
use crate::runs::folder::manifest::{MANIFEST, Manifest};
use crate::runs::folder::{LINEAGE, RunFolder, STATE, State};
use crate::runs::ledger::place::SCORES;
use crate::runs::ledger::{Entry, Event, Key, Ledger, TableOf};
use crate::runs::monitoring::lineage;
use crate::runs::releases;
use crate::runs::step::step;
use crate::storage::hashes::{self, Hash};

/// What a claim says: who is about to publish what.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    owner: String,
    entry: Entry,
    /// The keyed hash of the rest, where the ledger has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Hash>,
}

impl Claim {
    fn mac(&self, key: &Key) -> Result<Hash> {
        Ok(key.mac(&format!("claim {} {}", self.owner, serde_json::to_string(&self.entry)?)))
    }
}

/// Publishes a run that its gates let pass, or notes that they refused it.
///
/// # Errors
/// [`Lost`] when another process has added a line to the `seen` ones that the gates knew: they are to be asked again. [`Locked`] when
/// another process is publishing the same run, or subjects were erased whom it may hold. Whatever else fails before the line leaves
/// nothing that readers see; after it, the next command does the rest.
pub fn conclude(run: &RunFolder, mut entry: Entry, seen: usize, key: Option<&Key>, mirror: &Mirror) -> Result<()> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    unchanged(&ledger, seen, mirror)?;
    nobody_erased(&ledger, mirror)?;
    if entry.event == Event::Published {
        // It could not be put into its place, and nobody could publish any more.
        mirror.fits(&run.path(SCORES))?;
    }
    let manifest = Manifest::read(run)?;
    entry.at = lineage::now();
    if entry.event == Event::Published {
        let before = ledger.current(&entry.table);
        entry.replaces = before.map(|l| TableOf { run: l.entry.run.clone(), scores: l.entry.scores.clone() });
    }
    entry.lineage = lineage::of_entry(&entry, manifest.inputs())?.map(|text| hashes::text(&text));
    claim(run, &entry, key, mirror)?;
    step("run claimed");
    let names = manifest.subject.iter().map(|file| file.name.as_str()).chain([MANIFEST]);
    let names: Vec<String> = names.map(|name| format!("runs/{}/{name}", run.id)).collect();
    mirror.push_all(&names)?;
    step("run uploaded");
    ledger.prepare(entry)?.commit()?;
    settled_after(mirror, key, &format!("the run {} is in the ledger", run.id))
}

/// Whether the ledger has the lines that what is to be added was decided by, and no more: another command of this machine may have brought
/// some meanwhile.
///
/// # Errors
/// [`Lost`] when there are more.
pub fn unchanged(ledger: &Ledger, seen: usize, mirror: &Mirror) -> Result<()> {
    match ledger.lines.len() == seen {
        true => Ok(()),
        false => Err(Lost { n: seen as u64 + 1, url: mirror.url().to_owned() }.into()),
    }
}

/// Claims a run's name. One that is claimed was never another's: objects of one run are put by one process alone.
fn claim(run: &RunFolder, entry: &Entry, key: Option<&Key>, mirror: &Mirror) -> Result<()> {
    let name = format!("runs/{}/{CLAIM}", run.id);
    // What somebody wrote may name subjects, and an erasure finds it in the ledger alone.
    let entry = Entry { event: Event::Announced, because: None, accepted: Vec::new(), ..entry.clone() };
    let mut claim = Claim { owner: mirror.owner().to_owned(), entry, mac: None };
    claim.mac = key.map(|key| claim.mac(key)).transpose()?;
    if mirror.claim(&name, &serde_json::to_string(&claim)?)?.is_some() {
        return Ok(());
    }
    let there = mirror.store().get(&name)?.and_then(|(bytes, _)| serde_json::from_slice::<Claim>(&bytes).ok());
    match there {
        // From before the gates were asked again.
        Some(there) if there.owner == mirror.owner() => Ok(()),
        _ => Err(Locked(format!("another process is publishing the run {}; nothing was published", run.id)).into()),
    }
}

/// Looks again after another process was first: what its lines say decides whether the run may be published at all. Nothing changed but
/// what it is compared with: then the gates are asked again.
///
/// # Errors
/// [`Locked`] when the run was given up by another process, or subjects were erased, whom it may hold.
pub fn caught_up(run: &RunFolder, key: Option<&Key>, mirror: &Mirror) -> Result<()> {
    mirror.bring_ledger()?;
    mirror.look()?;
    mirror.bring(&is_small)?;
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    nobody_erased(&ledger, mirror)?;
    if ledger.last_of(&run.id).is_some() {
        let text = format!("the run {} was given up by another process that took over; it is not published", run.id);
        return Err(Locked(text).into());
    }
    Ok(())
}

/// Refuses a run that was made before subjects were erased: it may hold them.
fn nobody_erased(ledger: &Ledger, mirror: &Mirror) -> Result<()> {
    let erased = ledger.lines.iter().filter(|line| line.entry.event == Event::Erased).count();
    match held(&mirror.erased).is_none_or(|known| known == erased) {
        true => Ok(()),
        false => {
            let text = "subjects were erased while the run was under way: it is not published; run again";
            Err(Locked(text.to_owned()).into())
        }
    }
}

/// Said when others are first again and again.
#[must_use]
pub fn again_and_again(mirror: &Mirror) -> anyhow::Error {
    Locked(format!("others published in {} again and again; nothing was published, run again", mirror.url())).into()
}

/// Gives up runs that were claimed and came to no end, whose processes are gone: this one has the lease. The line comes first, so that a
/// process that was only slow finds it where its own was to be; then the objects go.
///
/// # Errors
/// When the store does not answer, or the ledger does not hold.
pub fn give_up_orphans(mirror: &Mirror, key: Option<&Key>, log: &Output) -> Result<()> {
    let orphans = claimed(mirror);
    // Before any is given up: one that says how it ended was told of by a ledger that is not this one.
    for run in &orphans {
        not_ended(mirror, run)?;
    }
    for run in orphans {
        for tried in 0.. {
            let ledger = Ledger::open(mirror.root(), key.cloned())?;
            if ledger.last_of(&run).is_some() {
                break;
            }
            let name = format!("runs/{run}/{CLAIM}");
            let Some((bytes, _)) = mirror.store().get(&name)? else { break };
            let Some(claim) = read(&bytes, &run, key) else {
                log.warn(&format!("{}/{name} is no claim of this program; it is left alone", mirror.url()));
                break;
            };
            let because = Some("it ended without a word before it was published".to_owned());
            let entry = Entry { event: Event::Abandoned, at: lineage::now(), because, ..claim.entry };
            match ledger.prepare(entry)?.commit() {
                Err(error) if is_lost(&error) && tried < TRIES => mirror.bring_ledger()?,
                Err(error) => return Err(error),
                Ok(()) => {
                    log.line(&format!("gave up the earlier run {run}, which ended before it was published"));
                    break;
                }
            }
        }
    }
    settle(mirror, key)?;
    sweep(mirror, key)?;
    sweep_releases(mirror, key)
}

/// Refuses to take a run for one that came to no end whose state is that it was published, or refused: that comes after its line.
fn not_ended(mirror: &Mirror, run: &str) -> Result<()> {
    let name = format!("runs/{run}/{STATE}");
    if !held(&mirror.seen).contains_key(&name) {
        return Ok(());
    }
    let said = mirror.store().get(&name)?.and_then(|(bytes, _)| serde_json::from_slice::<State>(&bytes).ok());
    if said.is_some_and(|state| state.is_final()) {
        // Its line may have come after the ledger was looked at.
        mirror.bring_ledger()?;
        ensure!(
            held(&mirror.told).contains(run),
            "{}/{name} says how its run ended, and the ledger does not tell of it: put ledger/ and ledger.head.json back from a copy",
            mirror.url()
        );
    }
    Ok(())
}

/// Releases that were put and that no line tells of go again: whoever put them was killed, or was not the first. One that was only slow
/// looks once more before its line.
fn sweep_releases(mirror: &Mirror, key: Option<&Key>) -> Result<()> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    let mut told = BTreeSet::new();
    for (line, given) in releases::lines(&ledger) {
        told.insert(releases::place(line, given)?.earlier_name(&given.receipt));
    }
    let kept = format!("{}/", releases::EARLIER_FOLDER);
    let folder = |below: &String| Some(below.strip_prefix(&kept)?.rsplit_once('/')?.0.to_owned());
    let seen: BTreeSet<String> = held(&mirror.seen).keys().filter_map(folder).map(|of| kept.clone() + &of).collect();
    seen.difference(&told).try_for_each(|left| mirror.remove_below(left))
}

/// Objects of runs that were given up or removed go again: a process that was only slow may have put some after that. It cannot publish
/// them.
fn sweep(mirror: &Mirror, key: Option<&Key>) -> Result<()> {
    let ledger = Ledger::open(mirror.root(), key.cloned())?;
    let of = |below: &String| below.strip_prefix("runs/")?.split('/').next().map(ToOwned::to_owned);
    let seen: BTreeSet<String> = held(&mirror.seen).keys().filter_map(of).collect();
    let gone = |run: &&String| {
        let last = ledger.last_of(run).map(|line| line.entry.event);
        matches!(last, Some(Event::Abandoned | Event::Removed))
    };
    seen.iter().filter(gone).try_for_each(|run| mirror.remove_below(&format!("runs/{run}")))
}

/// The runs that are claimed and that the ledger does not tell of.
fn claimed(mirror: &Mirror) -> Vec<String> {
    let told = held(&mirror.told).clone();
    let seen = held(&mirror.seen);
    let run = |below: &String| -> Option<String> {
        let run = below.strip_prefix("runs/")?.strip_suffix(CLAIM)?.strip_suffix('/')?;
        // As runs are named: a line about any other would be the end of the ledger.
        let lawful = run.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !run.starts_with('.');
        (lawful && run.len() <= 255 && !told.contains(run)).then(|| run.to_owned())
    };
    seen.keys().filter_map(run).collect()
}

/// A claim, if it is one, of this run, and keyed where the ledger is.
fn read(bytes: &[u8], run: &str, key: Option<&Key>) -> Option<Claim> {
    let claim: Claim = serde_json::from_slice(bytes).ok().filter(|claim: &Claim| claim.entry.run == run)?;
    match key {
        Some(key) if claim.mac.as_ref() != claim.mac(key).ok().as_ref() => None,
        _ => Some(claim),
    }
}

/// Puts the record of a run that came to nothing where others find it. What is there already, of the same name, stays.
///
/// # Errors
/// When the store does not answer.
pub fn push_record(run: &RunFolder, mirror: &Mirror) -> Result<()> {
    if held(&mirror.told).contains(&run.id) {
        return Ok(());
    }
    for name in [LINEAGE, STATE] {
        mirror.push_new(&format!("runs/{}/{name}", run.id))?;
    }
    Ok(())
}

/// Adds a line that nothing but the ledger itself decides on: what `entry` makes of it, again for as long as others are first. Whether one
/// was added.
///
/// # Errors
/// When `entry` does, or the ledger cannot be written.
pub fn add(mirror: &Mirror, key: Option<&Key>, entry: &dyn Fn(&Ledger) -> Result<Option<Entry>>) -> Result<bool> {
    for _ in 0..TRIES {
        let ledger = Ledger::open(mirror.root(), key.cloned())?;
        let Some(entry) = entry(&ledger)? else { return Ok(false) };
        match ledger.prepare(entry)?.commit() {
            Err(error) if is_lost(&error) => mirror.bring_ledger()?,
            done => return done.map(|()| true),
        }
    }
    Err(again_and_again(mirror))
}
