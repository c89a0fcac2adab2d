//! The ledger as objects: `ledger/<n>.json` is a line, put only where there is none. That put is the commit; whoever comes second has to
//! look again. `ledger.head.json` follows it, and before the next line it is there: it is never more than one line behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;

use super::mirror::{Mirror, each, held};
use super::store::TRIES;
use crate::runs::ledger::place::{HEAD, LINES};
use crate::runs::step::step;
use crate::storage::objects::{Condition, Put};
use crate::storage::{durable, hashes, read};

/// The folder of the lines.
pub const FOLDER: &str = "ledger";
/// How many lines all is done for that follows from them.
const SETTLED: &str = "ledger.settled.json";
/// What stands before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Another process has added a line of this number: what was to be added may no longer be right.
#[derive(Debug, thiserror::Error)]
#[error("another process has added line {n} of the ledger of {url} meanwhile; try again")]
pub struct Lost {
    /// The line's number.
    pub n: u64,
    /// The output.
    pub url: String,
}

/// Whether an error says that another process was first.
#[must_use]
pub fn is_lost(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Lost>().is_some()
}

/// A line to be added.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its number.
    pub n: u64,
    /// The line, without its end.
    pub line: String,
    /// The head before it.
    pub before: String,
    /// The head after it.
    pub head: String,
}

/// What is read of a line before it is known to hold.
#[derive(Deserialize)]
struct Told {
    previous: String,
    run: String,
}

/// What is read of a head.
#[derive(Deserialize)]
struct Counted {
    count: u64,
}

fn counted(bytes: &[u8]) -> Result<u64> {
    Ok(serde_json::from_slice::<Counted>(bytes).with_context(|| format!("{HEAD} is no head of a ledger"))?.count)
}

/// The number of a line, by its object's name.
fn number(below: &str) -> Option<u64> {
    let n: u64 = below.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()?;
    // A number may be written in more ways than one, with a sign for instance.
    (name(n) == below).then_some(n)
}

/// Whether an object is one of the ledger's.
pub(super) fn is_own(below: &str) -> bool {
    number(below).is_some() || [HEAD, SETTLED].contains(&below)
}

fn name(n: u64) -> String {
    format!("{FOLDER}/{n}.json")
}

impl Mirror {
    /// The numbers of the lines that are there, in order.
    fn numbers(&self) -> Result<Vec<u64>> {
        let mut missing = 0;
        // Lines that are put while pages of a listing come may be seen without one before them: then it is listed again.
        for _ in 0..2 {
            let mut all: Vec<u64> = self.store().list(FOLDER)?.iter().filter_map(|seen| number(&seen.below)).collect();
            all.sort_unstable();
            // Before anything is asked for by number: one that was planted could be any.
            match (1..).zip(&all).find(|(n, there)| n != *there) {
                None => return Ok(all),
                Some((n, _)) => missing = n,
            }
        }
        bail!("{}/{} is missing", self.url(), name(missing))
    }

    /// A line as it is there.
    fn line(&self, n: u64) -> Result<String> {
        let (bytes, _) =
            self.store().get(&name(n))?.with_context(|| format!("{}/{} is missing", self.url(), name(n)))?;
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        let line = text.filter(|text| !text.contains('\n'));
        Ok(line.with_context(|| format!("{}/{} is no line of a ledger", self.url(), name(n)))?.to_owned())
    }

    /// Some lines as they are there.
    fn lines(&self, numbers: std::ops::RangeInclusive<u64>) -> Result<Vec<String>> {
        let (numbers, found): (Vec<u64>, _) = (numbers.collect(), Mutex::new(BTreeMap::new()));
        each(&numbers, &|n| {
            let line = self.line(*n)?;
            held(&found).insert(*n, line);
            Ok(())
        })?;
        Ok(std::mem::take(&mut *held(&found)).into_values().collect())
    }

