//! Erasing: what of an output folder holds some subjects, and all of it without them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use super::carriers::{Carried, Exports};
use super::identity::PROGRAM;
use crate::contract::Contract;
use crate::exit::stop_on_signals;
use crate::ingest::read::export::Export;
use crate::ingest::read::open::open;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::pipeline::partners::{Partner, Partners};
use crate::runs::erasure::files::files;
use crate::runs::erasure::journal::Order;
use crate::runs::erasure::releases::{Given, PartnerNames, given, notify};
use crate::runs::erasure::texts::InTexts;
use crate::runs::erasure::wanted::Asked;
use crate::runs::erasure::{Carrier, Erasures, Notified, Receipt, carry_out, next, room, stages};
use crate::runs::folder::configuration::plain;
use crate::runs::ledger::{Key, Ledger};
use crate::runs::monitoring::lineage::now;
use crate::runs::output_folder::{OutputFolder, key_of, looked_at, output_of};
use crate::runs::releases::keys::Keys;
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::stages::store::StageStore;
use crate::storage::encryption::KeyError;
use crate::storage::erased::Erased;
use crate::storage::read;
use crate::tables::ids::{IdForm, Ids, push};
use crate::tables::scores::SUBJECT_ID;
use crate::tables::{columns, read as tables, without};

/// Said of later runs.
const GUARDED: &str = "later runs leave these subjects out, even if an export still carries them";
const NOT_GUARDED: &str = "the pipeline has no ledger key: the receipt holds counts and no hash of an id, and later runs are not guarded; \
a run over an export that still carries these subjects scores them again";

/// What a receipt says where the inputs could not be opened. Why is said when it is planned: the text may name files, and these somebody.
const NOT_OPENED: &str = "the inputs could not be opened";

/// So many of the ids that were met nowhere are shown.
const SHOWN: usize = 20;

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
    /// Whether it is done although a key is not at hand, so that files and releases stay as they are that may hold them.
    pub leave_unsearched: bool,
    /// Whether it is done although ids were met nowhere.
    pub allow_unknown: bool,
}

