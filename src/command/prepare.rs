//! What every command over a pipeline does first: load, check everything, report all findings at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::{EngineArgs, PipelineArgs};
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
pub struct Prepared {
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

impl Prepared {
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
pub fn prepare(args: &PipelineArgs) -> Result<Prepared> {
    let contract = Contract::load()?;
    let pipeline = Pipeline::load(&args.pipeline, &args.overrides, &contract)?;
    let as_of = pipeline.as_of(args.as_of.as_deref())?;
    let first = parse_day(&contract.limits.first_date)?;
    let last = parse_day(&contract.limits.last_date)?;
    let calendar = Calendar::new(as_of, first, last)?;
    let known_by = known_by(args.known_by.as_deref(), &calendar)?;
    let model_path = args.model.clone().unwrap_or_else(|| pipeline.resolve(&pipeline.settings.model));
    let mut findings = Findings::default();
    let mut collect = |error: anyhow::Error| -> Result<()> {
        findings.0.extend(error.downcast::<Findings>()?.0);
        Ok(())
    };
    let (exports, found) = open(&pipeline, &contract)?;
    let present: BTreeSet<String> = exports.iter().map(|e| e.table.name.clone()).collect();
    let mut model = None;
    let mut plan = None;
    let mut parts = None;
    match Model::load(&model_path) {
        Err(e) if e.is::<Findings>() => collect(e)?,
        Err(e) => return Err(e.context("the model")),
        Ok(loaded) => {
            if let Err(e) = model_check::check(&loaded) {
                collect(e.into())?;
            }
            // Rules are checked against the whole catalogue, whichever inputs this pipeline has.
            match compile(&loaded.catalogue, &contract, &calendar, &present) {
                Err(e) => collect(e)?,
                Ok(compiled) => {
                    let rules = Rules::new(&loaded, &compiled, &contract, &calendar);
                    let policies = policy_rules(&loaded, &contract, &calendar);
                    let card = Scorecard::new(&loaded, &compiled, &pipeline.settings.currency);
                    match (rules, policies, card) {
                        (Ok(rules), Ok(policies), Ok(card)) => parts = Some((rules, policies, card)),
                        (rules, policies, card) => {
                            for error in [rules.err(), policies.err(), card.err()].into_iter().flatten() {
                                collect(error)?;
                            }
                        }
                    }
                    plan = Some(compiled);
                }
            }
            model = Some(loaded);
        }
    }
    findings.0.extend(found);
    findings.or(())?;
    let (rules, policies, card) = parts.context("the model was not read")?;
    Ok(Prepared {
        contract,
        pipeline,
        calendar,
        known_by,
        model: model.context("the model was not read")?,
        plan: plan.context("the catalogue was not read")?,
        card,
        rules,
        policies,
        exports,
    })
}

/// The knowledge cut-off: an instant, the end of a date, or the end of the as-of date.
fn known_by(text: Option<&str>, calendar: &Calendar) -> Result<Timestamp> {
    let Some(text) = text else { return Ok(Timestamp::from_microsecond(calendar.cutoff_micros())?) };
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let day = parse_day(text).context("--known-by takes a date or an instant such as 2025-06-30T12:00:00Z")?;
    Ok(day.tomorrow()?.to_zoned(TimeZone::UTC)?.timestamp())
}

/// How much of the machine a run may use: flags first, then the pipeline file.
pub struct Limits {
    /// Memory for rows, bytes.
    pub memory: u64,
    /// Where rows are spilled.
    pub scratch: Option<PathBuf>,
}

/// Sets the number of threads for the process and settles the other limits.
///
/// # Errors
/// When a size cannot be read.
pub fn limits(args: &EngineArgs, pipeline: &Pipeline) -> Result<Limits> {
    let engine = &pipeline.settings.engine;
    threads(args.threads.or(engine.threads))?;
    let memory = args.memory.as_deref().or(engine.memory.as_deref()).map_or(Ok(512 << 20), size)?;
    let scratch = args.scratch.clone().or_else(|| engine.scratch.as_ref().map(|s| pipeline.resolve(s)));
    Ok(Limits { memory, scratch })
}

/// Sets the number of threads for the process; all cores when not given.
///
/// # Errors
/// When it is 0.
pub fn threads(count: Option<usize>) -> Result<()> {
    anyhow::ensure!(count != Some(0), "--threads must be at least 1");
    // A second call in one process keeps the first number.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0)).build_global();
    Ok(())
}

/// Bytes from a text such as `512MB`, `2GiB` or a plain number.
fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => anyhow::bail!("'{text}' is no size; write 512MB or 2GB"),
    };
    let number: u64 = digits.trim().parse().with_context(|| format!("'{text}' is no size; write 512MB or 2GB"))?;
    number.checked_mul(unit).with_context(|| format!("'{text}' is too large"))
}
