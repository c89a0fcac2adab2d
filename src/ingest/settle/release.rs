//! Consents to a release: which subjects agree at an instant that a partner is told about them.
//!
//! As for other consents, a grant is in force when `granted_at < T ≤ min(revoked_at, expires_at)`; when rows of one grant differ, the one
//! that ends first counts. A withdrawal after T is not known at T. A consent that names no partner is for none.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;

use super::registers::value;
use crate::NULL;
use crate::contract::{Contract, DateSet, Snapshot, Zone, day_text, parse_day};
use crate::ingest::check::conservation::Class;
use crate::ingest::read::batches::{self, Batch};
use crate::ingest::read::decode::{IdColumn, KeyMap};
use crate::ingest::read::export::Export;
use crate::ingest::visibility::scan::Scan;
use crate::ingest::visibility::setting::Setting;
use crate::output::Output;
use crate::storage::erased::NOBODY;
use crate::tables::ids::{IdForm, id_text};

/// The purpose.
const RELEASE: &str = "release";

/// Who consents to a release to one partner.
#[derive(Debug, Default)]
pub struct Releasable {
    /// By id: whether a consent is in force; those who never gave one are not there.
    subjects: BTreeMap<Vec<u8>, bool>,
    /// How the ids are written; nothing when no file says.
    pub form: Option<IdForm>,
    /// Rows that break a rule of the contract, and so count for nothing.
    pub quarantined: u64,
}

impl Releasable {
    /// Whether a subject's consent is in force, if it ever gave one.
    #[must_use]
    pub fn of(&self, id: &[u8]) -> Option<bool> {
        self.subjects.get(id).copied()
    }

    /// Everyone whose consent is in force.
    pub fn in_force(&self) -> impl Iterator<Item = &[u8]> {
        self.subjects.iter().filter(|(_, in_force)| **in_force).map(|(id, _)| id.as_slice())
    }
}

/// To whom, when, and where days begin.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The partner, as consents name it.
    pub partner: &'a str,
    /// The instant T.
    pub at: Timestamp,
    /// The time zone of the pipeline.
    pub zone: &'a Zone,
}

/// A grant: the subject, when it was given, and whether it has not ended.
type Grant = (Vec<u8>, i64, bool);

/// Reads who consents at an instant.
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
    let at = asked.at.as_microsecond();
    let day = parse_day(&day_text(asked.zone.day(at)))?;
    // Whatever happens at T or later has not happened before T.
    let known_by = Timestamp::from_microsecond(at - 1)?;
    let snapshots = [Snapshot { calendar: contract.calendar(day, asked.zone)?, known_by }];
    let setting = Setting {
        snapshots: &snapshots,
        every_date: DateSet::first(1)?,
        widest: Snapshot::widest(&snapshots)?,
        currency: "",
        limits: &contract.limits,
        reliability: KeyMap::default(),
        // Whoever was erased has no score that could be released.
        erased: &NOBODY,
    };
    let reader = Reader::new(export, asked, at)?;
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
    partner: &'a str,
    at: i64,
    /// The code of the purpose.
    release: i64,
    /// `granted_at`, `revoked_at`, `expires_at`, `purpose`, `partner_id`.
    columns: [usize; 5],
    found: Mutex<(Vec<Grant>, Option<IdForm>)>,
}

impl<'a> Reader<'a> {
    fn new(export: &Export, asked: &Asked<'a>, at: i64) -> Result<Self> {
        let column = |name| export.table.require(name);
        let purpose = column("purpose")?;
        let release = export.table.columns[purpose].values.iter().position(|word| word == RELEASE);
        Ok(Self {
            partner: asked.partner,
            at,
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
        let mut grants = Vec::new();
        for (row, place) in rows.kept.iter().enumerate() {
            let place = *place as usize;
            let named = partners.as_ref().and_then(|p| Some(id_text(p.get(place)?, p.form())));
            if value(&rows, purpose, row) != self.release || named.as_deref() != Some(self.partner) {
                continue;
            }
            let Some(id) = ids.get(place) else { continue };
            let ends = [value(&rows, revoked, row), value(&rows, expires, row)];
            let in_force = ends.iter().all(|end| *end == NULL || *end >= self.at);
            grants.push((id.to_vec(), value(&rows, granted, row), in_force));
        }
        let mut found = self.found.lock().map_err(|_| anyhow!("another thread failed"))?;
        // The structural check has found that all files write subjects alike.
        ensure!(found.1.is_none_or(|form| form == ids.form()), "defect: consents write subjects in two ways");
        found.0.extend(grants);
        found.1 = Some(ids.form());
        Ok(())
    }

    fn settled(self) -> Result<Releasable> {
        let (mut grants, form) = self.found.into_inner().map_err(|_| anyhow!("another thread failed"))?;
        // Of one grant the row that has ended comes first.
        grants.sort_unstable();
        let mut subjects = BTreeMap::new();
        for grant in grants.chunk_by(|a, b| (&a.0, a.1) == (&b.0, b.1)) {
            let (id, _, in_force) = &grant[0];
            *subjects.entry(id.clone()).or_insert(false) |= *in_force;
        }
        Ok(Releasable { subjects, form, quarantined: 0 })
    }
}
