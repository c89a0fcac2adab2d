//! A job: a pipeline, its model and its inputs, found to fit together; all findings are reported at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::PipelineArgs;
use crate::contract::{Calendar, Contract, parse_day};
use crate::features::{Plan, compile};
use crate::ingest::export::{Export, open};
use crate::ingest::pass::Pass;
use crate::ingest::store::Budget;
use crate::output::Output;
use crate::pipeline::{Findings, Model, Pipeline, model_check};
use crate::score::Scorecard;
use crate::score::policy::{PolicyRule, rules as policy_rules};
use crate::score::rules::Rules;

/// A pipeline whose configuration, model and inputs were found to fit.
pub struct Job {
    /// The contract.
    pub contract: Contract,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The as-of date.
    pub calendar: Calendar,
    /// The knowledge cut-off.
    pub known_by: Timestamp,
    /// The model.
    pub model: Model,
    /// The compiled catalogue.
    pub plan: Plan,
    /// The scorecard.
    pub card: Scorecard,
    /// Segments, evidence and statuses.
    pub rules: Rules,
    /// Policy rules.
    pub policies: Vec<PolicyRule>,
    /// The opened exports.
    pub exports: Vec<Export>,
}

impl Job {
    /// A pass over the opened exports.
    #[must_use]
    pub fn pass<'a>(
        &'a self,
        budget: &'a Budget,
        scratch: &'a Path,
        stop: &'a AtomicBool,
        output: &'a Output,
    ) -> Pass<'a> {
        Pass {
            contract: &self.contract,
            calendar: &self.calendar,
            known_by: self.known_by,
            currency: &self.pipeline.settings.currency,
            exports: &self.exports,
            budget,
            scratch,
            stop,
            output,
        }
    }
}

/// Loads and checks a pipeline.
///
/// # Errors
/// All findings about configuration, model and inputs at once.
pub fn load(args: &PipelineArgs) -> Result<Job> {
    let contract = Contract::load()?;
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
    let as_of = pipeline.as_of(args.as_of.as_deref())?;
    let first = parse_day(&contract.limits.first_date)?;
    let last = parse_day(&contract.limits.last_date)?;
    let calendar = Calendar::new(as_of, first, last)?;
    let known_by = known_by(args.known_by.as_deref(), &calendar)?;
    let model_path = args.model.clone().unwrap_or_else(|| pipeline.resolve(&pipeline.settings.model));
    let mut findings = Findings(pipeline.findings(&contract));
    let (exports, found) = open(&pipeline, &contract)?;
    findings.0.extend(found);
    let present: BTreeSet<String> = exports.iter().map(|e| e.table.name.clone()).collect();
    let scoring = scoring(&model_path, &contract, &calendar, &present, &pipeline.settings.currency, &mut findings)?;
    findings.or(())?;
    let Scoring { model, plan, card, rules, policies } = scoring.context("the model was not read")?;
    Ok(Job { contract, pipeline, calendar, known_by, model, plan, card, rules, policies, exports })
}

/// A model and what it is made into.
struct Scoring {
    model: Model,
    plan: Plan,
    card: Scorecard,
    rules: Rules,
    policies: Vec<PolicyRule>,
}

/// Reads and compiles a model; what is wrong with it goes to the findings, and then there is none.
fn scoring(
    path: &Path,
    contract: &Contract,
    calendar: &Calendar,
    present: &BTreeSet<String>,
    currency: &str,
    findings: &mut Findings,
) -> Result<Option<Scoring>> {
    let Some(model) = findings.collect(Model::load(path).map_err(Into::into))? else { return Ok(None) };
    findings.collect(model_check::check(&model).map_err(Into::into))?;
    let Some(plan) = findings.collect(compile(&model.catalogue, contract, calendar, present))? else { return Ok(None) };
    let rules = findings.collect(Rules::new(&model, &plan, contract, calendar))?;
    let policies = findings.collect(policy_rules(&model, contract, calendar))?;
    let card = findings.collect(Scorecard::new(&model, &plan, currency))?;
    let (Some(rules), Some(policies), Some(card)) = (rules, policies, card) else { return Ok(None) };
    Ok(Some(Scoring { model, plan, card, rules, policies }))
}

/// The knowledge cut-off: an instant, the end of a date, or the end of the as-of date.
fn known_by(text: Option<&str>, calendar: &Calendar) -> Result<Timestamp> {
    let Some(text) = text else { return Ok(Timestamp::from_microsecond(calendar.cutoff_micros())?) };
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let day =
        parse_day(text).context("--known-by takes a date, or an instant with its zone such as 2025-06-30T12:00:00Z")?;
    Ok(day.tomorrow()?.to_zoned(TimeZone::UTC)?.timestamp())
}
