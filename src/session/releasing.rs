//! Releasing: what a partner is given of a published run, with the consents as they are now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use super::identity::PROGRAM;
use super::release_rows::Source;
use super::withdrawn::withdrawn;
use crate::contract::{Contract, parse_day};
use crate::exit::{GateFailed, Locked, stop_on_signals};
use crate::ingest::read::export::Export;
use crate::ingest::read::open::open;
use crate::ingest::settle::release::{Asked, releasable};
use crate::job::inputs::{Digest, Identity};
use crate::output::Output;
use crate::pipeline::partners::Partners;
use crate::pipeline::{Findings, Pipeline};
use crate::runs::erasure::Erasures;
use crate::runs::folder::RunFolder;
use crate::runs::inputs::Memory;
use crate::runs::kept::KeptRun;
use crate::runs::ledger::{Entry, Event, Given, Ledger, Line};
use crate::runs::monitoring::lineage::now;
use crate::runs::named::find;
use crate::runs::output_folder::OutputFolder;
use crate::runs::releases::keys::Keys;
use crate::runs::releases::{self, Above, ConsentFile, Held, Place, RECEIPT, RELEASE, Receipt, WITHDRAWN, put, upload};
use crate::runs::remote;
use crate::runs::remote::lines::is_lost;
use crate::runs::remote::store::TRIES;
use crate::runs::verify::{self, Mismatch, Scope};
use crate::storage::durable;
use crate::storage::encryption::{FileKey, KeyError};
use crate::storage::hashes::{self, Hash};
use crate::tables::release::{self, Seal, same_rows};

/// What is asked for.
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The partner.
    pub partner: String,
    /// The run, as a user names it; the newest as-of date published when not given.
    pub run: Option<String>,
    /// The instant before which consents must have been given that are in force now, or a date for its end; now when not given.
    pub at: Option<String>,
    /// Whether a run is released whose table was replaced since.
    pub replaced: bool,
    /// The command, for who finds the folder locked.
    pub command: String,
}

/// What the partner has now.
pub struct Released {
    /// Whether it had it already.
    pub nothing_to_do: bool,
    /// Where it is.
    pub folder: PathBuf,
    /// What it is.
    pub receipt: Receipt,
}

