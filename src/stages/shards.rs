//! Stages made shard by shard and put together: memory for rows then depends on the shard, and shards may be made by several processes.
//!
//! A shard is the subjects of one hash class with all their rows (see [`Shard`]). It makes the stages of its subjects as a pass over
//! everyone makes them, for up to there every row is one subject's. What is not is told beside them: what records disputes match, and
//! whom the date does not see yet. Put together, rows stand in order of id again, counts are added up, and a stage is the bytes that one
//! pass makes, under the same key: nothing that reads it can tell. Ties are read last, with everyone's ids and consents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;

use super::beside::Beside;
use super::key::{Key, Kind};
use super::make::{Chosen, Lacking, keep_ties, make_of};
use super::merged::Order;
use super::store::{Stage, StageStore};
use super::subjects::Subjects;
use super::{features, groups, outcomes, records, subjects};
use crate::contract::DateSet;
use crate::features::compute::TooLarge;
use crate::ingest::check::findings::Findings;
use crate::ingest::check::of_rows::OfRows;
use crate::ingest::links::ties::Joinable;
use crate::ingest::settle::disputes::Matches;
use crate::ingest::spine::Spine;
use crate::ingest::spine::shard::Shard;
use crate::job::Job;
use crate::machine::resources::Resources;
use crate::output::thousands;
use crate::pipeline::Findings as Report;
use crate::storage::hashes::{self, Hash};
use crate::storage::key::Key as Secret;
use crate::tables::ids::{Ids, SubjectIds};

/// What a shard made.
#[derive(Debug, Clone)]
pub struct Part {
    /// The shard.
    pub shard: Shard,
    /// The stages of its subjects.
    pub stages: Vec<Stage>,
    /// What is told beside them.
    pub beside: Beside,
    /// Its subjects rated, where the shard rated them.
    pub rated: Option<RatedIn>,
}

/// A folder with the rated subjects of a shard.
#[derive(Debug, Clone)]
pub struct RatedIn {
    /// The folder.
    pub folder: PathBuf,
    /// The hash of each file there.
    pub files: BTreeMap<String, Hash>,
}

impl RatedIn {
    /// Checks that the files are as they were made.
    ///
    /// # Errors
    /// When one was changed.
    pub fn unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(|(name, hash)| as_made(&self.folder.join(name), hash))
    }
}

/// Checks that a file of a shard is as it was made: it lay where others may write.
fn as_made(path: &Path, hash: &Hash) -> Result<()> {
    ensure!(hashes::file(path)? == *hash, "{} was changed since the shard was made", path.display());
    Ok(())
}

/// The stages that each shard makes for those that are missing: all but ties, which join shards; always the subjects, whose ids are the
/// order of everything.
#[must_use]
pub fn keys_of_part(all: &[Key], missing: &[Key]) -> Vec<Key> {
    let wanted = |key: &&Key| key.kind == Kind::Subjects || (key.kind != Kind::Ties && missing.contains(key));
    all.iter().filter(wanted).cloned().collect()
}

impl Part {
    /// Makes the stages of a shard in a folder.
    ///
    /// # Errors
    /// As [`make`](super::make::make).
    pub fn make(
        job: &Job,
        keys: &[Key],
        of: Chosen,
        (folder, secret): (&Path, Option<Secret>),
        resources: &Resources,
    ) -> Result<Self> {
        let store = StageStore::of(folder, secret);
        let beside = make_of(&[Lacking { job, keys: keys.to_vec() }], (Some(of), None), &store, resources)?;
        let made = |key: &Key| store.find(key).with_context(|| format!("the stage {} was not made", key.kind.name()));
        Ok(Self { shard: of.shard, stages: keys.iter().map(made).collect::<Result<_>>()?, beside, rated: None })
    }

    /// Checks that the files of its stages are as they were made.
    fn unchanged(&self) -> Result<()> {
        let mut files = self.stages.iter().flat_map(|stage| stage.label.files.iter().map(move |of| (stage, of)));
        files.try_for_each(|(stage, (name, hash))| as_made(&stage.path(name), hash))
    }

    fn stage(&self, key: &Key) -> Result<&Stage> {
        let found = self.stages.iter().find(|stage| stage.label.key == *key);
        found.with_context(|| format!("shard {} did not make the stage {}", self.shard.number(), key.kind.name()))
    }

