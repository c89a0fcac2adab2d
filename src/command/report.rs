//! `sesame report`: the page of a kept run, built from its `audit.json`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::flags::RunsArgs;
use crate::audit::{AUDIT, Audit};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::report::page;
use crate::runs::folder::PAGE;
use crate::runs::kept::KeptRun;
use crate::runs::named::find;
use crate::runs::output_folder::{is_within, keep_private};
use crate::runs::remote;
use crate::storage::{durable, read};

/// Flags of `report`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run: its folder, its id or the beginning of it, its as-of date, `latest` or `last`.
    pub run: String,
    /// Where runs are.
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Where to write the page; audit.html in the run's folder when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Builds the page. The one in the run's folder is part of what `verify` proves, so it is never replaced by a different one.
///
/// # Errors
/// When the run or its audit is not there, or the page would differ from the recorded one.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let run = find(&args.run, &args.runs.folder()?)?;
    let path = run.path(AUDIT);
    remote::bring(&run.path(PAGE))?;
    let built = page::audit(&Audit::read(&path)?).with_context(|| format!("{}", path.display()))?;
    let target = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => run.path(PAGE),
    };
    if args.out.is_some() && target != run.path(PAGE) && is_within(&target, &run.output)? {
        bail!("--out {}: lies in the output folder, which runs alone write to", target.display());
    }
    if args.out.is_none() && target.exists() && read::text(&target)? != built {
        bail!(
            "{} is recorded in the run's manifest and this version of the program would make it differently; \
             give --out FILE for the new one",
            target.display()
        );
    }
    if args.out.is_none() {
        keep_private(KeptRun::open(run)?.pipeline.settings.output_mode);
    }
    durable::replace(&target, built.as_bytes())?;
    remote::push(&target)?;
    output.line(&format!("wrote {}", remote::shown(&target)));
    Ok(ExitStatus::Success)
}
