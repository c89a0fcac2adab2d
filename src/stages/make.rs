//! Makes the stages that are missing, of one as-of date or of several in one pass over the exports.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::beside::{Beside, Counted};
use super::key::{Key, Kind};
use super::store::{NewStage, StageStore};
use super::{features, groups, outcomes, records, subjects, ties};
use crate::contract::Snapshot;
use crate::features::{Plan, compile};
use crate::ingest::check::findings::Findings;
use crate::ingest::divided::Divided;
use crate::ingest::kept::Keeping;
use crate::ingest::links::ties::Joinable;
use crate::ingest::pass::{Ingested, Pass};
use crate::ingest::read::export::Export;
use crate::ingest::settle::disputes::Matches;
use crate::ingest::shuffled::Shuffled;
use crate::ingest::spine::shard::Shard;
use crate::job::Job;
use crate::machine::in_order::in_order;
use crate::machine::resources::Resources;
use crate::measure::bucket::{Measured, Measurer, bucket, share, tables};
use crate::tables::ids::SubjectIds;

/// What the measuring of buckets is called.
pub const MEASURE: &str = "measure";

/// A job and the stages it lacks.
pub struct Lacking<'a> {
    /// The job.
    pub job: &'a Job,
    /// Their keys.
    pub keys: Vec<Key>,
}

/// A shard, and its rows where another engine chose them.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    /// The shard.
    pub shard: Shard,
    /// Its rows; where there are none, they are chosen from the exports.
    pub rows: Option<&'a Shuffled>,
    /// Where the rows of the shards after it are kept, and those that one before it kept; each reads the exports itself where it is not told.
    pub divided: Option<&'a Divided>,
}

/// The stages of one date under way.
struct Date<'a> {
    keys: &'a [Key],
    ids: SubjectIds,
    subjects: Option<(NewStage, subjects::Writer)>,
    records: BTreeMap<String, (NewStage, records::Writer)>,
    features: Vec<(NewStage, features::Writer)>,
    /// What buckets counted, by table.
    counted: BTreeMap<String, Findings>,
}

/// Makes the stages that some jobs lack. The jobs are those of one pipeline and model, in order of as-of date. Rows of one date may be
/// kept for the next one, or be there from an earlier one.
///
/// # Errors
/// When a file turns out corrupt, versions of a subject contradict each other, the disk is full, or the run is interrupted.
pub fn make(
    lacking: &[Lacking],
    keeping: Option<&dyn Keeping>,
    store: &StageStore,
    resources: &Resources,
) -> Result<()> {
    make_of(lacking, (None, keeping), store, resources).map(drop)
}