/// What an erasure changes.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Number of ids.
    pub ids: u64,
    /// Those of them that were met nowhere.
    pub ids_not_found: u64,
    /// The first of these.
    pub not_found: BTreeSet<String>,
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
    /// Files that cannot be opened, for want of the key they are encrypted with.
    pub files_not_searched: BTreeSet<String>,
    /// Objects below an output in an object store that are none of its own, and are not searched.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub strangers: BTreeSet<String>,
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
    /// When the output folder is locked or its ledger does not hold, an id is none, a table is damaged, a key or an id is not at hand and
    /// that was not allowed, or partners must be told and there is no place for notices.
    pub fn run(&self, log: &Output) -> Result<Done> {
        let stop = stop_on_signals()?;
        self.pipeline.name_keys();
        self.outside("--ids", self.ids)?;
        if !self.yes {
            let key = key_of(self.pipeline)?;
            let (mut plan, ..) = self.planned(&looked_at(self.pipeline, Need::All)?, key.as_ref(), &stop, log)?;
            plan.strangers = strangers(&output_of(self.pipeline));
            return Ok(Done { plan, receipt: None });
        }
        if let Some(notices) = self.notices {
            self.outside("--notices", notices)?;
        }
        let folder = OutputFolder::open(self.pipeline, "erase", log)?;
        remote::bring(&folder.path)?;
        let (mut plan, order, given) = self.planned(&folder.path, folder.key.as_ref(), &stop, log)?;
        plan.strangers = strangers(&folder.path);
        self.allowed(&plan)?;
        room::check(&folder.path, plan.files.keys())?;
        if !given.forget.is_empty() {
            let Some(notices) = self.notices else {
                bail!("partners were given scores of these subjects: say where the notices to them go, --notices DIR")
            };
            // Before anything is erased: afterwards nobody could tell whom they must forget.
            notify(notices, order.receipt.erasure, &order.receipt.begun, &given)?;
        }
        crate::exit::check(&stop)?;
        let receipt = carry_out::begin(&folder.path, order, folder.key.as_ref(), &stop, log)?;
        Ok(Done { plan, receipt: Some(receipt) })
    }

    /// Refuses a place within the output folder, where what lies there would be kept with what is erased.
    fn outside(&self, flag: &str, path: &Path) -> Result<()> {
        let within = real(path).starts_with(real(&output_of(self.pipeline)));
        ensure!(!within, "{flag} {} lies within the output folder; name a place outside of it", path.display());
        Ok(())
    }

    /// Refuses an erasure that would leave something out, unless that was asked for.
    fn allowed(&self, plan: &Plan) -> Result<()> {
        let closed: Vec<&str> =
            plan.releases_not_searched.iter().chain(&plan.files_not_searched).map(String::as_str).collect();
        ensure!(
            self.leave_unsearched || closed.is_empty(),
            "keys are not at hand, so that nobody can tell whether these subjects are in what stays as it is: {}; name the keys, or give \
             --leave-unsearched",
            closed.join("; ")
        );
        ensure!(
            self.leave_unsearched || plan.strangers.is_empty(),
            "below the output there are objects that are none of its own, and they are not searched: {}; put them elsewhere, or give \
             --leave-unsearched",
            plan.strangers.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        let unknown: Vec<&str> = plan.not_found.iter().map(String::as_str).collect();
        ensure!(
            self.allow_unknown || plan.ids_not_found == 0,
            "{} of {} id(s) are met nowhere: {}{}; ids are written as the tables write them. --allow-unknown erases all the same",
            plan.ids_not_found,
            plan.ids,
            unknown.join(", "),
            if plan.ids_not_found > unknown.len() as u64 { ", …" } else { "" }
        );
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
        let already = Erasures::of(output, &ledger, key)?.guarded(u64::MAX);
        let exports = self.exports();
        let form = form(output, exports.as_deref().unwrap_or_default())?;
        let asked = Asked::read(self.ids, form)?;
        let given = given(output, &asked.ids, &Declared::read(self.pipeline, log)?, stop)?;
        let fresh: BTreeSet<String> = asked.ids.iter().filter(|id| !already.holds(id)).cloned().collect();
        let (carried, unsearched) = match &exports {
            Ok(exports) => {
                let exports = Exports { exports, all: &asked.ids, fresh: &fresh, stop, log };
                (exports.search(output, key)?, None)
            }
            Err(error) => (Carried::default(), Some(format!("{error:#}"))),
        };
        let of_ledger = in_ledger(output, &asked.ids)?;
        let mut receipt = self.receipt(&asked, &ledger, key, &given);
        receipt.stages = StageStore::of(output, None).all()?.len() as u64;
        receipt.inputs = carried.carriers.iter().map(Carrier::kept).collect();
        receipt.inputs_not_searched = unsearched.as_ref().map(|_| NOT_OPENED.to_owned());
        receipt.ledger_lines = of_ledger.lines;
        let pseudonyms = given.forget.values().flatten().map(|forget| forget.pseudonym.clone()).collect();
        let mut order = Order { ids: asked.ids, pseudonyms, places: carried.places, receipt };
        let survey = carry_out::survey(output, &order, stop, log)?;
        let met = [&given.met, &carried.met, &of_ledger.met, &survey.met];
        let mut not_found: BTreeSet<String> =
            fresh.into_iter().filter(|id| !met.iter().any(|met| met.contains(id))).collect();
        if !not_found.is_empty() {
            let of_stages = stages::met(output, &not_found, stop)?;
            not_found.retain(|id| !of_stages.contains(id));
        }
        order.receipt.ids_not_found = not_found.len() as u64;
        order.receipt.files_not_searched.clone_from(&survey.unsearched);
        let run = |path: &String| Some(path.strip_prefix("runs/")?.split('/').next()?.to_owned());
        let plan = Plan {
            ids: order.receipt.ids,
            ids_not_found: order.receipt.ids_not_found,
            not_found: not_found.into_iter().take(SHOWN).collect(),
            merged: asked.merged,
            runs: survey.files.keys().filter_map(run).collect(),
            files: survey.files,
            stages: order.receipt.stages,
            inputs: carried.carriers,
            inputs_not_searched: unsearched,
            releases: given.forget.iter().map(|(partner, forget)| (partner.clone(), forget.len() as u64)).collect(),
            releases_not_searched: given.unknown.clone(),
            files_not_searched: survey.unsearched,
            strangers: BTreeSet::new(),
            ledger_lines: of_ledger.lines,
            guard: order.receipt.guard.clone(),
        };
        Ok((plan, order, given))
    }

    /// What the receipt will say, as far as it is known before the folder is looked through.
    fn receipt(&self, asked: &Asked, ledger: &Ledger, key: Option<&Key>, given: &Given) -> Receipt {
        let min_cell = self.pipeline.settings.privacy.min_cell;
        let notified = given.forget.iter().map(|(partner, forget)| {
            let pseudonyms = Some(forget.len() as u64).filter(|count| *count >= min_cell);
            Notified { partner: partner.clone(), pseudonyms }
        });
        Receipt {
            schema: 1,
            erasure: next(ledger),
            begun: now(),
            ended: String::new(),
            pipeline: self.pipeline.settings.name.clone(),
            program: PROGRAM.to_owned(),
            ids: asked.ids.len() as u64,
            ids_not_found: 0,
            hashes: key.map(|key| asked.ids.iter().map(|id| Erased::hash_of(key, id)).collect()).unwrap_or_default(),
            guard: if key.is_some() { GUARDED } else { NOT_GUARDED }.to_owned(),
            stages: 0,
            files: Vec::new(),
            inputs: Vec::new(),
            inputs_not_searched: None,
            notified: notified.collect(),
            releases_not_searched: given.unknown.iter().cloned().collect(),
            files_not_searched: BTreeSet::new(),
            ledger_lines: 0,
        }
    }

    /// The exports as they are now.
    fn exports(&self) -> Result<Vec<Export>> {
        let (exports, findings) = open(self.pipeline, &Contract::load()?)?;
        crate::pipeline::Findings(findings).or(())?;
        Ok(exports)
    }
}

