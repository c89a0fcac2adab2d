//! Consents to a release: which subjects agree that a partner is told about them.
//!
//! As for other consents, a grant is in force when `granted_at < T ≤ min(revoked_at, expires_at)`; when rows of one grant differ, the one
//! that ends first counts. A release of an earlier T leaves out who agreed at T or later, and who has withdrawn since all the same: else
//! it would tell who they are. A consent that names no partner is for none. A row of the partner that breaks a rule may be a withdrawal,
//! so whoever has one agrees to nothing until it is mended.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use rayon::prelude::*;

use super::registers::value;
use crate::NULL;
use crate::contract::{Contract, DateSet, Snapshot, Zone, day_text, parse_day};
use crate::ingest::check::conservation::Class;
use crate::ingest::read::batches::{self, Batch};
use crate::ingest::read::decode::{IdColumn, KeyMap};
use crate::ingest::read::export::Export;
use crate::ingest::visibility::scan::{Checked, Scan};
use crate::ingest::visibility::setting::Setting;
use crate::output::Output;
use crate::storage::erased::NOBODY;
use crate::tables::ids::{IdForm, Ids, id_text};

/// The purpose.
const RELEASE: &str = "release";

/// Who consents to a release to one partner.
#[derive(Debug, Default)]
pub struct Releasable {
    /// Everyone who ever gave a consent, in order.
    ids: Ids,
    /// What became of it.
    consents: Vec<Consent>,
    /// How the ids are written; nothing when no file says.
    pub form: Option<IdForm>,
    /// Rows that break a rule of the contract.
    pub quarantined: u64,
}

/// What became of a subject's consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// One from before T is in force.
    InForce,
    /// One is in force, and was given at T or later.
    Later,
    /// They have ended, or cannot be told to be in force.
    Ended,
}

impl Releasable {
    /// Whether a consent of a subject from before T is in force, if it ever gave one.
    #[must_use]
    pub fn of(&self, id: &[u8]) -> Option<bool> {
        match self.consents.get(self.ids.find(id)?)? {
            Consent::InForce => Some(true),
            Consent::Later => None,
            Consent::Ended => Some(false),
        }
    }

    /// Everyone whose consent is in force now.
    pub fn in_force(&self) -> impl ParallelIterator<Item = &[u8]> {
        let agreed = self.consents.par_iter().enumerate().filter(|(_, consent)| **consent != Consent::Ended);
        agreed.map(move |(at, _)| self.ids.get(at))
    }
}

/// To whom, when, and where days begin.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The partner, as consents name it.
    pub partner: &'a str,
    /// The instant T, before which a consent must have been given.
    pub at: Timestamp,
    /// Now, when it must be in force: not before T.
    pub now: Timestamp,
    /// The time zone of the pipeline.
    pub zone: &'a Zone,
}

/// Reads who consents.
///
/// # Errors
/// When a file turns out corrupt, the instant is outside the contract's dates, or the work is interrupted.
pub fn releasable(
    export: &Export,
    contract: &Contract,
    asked: &Asked,
    stop: &AtomicBool,
    log: &Output,
) -> Result<Releasable> {
    let now = asked.now.as_microsecond();
    let day = parse_day(&day_text(asked.zone.day(now)))?;
    // Whatever happens now or later has not happened yet.
    let known_by = Timestamp::from_microsecond(now - 1)?;
    let snapshots = [Snapshot { calendar: contract.calendar(day, asked.zone)?, known_by }];
    let setting = Setting {
        snapshots: &snapshots,
        every_date: DateSet::first(1)?,
        widest: Snapshot::widest(&snapshots)?,
        currency: "",
        limits: &contract.limits,
        reliability: KeyMap::default(),
        // Whoever was erased has no score that could be released; who must be forgotten is found without them.
        erased: &NOBODY,
    };
    let reader = Reader::new(export, asked)?;
    let scan = Scan::new(&export.table, &setting)?;
    let rows = export.files.iter().map(|f| f.rows).sum();
    let progress = log.stage("read consents", rows, "rows");
    batches::read(export, &|_, _| Ok(false), &progress, stop, &|batch| reader.read(&scan, &batch))?;
    progress.finish();
    let found = scan.finish()?.into_iter().next().context("no date")?;
    let mut releasable = reader.settled()?;
    releasable.quarantined = found.tally.total(Class::Quarantined);
    Ok(releasable)
}