    fn subjects(&self) -> Result<&Stage> {
        let found = self.stages.iter().find(|stage| stage.label.key.kind == Kind::Subjects);
        found.with_context(|| format!("shard {} did not make the stage of subjects", self.shard.number()))
    }
}

/// Whether an error is about the rows of some subjects: another shard may have such, too.
#[must_use]
pub fn is_of_rows(error: &anyhow::Error) -> bool {
    let (findings, too_large) = (error.downcast_ref::<Report>(), error.downcast_ref::<TooLarge>());
    findings.is_some() || too_large.is_some() || error.downcast_ref::<OfRows>().is_some()
}

/// Puts the parts of all shards together to the stages that a job lacks, and reads ties where they are among them. What lay where others may
/// write has to be as it was made.
///
/// # Errors
/// When a shard is missing or there twice, a part was changed, is damaged or does not fit the others, the disk is full, or the work is
/// interrupted.
pub fn put_together(lacking: &Lacking, parts: Vec<Part>, store: &StageStore, resources: &Resources) -> Result<()> {
    let parts = in_order(parts)?;
    parts.par_iter().try_for_each(Part::unchanged)?;
    put(lacking, &parts, |_| {}, (store, resources))
}

/// The same of parts that this process made in a folder of its own: it is not asked whether they were changed, and they are removed as soon as
/// they were read.
///
/// # Errors
/// As [`put_together`].
pub(super) fn put_own_together(
    lacking: &Lacking,
    parts: Vec<Part>,
    store: &StageStore,
    resources: &Resources,
) -> Result<()> {
    let parts = in_order(parts)?;
    // What cannot be removed now goes with the folder that all of it is in. Later all of it would go at once, and nothing else happen meanwhile.
    let remove = |stage: &Stage| drop(fs_err::remove_dir_all(&stage.folder));
    put(lacking, &parts, remove, (store, resources))
}

/// The parts of all shards in their order.
fn in_order(mut parts: Vec<Part>) -> Result<Vec<Part>> {
    parts.sort_by_key(|part| part.shard.number());
    complete(&parts)?;
    Ok(parts)
}

/// Makes stages of the parts of all shards. Those of a part are handed to `read` once nothing is read of them any more.
fn put(
    lacking: &Lacking,
    parts: &[Part],
    read: impl Fn(&Stage) + Sync,
    (store, resources): (&StageStore, &Resources),
) -> Result<()> {
    let job = lacking.job;
    let broken = parts.iter().flat_map(|part| &part.beside.counted.broken);
    few_broken(broken.map(|(table, rows)| (table.as_str(), *rows)), job.contract.limits.quarantined_rows as u64)?;
    let (order, everyone, consents) = everyone(job, parts)?;
    let progress = resources.log.stage("put shards together", everyone.len() as u64, "subjects");
    // One by one: whoever is done takes the next one, and not the half of what another has left.
    let of_parts = lacking.keys.par_iter().with_max_len(1).filter(|key| key.kind != Kind::Ties);
    of_parts.try_for_each(|key| -> Result<()> {
        resources.check()?;
        let stages = parts.iter().map(|part| part.stage(key)).collect::<Result<Vec<&Stage>>>()?;
        let mut stage = store.begin(key)?;
        match &key.kind {
            Kind::Subjects => subjects::merge(&stages, &order, &stage)?,
            Kind::Records(table) => {
                records::merge(&stages, &order, &everyone, (job.contract.as_ref(), job.model.as_ref()), &stage)?;
                stage.disputes = matches(parts, table)?.map(|matches| matches.count());
            }
            Kind::Features(_) => features::merge(&stages, &order, &stage)?,
            Kind::Outcomes => outcomes::merge(&stages, &order, &stage)?,
            Kind::Groups => {
                let beside: Vec<&Beside> = parts.iter().map(|part| &part.beside).collect();
                groups::merge(&stages, &order, &beside, &stage)?;
            }
            Kind::Ties | Kind::Rows(_) | Kind::Roster => bail!("defect: {} are no shard's", key.kind.name()),
        }
        stage.keep(&findings(&stages)?)?;
        stages.into_iter().for_each(&read);
        Ok(())
    })?;
    progress.add(everyone.len() as u64);
    progress.finish();
    drop(order);
    match lacking.keys.iter().find(|key| key.kind == Kind::Ties) {
        Some(key) => ties(job, key, parts, (everyone, consents), store, resources),
        None => Ok(()),
    }
}