/// What lies below an output in an object store and is not looked through.
fn strangers(output: &Path) -> BTreeSet<String> {
    remote::of(output).map(|mirror| mirror.strangers().into_iter().collect()).unwrap_or_default()
}

/// How ids are written: as the tables of the output folder write them, or else as the export of subjects does.
fn form(output: &Path, exports: &[Export]) -> Result<IdForm> {
    for name in files(output)?.iter().filter(|name| name.ends_with("/scores.parquet")) {
        let path = output.join(name);
        let columns = match without::outline(&path) {
            // Another one tells it as well.
            Err(error) if error.is::<KeyError>() => continue,
            outline => outline?.0,
        };
        if columns.iter().any(|column| column == SUBJECT_ID)
            && let Some(batch) = tables::batches(&path, Some(&[SUBJECT_ID]))?.next()
        {
            return push(columns::named(&batch?, SUBJECT_ID)?, &mut Ids::default());
        }
    }
    let subjects = exports.iter().find(|export| export.table.name == "subjects");
    let fields =
        subjects.iter().flat_map(|export| &export.files).filter_map(|file| file.yields.column_with_name(SUBJECT_ID));
    Ok(match fields.map(|(_, field)| field.data_type().clone()).next() {
        Some(arrow::datatypes::DataType::FixedSizeBinary(_)) => IdForm::Binary,
        Some(kind) if kind.is_integer() => IdForm::Integer,
        _ => IdForm::Text,
    })
}

/// What the ledger holds of some ids.
struct OfLedger {
    /// Lines in which one of them stands, as somebody wrote it.
    lines: u64,
    met: BTreeSet<String>,
}

fn in_ledger(output: &Path, ids: &BTreeSet<String>) -> Result<OfLedger> {
    let path = output.join("ledger.ndjson");
    let text = if path.exists() { read::text(&path)? } else { String::new() };
    let ids = InTexts::of(ids);
    let mut found = OfLedger { lines: 0, met: BTreeSet::new() };
    for met in text.lines().map(|line| ids.met(line.as_bytes())).filter(|met| !met.is_empty()) {
        found.lines += 1;
        found.met.extend(met);
    }
    Ok(found)
}

/// Where a path leads, as far as it is there: links followed, and what is not there yet below.
fn real(path: &Path) -> PathBuf {
    let once = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let there = path.ancestors().find_map(|above| Some((above.to_owned(), fs_err::canonicalize(above).ok()?)));
        match there {
            Some((above, real)) => plain(&real.join(path.strip_prefix(&above).unwrap_or(Path::new("")))),
            None => plain(&path),
        }
    };
    // What goes up again from a folder that is not there may come by a link.
    once(&once(path))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_where_its_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        std::fs::create_dir_all(root.join("out/runs")).unwrap();
        std::os::unix::fs::symlink(root.join("out/runs"), root.join("link")).unwrap();
        for within in ["out", "out/none/at/all", "link", "link/none", "none/../out/x", "none/../link/x", "out/../out/x"]
        {
            assert!(real(&root.join(within)).starts_with(root.join("out")), "{within}");
        }
        for beside in ["outside", "out/../x", "none/x", "out.txt"] {
            assert!(!real(&root.join(beside)).starts_with(root.join("out")), "{beside}");
        }
    }
}
