//! `sesame dataset`: a training set.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;

use super::flags::{EngineArgs, PipelineArgs};
use crate::contract::parse_day;
use crate::exit::ExitStatus;
use crate::output::{Output, thousands};
use crate::runs::backfill::Every;
use crate::session::dataset::Request;
use crate::session::training_set::Written;

/// Which outcomes, at which dates.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainingArgs {
    /// The pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The first as-of date.
    #[arg(long, value_name = "DATE")]
    pub from: String,
    /// The last possible as-of date; the first when not given.
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// How far apart the dates are.
    #[arg(long, value_enum, default_value = "month")]
    pub every: Every,
    /// The outcomes: a file, folder or pattern of the contract's table; the pipeline's when not given.
    #[arg(long, value_name = "FILE")]
    pub outcomes: Option<String>,
    /// Only outcomes over so many days.
    #[arg(long, value_name = "DAYS")]
    pub horizon: Option<i64>,
    /// The machine.
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl TrainingArgs {
    /// What is asked for, of a pipeline that was read.
    ///
    /// # Errors
    /// When a date is none.
    pub fn request<'a>(&self, pipeline: &'a crate::pipeline::Pipeline, command: &str) -> Result<Request<'a>> {
        let from = parse_day(&self.from).context("--from")?;
        let to = self.to.as_deref().map_or(Ok(from), |to| parse_day(to).context("--to"))?;
        Ok(Request {
            pipeline,
            job: self.pipeline.request(None),
            range: (from, to, self.every),
            outcomes: self.outcomes.clone(),
            horizon_days: self.horizon,
            gap: None,
            unscored: false,
            machine: self.engine.request(),
            command: format!("{command} {}", self.pipeline.pipeline.display()),
        })
    }
}

/// Which dates are only validated on.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidationArgs {
    /// Dates from this one on are not trained on but validated on.
    #[arg(long, value_name = "DATE")]
    pub validate_from: Option<String>,
    /// The last date that is trained on; later ones before those that are validated on are left out. Needed where what follows them
    /// is still observed then.
    #[arg(long, value_name = "DATE", requires = "validate_from")]
    pub train_to: Option<String>,
}

impl ValidationArgs {
    /// The first date that is validated on.
    ///
    /// # Errors
    /// When it is none.
    pub fn from(&self) -> Result<Option<Date>> {
        self.validate_from.as_deref().map(parse_day).transpose().context("--validate-from")
    }

    /// The dates strictly between which none is taken.
    ///
    /// # Errors
    /// When a date is none, or they are in the wrong order.
    pub fn gap(&self) -> Result<Option<(Date, Date)>> {
        let to = self.train_to.as_deref().map(parse_day).transpose().context("--train-to")?;
        let gap = to.zip(self.from()?);
        ensure!(gap.is_none_or(|(to, from)| to < from), "--train-to does not lie before --validate-from");
        Ok(gap)
    }
}

/// Flags of `dataset`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which outcomes, at which dates.
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Subjects without a score too.
    #[arg(long)]
    pub unscored: bool,
    /// The folder to write, which must not be there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Writes a training set.
///
/// # Errors
/// When the configuration or the inputs do not fit the contract, or the outcomes cannot be trained on.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let pipeline = args.training.pipeline.load()?;
    let request = Request { unscored: args.unscored, ..args.training.request(&pipeline, "dataset")? };
    let (written, _) = request.write(&args.out, output)?;
    output.data(&text(&written, args))?;
    Ok(ExitStatus::Success)
}

fn text(written: &Written, args: &Args) -> String {
    let mut lines = Vec::new();
    for d in &written.dates {
        lines.push(format!(
            "{}  {} rows, {} bad; {} scored without an outcome, {} outcomes without a score",
            d.as_of,
            thousands(d.rows),
            thousands(d.bad),
            thousands(d.without_outcome),
            thousands(d.unscored)
        ));
    }
    lines.push(format!("{} features; wrote {}", written.features.len(), args.out.display()));
    lines.join("\n") + "\n"
}