/// Checks that every shard is there once.
///
/// # Errors
/// When one is missing or there twice, or they are of different divisions.
pub fn complete(parts: &[Part]) -> Result<()> {
    let of = parts.first().context("there is no shard")?.shard.of();
    let numbers: Vec<u32> = parts.iter().map(|part| part.shard.number()).collect();
    for number in 0..of {
        match numbers.iter().filter(|n| **n == number).count() {
            1 => {}
            0 => bail!("shard {number} of {of} is missing"),
            _ => bail!("shard {number} of {of} is there more than once"),
        }
    }
    ensure!(parts.iter().all(|part| part.shard.of() == of), "the shards are of different divisions");
    Ok(())
}

/// The subjects of each part.
///
/// # Errors
/// When a stage of subjects is damaged or missing.
pub fn opened(job: &Job, parts: &[Part]) -> Result<Vec<Subjects>> {
    let table = job.contract.table("subjects")?;
    let opened = parts.par_iter().map(|part| Subjects::open(part.subjects()?, table));
    // Of several that fail, the first one is told.
    opened.collect::<Vec<Result<Subjects>>>().into_iter().collect()
}

/// The order of all subjects, their ids and their consents.
fn everyone(job: &Job, parts: &[Part]) -> Result<(Order, SubjectIds, Vec<u8>)> {
    let opened = opened(job, parts)?;
    // Of several that fail, the first one is told.
    let of_shards: Vec<Result<SubjectIds>> = opened.par_iter().map(Subjects::ids).collect();
    let of_shards = of_shards.into_iter().collect::<Result<Vec<SubjectIds>>>()?;
    let form = match of_shards.iter().find(|ids| !ids.is_empty()) {
        Some(ids) => ids.form,
        None => subjects::form(parts.first().context("there is no shard")?.subjects()?)?,
    };
    let same = of_shards.iter().all(|ids| ids.is_empty() || ids.form == form);
    ensure!(same, "the shards write subjects in two ways");
    let (order, ids) = Order::of(&of_shards.iter().map(|subjects| &subjects.ids).collect::<Vec<&Ids>>())?;
    drop(of_shards);
    apart(parts, &order, &ids)?;
    let consents = opened.iter().map(|subjects| subjects.consents.as_slice()).collect::<Vec<&[u8]>>();
    let consents = order.values(&consents)?;
    Ok((order, SubjectIds { ids, form }, consents))
}

/// The numbers of each part's subjects among everyone, who are those of the stage that was made of all parts.
///
/// # Errors
/// When a stage of subjects is damaged, a subject is in two parts, or the parts' subjects are not those of the stage.
pub fn numbers(job: &Job, parts: &[Part], whole: &Subjects) -> Result<Vec<Vec<u32>>> {
    let (order, everyone, _) = everyone(job, parts)?;
    let mut before = 0;
    let mut same = whole.len() == everyone.len();
    for block in whole.ids_by_block() {
        let block = block?;
        let end = before + block.len();
        same = same && end <= everyone.len() && (0..block.len()).all(|n| block.get(n) == everyone.ids.get(before + n));
        before = end;
    }
    ensure!(
        same && before == everyone.len(),
        "the subjects of the shards are not those of the stage that was made of them"
    );
    Ok(order.into_numbers())
}

/// What records the disputes about a table match in all shards; nothing when there are none.
fn matches(parts: &[Part], table: &str) -> Result<Option<Matches>> {
    let mut all: Option<Matches> = None;
    for (n, part) in parts.iter().enumerate() {
        let found = part.beside.counted.disputes.get(table);
        ensure!(n == 0 || all.is_some() == found.is_some(), "the shards read different disputes about {table}");
        match (&mut all, found) {
            (Some(all), Some(found)) => all.merge(found)?,
            (_, found) => all = found.cloned(),
        }
    }
    Ok(all)
}

