//! Erasing: what of an output folder holds some subjects, and all of it without them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::identity::PROGRAM;
use crate::contract::Contract;
use crate::exit::stop_on_signals;
use crate::ingest::read::batches;
use crate::ingest::read::export::Export;
use crate::ingest::read::id_forms::form_of_subjects;
use crate::ingest::read::open::open;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::pipeline::partners::{Partner, Partners};
use crate::runs::erasure::journal::{Order, Places};
use crate::runs::erasure::releases::{Given, PartnerNames, given, notify};
use crate::runs::erasure::search::{OWNERS, files};
use crate::runs::erasure::texts::InTexts;
use crate::runs::erasure::wanted::{Asked, Wanted};
use crate::runs::erasure::{Carrier, Erasures, Notified, Receipt, carry_out, next};
use crate::runs::inputs::Memory;
use crate::runs::ledger::{Key, Ledger};
use crate::runs::monitoring::lineage::now;
use crate::runs::output_folder::{OutputFolder, key_of, output_of};
use crate::runs::releases::keys::Keys;
use crate::stages::store::StageStore;
use crate::storage::erased::Erased;
use crate::storage::read;
use crate::tables::ids::{IdForm, Ids, push};
use crate::tables::scores::SUBJECT_ID;
use crate::tables::{columns, read as tables, without};

/// Said of later runs.
const GUARDED: &str = "later runs leave these subjects out, even if an export still carries them";
const NOT_GUARDED: &str = "the pipeline has no ledger key: the receipt holds counts and no hash of an id, and later runs are not guarded; \
a run over an export that still carries these subjects scores them again";

/// What is asked for.
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The file of ids.
    pub ids: &'a Path,
    /// Where notices to partners go.
    pub notices: Option<&'a Path>,
    /// Whether it is done, and not only planned.
    pub yes: bool,
    /// Whether it is done although nothing is of any of the ids.
    pub allow_unknown: bool,
    /// Whether it is done although releases cannot be searched.
    pub leave_unsearched: bool,
}

/// What an erasure changes.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Number of ids.
    pub ids: u64,
    /// Ids that the file says are of the same subject, by id.
    pub merged: BTreeMap<String, BTreeSet<String>>,
    /// The runs that hold them.
    pub runs: BTreeSet<String>,
    /// Files, by path, with the rows, or in a text the places, that go.
    pub files: BTreeMap<String, u64>,
    /// Stages that are removed: all of them.
    pub stages: u64,
    /// Input files that still carry them.
    pub inputs: Vec<Carrier>,
    /// Why inputs were not looked at.
    pub inputs_not_searched: Option<String>,
    /// Pseudonyms that partners must forget, by partner.
    pub releases: BTreeMap<String, u64>,
    /// Partners and keys whose releases cannot be searched.
    pub releases_not_searched: BTreeSet<String>,
    /// Lines of the ledger that hold an id and stay.
    pub ledger_lines: u64,
    /// Whether later runs leave them out.
    pub guard: String,
}

/// What became of a request.
pub struct Done {
    /// What it changes.
    pub plan: Plan,
    /// What it did; nothing when it was only planned.
    pub receipt: Option<Receipt>,
}

