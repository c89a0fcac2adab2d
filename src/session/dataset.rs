//! Training sets: of every subject with an outcome, at every date of a range, all that was known of it then.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::ToSpan;
use jiff::civil::Date;
use parquet::file::metadata::KeyValue;

use super::guard::leave_out_erased;
use super::identity::PROGRAM;
use super::prepare::{hashes, stages};
use super::scoring::{Everyone, everyone};
use super::training_set::{OfDate, Written, dictionary};
use super::{MachineRequest, Session};
use crate::exit::stop_on_signals;
use crate::fit::groups::Column;
use crate::ingest::read::listing::from_here;
use crate::ingest::settle::groups::GroupColumn;
use crate::job::Job;
use crate::job::load::{JobRequest, load_dates, not_in_the_future};
use crate::output::{Output, thousands};
use crate::pipeline::{Input, Pipeline};
use crate::runs::backfill::{Every, dates};
use crate::score::rows::NONE;
use crate::stages::opened::StageData;
use crate::stages::store::Stage;
use crate::storage::durable::{self, create_folders, sync_folder};
use crate::storage::hashes::Hash;
use crate::tables::blocks::BLOCK_ROWS;
use crate::tables::dataset::{FILE, Rows, Writer};
use crate::tables::ids::SubjectIds;

/// Dates whose stages are made in one pass.
const AT_ONCE: usize = 12;

/// What a data scientist reads beside the rows.
pub const DICTIONARY: &str = "dictionary.json";

/// What is asked for.
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What is asked for beside it; the as-of dates are those of the range.
    pub job: JobRequest,
    /// The first date, the last possible one, and how far apart they are.
    pub range: (Date, Date, Every),
    /// Dates strictly between these two are left out.
    pub gap: Option<(Date, Date)>,
    /// An export of outcomes, instead of the pipeline's.
    pub outcomes: Option<String>,
    /// Only outcomes over so many days.
    pub horizon_days: Option<i64>,
    /// Whether subjects without a score are in it too.
    pub unscored: bool,
    /// How much of the machine is used.
    pub machine: MachineRequest,
    /// The command, for who finds the folder locked.
    pub command: String,
}

/// A row before it is written.
#[derive(Debug, Clone, Copy)]
struct Labelled {
    subject: u32,
    horizon: i64,
    bad: bool,
    segment: u8,
    status: u8,
    score: i16,
    before: i16,
    policy: Option<u8>,
    points: [i16; 5],
}

/// A date with its rows.
struct Gathered {
    job: Job,
    stages: Vec<Stage>,
    rows: Vec<Labelled>,
    groups: Vec<GroupColumn>,
    told: OfDate,
}