impl Request<'_> {
    /// Releases a run to a partner, unless it has the same already.
    ///
    /// # Errors
    /// [`GateFailed`] when the run may not be released; all findings about pipeline and partners at once; when another process holds
    /// the lock, a key is missing, or a file cannot be read or written.
    pub fn run(&self, log: &Output) -> Result<Released> {
        for _ in 0..TRIES {
            match self.once(log) {
                // Another process added a line to the ledger of an object store: all of it is asked again.
                Err(error) if is_lost(&error) => log.line(&format!("{error:#}")),
                done => return done,
            }
        }
        Err(Locked("others published meanwhile again and again; nothing was released".to_owned()).into())
    }

    fn once(&self, log: &Output) -> Result<Released> {
        let contract = Contract::load()?;
        Findings(self.pipeline.findings(&contract)).or(())?;
        let partners = Partners::load(self.pipeline)?;
        let partner = partners.get(&self.partner)?;
        partners.name_keys();
        let keys = Keys::read(&partners, partner)?;
        let file_key = partners.file_key(partner)?;
        let now = Timestamp::now();
        let at = self.instant(now)?;
        let stop = stop_on_signals()?;
        let folder = OutputFolder::open(self.pipeline, &self.command, log)?;
        remote::bring(&folder.path.join(releases::FOLDER))?;
        let ledger = Ledger::open(&folder.path, folder.key.clone())?;
        let (run, line) = self.published(&folder, &ledger, &stop)?;
        let export = consents(self.pipeline, &contract)?;
        let asked = Asked { partner: &partner.id, at, now, zone: &self.pipeline.settings.time_zone };
        let agreed = releasable(&export, &contract, &asked, &stop, log)?;
        if agreed.quarantined > 0 {
            log.warn(&format!(
                "{} rows of consents break a rule of the contract: they give no consent, and whoever one names with this partner is left \
                 out until it is mended",
                agreed.quarantined
            ));
        }
        let source = Source { partner, keys: &keys, agreed: &agreed, run: &run, stop: &stop };
        let making = Making { source, file_key, line, at };
        let mut memory = Memory::of(&folder.path, folder.key.as_ref());
        let exports = [export];
        let hashes = memory.hashes(&exports, log, &stop)?;
        memory.save(&folder.path, folder.key.as_ref())?;
        let files = exports[0].files.iter().zip(hashes.into_iter().flatten());
        let files = files.map(|(f, hash)| ConsentFile { digest: Identity::of(f, hash) }).collect();
        making.release(self.pipeline, &folder, &ledger, files, log)
    }

    /// The instant T.
    fn instant(&self, now: Timestamp) -> Result<Timestamp> {
        let Some(text) = &self.at else { return Ok(now) };
        let at = match text.parse::<Timestamp>() {
            Ok(instant) => instant,
            Err(_) => {
                let day = parse_day(text)
                    .context("--at takes a date, or an instant with its zone such as 2025-06-30T12:00:00Z")?;
                Timestamp::from_microsecond(self.pipeline.settings.time_zone.end_of(day)?)?
            }
        };
        ensure!(at <= now, "--at {text} has not come yet: nobody knows which consents will be withdrawn until then");
        Ok(at)
    }

    /// The run that is asked for, found to be published, whole, and not replaced.
    fn published<'l>(
        &self,
        folder: &OutputFolder,
        ledger: &'l Ledger,
        stop: &AtomicBool,
    ) -> Result<(RunFolder, &'l Line)> {
        let run = find(self.run.as_deref().unwrap_or("latest"), &folder.path)?;
        let same = fs_err::canonicalize(&run.output)? == fs_err::canonicalize(&folder.path)?;
        ensure!(same, "the run {} is not one of {}", run.id, folder.path.display());
        let run = RunFolder::of(&folder.path, &run.id);
        let refused =
            |why: String| -> anyhow::Error { GateFailed(format!("the run {} is not released: {why}", run.id)).into() };
        let Some(line) = ledger.of_run(&run.id) else { return Err(refused("the ledger does not know it".to_owned())) };
        if line.entry.pipeline != self.pipeline.settings.name {
            bail!(
                "the run {} is one of the pipeline {}, not of {}",
                run.id,
                line.entry.pipeline,
                self.pipeline.settings.name
            );
        }
        if line.entry.event != Event::Published {
            return Err(refused("a gate refused it".to_owned()));
        }
        let current = ledger.current(&line.entry.table);
        if let Some(newer) = current.filter(|c| c.n != line.n && !self.replaced) {
            return Err(refused(format!(
                "the run {} replaced its table since; release that one, or say --force-replaced",
                newer.entry.run
            )));
        }
        match verify::run(&run, ledger, Scope { inputs: false, stop }, &|_| {}) {
            Err(error) if error.downcast_ref::<Mismatch>().is_some() => Err(refused(format!("{error:#}"))),
            Err(error) => Err(error),
            Ok(()) => Ok((run, line)),
        }
    }
}

/// The export of consents, opened alone: the others may be in the making.
fn consents(pipeline: &Pipeline, contract: &Contract) -> Result<Export> {
    let mut only = pipeline.clone();
    only.settings.inputs.retain(|table, _| table == "consents");
    let (exports, findings) = open(&only, contract)?;
    Findings(findings).or(())?;
    exports.into_iter().next().with_context(|| {
        format!(
            "{} has no `inputs.consents`: a release needs a table of consents, a statement is not enough",
            pipeline.path.display()
        )
    })
}

/// What the partner has in the place already.
fn given(held: &Held, ledger: &Ledger, place: &Place) -> Result<Option<Receipt>> {
    let folder = place.folder(held.output);
    match releases::of_place(ledger, place)?.last() {
        Some((line, given)) if held.in_folder(&folder, line, given)? => Receipt::read(&folder).map(Some),
        _ => Ok(None),
    }
}