impl Request<'_> {
    /// Says what an erasure changes, and with `yes` does it.
    ///
    /// # Errors
    /// When the output folder is locked or its ledger does not hold, an id is none, a table is damaged, or partners must be told and there
    /// is no place for notices.
    pub fn run(&self, log: &Output) -> Result<Done> {
        let stop = stop_on_signals()?;
        self.pipeline.name_keys();
        if !self.yes {
            let key = key_of(self.pipeline)?;
            let (plan, ..) = self.planned(&output_of(self.pipeline), key.as_ref(), &stop, log)?;
            return Ok(Done { plan, receipt: None });
        }
        self.check_notices()?;
        let folder = OutputFolder::open(self.pipeline, "erase", log)?;
        let (plan, order, given) = self.planned(&folder.path, folder.key.as_ref(), &stop, log)?;
        ensure!(
            given.unknown.is_empty() || self.leave_unsearched,
            "releases to {} cannot be searched, for the key is not at hand; make it available, or say --leave-unsearched",
            given.unknown.iter().cloned().collect::<Vec<_>>().join("; ")
        );
        let found = !plan.files.is_empty() || !plan.inputs.is_empty() || !given.forget.is_empty();
        ensure!(
            found || self.allow_unknown,
            "nothing in {} and in the inputs is of any of these ids, which are written as tables write them; --allow-unknown keeps later \
             runs from them all the same",
            folder.path.display()
        );
        if !given.forget.is_empty() {
            let Some(notices) = self.notices else {
                bail!("partners were given scores of these subjects: say where the notices to them go, --notices DIR")
            };
            // Before anything is erased: afterwards nobody could tell whom they must forget.
            notify(notices, order.receipt.erasure, &order.receipt.begun, &given)?;
        }
        crate::exit::check(&stop)?;
        let receipt = carry_out::begin(&folder.path, order, folder.key.as_ref())
            .context("the erasure is under way: the next command that writes to the output folder goes on with it")?;
        Ok(Done { plan, receipt: Some(receipt) })
    }

    /// Refuses a place for notices within the output folder, where they would be kept with what is erased.
    fn check_notices(&self) -> Result<()> {
        let Some(notices) = self.notices else { return Ok(()) };
        let output = crate::runs::folder::configuration::plain(&output_of(self.pipeline));
        let real = |path: &Path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let place = crate::runs::folder::configuration::plain(notices);
        let within = place.ancestors().any(|above| real(above) == real(&output));
        ensure!(!within, "--notices {} lies within the output folder; name a folder outside of it", notices.display());
        Ok(())
    }

    /// What an erasure changes, the order for it, and what partners were given.
    fn planned(
        &self,
        output: &Path,
        key: Option<&Key>,
        stop: &AtomicBool,
        log: &Output,
    ) -> Result<(Plan, Order, Given)> {
        let ledger = Ledger::open(output, key.cloned())?;
        ledger.open_to_lines()?;
        let erasures = Erasures::of(output, &ledger, key)?;
        let exports = self.exports();
        let form = form(output, exports.as_deref().unwrap_or_default())?;
        let asked = Asked::read(self.ids, form)?;
        let given = given(output, &asked.ids, &Declared::read(self.pipeline, log)?)?;
        let already = erasures.guarded(u64::MAX);
        let fresh: BTreeSet<String> = asked.ids.iter().filter(|id| !already.holds(id)).cloned().collect();
        let (carriers, places, unsearched) = match &exports {
            Ok(exports) => {
                let looked = Looked { exports, all: &asked.ids, fresh: &fresh, stop, log };
                let (carriers, places) = looked.at(output, key)?;
                (carriers, places, None)
            }
            Err(error) => (Vec::new(), BTreeMap::new(), Some(format!("{error:#}"))),
        };
        let stages = StageStore::of(output, None).all()?.len() as u64;
        let guard = if key.is_some() { GUARDED } else { NOT_GUARDED }.to_owned();
        let hashes = key.map(|key| asked.ids.iter().map(|id| Erased::hash_of(key, id)).collect()).unwrap_or_default();
        let notified = given
            .forget
            .iter()
            .map(|(partner, forget)| Notified { partner: partner.clone(), pseudonyms: forget.len() as u64 });
        let receipt = Receipt {
            schema: 1,
            erasure: next(&ledger),
            begun: now(),
            ended: String::new(),
            pipeline: self.pipeline.settings.name.clone(),
            program: PROGRAM.to_owned(),
            ids: asked.ids.len() as u64,
            hashes,
            guard: guard.clone(),
            stages,
            files: Vec::new(),
            inputs: carriers.clone(),
            inputs_not_searched: unsearched.clone().map(|text| without_ids(&text, &asked.ids)),
            notified: notified.collect(),
            releases_not_searched: given.unknown.iter().cloned().collect(),
            ledger_lines: ledger_lines(output, &asked.ids)?,
        };
        let pseudonyms = given.forget.values().flatten().map(|forget| forget.pseudonym.clone()).collect();
        let order = Order { ids: asked.ids.clone(), pseudonyms, places, receipt };
        let files = carry_out::survey(output, &order)?;
        let run = |path: &String| Some(path.strip_prefix("runs/")?.split('/').next()?.to_owned());
        let plan = Plan {
            ids: order.receipt.ids,
            merged: asked.merged,
            runs: files.keys().filter_map(run).collect(),
            files,
            stages,
            inputs: carriers,
            inputs_not_searched: unsearched,
            releases: given.forget.iter().map(|(partner, forget)| (partner.clone(), forget.len() as u64)).collect(),
            releases_not_searched: given.unknown.clone(),
            ledger_lines: order.receipt.ledger_lines,
            guard,
        };
        // Names of files that carry an id go into the receipt without it.
        let mut order = order;
        for carrier in &mut order.receipt.inputs {
            carrier.name = without_ids(&carrier.name, &asked.ids);
        }
        Ok((plan, order, given))
    }

    /// The exports as they are now.
    fn exports(&self) -> Result<Vec<Export>> {
        let (exports, findings) = open(self.pipeline, &Contract::load()?)?;
        crate::pipeline::Findings(findings).or(())?;
        Ok(exports)
    }
}

/// Exports that are looked at for rows of some subjects.
struct Looked<'a> {
    exports: &'a [Export],
    /// All that are erased.
    all: &'a BTreeSet<String>,
    /// Those of them who were not erased before, whose rows were taken out of the books then.
    fresh: &'a BTreeSet<String>,
    stop: &'a AtomicBool,
    log: &'a Output,
}