/// Makes stages of one shard's subjects alone, or of everyone's; what is beside them is that of the first job.
///
/// # Errors
/// As [`make`].
pub(super) fn make_of(
    lacking: &[Lacking],
    (of, keeping): (Option<Chosen>, Option<&dyn Keeping>),
    store: &StageStore,
    resources: &Resources,
) -> Result<Beside> {
    let Some(first) = lacking.first().map(|l| l.job) else { return Ok(Beside::default()) };
    let wanted = |kind: &Kind| lacking.iter().flat_map(|l| &l.keys).any(|k| k.kind == *kind);
    let mut read: BTreeSet<String> = BTreeSet::new();
    let mut categories = BTreeSet::new();
    for key in lacking.iter().flat_map(|l| &l.keys) {
        match &key.kind {
            Kind::Records(table) => {
                read.insert(table.clone());
            }
            Kind::Features(category) => {
                categories.insert(category.clone());
            }
            Kind::Outcomes => {
                read.insert("outcomes".to_owned());
            }
            Kind::Groups => {
                read.insert("groups".to_owned());
            }
            Kind::Subjects | Kind::Ties | Kind::Rows(_) | Kind::Roster => {}
        }
    }
    let catalogue = first.model.catalogue.only(&categories);
    let compiled = |l: &Lacking| compile(&catalogue, &l.job.contract, &l.job.snapshot.calendar, &l.job.present());
    let plans: Vec<Plan> = lacking.iter().map(compiled).collect::<Result<_>>()?;
    read.extend(plans.iter().flat_map(|p| &p.tables).map(|t| t.table.clone()));
    let snapshots: Vec<Snapshot> = lacking.iter().map(|l| l.job.snapshot.clone()).collect();
    let budget = resources.budget();
    let (shard, shuffled) = (of.map(|of| of.shard), of.and_then(|of| of.rows));
    let divided = of.and_then(|of| of.divided);
    if let Some((divided, shard)) = divided.zip(shard) {
        divided.count(shard, &first.exports, (&budget, resources))?;
    }
    let pass = Pass { shard, shuffled, divided, keeping, ..first.pass(&snapshots, &budget, resources) };
    let mut ingested = pass.run(&read)?;
    let mut findings = std::mem::take(&mut ingested.findings);
    let broken = findings.first().into_iter().flatten().map(|(table, found)| (table.clone(), found.broken)).collect();
    let in_buckets = |kind: &Kind| matches!(kind, Kind::Subjects | Kind::Records(_) | Kind::Features(_));
    let mut dates = Vec::with_capacity(lacking.len());
    for (n, (lacking, plan)) in lacking.iter().zip(&plans).enumerate() {
        dates.push(Date::begin(lacking, plan, ingested.spine.ids_at(n), store)?);
    }
    if lacking.iter().flat_map(|l| &l.keys).any(|k| in_buckets(&k.kind)) {
        buckets(&mut dates, (lacking, &plans), &ingested, &read, resources)?;
    }
    for (n, date) in dates.into_iter().enumerate() {
        date.finish(&ingested, n, &mut findings[n], store)?;
    }
    if wanted(&Kind::Ties) {
        let export = first.export("friend_links").context("no friend_links")?;
        let joinable = Joinable {
            spine: &ingested.spine,
            consents: &ingested.consents,
            min_age_days: i64::from(first.model.card.propagation.min_tie_age_days),
        };
        keep_ties(lacking, &pass, export, joinable, store)?;
    }
    let disputes = ingested.disputes(0);
    let words = ingested.groups.first().into_iter().flatten();
    Ok(Beside {
        later: ingested.spine.nobody_sees(),
        strangers: match shuffled {
            Some(rows) => rows.strangers().ids(&ingested.spine.ids)?,
            None => SubjectIds::default(),
        },
        words: words.map(|column| (column.name.clone(), column.groups.iter().cloned().collect())).collect(),
        counted: Counted { disputes, broken, came: shuffled.map(Shuffled::came).transpose()?.unwrap_or_default() },
    })
}

/// Measures every bucket at every date; results are written in order.
fn buckets(
    dates: &mut [Date],
    (lacking, plans): (&[Lacking], &[Plan]),
    ingested: &Ingested,
    read: &BTreeSet<String>,
    resources: &Resources,
) -> Result<()> {
    let Some(first) = lacking.first().map(|l| l.job) else { return Ok(()) };
    let measurers: Vec<Measurer> = lacking
        .iter()
        .zip(plans)
        .enumerate()
        .map(|(n, (lacking, plan))| Measurer::new(lacking.job, plan, ingested, n))
        .collect::<Result<_>>()?;
    let tables: Vec<&str> =
        tables(&first.contract).filter(|t| read.contains(*t) && first.export(t).is_some()).collect();
    let shared = share(&measurers, ingested, &tables)?;
    let progress = resources.log.stage(MEASURE, (ingested.spine.len() * dates.len()) as u64, "subjects");
    // A few buckets per thread at a time: their results are written in order, and only so many are held. Those of one date are small, and
    // the more there may be, the longer the others can go on while one thread writes.
    let of_each = if dates.len() == 1 { 4 } else { 2 };
    let measure = |at: usize| -> Result<Vec<Measured>> {
        resources.check()?;
        let result = bucket(&measurers, ingested, at, &tables, &shared)?;
        progress.add((ingested.buckets.subjects(at).len() * measurers.len()) as u64);
        Ok(result)
    };
    let mut write =
        |results: Vec<Measured>| dates.iter_mut().zip(results).try_for_each(|(date, measured)| date.add(measured));
    in_order(ingested.buckets.count(), of_each * rayon::current_num_threads(), &measure, &mut write)?;
    ingested.spare.clear();
    progress.finish();
    Ok(())
}

