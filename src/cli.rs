//! The commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::LogFormat;

const EXIT_CODES: &str = "Exit codes: 0 published, or nothing to do; 1 a gate failed, nothing published; 2 usage, configuration, \
contract or unexpected error; 3 locked by another run; 4 backfill partly done; 130 interrupted, resumable.";

/// Batch credit scoring of anonymised Parquet exports.
#[derive(Debug, Parser)]
#[command(name = "sesame", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say nothing but warnings and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// How log lines on standard error are written.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score a population: check, read, features, score, gates, publish, audit.
    #[command(
        after_help = "Examples:\n  sesame run pipelines/nightly.toml\n  sesame run pipelines/nightly.toml --as-of 2025-06-30\n  \
        sesame run pipelines/nightly.toml --set 'inputs.repayments=\"/exports/2026-11/*.parquet\"' --set 'output=\"/srv/scores\"'\n\n\
        A row counts when its event lies before the as-of date's end (the next day 00:00 UTC, exclusive) and it was known by then."
    )]
    Run(RunArgs),
    /// Show what a run would do, or the features' SQL; writes nothing.
    #[command(
        after_help = "Examples:\n  sesame plan pipelines/nightly.toml\n  sesame plan pipelines/nightly.toml --sql > features.sql"
    )]
    Plan(PlanArgs),
    /// Check configuration, model and inputs against the contract; all findings at once, nothing is scored.
    #[command(after_help = "Example:\n  sesame check pipelines/nightly.toml")]
    Check(CheckArgs),
    /// Write a synthetic population in the contract's tables.
    #[command(after_help = "Examples:\n  sesame generate /tmp/population --subjects 100000 --seed 7\n  \
        sesame generate /tmp/population --subjects 1000 --seed 7 --as-of 2025-06-30 --months 12")]
    Generate(GenerateArgs),
    /// Print the data contract.
    #[command(after_help = "Examples:\n  sesame schema\n  sesame schema --format json")]
    Schema(SchemaArgs),
}

/// A pipeline and what is set on the command line.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The as-of date, YYYY-MM-DD or "yesterday"; what happened later does not count.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// What became known after this date, or instant (RFC 3339), does not count; the end of the as-of date when not given.
    #[arg(long, value_name = "TIME")]
    pub known_by: Option<String>,
    /// The model file, instead of the pipeline's.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Set a key of the pipeline file to a TOML value; repeatable. Paths are relative to the pipeline file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// How much of the machine to use.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Threads; all cores when not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Memory for rows waiting to be aggregated, such as 512MB, and four times as much for links; the rest is spilled.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Where rows are spilled; the output folder when not given.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Publish although this gate fails; repeatable. The gate's key in the pipeline file.
    #[arg(long, value_name = "GATE", requires = "because")]
    pub accept: Vec<String>,
    /// Why; recorded in the audit and the ledger.
    #[arg(long, value_name = "TEXT", requires = "accept")]
    pub because: Option<String>,
    /// Make everything anew instead of reusing what is kept.
    #[arg(long)]
    pub fresh: bool,
    /// Show what would be done and stop.
    #[arg(long)]
    pub plan: bool,
}

/// Flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print the features' SQL over the visible rows.
    #[arg(long)]
    pub sql: bool,
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// Flags of `generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// The folder to write to; it must not hold anything yet.
    pub folder: PathBuf,
    /// Number of subjects.
    #[arg(long, value_name = "N")]
    pub subjects: u64,
    /// Seed; the same seed makes the same bytes.
    #[arg(long, value_name = "S")]
    pub seed: u64,
    /// The last day that is written.
    #[arg(long, value_name = "DATE", default_value = "2025-10-31")]
    pub as_of: String,
    /// Months of history before that day.
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub months: u32,
    /// Threads; all cores when not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// How `schema` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SchemaFormat {
    /// A table for people.
    #[default]
    Text,
    /// The contract file itself.
    Toml,
    /// JSON for programs.
    Json,
}

/// Flags of `schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: SchemaFormat,
}
