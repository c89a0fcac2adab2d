//! `sesame shard`: a run whose shards other processes make: planned, made, gathered.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::ended::ended;
use super::flags::{AcceptArgs, AsOfArgs, EngineArgs, PipelineArgs};
use crate::exit::{ExitStatus, stop_on_signals};
use crate::ingest::spine::shard::MOST_SHARDS;
use crate::ingest::staged::Staged;
use crate::job::load::JobRequest;
use crate::output::{Output, thousands};
use crate::session::Making;
use crate::session::one_date::{self, Request};
use crate::session::shards::spec::Spec;
use crate::session::shards::{gathering, planning, rating};
use crate::stages::shards::Part;
use crate::storage::durable;

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Divide a run: which rows go where, and all that the result depends on.
    Plan(PlanArgs),
    /// Make one shard: a folder that is there when it is complete.
    Rate(RateArgs),
    /// Put all shards together, score everyone, and publish.
    Gather(GatherArgs),
}

/// Flags of `shard`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of `shard plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The as-of date.
    #[command(flatten)]
    pub as_of: AsOfArgs,
    /// Number of shards.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub shards: u32,
    /// A folder in which another engine staged all tables, with its tables.json; the pipeline's inputs are not opened then.
    #[arg(long, value_name = "DIR")]
    pub staged: Option<PathBuf>,
    /// Where the plan is written; standard output when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Flags of `shard rate`.
#[derive(Debug, Clone, clap::Args)]
pub struct RateArgs {
    /// The plan.
    pub spec: PathBuf,
    /// The shard, from 0.
    #[arg(long, value_name = "K")]
    pub shard: u32,
    /// The folder that the shard is to be; it must not be there yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The shard's rows, a folder for each table, where another engine divided them; else they are chosen from the pipeline's inputs.
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Flags of `shard gather`.
#[derive(Debug, Clone, clap::Args)]
pub struct GatherArgs {
    /// The plan.
    pub spec: PathBuf,
    /// The shards: their folders, or the shard.json in them; none where the plan says that the run is published already.
    #[arg(value_name = "DONE")]
    pub done: Vec<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Gates to override.
    #[command(flatten)]
    pub accept: AcceptArgs,
}

/// Does one of the three.
///
/// # Errors
/// Whatever stops it.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    match &args.verb {
        Verb::Plan(args) => plan(args, output),
        Verb::Rate(args) => rate(args, output),
        Verb::Gather(args) => gather(args, output),
    }
}

fn plan(args: &PlanArgs, output: &Output) -> Result<ExitStatus> {
    let staged = args.staged.as_deref().map(Staged::read).transpose()?;
    let request = JobRequest { staged, ..args.pipeline.request(Some(&args.as_of)) };
    let spec = planning::plan(&args.pipeline.load()?, &request, args.shards, output)?;
    match &args.out {
        None => output.data(&spec.text()?)?,
        Some(path) => {
            durable::replace(path, spec.text()?.as_bytes())?;
            output.line(&format!("planned {} shards of the run {} in {}", spec.shards, spec.run, path.display()));
        }
    }
    Ok(ExitStatus::Success)
}

fn rate(args: &RateArgs, output: &Output) -> Result<ExitStatus> {
    let stop = stop_on_signals()?;
    let request = rating::Request {
        spec: &args.spec,
        shard: args.shard,
        out: &args.out,
        input: args.input.as_deref(),
        machine: args.engine.request(),
    };
    let made = request.run(&stop, output)?;
    let text =
        format!("shard {}: {} subjects in {}", args.shard, thousands(made.subjects as u64), made.folder.display());
    output.event(
        &text,
        &[
            ("event", "shard".into()),
            ("shard", args.shard.into()),
            ("folder", made.folder.display().to_string().into()),
        ],
    );
    Ok(ExitStatus::Success)
}

fn gather(args: &GatherArgs, output: &Output) -> Result<ExitStatus> {
    let started = Instant::now();
    let (spec, hash) = Spec::read(&args.spec)?;
    let pipeline = spec.pipeline()?;
    let ready = || -> Result<(Vec<Part>, JobRequest)> {
        let parts = match args.done.as_slice() {
            [] if spec.published => Vec::new(),
            some => gathering::parts(&spec, &hash, some).context("nothing was gathered")?,
        };
        Ok((parts, spec.request()?))
    };
    // What is wrong with the shards is told as what is wrong with a run.
    let tell = |error: &anyhow::Error| one_date::failed(&pipeline, Some(spec.as_of), started, error, output);
    let (parts, job) = ready().inspect_err(tell)?;
    let request = Request {
        pipeline: &pipeline,
        job,
        machine: args.engine.request(),
        fresh: false,
        making: Making::Of(parts),
        planned: Some(spec.dependencies),
        accept: args.accept.request(),
        command: format!("shard gather {}", args.spec.display()),
    };
    ended(&request, output)
}
