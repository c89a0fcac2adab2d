//! The synthetic population: every table of the contract, for trying things out and for measuring.
//!
//! A latent creditworthiness, standard normal, drives lateness, utilities, purchases, profile and outcome, each with
//! noise of its own. Thin files, small businesses, withdrawn consents, court defaulters, disputes, repeated, corrected
//! and late-known rows occur. Ties follow a power law and join people of like creditworthiness. Any month of any table
//! follows from the seed alone, so files are written in parallel, in little memory, with the same bytes for any number
//! of threads.

mod columns;
mod events;
mod months;
pub mod person;
mod registers;
mod sales;

use std::path::Path;

use anyhow::{Result, bail};
use jiff::civil::Date;
use rayon::prelude::*;

use crate::contract::day_number;
use crate::output::{Output, Progress};
use columns::{Shape, TableFile};
use months::Month;
use person::World;

/// What population to make.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of subjects.
    pub subjects: u64,
    /// The same seed makes the same bytes.
    pub seed: u64,
    /// The last day that is written.
    pub as_of: Date,
    /// Months of history.
    pub months: u32,
    /// Month ends, the last day among them, that outcomes follow.
    pub outcome_dates: u32,
    /// What a year adds to the log-odds of going bad, against the last day.
    pub risk_drift: f64,
}

/// Subjects of one file of an event table.
const CHUNK: u64 = 2_000_000;
/// Populations below this have one file per year, larger ones one per month.
const MONTHLY_FROM: u64 = 20_000;

/// A file to write.
struct Task<'a> {
    path: String,
    shape: Shape,
    subjects: std::ops::Range<u64>,
    write: Write<'a>,
}

type Write<'a> = Box<dyn Fn(u64, &mut TableFile) -> Result<()> + Send + Sync + 'a>;

/// Writes a population.
///
/// # Errors
/// When the folder holds something already or cannot be written.
pub fn write(folder: &Path, settings: &Settings, output: &Output) -> Result<()> {
    if settings.subjects == 0 || settings.months == 0 {
        bail!("--subjects and --months must be at least 1");
    }
    if folder.exists() && fs_err::read_dir(folder)?.next().is_some() {
        bail!("{} is not empty; choose a new folder", folder.display());
    }
    if !(1..=settings.months).contains(&settings.outcome_dates) || !settings.risk_drift.is_finite() {
        bail!("--outcome-dates must be at least 1 and at most --months, and --risk-drift a number");
    }
    let world = World { subjects: settings.subjects, seed: settings.seed };
    let months = months::months(settings.as_of, settings.months)?;
    let last = day_number(settings.as_of)?;
    let outcomes = Outcomes { dates: settings.outcome_dates, drift: settings.risk_drift };
    let tasks = tasks(world, &months, last, outcomes);
    let subjects = tasks.iter().map(|t| t.subjects.end - t.subjects.start).sum();
    let progress = output.stage("generate", subjects, "subjects x files");
    let rows: Vec<u64> = tasks.into_par_iter().map(|task| run(folder, task, &progress)).collect::<Result<_>>()?;
    progress.finish();
    output.line(&format!("{} rows written to {}", crate::output::thousands(rows.iter().sum()), folder.display()));
    Ok(())
}

/// Which month ends outcomes follow, and how the risk moves from one to the next.
#[derive(Debug, Clone, Copy)]
struct Outcomes {
    dates: u32,
    drift: f64,
}

impl Outcomes {
    /// The months, oldest first, with what is added to the log-odds of going bad.
    fn of<'a>(&self, months: &'a [Month]) -> impl Iterator<Item = (&'a Month, f64)> + use<'a> {
        let Self { dates, drift } = *self;
        months.iter().filter(move |m| m.ago < dates).map(move |m| (m, -drift * f64::from(m.ago) / 12.0))
    }
}

fn run(folder: &Path, task: Task, progress: &Progress) -> Result<u64> {
    let mut file = TableFile::create(&folder.join(&task.path), task.shape)?;
    let count = task.subjects.end - task.subjects.start;
    for number in task.subjects {
        (task.write)(number, &mut file)?;
        if number % 65_536 == 65_535 {
            progress.add(65_536);
        }
    }
    progress.add(count % 65_536);
    file.finish()
}

