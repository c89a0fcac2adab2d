//! Checking a job: configuration, model and inputs; all findings are reported at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use jiff::civil::Date;

use super::{Job, present};
use crate::contract::{Calendar, Contract, Snapshot, Zone, parse_day};
use crate::features::{Plan, compile};
use crate::ingest::read::export::Export;
use crate::ingest::read::open::open;
use crate::ingest::staged::Staged;
use crate::output::Output;
use crate::pipeline::{Finding, Findings, Model, Pipeline, model_check};
use crate::scorecard::Scorecard;
use crate::scorecard::policy::{PolicyRule, rules as policy_rules};
use crate::scorecard::rules::Rules;
use crate::storage::encryption;

/// What was asked for beside a pipeline.
#[derive(Debug, Clone, Default)]
pub struct JobRequest {
    /// The as-of date, `YYYY-MM-DD` or "yesterday"; the pipeline's when not given.
    pub as_of: Option<String>,
    /// The knowledge cut-off, a date or an instant; the end of the as-of date when not given.
    pub known_by: Option<String>,
    /// Whether a date to come is scored all the same.
    pub allow_future: bool,
    /// The model file, instead of the pipeline's.
    pub model: Option<PathBuf>,
    /// The tables, where another engine staged them; they are not opened then.
    pub staged: Option<Staged>,
}

/// Checks a pipeline for the as-of date that is asked for.
///
/// # Errors
/// All findings about configuration, model and inputs at once.
pub fn load(pipeline: &Pipeline, request: &JobRequest, log: &Output) -> Result<Job> {
    let as_of = pipeline.as_of(request.as_of.as_deref())?;
    not_in_the_future(as_of, &pipeline.settings.time_zone, request.allow_future, log)?;
    load_dates(pipeline, request, &[as_of])?.pop().context("no as-of date")
}

/// Refuses an as-of date that has not come, unless it is asked for; warns of one that has not ended.
///
/// # Errors
/// When the date lies in the future.
pub fn not_in_the_future(as_of: Date, zone: &Zone, allowed: bool, log: &Output) -> Result<()> {
    let today = zone.today()?;
    ensure!(
        as_of <= today || allowed,
        "the as-of date {as_of} lies in the future (today is {today} in {zone}); --allow-future scores it all the same"
    );
    if as_of == today {
        log.warn(&format!(
            "the as-of date {as_of} has not ended yet in {zone}: what is still to come today will be missing"
        ));
    }
    Ok(())
}

/// How exports are opened: those that fit, and what is wrong with the others.
pub type Open<'a> = dyn Fn(&Pipeline, &Contract) -> Result<(Vec<Export>, Vec<Finding>)> + 'a;

/// Checks a pipeline for several as-of dates; the exports are opened once.
///
/// # Errors
/// All findings about configuration, model and inputs at once.
pub fn load_dates(pipeline: &Pipeline, request: &JobRequest, dates: &[Date]) -> Result<Vec<Job>> {
    let Some(staged) = &request.staged else { return load_opened(pipeline, request, dates, &open) };
    let rows = RefCell::new(None);
    let open_staged = |pipeline: &Pipeline, contract: &Contract| -> Result<(Vec<Export>, Vec<Finding>)> {
        let (shuffled, exports, findings) = staged.open(pipeline, contract)?;
        *rows.borrow_mut() = Some(Arc::new(shuffled));
        Ok((exports, findings))
    };
    let mut jobs = load_opened(pipeline, request, dates, &open_staged)?;
    let rows = rows.take();
    jobs.iter_mut().for_each(|job| job.staged.clone_from(&rows));
    Ok(jobs)
}

/// The same, of exports that are opened in another way.
///
/// # Errors
/// As [`load_dates`].
pub fn load_opened(pipeline: &Pipeline, request: &JobRequest, dates: &[Date], open: &Open) -> Result<Vec<Job>> {
    let contract = Contract::load()?;
    let snapshots = dates
        .iter()
        .map(|date| snapshot(*date, &pipeline.settings.time_zone, request.known_by.as_deref(), &contract))
        .collect::<Result<Vec<Snapshot>>>()?;
    let model_path = request.model.clone().unwrap_or_else(|| pipeline.resolve(&pipeline.settings.model));
    let mut findings = Findings(pipeline.findings(&contract));
    pipeline.name_keys();
    if findings.0.is_empty()
        && let Err(e) = encryption::writes()
    {
        findings.0.push(pipeline.finding("write", e.to_string()));
    }
    let (exports, found) = open(pipeline, &contract)?;
    findings.0.extend(found);
    let model = findings.collect(Model::load(&model_path).map_err(Into::into))?;
    let mut scorings = Vec::with_capacity(dates.len());
    if let Some(model) = &model {
        findings.collect(model_check::check(model).map_err(Into::into))?;
        for snapshot in &snapshots {
            let currency = &pipeline.settings.currency;
            let scoring = scoring(model, &contract, &snapshot.calendar, &present(&exports), currency, &mut findings)?;
            scorings.extend(scoring);
            if !findings.0.is_empty() {
                break;
            }
        }
    }
    findings.or(())?;
    let (contract, pipeline, exports) = (Arc::new(contract), Arc::new(pipeline.clone()), Arc::new(exports));
    let model = Arc::new(model.context("the model was not read")?);
    let jobs = snapshots.into_iter().zip(scorings).map(|(snapshot, Scoring { plan, card, rules, policies })| Job {
        contract: Arc::clone(&contract),
        pipeline: Arc::clone(&pipeline),
        exports: Arc::clone(&exports),
        model: Arc::clone(&model),
        snapshot,
        plan,
        card,
        rules,
        policies,
        erased: Arc::default(),
        staged: None,
    });
    Ok(jobs.collect())
}

fn snapshot(as_of: Date, zone: &Zone, known: Option<&str>, contract: &Contract) -> Result<Snapshot> {
    let calendar = contract.calendar(as_of, zone)?;
    let known_by = known_by(known, &calendar)?;
    Ok(Snapshot { calendar, known_by })
}

/// What a model is made into for one date.
struct Scoring {
    plan: Plan,
    card: Scorecard,
    rules: Rules,
    policies: Vec<PolicyRule>,
}

/// Compiles a model; what is wrong with it goes to the findings, and then there is none.
fn scoring(
    model: &Model,
    contract: &Contract,
    calendar: &Calendar,
    present: &BTreeSet<String>,
    currency: &str,
    findings: &mut Findings,
) -> Result<Option<Scoring>> {
    let Some(plan) = findings.collect(compile(&model.catalogue, contract, calendar, present))? else { return Ok(None) };
    let rules = findings.collect(Rules::new(model, &plan, contract, calendar))?;
    let policies = findings.collect(policy_rules(model, contract, calendar))?;
    let card = findings.collect(Scorecard::new(model, &plan, currency))?;
    let (Some(rules), Some(policies), Some(card)) = (rules, policies, card) else { return Ok(None) };
    Ok(Some(Scoring { plan, card, rules, policies }))
}

/// The knowledge cut-off: an instant, the end of a date, or the end of the as-of date.
fn known_by(text: Option<&str>, calendar: &Calendar) -> Result<Timestamp> {
    let Some(text) = text else { return Ok(Timestamp::from_microsecond(calendar.cutoff_micros())?) };
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let day =
        parse_day(text).context("--known-by takes a date, or an instant with its zone such as 2025-06-30T12:00:00Z")?;
    Ok(Timestamp::from_microsecond(calendar.zone().end_of(day)?)?)
}