impl Request<'_> {
    /// Writes the training set to a folder that is not there yet.
    ///
    /// # Errors
    /// When the configuration or the inputs do not fit the contract, an outcome's window has not ended, nobody has an outcome, the
    /// folder is there, the output is locked, or the work is interrupted.
    pub fn write(&self, folder: &Path, log: &Output) -> Result<(Written, Job)> {
        ensure!(!folder.exists(), "{} is there already; name a folder that is not", folder.display());
        let pipeline = self.with_outcomes()?;
        let (from, to, every) = self.range;
        not_in_the_future(to, &pipeline.settings.time_zone, self.job.allow_future, log)?;
        let mut of_range = dates(from, to, every)?;
        of_range.retain(|date| self.gap.is_none_or(|(after, before)| *date <= after || *date >= before));
        let mut jobs = load_dates(&pipeline, &self.job, &of_range)?;
        let stop = stop_on_signals()?;
        let session = Session::open(&pipeline, &self.command, &self.machine, &stop, log)?;
        leave_out_erased(&mut jobs, &session.folder.path, session.folder.key.as_ref())?;
        let of_inputs = hashes(jobs.first().context("no date")?, &session)?;
        let mut gathered = Vec::with_capacity(jobs.len());
        for some in jobs.chunks(AT_ONCE) {
            let made = stages(&some.iter().collect::<Vec<_>>(), &of_inputs, &session)?;
            for (job, stages) in some.iter().zip(made) {
                gathered.push(self.gather(job, stages, &session)?);
            }
        }
        let today = pipeline.settings.time_zone.today()?;
        closed(&gathered, today)?;
        let weights = weights(&gathered)?;
        let parent = durable::folder(folder);
        create_folders(parent)?;
        let under_way = tempfile::Builder::new().prefix(".sesame-").tempdir_in(parent)?;
        let mut plain = Vec::with_capacity(gathered.len());
        for (of, weights) in gathered.iter().zip(&weights) {
            plain.push(write(&under_way.path().join(format!("as_of={}", of.told.as_of)), of, weights, &session)?);
        }
        let job = gathered.last().context("no date")?.job.clone();
        let mut horizons: Vec<i64> = gathered.iter().flat_map(|of| of.rows.iter().map(|r| r.horizon)).collect();
        horizons.sort_unstable();
        horizons.dedup();
        let features = job.plan.features.iter().map(|f| f.name.clone()).collect();
        let groups = columns(&gathered);
        let dates = gathered.into_iter().map(|of| of.told).collect();
        let written = Written { dates, horizons, features, plain, groups };
        let dictionary = serde_json::to_string_pretty(&dictionary(&job, &written))? + "\n";
        durable::replace(&under_way.path().join(DICTIONARY), dictionary.as_bytes())?;
        durable::put_folder(under_way, folder)?;
        Ok((written, job))
    }

    /// The pipeline with the outcomes that are asked for; without any there is nothing to train on.
    fn with_outcomes(&self) -> Result<Pipeline> {
        let mut pipeline = self.pipeline.clone();
        if let Some(path) = &self.outcomes {
            // What the user names is relative to where the user is, not to the pipeline file.
            let path = from_here(path)?;
            pipeline.settings.inputs.insert("outcomes".to_owned(), Input { path, select: None });
        }
        ensure!(
            pipeline.settings.inputs.contains_key("outcomes"),
            "{} has no outcomes; give them under [inputs.outcomes], or with --outcomes",
            pipeline.path.display()
        );
        Ok(pipeline)
    }

    fn gather(&self, job: &Job, stages: Vec<Stage>, session: &Session) -> Result<Gathered> {
        let Everyone { data, population, .. } = everyone(job, &stages, &session.resources)?;
        let (rows, mut bins) = (&population.rows, population.subject_bins.reader());
        let scored = |s: usize| rows.score[s] != NONE;
        let mut found = Vec::new();
        let mut unscored = 0;
        let mut labelled = vec![false; rows.score.len()];
        for outcome in data.outcomes()? {
            let s = outcome.subject as usize;
            if self.horizon_days.is_some_and(|days| days != outcome.horizon_days) {
                continue;
            }
            labelled[s] = true;
            if !scored(s) {
                unscored += 1;
                if !self.unscored {
                    continue;
                }
            }
            let segment = usize::from(rows.segment[s]);
            let mut points = [NONE; 5];
            if scored(s) {
                let of = job.card.points(segment, bins.of(s)?)?;
                for (to, points) in points.iter_mut().zip(of.categories) {
                    *to = i16::try_from(points)?;
                }
            }
            found.push(Labelled {
                subject: outcome.subject,
                horizon: outcome.horizon_days,
                bad: outcome.bad,
                segment: rows.segment[s],
                status: rows.status[s],
                score: rows.score[s],
                before: rows.before[s],
                policy: rows.policy[s],
                points,
            });
        }
        found.sort_unstable_by_key(|r| (r.subject, r.horizon));
        let as_of = job.snapshot.calendar.as_of();
        let told = OfDate {
            as_of,
            subjects: rows.score.len() as u64,
            rows: found.len() as u64,
            bad: found.iter().filter(|r| r.bad).count() as u64,
            without_outcome: (0..labelled.len()).filter(|s| scored(*s) && !labelled[*s]).count() as u64,
            unscored,
        };
        session.resources.log.line(&format!(
            "{as_of}: {} outcomes, {} of them bad",
            thousands(told.rows),
            thousands(told.bad)
        ));
        let groups = of_rows(data.groups()?, &found);
        Ok(Gathered { job: job.clone(), stages, rows: found, groups, told })
    }
}

/// The groups of some rows' subjects.
fn of_rows(columns: Vec<GroupColumn>, rows: &[Labelled]) -> Vec<GroupColumn> {
    let of = |column: GroupColumn| GroupColumn {
        of: rows.iter().map(|r| column.of[r.subject as usize]).collect(),
        ..column
    };
    columns.into_iter().map(of).collect()
}

/// Every column of groups, date by date; a date may lack one.
fn columns(gathered: &[Gathered]) -> Vec<Column> {
    let mut names: Vec<&String> = gathered.iter().flat_map(|of| of.groups.iter().map(|c| &c.name)).collect();
    names.sort_unstable();
    names.dedup();
    let column = |name: &String| {
        let of = |g: &Gathered| g.groups.iter().find(|c| c.name == *name).cloned();
        let untold = |g: &Gathered| vec![None; g.rows.len()];
        Column {
            name: name.clone(),
            groups: gathered.iter().map(|g| of(g).map(|c| c.groups).unwrap_or_default()).collect(),
            of: gathered.iter().map(|g| of(g).map_or_else(|| untold(g), |c| c.of)).collect(),
        }
    };
    names.into_iter().map(column).collect()
}