fn tasks<'a>(world: World, months: &'a [Month], last: i64, outcomes: Outcomes) -> Vec<Task<'a>> {
    let mut tasks: Vec<Task> = Vec::new();
    let everyone = 0..world.subjects;
    let mut whole = |path: &str, shape: Shape, write: Write<'a>| {
        tasks.push(Task { path: path.to_owned(), shape, subjects: everyone.clone(), write });
    };
    whole(
        "friend_links.parquet",
        registers::tie_shape(),
        Box::new(move |n, f| registers::ties(&world, n, &world.pseudonym(n), last, f)),
    );
    whole(
        "subjects.parquet",
        registers::subject_shape(),
        Box::new(move |n, f| registers::subject(&world, &world.person(n), &world.pseudonym(n), last, f)),
    );
    whole(
        "consents.parquet",
        registers::consent_shape(),
        Box::new(move |n, f| registers::consents(&world, &world.person(n), &world.pseudonym(n), last, f)),
    );
    whole(
        "public_records.parquet",
        registers::record_shape(),
        Box::new(move |n, f| registers::public_records(&world, &world.person(n), &world.pseudonym(n), last, f)),
    );
    whole(
        "disputes.parquet",
        registers::dispute_shape(),
        Box::new(move |n, f| registers::disputes(&world, &world.person(n), months, last, f)),
    );
    whole(
        "outcomes.parquet",
        registers::outcome_shape(),
        Box::new(move |n, f| {
            let (person, id) = (world.person(n), world.pseudonym(n));
            outcomes.of(months).try_for_each(|(month, drift)| registers::outcome(&world, &person, &id, month, drift, f))
        }),
    );
    whole(
        "groups.parquet",
        registers::group_shape(),
        Box::new(move |n, f| registers::groups(&world, n, &world.pseudonym(n), f)),
    );
    whole(
        "sources.parquet",
        registers::source_shape(),
        Box::new(move |n, f| if n == 0 { registers::sources(f) } else { Ok(()) }),
    );
    let periods: Vec<(String, &[Month])> = if world.subjects < MONTHLY_FROM {
        months.chunk_by(|a, b| a.year == b.year).map(|y| (format!("year={}", y[0].year), y)).collect()
    } else {
        months.chunks(1).map(|m| (format!("month={}", m[0].name), m)).collect()
    };
    for (period, months) in periods {
        for (part, from) in (0..world.subjects).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)).enumerate() {
            let subjects = from..(from + CHUNK).min(world.subjects);
            let mut event = |table: &str, shape: Shape, write: Write<'a>| {
                tasks.push(Task {
                    path: format!("{table}/{period}/part-{part:04}.parquet"),
                    shape,
                    subjects: subjects.clone(),
                    write,
                });
            };
            event(
                "purchases",
                events::purchase_shape(),
                Box::new(move |n, f| {
                    let (person, id) = (world.person(n), world.pseudonym(n));
                    months.iter().try_for_each(|m| events::purchases(&world, &person, &id, m, f))
                }),
            );
            event(
                "sales",
                sales::shape(),
                Box::new(move |n, f| {
                    let (person, id) = (world.person(n), world.pseudonym(n));
                    months.iter().try_for_each(|m| sales::of_month(&world, &person, &id, m, f))
                }),
            );
            event(
                "repayments",
                events::repayment_shape(),
                Box::new(move |n, f| {
                    let (person, id) = (world.person(n), world.pseudonym(n));
                    months.iter().try_for_each(|m| events::repayments(&world, &person, &id, m, last, f))
                }),
            );
            event(
                "utility_payments",
                events::utility_shape(),
                Box::new(move |n, f| {
                    let (person, id) = (world.person(n), world.pseudonym(n));
                    months.iter().try_for_each(|m| events::utilities(&world, &person, &id, m, last, f))
                }),
            );
        }
    }
    tasks
}