struct Reader<'a> {
    asked: &'a Asked<'a>,
    /// What a purpose may be, and the code of a release.
    purposes: &'a [String],
    release: i64,
    /// `granted_at`, `revoked_at`, `expires_at`, `purpose`, `partner_id`.
    columns: [usize; 5],
    found: Mutex<(Grants, Option<IdForm>)>,
}

impl<'a> Reader<'a> {
    fn new(export: &'a Export, asked: &'a Asked<'a>) -> Result<Self> {
        let column = |name| export.table.require(name);
        let purpose = column("purpose")?;
        let purposes = export.table.columns[purpose].values.as_slice();
        let release = purposes.iter().position(|word| word == RELEASE);
        Ok(Self {
            asked,
            purposes,
            release: i64::try_from(release.context("contract: consents have no purpose `release`")?)?,
            columns: [
                column("granted_at")?,
                column("revoked_at")?,
                column("expires_at")?,
                purpose,
                column("partner_id")?,
            ],
            found: Mutex::default(),
        })
    }

    fn read(&self, scan: &Scan, batch: &Batch) -> Result<()> {
        let rows = scan.check(batch, None)?;
        let [granted, revoked, expires, purpose, partner] = self.columns;
        let ids = rows.owner_ids.first().and_then(Option::as_ref).context("consents without subjects")?;
        let partners = batch.columns[partner].as_ref().map(IdColumn::new).transpose()?;
        let of_partner = |place: usize| {
            let named = partners.as_ref().and_then(|p| Some(id_text(p.get(place)?, p.form())));
            named.as_deref() == Some(self.asked.partner)
        };
        let now = self.asked.now.as_microsecond();
        let mut grants = Grants::default();
        for (row, place) in rows.kept.iter().enumerate() {
            let place = *place as usize;
            if value(&rows, purpose, row) != self.release || !of_partner(place) {
                continue;
            }
            let Some(id) = ids.get(place) else { continue };
            let ends = [value(&rows, revoked, row), value(&rows, expires, row)];
            let said = if lasts(ends, now) { Said::InForce } else { Said::Ended };
            grants.push(id, value(&rows, granted, row), said);
        }
        for place in self.broken(&rows, batch)?.into_iter().filter(|place| of_partner(*place)) {
            if let Some(id) = ids.get(place) {
                grants.push(id, NULL, Said::Broken);
            }
        }
        let mut found = self.found.lock().map_err(|_| anyhow!("another thread failed"))?;
        // The structural check has found that all files write subjects alike.
        ensure!(found.1.is_none_or(|form| form == ids.form()), "defect: consents write subjects in two ways");
        found.0.append(&grants);
        found.1 = Some(ids.form());
        Ok(())
    }

    /// The rows that break a rule and may be about a release, by their positions in the batch.
    fn broken(&self, rows: &Checked, batch: &Batch) -> Result<Vec<usize>> {
        let mut whole = vec![false; batch.len];
        let seen = rows.kept.iter().chain(rows.hidden.iter().map(|(place, _)| place));
        seen.for_each(|place| whole[*place as usize] = true);
        if !whole.contains(&false) {
            return Ok(Vec::new());
        }
        let purposes = batch.columns[self.columns[3]].as_ref().map(IdColumn::new).transpose()?;
        // A word that is none of the contract's may have been meant to be this one.
        let other = |place: usize| {
            let word = purposes.as_ref().and_then(|p| p.get(place));
            word.is_some_and(|word| self.purposes.iter().any(|p| p != RELEASE && p.as_bytes() == word))
        };
        Ok((0..batch.len).filter(|place| !whole[*place] && !other(*place)).collect())
    }

    fn settled(self) -> Result<Releasable> {
        let (grants, form) = self.found.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        let (ids, consents) = grants.settled(self.asked.at.as_microsecond())?;
        Ok(Releasable { ids, consents, form, quarantined: 0 })
    }
}

