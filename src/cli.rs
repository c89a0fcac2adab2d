//! The commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::LogFormat;
use crate::runs::backfill::{Every, Only};

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
    /// Score many as-of dates; goes on where it stopped, and one failing date does not stop the others.
    #[command(
        after_help = "Examples:\n  sesame backfill pipelines/backfill.toml --from 2024-11-30 --to 2025-10-31 --every month\n  \
        sesame backfill pipelines/backfill.toml --from 2024-11-30 --to 2025-10-31 --every month --only failed\n\n\
        Each date is scored as it would have been then: the knowledge cut-off is its end, unless --known-by gives one for all."
    )]
    Backfill(BackfillArgs),
    /// Why a subject's score is what it is: features, bins, points, reasons, and the records that hurt.
    #[command(
        after_help = "Examples:\n  sesame explain latest 2f4c19d0a1b2c3d4e5f6\n  sesame explain latest 2f4c19d0a1b2c3d4e5f6 --format html > why.html\n  \
        sesame explain latest 2f4c19d0a1b2c3d4e5f6 --format notice --language zh\n\nThe points on the page add up to the score."
    )]
    Explain(ExplainArgs),
    /// Build a run's audit.html anew from its audit.json.
    #[command(after_help = "Examples:\n  sesame report latest\n  sesame report latest --out tonight.html")]
    Report(ReportArgs),
    /// Measure how well a run's scores rank outcomes: by band, segment and category.
    #[command(
        after_help = "Examples:\n  sesame validate latest --outcomes outcomes.parquet\n  sesame validate latest --outcomes 'outcomes/*.parquet' --format json\n\n\
        The file holds the contract's table `outcomes`; rows that follow another as-of date are left out."
    )]
    Validate(ValidateArgs),
    /// Measure which of two runs, or models, ranks the same outcomes better.
    #[command(
        after_help = "Example:\n  sesame compare 2025-10-31-standard-1-0123456789ab latest --outcomes outcomes.parquet\n\n\
        The interval and the test of the difference are DeLong's, for two scores of the same subjects."
    )]
    Compare(CompareArgs),
    /// Compare two runs: who moved, by how much, and what moved them; two models on one date, or two dates of one model.
    #[command(
        after_help = "Examples:\n  sesame diff 2025-09-30-standard-1-0123456789ab latest\n  sesame diff out/runs/A out/runs/B --format json"
    )]
    Diff(DiffArgs),
    /// Prove that a run, or everything, is still what the ledger says: inputs, configuration, outputs, published tables.
    #[command(
        after_help = "Examples:\n  sesame verify latest\n  sesame verify --all --output /srv/scores --outputs-only\n  sesame verify latest --replay\n\n\
        Offline; the first thing that does not hold is named, and the exit code is 1."
    )]
    Verify(VerifyArgs),
    /// Show what could be removed to make room, and remove it.
    #[command(
        after_help = "Examples:\n  sesame clean pipelines/nightly.toml\n  sesame clean pipelines/nightly.toml --stages-older-than 7 --runs-older-than 400 --yes"
    )]
    Clean(CleanArgs),
    /// Check configuration, model and inputs against the contract; all findings at once, nothing is scored.
    #[command(after_help = "Example:\n  sesame check pipelines/nightly.toml")]
    Check(CheckArgs),
    /// Write a synthetic population in the contract's tables.
    #[command(after_help = "Examples:\n  sesame generate /tmp/population --subjects 100000 --seed 7\n  \
        sesame generate /tmp/population --subjects 1000 --seed 7 --as-of 2025-06-30 --months 12")]
    Generate(GenerateArgs),
    /// Print the data contract, or the JSON Schema of pipeline, model or feature files.
    #[command(
        after_help = "Examples:\n  sesame schema\n  sesame schema --format json\n  sesame schema pipeline > pipeline.json"
    )]
    Schema(SchemaArgs),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  sesame completions bash > /etc/bash_completion.d/sesame")]
    Completions(CompletionsArgs),
    /// Print the man page.
    #[command(after_help = "Example:\n  sesame man > /usr/local/share/man/man1/sesame.1")]
    Man,
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
    /// Score an as-of date that lies in the future all the same.
    #[arg(long)]
    pub allow_future: bool,
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

