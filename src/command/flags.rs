//! Flags that several commands have.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::job::load::JobRequest;
use crate::pipeline::Pipeline;
use crate::runs::remote::look::{Need, look};
use crate::session::MachineRequest;
use crate::session::acceptance::AcceptRequest;

/// A pipeline and what is set on the command line beside its as-of date.
#[derive(Debug, Clone, Args)]
pub struct PipelineArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
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
    /// Memory for rows waiting to be aggregated, such as 512MB, and four times as much for links; the rest is spilled. An eighth of what is free when not given.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Where rows are spilled; the output folder when not given.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

/// Where runs are kept.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// The output folder, or its URL, for ids and `latest`.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub output: PathBuf,
}

impl RunsArgs {
    /// Where their files are: of a URL its mirror, with the ledger as it is now and what is small of all runs.
    ///
    /// # Errors
    /// When an object store does not answer.
    pub fn folder(&self) -> Result<PathBuf> {
        look(&self.output, Need::Small)
    }
}

/// Which keys open encrypted files.
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// A pipeline file whose [privacy.keys] open encrypted files; those that the run's own pipeline named come after.
    #[arg(long, value_name = "PIPELINE")]
    pub keys: Option<PathBuf>,
}

impl KeysArgs {
    /// Names the keys; before a run is opened, whose own pipeline may say that they are where they no longer are.
    ///
    /// # Errors
    /// When the pipeline file cannot be read.
    pub fn name(&self) -> Result<()> {
        if let Some(path) = &self.keys {
            Pipeline::load(path, &[])?.name_keys();
        }
        Ok(())
    }
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

/// How comparisons and validations print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The as-of date of one run.
#[derive(Debug, Clone, Args)]
pub struct AsOfArgs {
    /// The as-of date, YYYY-MM-DD or "yesterday"; what happened later does not count.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
}

impl PipelineArgs {
    /// Reads the pipeline file, with what the flags set.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&self) -> Result<Pipeline> {
        Pipeline::load(&self.pipeline, &self.overrides)
    }

    /// What is asked for beside it.
    #[must_use]
    pub fn request(&self, as_of: Option<&AsOfArgs>) -> JobRequest {
        JobRequest {
            as_of: as_of.and_then(|a| a.as_of.clone()),
            known_by: self.known_by.clone(),
            allow_future: self.allow_future,
            model: self.model.clone(),
            staged: None,
        }
    }
}

impl EngineArgs {
    /// How much of the machine is asked for.
    #[must_use]
    pub fn request(&self) -> MachineRequest {
        MachineRequest { threads: self.threads, memory: self.memory.clone(), scratch: self.scratch.clone() }
    }
}

impl AcceptArgs {
    /// The gates to override.
    #[must_use]
    pub fn request(&self) -> AcceptRequest {
        AcceptRequest { gates: self.accept.clone(), because: self.because.clone() }
    }
}