/// What the shards counted and quarantined of a stage's tables.
fn findings(stages: &[&Stage]) -> Result<BTreeMap<String, Findings>> {
    let mut all: BTreeMap<String, Findings> = BTreeMap::new();
    for stage in stages {
        for (table, mut found) in stage.findings()? {
            all.entry(table).or_default().merge(&mut found);
        }
    }
    Ok(all)
}

/// Gives up where one pass would have: when too many rows of a table break a rule by themselves.
fn few_broken<'a>(of_shards: impl Iterator<Item = (&'a str, u64)>, most: u64) -> Result<(), OfRows> {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (table, rows) in of_shards {
        let sum = all.entry(table).or_default();
        *sum = sum.saturating_add(rows);
    }
    match all.iter().find(|(_, rows)| **rows > most) {
        Some((table, _)) => {
            let most = thousands(most);
            Err(OfRows(format!("more than {most} rows of {table} break a rule: is this the export of {table}?")))
        }
        None => Ok(()),
    }
}

/// Checks that who is nobody's in one shard is nobody's in any: all rows of one subject have to be in one.
fn apart(parts: &[Part], order: &Order, everyone: &Ids) -> Result<()> {
    let mut later: Vec<(&[u8], u32)> = Vec::new();
    for part in parts {
        let ids = &part.beside.later.ids;
        later.extend((0..ids.len()).map(|n| (ids.get(n), part.shard.number())));
    }
    later.sort_unstable();
    for part in parts {
        let strangers = &part.beside.strangers.ids;
        let subject_of = |id: &[u8]| -> Option<u32> {
            let of_later = || later.binary_search_by(|(other, _)| (*other).cmp(id)).ok().map(|at| later[at].1);
            everyone.find(id).and_then(|at| order.shard(at)).or_else(of_later)
        };
        let others: Vec<u32> = (0..strangers.len()).filter_map(|n| subject_of(strangers.get(n))).collect();
        let own = part.shard.number();
        if let Some(other) = others.first() {
            bail!(
                "the shard {own} has rows of {} subjects that it does not know, of the shard {other} for one: all rows of one subject belong in one shard, and whoever a dispute names in disputed_subjects; divide them again",
                thousands(others.len() as u64)
            );
        }
    }
    Ok(())
}

/// Reads the ties of everyone.
fn ties(
    job: &Job,
    key: &Key,
    parts: &[Part],
    (everyone, consents): (SubjectIds, Vec<u8>),
    store: &StageStore,
    resources: &Resources,
) -> Result<()> {
    let mut later = Ids::default();
    parts.iter().for_each(|part| later.append(&part.beside.later.ids));
    let not_yet = vec![DateSet::of(0); later.len()];
    let spine = Spine::of_sorted(everyone)?.with_later(&later, &not_yet)?;
    let joinable = Joinable {
        spine: &spine,
        consents: &[consents],
        min_age_days: i64::from(job.model.card.propagation.min_tie_age_days),
    };
    let (snapshots, budget) = ([job.snapshot.clone()], resources.budget());
    let pass = job.pass(&snapshots, &budget, resources);
    let export = job.export("friend_links").context("no friend_links")?;
    keep_ties(&[Lacking { job, keys: vec![key.clone()] }], &pass, export, joinable, store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rated_subjects_that_were_changed_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rated.parquet");
        std::fs::write(&path, b"as it was made").unwrap();
        let files = BTreeMap::from([("rated.parquet".to_owned(), hashes::file(&path).unwrap())]);
        let rated = RatedIn { folder: folder.path().to_owned(), files };
        assert!(rated.unchanged().is_ok());
        std::fs::write(&path, b"as it was mode").unwrap();
        assert!(rated.unchanged().unwrap_err().to_string().contains("was changed since the shard was made"));
    }

    #[test]
    fn rows_that_break_a_rule_are_counted_over_all_shards() {
        let shards = [("sales", 3_u64), ("repayments", 2), ("sales", 2)];
        assert!(few_broken(shards.into_iter(), 5).is_ok());
        let error = anyhow::Error::from(few_broken(shards.into_iter(), 4).unwrap_err()).context("while gathering");
        assert!(is_of_rows(&error) && format!("{error:#}").contains("more than 4 rows of sales break a rule"));
        assert!(!is_of_rows(&anyhow::anyhow!("the disk is full")));
    }
}
