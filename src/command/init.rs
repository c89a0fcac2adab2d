//! `sesame init`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::contract::{Contract, Zone, parse_day};
use crate::exit::ExitStatus;
use crate::init::datasets::{Found, find};
use crate::init::guesses::Guesses;
use crate::init::matching::{Match, match_all};
use crate::init::request::Request;
use crate::init::writing::write;
use crate::output::{Output, printable, thousands};

/// Flags of `init`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder to write to; it must not hold anything yet.
    pub folder: PathBuf,
    /// Parquet files, or folders of them; paths or URLs of an object store.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub from: Vec<PathBuf>,
    /// The pipeline's name; the folder's when not given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The currency of the amounts, ISO 4217.
    #[arg(long, value_name = "CODE", default_value = "CNY")]
    pub currency: String,
    /// The time zone of local times, and in which days begin and end.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// The as-of date, YYYY-MM-DD or "yesterday".
    #[arg(long, value_name = "DATE", default_value = "yesterday")]
    pub as_of: String,
}

/// Looks at files and writes a first pipeline for them.
///
/// # Errors
/// When a path cannot be read, or the folder holds something.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    let zone = Zone::named(&args.time_zone).context("--time-zone")?;
    if args.as_of != "yesterday" {
        parse_day(&args.as_of).context("--as-of")?;
    }
    let code = &args.currency;
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
        bail!("--currency {code}: write an ISO 4217 code such as EUR");
    }
    let folder = std::path::absolute(&args.folder)?;
    let own_name = folder.file_name().and_then(|n| n.to_str()).unwrap_or("first").to_owned();
    let found = find(&args.from)?;
    found.others.iter().for_each(|advice| output.warn(advice));
    if found.datasets.is_empty() {
        bail!("there is no Parquet file yet; make them as said above and run init again");
    }
    let name = args.name.clone().unwrap_or(own_name);
    let request = Request { name: &name, as_of: &args.as_of, zone: zone.name(), currency: code };
    let matches = match_all(&found.datasets, &Contract::load()?, &Guesses::load()?, &request);
    write(&folder, &found, &matches, &request)?;
    output.data(&printable(&text(&found, &matches, &args.folder)))?;
    Ok(ExitStatus::Success)
}

fn text(found: &Found, matches: &[Match], folder: &Path) -> String {
    let mut lines = Vec::new();
    for (at, dataset) in found.datasets.iter().enumerate() {
        let name = dataset.path.file_name().unwrap_or_default().to_string_lossy();
        let rows = format!("{} rows", thousands(dataset.rows));
        let Some(of) = matches.iter().find(|of| of.dataset == at) else {
            lines.push(format!("{name}, {rows}: taken for no table"));
            continue;
        };
        lines.push(format!("{name}, {rows}: {}", of.table.name));
        for column in &of.missing {
            lines.push(format!("  not found: {} ({})", column.name, column.expected()));
        }
        let assumed = of.columns.iter().filter(|(_, c)| c.remark.is_some()).count();
        if assumed > 0 {
            lines.push(format!("  {assumed} column(s) rest on an assumption, told beside them"));
        }
    }
    let file = folder.join("pipeline.toml");
    lines.push(String::new());
    lines.push(format!("wrote {}; next", file.display()));
    lines.push(format!("  sesame check {} --sample 1000", file.display()));
    lines.join("\n") + "\n"
}