/// Where runs are kept.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// The output folder, for ids and `latest`.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub output: PathBuf,
}

/// Gates to override.
#[derive(Debug, Clone, Args)]
pub struct AcceptArgs {
    /// Publish although this gate fails; repeatable. The gate's key in the pipeline file.
    #[arg(long, value_name = "GATE", requires = "because")]
    pub accept: Vec<String>,
    /// Why; recorded in the audit and the ledger.
    #[arg(long, value_name = "TEXT", requires = "accept")]
    pub because: Option<String>,
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
    /// Gates to override.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// Make everything anew instead of reusing what is kept.
    #[arg(long)]
    pub fresh: bool,
    /// Show what would be done and stop.
    #[arg(long)]
    pub plan: bool,
}

/// Flags of `backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The first as-of date.
    #[arg(long, value_name = "DATE")]
    pub from: String,
    /// The last possible as-of date.
    #[arg(long, value_name = "DATE")]
    pub to: String,
    /// How far apart the dates are.
    #[arg(long, value_enum)]
    pub every: Every,
    /// Which of the dates are run.
    #[arg(long, value_enum, default_value_t)]
    pub only: Only,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Gates to override.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// Show what would be done and stop.
    #[arg(long)]
    pub plan: bool,
}

/// How `explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ExplainFormat {
    /// For a terminal.
    #[default]
    Text,
    /// For programs.
    Json,
    /// A page.
    Html,
    /// What can be sent to the person, in the model's words.
    Notice,
}

/// Flags of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The run: its folder, its id, or `latest`.
    pub run: String,
    /// The subject's id, as the exports write it.
    #[arg(allow_negative_numbers = true)]
    pub subject: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: ExplainFormat,
    /// The language of reasons and notice, one of the model's.
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: String,
}

/// Flags of `report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The run: its folder, its id, or `latest`.
    pub run: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Where to write the page; audit.html in the run's folder when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Flags of `validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The run: its folder, its id, or `latest`.
    pub run: String,
    /// The outcomes: a file, folder or pattern.
    #[arg(long, value_name = "FILE")]
    pub outcomes: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
}

/// Flags of `compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// One run: its folder, its id, or `latest`.
    pub a: String,
    /// The other one, of the same as-of date.
    pub b: String,
    /// The outcomes: a file, folder or pattern.
    #[arg(long, value_name = "FILE")]
    pub outcomes: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
}

/// How comparisons and validations print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DiffFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The earlier run, or the one with the old model: its folder, its id, or `latest`.
    pub a: String,
    /// The other one.
    pub b: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
}

/// Flags of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The run: its folder, its id, or `latest`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub run: Option<String>,
    /// Every run of the output folder, and that nothing else is published there.
    #[arg(long)]
    pub all: bool,
    /// The output folder, for ids, `latest` and --all.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub output: PathBuf,
    /// Leave the inputs out, as when each night's export replaces the one before.
    #[arg(long)]
    pub outputs_only: bool,
    /// The ledger's key, env:NAME or file:PATH; without it the one that the run's pipeline names.
    #[arg(long, value_name = "KEY")]
    pub ledger_key: Option<String>,
    /// Run it again from what its manifest says, and compare the bytes.
    #[arg(long, conflicts_with = "all")]
    pub replay: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
    /// Where to replay; the system's temporary folder when not given.
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub scratch: Option<PathBuf>,
}

/// Flags of `clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Set a key of the pipeline file to a TOML value; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Stages that were not used for so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub stages_older_than: u32,
    /// Runs that ended so many days ago and whose table is not the published one; none when not given.
    #[arg(long, value_name = "DAYS")]
    pub runs_older_than: Option<u32>,
    /// Remove them.
    #[arg(long)]
    pub yes: bool,
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

/// What `schema` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SchemaOf {
    /// The exports: tables, columns, rules.
    #[default]
    Contract,
    /// The pipeline file, as JSON Schema.
    Pipeline,
    /// The model file, as JSON Schema.
    Model,
    /// A file of the feature catalogue, as JSON Schema.
    Features,
}

/// Flags of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Flags of `schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Of what.
    #[arg(value_enum, default_value_t)]
    pub of: SchemaOf,
    /// How to print the contract.
    #[arg(long, value_enum, default_value_t)]
    pub format: SchemaFormat,
}