impl<'a> Date<'a> {
    fn begin(lacking: &'a Lacking, plan: &Plan, ids: SubjectIds, store: &StageStore) -> Result<Self> {
        let job = lacking.job;
        let mut date = Self {
            keys: &lacking.keys,
            subjects: None,
            records: BTreeMap::new(),
            features: Vec::new(),
            counted: BTreeMap::new(),
            ids,
        };
        for key in &lacking.keys {
            match &key.kind {
                Kind::Subjects => {
                    let stage = store.begin(key)?;
                    let writer = subjects::Writer::create(&stage, job.contract.table("subjects")?, &date.ids)?;
                    date.subjects = Some((stage, writer));
                }
                Kind::Records(table) => {
                    let stage = store.begin(key)?;
                    let writer = records::Writer::create(&stage, &job.contract, &job.model, &date.ids)?;
                    date.records.insert(table.clone(), (stage, writer));
                }
                Kind::Features(category) => {
                    let of = plan.features.iter().enumerate().filter(|(_, f)| f.category == *category);
                    let of: Vec<(usize, &str)> = of.map(|(at, f)| (at, f.name.as_str())).collect();
                    let stage = store.begin(key)?;
                    let writer = features::Writer::create(&stage, &of)?;
                    date.features.push((stage, writer));
                }
                Kind::Ties | Kind::Outcomes | Kind::Groups | Kind::Rows(_) | Kind::Roster => {}
            }
        }
        Ok(date)
    }

    fn add(&mut self, mut measured: Measured) -> Result<()> {
        let subjects = measured.consents.len();
        if let Some((_, writer)) = &mut self.subjects {
            writer.add(&self.ids, &measured.subjects, &measured.consents)?;
        }
        for (table, (_, writer)) in &mut self.records {
            let counts = measured.records.get(table).with_context(|| format!("{table} was not measured"))?;
            let evidence = measured.evidence.get(table).map_or(&[][..], Vec::as_slice);
            writer.add(&self.ids, counts, evidence)?;
        }
        for (_, writer) in &mut self.features {
            writer.add(subjects, &mut measured.features, &mut measured.with_disputed)?;
        }
        for (table, mut found) in measured.findings {
            self.counted.entry(table).or_default().merge(&mut found);
        }
        Ok(())
    }

    fn finish(
        self,
        ingested: &Ingested,
        date: usize,
        findings: &mut BTreeMap<String, Findings>,
        store: &StageStore,
    ) -> Result<()> {
        for (table, mut counted) in self.counted {
            findings.entry(table).or_default().merge(&mut counted);
        }
        let mut of = |tables: &[&str]| -> BTreeMap<String, Findings> {
            tables.iter().filter_map(|t| findings.remove_entry(*t)).collect()
        };
        if let Some((stage, writer)) = self.subjects {
            writer.finish()?;
            stage.keep(&of(&["subjects", "sources", "consents", "disputes"]))?;
        }
        let disputes = ingested.disputes(date);
        for (table, (mut stage, writer)) in self.records {
            writer.finish(&self.ids)?;
            stage.disputes = disputes.get(&table).map(Matches::count);
            stage.keep(&of(&[&table]))?;
        }
        for (stage, writer) in self.features {
            writer.finish()?;
            stage.keep(&BTreeMap::new())?;
        }
        for key in self.keys {
            match key.kind {
                Kind::Outcomes => {
                    let stage = store.begin(key)?;
                    outcomes::write(&stage, &ingested.outcomes[date])?;
                    stage.keep(&of(&["outcomes"]))?;
                }
                Kind::Groups => {
                    let stage = store.begin(key)?;
                    groups::write(&stage, &ingested.groups[date])?;
                    stage.keep(&of(&["groups"]))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads the links once and keeps the ties of every date that lacks them.
pub(super) fn keep_ties(
    lacking: &[Lacking],
    pass: &Pass,
    export: &Export,
    joinable: Joinable,
    store: &StageStore,
) -> Result<()> {
    let mut stages = Vec::with_capacity(lacking.len());
    for l in lacking {
        let key = l.keys.iter().find(|k| k.kind == Kind::Ties);
        let stage = key.map(|key| store.begin(key)).transpose()?;
        let subjects = joinable.spine.members(stages.len()).len();
        let writer =
            stage.as_ref().map(|stage| ties::Writer::create(stage, subjects, &pass.resources.scratch)).transpose()?;
        stages.push((stage, writer));
    }
    let keep = |date: usize, origin, ties: Vec<_>| match &stages[date].1 {
        Some(writer) => writer.add(origin, &ties),
        None => Ok(()),
    };
    let (dropped, found) = pass.ties(export, joinable, &keep)?;
    // Where another engine staged the links.
    pass.shuffled.map_or(Ok(()), |rows| rows.complete(&export.table.name))?;
    for ((stage, writer), (dropped, found)) in stages.into_iter().zip(dropped.into_iter().zip(found)) {
        if let (Some(mut stage), Some(writer)) = (stage, writer) {
            writer.finish()?;
            stage.dropped = Some(dropped);
            stage.keep(&BTreeMap::from([(export.table.name.clone(), found)]))?;
        }
    }
    Ok(())
}