    /// Brings the lines that are not here yet, and the head. What this machine has seen of the ledger must still be there.
    ///
    /// # Errors
    /// When lines are missing or do not follow what is here, or the store does not answer.
    pub fn bring_ledger(&self) -> Result<()> {
        let _guard = self.exclusive()?;
        let (place, head) = (self.root().join(LINES), self.root().join(HEAD));
        let mut text = if place.exists() { read::text(&place)? } else { String::new() };
        let known = text.lines().count() as u64;
        let mut tries = 0;
        let (new, told) = loop {
            let numbers = self.numbers()?;
            let count = numbers.last().copied().unwrap_or(0);
            ensure!(
                count >= known,
                "the ledger of {} has {count} lines, and this machine has seen {known}: the last were removed, or an old ledger was put \
                 back; if that was meant, remove {}",
                self.url(),
                self.beside("").display()
            );
            let new = if count > known { self.lines(known + 1..=count)? } else { Vec::new() };
            let told = self.store().get(HEAD)?.map(|(bytes, _)| bytes);
            tries += 1;
            // Whoever adds a line has the head at the one before: one that counts more was put after the listing.
            match told.as_deref().map(counted) {
                Some(Ok(head)) if head > count && tries < TRIES => {}
                _ => break (new, told),
            }
        };
        self.follows(&text, &new)?;
        for line in &new {
            text.push_str(line);
            text.push('\n');
        }
        if !new.is_empty() {
            durable::replace(&place, text.as_bytes())?;
        }
        match told {
            Some(bytes) if fs_err::read(&head).is_ok_and(|here| here == bytes) => {}
            Some(bytes) => durable::replace(&head, &bytes)?,
            None if head.exists() => crate::storage::disk::remove_file(&head)?,
            None => {}
        }
        let run = |line: &str| serde_json::from_str::<Told>(line).ok().map(|told| told.run);
        *held(&self.told) = text.lines().filter_map(run).collect();
        Ok(())
    }

    /// Whether lines follow those that are here; before they are written, so that a ledger that was tampered with spoils no copy.
    fn follows(&self, text: &str, new: &[String]) -> Result<()> {
        let mut last = text.lines().last().map_or_else(|| NOTHING.to_owned(), hashes::text);
        for line in new {
            let told: Told =
                serde_json::from_str(line).with_context(|| format!("a line of {}/{FOLDER} is no entry", self.url()))?;
            ensure!(
                told.previous == last,
                "the ledger of {} does not hold: a line does not follow the one before it as this machine knows it",
                self.url()
            );
            last = hashes::text(line);
        }
        Ok(())
    }

    /// Whether all lines that are here are those of the store.
    ///
    /// # Errors
    /// With the first that is another, or missing.
    pub fn prove_ledger(&self) -> Result<()> {
        let place = self.root().join(LINES);
        let text = if place.exists() { read::text(&place)? } else { String::new() };
        let count = text.lines().count() as u64;
        let there = if count > 0 { self.lines(1..=count)? } else { Vec::new() };
        for (n, (here, there)) in text.lines().zip(&there).enumerate() {
            ensure!(here == there, "{}/{} is not the line that this machine has seen", self.url(), name(n as u64 + 1));
        }
        Ok(())
    }

    /// Adds a line: the commit. The ledger's copy is kept from others for as long as the value is held.
    ///
    /// # Errors
    /// [`Lost`] when another process was first; when the store does not answer: whether the line is there, the next command sees.
    pub fn append(&self, added: &Added) -> Result<File> {
        let guard = self.exclusive()?;
        self.head_to(added.n - 1, &added.before)?;
        step("line prepared");
        let claimed = self.claim(&name(added.n), &format!("{}\n", added.line)).with_context(|| {
            format!(
                "whether line {} of the ledger of {} was added is not known; the next command sees it",
                added.n,
                self.url()
            )
        });
        if claimed?.is_none() {
            return Err(Lost { n: added.n, url: self.url().to_owned() }.into());
        }
        if let Ok(told) = serde_json::from_str::<Told>(&added.line) {
            held(&self.told).insert(told.run);
        }
        step("line put");
        Ok(guard)
    }

    /// Has the head count so many lines, or more.
    ///
    /// # Errors
    /// When the store does not answer, or what is there is no head.
    pub fn head_to(&self, n: u64, text: &str) -> Result<()> {
        if held(&self.head).is_some_and(|known| known >= n) {
            return Ok(());
        }
        self.advance(HEAD, n, text)?;
        *held(&self.head) = Some(n);
        Ok(())
    }

    /// For how many lines all is done that follows from them.
    ///
    /// # Errors
    /// When the store does not answer, or what is there is none.
    pub(super) fn settled(&self) -> Result<u64> {
        self.store().get(SETTLED)?.map_or(Ok(0), |(bytes, _)| counted(&bytes))
    }

    /// Notes for how many lines all is done.
    ///
    /// # Errors
    /// As [`Mirror::head_to`].
    pub(super) fn settled_to(&self, n: u64) -> Result<()> {
        self.advance(SETTLED, n, &format!("{{\"count\":{n}}}\n"))
    }

    /// Replaces an object that counts lines, unless it counts as many.
    fn advance(&self, name: &str, n: u64, text: &str) -> Result<()> {
        for _ in 0..TRIES {
            let found = self.store().get(name)?;
            let condition = match &found {
                Some((bytes, _)) if counted(bytes)? >= n => return Ok(()),
                Some((_, tag)) => Condition::Is(tag),
                None => Condition::Absent,
            };
            if let Put::Done(_) = self.store().put(name, Bytes::from(text.to_owned()), condition)? {
                return Ok(());
            }
        }
        bail!("{}/{name} is replaced again and again", self.url())
    }
}