/// Whether a consent with some ends has not ended at an instant.
fn lasts(ends: [i64; 2], at: i64) -> bool {
    ends.iter().all(|end| *end == NULL || *end >= at)
}

/// What a row says of a consent. What comes first counts, of rows of one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    /// Nothing: it breaks a rule.
    Broken,
    /// It has ended.
    Ended,
    /// It has not.
    InForce,
}

/// Rows of consents: whose they are, when the consent was given, and what they say.
#[derive(Debug, Default)]
struct Grants {
    ids: Ids,
    rows: Vec<(i64, Said)>,
}

impl Grants {
    fn push(&mut self, id: &[u8], granted: i64, said: Said) {
        self.ids.push(id);
        self.rows.push((granted, said));
    }

    fn append(&mut self, other: &Self) {
        self.ids.append(&other.ids);
        self.rows.extend_from_slice(&other.rows);
    }

    /// Everyone who ever gave a consent, in order, with what became of it; one given before `at` is in force then.
    fn settled(&self, at: i64) -> Result<(Ids, Vec<Consent>)> {
        let (id, row) = (|n: &u32| self.ids.get(*n as usize), |n: &u32| self.rows[*n as usize]);
        let mut order: Vec<u32> = (0..u32::try_from(self.rows.len())?).collect();
        order.par_sort_unstable_by(|a, b| id(a).cmp(id(b)).then_with(|| row(a).cmp(&row(b))));
        let (mut ids, mut consents) = (Ids::default(), Vec::new());
        for of_subject in order.chunk_by(|a, b| id(a) == id(b)) {
            let grants = of_subject.chunk_by(|a, b| row(a).0 == row(b).0).map(|rows| row(&rows[0]));
            let (broken, grants): (Vec<_>, Vec<_>) = grants.partition(|(_, said)| *said == Said::Broken);
            if grants.is_empty() {
                continue;
            }
            let in_force = grants.iter().filter(|(_, said)| *said == Said::InForce && broken.is_empty());
            ids.push(id(&of_subject[0]));
            consents.push(match in_force.map(|(granted, _)| *granted).min() {
                Some(first) if first < at => Consent::InForce,
                Some(_) => Consent::Later,
                None => Consent::Ended,
            });
        }
        Ok((ids, consents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_000;

    #[test]
    fn a_consent_lasts_to_the_microsecond_of_its_first_end() {
        assert!(lasts([NULL, NULL], T) && lasts([T, NULL], T) && lasts([NULL, T], T) && lasts([T + 1, T], T));
        assert!(!lasts([T - 1, NULL], T) && !lasts([NULL, T - 1], T) && !lasts([T + 1, T - 1], T));
    }

    fn settled(rows: &[(&str, i64, Said)]) -> Releasable {
        let mut grants = Grants::default();
        // In any order.
        rows.iter().rev().for_each(|(id, granted, said)| grants.push(id.as_bytes(), *granted, *said));
        let (ids, consents) = grants.settled(T).unwrap();
        Releasable { ids, consents, form: None, quarantined: 0 }
    }

    #[test]
    fn the_row_of_a_grant_that_ends_first_counts_and_a_broken_one_ends_all() {
        let found = settled(&[
            ("before", T - 1, Said::InForce),
            ("at", T, Said::InForce),
            ("ended", 1, Said::Ended),
            ("ended", 1, Said::InForce),
            ("again", 1, Said::Ended),
            ("again", 2, Said::InForce),
            ("broken", 1, Said::InForce),
            ("broken", NULL, Said::Broken),
            ("only-broken", NULL, Said::Broken),
        ]);
        let of = |id: &str| found.of(id.as_bytes());
        assert_eq!((of("before"), of("at"), of("ended")), (Some(true), None, Some(false)));
        assert_eq!((of("again"), of("broken"), of("only-broken")), (Some(true), Some(false), None));
        assert_eq!(of("nobody"), None);
        // Who must be forgotten is asked of now, and not of T.
        let mut in_force: Vec<&[u8]> = found.in_force().collect();
        in_force.sort_unstable();
        assert_eq!(in_force, [&b"again"[..], b"at", b"before"]);
    }
}