impl Looked<'_> {
    /// The files that carry them, and where.
    fn at(&self, output: &Path, key: Option<&Key>) -> Result<(Vec<Carrier>, BTreeMap<String, Places>)> {
        let hashes = Memory::of(output, key).hashes(self.exports, self.log, self.stop)?;
        let (all, fresh) = (Wanted::of(self.all), Wanted::of(self.fresh));
        let (mut carriers, mut places) = (Vec::new(), BTreeMap::new());
        for (export, hashes) in self.exports.iter().zip(hashes) {
            let table = &export.table;
            let owners: Vec<usize> = OWNERS.iter().filter_map(|name| table.position(name)).collect();
            if owners.is_empty() {
                continue;
            }
            let progress = self.log.stage(
                &format!("look for them in {}", table.name),
                export.files.iter().map(|file| file.rows).sum(),
                "rows",
            );
            let found = std::sync::Mutex::new(vec![(BTreeSet::new(), BTreeSet::new()); export.files.len()]);
            batches::read(export, &|_, _| Ok(false), &progress, self.stop, &|batch| {
                let (mut held, mut new) = (BTreeSet::new(), BTreeSet::new());
                for at in &owners {
                    let Some(column) = batch.columns.get(*at).and_then(Option::as_ref) else { continue };
                    for (wanted, rows) in [(&all, &mut held), (&fresh, &mut new)] {
                        let found = wanted.rows(column)?;
                        rows.extend((0..batch.len).filter(|row| found[*row]).map(|row| batch.rows.get(row)));
                    }
                }
                if !held.is_empty() {
                    let mut found = found.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?;
                    let of_file = found.get_mut(batch.file as usize).context("defect: a batch of no file")?;
                    of_file.0.append(&mut held);
                    of_file.1.append(&mut new);
                }
                Ok(())
            })?;
            progress.finish();
            let found = found.into_inner().map_err(|_| anyhow::anyhow!("another thread failed"))?;
            for ((file, hash), (held, new)) in export.files.iter().zip(hashes).zip(found) {
                if held.is_empty() {
                    continue;
                }
                let name = format!("{}/{}", table.name, file.file.label);
                let rows = new.len() as u64;
                carriers.push(Carrier { table: table.name.clone(), name: name.clone(), hash: hash.clone(), rows });
                places.insert(name, Places { hash, rows: held });
            }
        }
        Ok((carriers, places))
    }
}

/// How ids are written: as the tables of the output folder write them, or else as the export of subjects does.
fn form(output: &Path, exports: &[Export]) -> Result<IdForm> {
    for name in files(output)?.iter().filter(|name| name.ends_with("/scores.parquet")) {
        let path = output.join(name);
        if without::outline(&path)?.0.iter().any(|column| column == SUBJECT_ID)
            && let Some(batch) = tables::batches(&path, Some(&[SUBJECT_ID]))?.next()
        {
            return push(columns::named(&batch?, SUBJECT_ID)?, &mut Ids::default());
        }
    }
    Ok(form_of_subjects(exports))
}

/// Lines of the ledger in which one of the ids stands, as somebody wrote it.
fn ledger_lines(output: &Path, ids: &BTreeSet<String>) -> Result<u64> {
    let path = output.join("ledger.ndjson");
    let text = if path.exists() { read::text(&path)? } else { String::new() };
    let ids = InTexts::of(ids);
    let holds = |line: &&str| ids.stand_in(line.as_bytes());
    Ok(text.lines().filter(holds).count() as u64)
}

fn without_ids(text: &str, ids: &BTreeSet<String>) -> String {
    let changed = InTexts::of(ids).without(text.as_bytes());
    changed.map_or_else(|| text.to_owned(), |(text, _)| String::from_utf8_lossy(&text).into_owned())
}

/// The keys of partners that are declared and at hand.
struct Declared(BTreeMap<String, Keys>);

impl Declared {
    /// Reads the keys; one that is not at hand is warned of.
    fn read(pipeline: &Pipeline, log: &Output) -> Result<Self> {
        if !Partners::place(pipeline).exists() {
            return Ok(Self(BTreeMap::new()));
        }
        let partners = Partners::load(pipeline)?;
        partners.name_keys();
        let read = |partner: &Partner| {
            let (keys, missing) = Keys::available(&partners, partner);
            missing.iter().for_each(|error| log.warn(&format!("{error:#}")));
            (partner.id.clone(), keys)
        };
        Ok(Self(partners.all().map(read).collect()))
    }
}

impl PartnerNames for Declared {
    fn name(&self, partner: &str, key_id: &str, key_period: Option<&str>, subject: &str) -> Option<String> {
        self.0.get(partner)?.name(key_id, key_period, subject)
    }
}