/// Whether two folders give the same rows: an erasure may have written one of them anew, and the receipt knows it as it was. What does not
/// open any more is not the same.
fn same(a: &Path, b: &Path) -> Result<bool> {
    for name in [RELEASE, WITHDRAWN] {
        match same_rows(&a.join(name), &b.join(name)) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.is::<KeyError>() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A release under way.
struct Making<'a> {
    source: Source<'a>,
    /// The key that the partner's tables are encrypted with.
    file_key: Option<Arc<FileKey>>,
    line: &'a Line,
    at: Timestamp,
}

impl Making<'_> {
    fn release(
        &self,
        pipeline: &Pipeline,
        folder: &OutputFolder,
        ledger: &Ledger,
        consents: Vec<ConsentFile>,
        log: &Output,
    ) -> Result<Released> {
        let (output, partner, entry, stop) = (&folder.path, self.source.partner, &self.line.entry, self.source.stop);
        let place = Place::new(&partner.id, entry.as_of)?;
        let erasures = Erasures::of(output, ledger, folder.key.as_ref())?;
        let held = Held { output, erasures: &erasures, stop };
        let above = self.above()?;
        let told_of = self.source.rows(above.as_ref())?;
        let forget = withdrawn(&held, ledger, self.source.keys, self.source.agreed)?;
        let staged = put::stage(output, &place)?;
        let told = partner.told();
        let as_of = entry.as_of.to_string();
        let mut facts = vec![
            ("partner", partner.id.as_str()),
            ("as_of", as_of.as_str()),
            ("model", entry.model.as_str()),
            ("key_id", partner.key_id.as_str()),
        ];
        facts.extend(partner.key_period.as_deref().map(|period| ("key_period", period)));
        let names: Vec<&str> = told.iter().map(|column| column.name()).collect();
        let seal = Seal { key: self.file_key.clone(), facts: &facts };
        let plain = [
            (RELEASE, release::write(&staged.join(RELEASE), &told_of.rows, &told_of.bands, &names, &seal)?),
            (
                WITHDRAWN,
                release::write_withdrawn(&staged.join(WITHDRAWN), &forget, &Seal { facts: &facts[..2], ..seal })?,
            ),
        ];
        let mut files = BTreeMap::new();
        for name in [RELEASE, WITHDRAWN] {
            files.insert(name.to_owned(), Digest { blake3: hashes::file_until(&staged.join(name), stop)? });
        }
        let digest = |(name, hash): (&str, Option<Hash>)| Some((name.to_owned(), Digest { blake3: hash? }));
        let receipt = Receipt {
            schema: 1,
            partner: partner.id.clone(),
            title: partner.title.clone(),
            pipeline: entry.pipeline.clone(),
            run: self.source.run.id.clone(),
            model: entry.model.clone(),
            as_of: entry.as_of,
            at: self.at.to_string(),
            program: PROGRAM.to_owned(),
            columns: told,
            above,
            key_id: partner.key_id.clone(),
            key_period: partner.key_period.clone(),
            counts: told_of.reasons.shown(forget.len() as u64, pipeline.settings.privacy.min_cell),
            files,
            encrypted: partner.file_keys.write.clone(),
            plain: plain.into_iter().filter_map(digest).collect(),
            scores: entry.scores.clone(),
            consents,
        };
        let target = place.folder(output);
        if let Some(before) = given(&held, ledger, &place)?
            && (before.gives_what(&receipt) || before.promises_what(&receipt) && same(&staged, &target)?)
        {
            put::discard(&staged)?;
            log.line(&format!("nothing to do: {} has the same of the run {} already", partner.id, self.source.run.id));
            return Ok(Released { nothing_to_do: true, folder: target, receipt: before });
        }
        durable::replace(&staged.join(RECEIPT), receipt.text()?.as_bytes())?;
        crate::exit::check(stop)?;
        let given = self.entry(&receipt, &place)?;
        match remote::of(output) {
            Some(mirror) => upload::give(&mirror, &place, given, folder.key.as_ref(), ledger.lines.len())?,
            None => put::give(output, &place, given, folder.key.clone())?,
        }
        Ok(Released { nothing_to_do: false, folder: target, receipt })
    }

    /// The line of the ledger.
    fn entry(&self, receipt: &Receipt, place: &Place) -> Result<Entry> {
        let hash =
            |name: &str| receipt.files.get(name).map(|d| d.blake3.clone()).context("defect: a file without a hash");
        let given = Given {
            partner: receipt.partner.clone(),
            receipt: hashes::text(&receipt.text()?),
            release: hash(RELEASE)?,
            withdrawn: hash(WITHDRAWN)?,
        };
        Ok(Entry {
            at: now(),
            event: Event::Released,
            table: format!("{}/{RELEASE}", place.name()),
            program: PROGRAM.to_owned(),
            replaces: None,
            begun: None,
            size: None,
            because: None,
            lineage: None,
            given: Some(given),
            accepted: Vec::new(),
            ..self.line.entry.clone()
        })
    }

    /// The cut-off that the partner is told of, as the run's model has it.
    fn above(&self) -> Result<Option<Above>> {
        let Source { partner, run, .. } = self.source;
        let Some(privilege) = &partner.privilege else { return Ok(None) };
        let model = KeptRun::open(run.clone())?.model;
        let all = || model.card.privilege.iter().map(toml::Spanned::get_ref);
        let Some(found) = all().find(|p| p.name == *privilege) else {
            let known: Vec<&str> = all().map(|p| p.name.as_str()).collect();
            bail!(
                "the partner {}: the model {} has no privilege `{privilege}`; there are {}",
                partner.id,
                model.label(),
                known.join(", ")
            )
        };
        Ok(Some(Above { privilege: found.name.clone(), from: found.from }))
    }
}