/// Refuses outcomes whose window has not ended: who did not go bad yet still may.
fn closed(gathered: &[Gathered], today: Date) -> Result<()> {
    let mut open = Vec::new();
    for of in gathered {
        let mut horizons: Vec<i64> = of.rows.iter().map(|r| r.horizon).collect();
        horizons.sort_unstable();
        horizons.dedup();
        for days in horizons {
            let ends = of.told.as_of.checked_add(days.days()).with_context(|| format!("a horizon of {days} days"))?;
            if ends > today {
                open.push(format!("those of {} over {days} days end on {ends}", of.told.as_of));
            }
        }
    }
    ensure!(
        open.is_empty(),
        "outcomes whose window has not ended (today is {today}) say nothing of who stays good: {}; take earlier dates",
        open.join(", ")
    );
    ensure!(
        gathered.iter().any(|of| !of.rows.is_empty()),
        "no outcome of a scored subject follows one of the dates {}; see `as_of` in the outcomes",
        gathered.iter().map(|of| of.told.as_of.to_string()).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// By date and row what the row weighs: one over the rows of its subject and horizon at all dates.
fn weights(gathered: &[Gathered]) -> Result<Vec<Vec<f64>>> {
    if gathered.len() == 1 {
        return Ok(vec![vec![1.0; gathered[0].rows.len()]]);
    }
    let mut counts: BTreeMap<(u128, i64), u32> = BTreeMap::new();
    let mut names = Vec::with_capacity(gathered.len());
    for of in gathered {
        let subjects = StageData::open(&of.job, &of.stages)?.subjects.ids()?;
        let name = |r: &Labelled| (name(subjects.ids.get(r.subject as usize)), r.horizon);
        let of_date: Vec<(u128, i64)> = of.rows.iter().map(name).collect();
        of_date.iter().for_each(|name| *counts.entry(*name).or_default() += 1);
        names.push(of_date);
    }
    let weight = |name: &(u128, i64)| counts.get(name).map_or(1.0, |count| 1.0 / f64::from(*count));
    Ok(names.iter().map(|of_date| of_date.iter().map(weight).collect()).collect())
}

/// Sixteen bytes that stand for an id at every date.
fn name(id: &[u8]) -> u128 {
    let hash = blake3::hash(id);
    hash.as_bytes()[..16].iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
}

/// Writes a date's file; tells the hash that an encrypted one has where it is written plain.
fn write(folder: &Path, of: &Gathered, weights: &[f64], session: &Session) -> Result<Option<Hash>> {
    create_folders(folder)?;
    let (job, resources) = (&of.job, &session.resources);
    let data = StageData::open(job, &of.stages)?;
    let names: Vec<&str> = job.plan.features.iter().map(|f| f.name.as_str()).collect();
    let label = |key: &str, value: String| KeyValue::new(format!("sesame.{key}"), value);
    let facts = vec![
        label("as_of", of.told.as_of.to_string()),
        label("known_by", job.snapshot.known_by.to_string()),
        label("model", job.model.label()),
        label("model_hash", job.model.hash()),
        label("program", PROGRAM.to_owned()),
    ];
    let subjects: &SubjectIds = &data.subjects.ids()?;
    let progress = resources.log.stage("write rows", of.rows.len() as u64, "rows");
    let mut writer = Writer::create(&folder.join(FILE), subjects, &names, facts)?;
    let block_of = |row: &Labelled| row.subject as usize / BLOCK_ROWS;
    let mut from = 0;
    for some in of.rows.chunk_by(|a, b| block_of(a) == block_of(b)) {
        resources.check()?;
        writer.add(rows(some, &weights[from..from + some.len()], job, &data, block_of(&some[0]))?)?;
        from += some.len();
        progress.add(some.len() as u64);
    }
    let plain = writer.finish()?;
    progress.finish();
    sync_folder(folder)?;
    Ok(plain)
}

/// Rows of one block of subjects, with their features.
fn rows<'a>(of: &[Labelled], weights: &[f64], job: &'a Job, data: &StageData, block: usize) -> Result<Rows<'a>> {
    let card = &job.model.card;
    let features = data.features(block)?;
    let place = |r: &Labelled| r.subject as usize - block * BLOCK_ROWS;
    let told = |score: i16| (score != NONE).then_some(score);
    let value = |v: f64| (!v.is_nan()).then_some(v);
    let of_features = features.values.iter().zip(&features.nones);
    Ok(Rows {
        subject: of.iter().map(|r| r.subject as usize).collect(),
        horizon: of.iter().map(|r| r.horizon).collect(),
        bad: of.iter().map(|r| r.bad).collect(),
        weight: weights.to_vec(),
        segment: of.iter().map(|r| card.segment[usize::from(r.segment)].get_ref().name.as_str()).collect(),
        status: of.iter().map(|r| card.status[usize::from(r.status)].get_ref().name.as_str()).collect(),
        score: of.iter().map(|r| told(r.score)).collect(),
        overridden: of.iter().map(|r| r.policy.map(|p| card.policy[usize::from(p)].get_ref().code.as_str())).collect(),
        before: of.iter().map(|r| told(r.before)).collect(),
        points: std::array::from_fn(|c| of.iter().map(|r| told(r.points[c])).collect()),
        features: of_features
            .map(|(values, nones)| {
                (
                    of.iter().map(|r| value(values[place(r)])).collect(),
                    of.iter().map(|r| nones[place(r)] == 1).collect(),
                )
            })
            .collect(),
    })
}
