//! `sesame pseudonymise`.

use std::path::PathBuf;

use anyhow::Result;

use super::flags::Format;
use crate::exit::ExitStatus;
use crate::machine::threads::use_threads;
use crate::output::{Output, thousands};
use crate::pseudonymise::report::{Report, Why};
use crate::pseudonymise::request::Request;

/// Flags of `pseudonymise`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A pipeline file, whose inputs are read through their `select`; or a folder with a file or folder for each table.
    pub from: PathBuf,
    /// The folder to write, which must not hold anything yet.
    pub to: PathBuf,
    /// Where the key is: `env:NAME`, `file:PATH` or `cmd:COMMAND`; never the key itself.
    #[arg(long, value_name = "REF")]
    pub key: String,
    /// How the key is called, for whoever gets the files; by a check of the key when not given.
    #[arg(long, value_name = "NAME")]
    pub key_id: Option<String>,
    /// Keep this column of `groups`; repeatable. Those that are not named are dropped.
    #[arg(long = "group", value_name = "COLUMN")]
    pub groups: Vec<String>,
    /// Threads; all cores when not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How to print what was done.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Pseudonymises exports.
///
/// # Errors
/// When the folder holds something, the key cannot be read, or the exports do not fit the contract or hold free text.
pub fn run(args: &Args, output: &Output) -> Result<ExitStatus> {
    use_threads(args.threads)?;
    let request = Request {
        from: &args.from,
        to: &args.to,
        key: &args.key,
        key_id: args.key_id.as_deref(),
        groups: &args.groups,
    };
    let report = request.write(output)?;
    tell(&report, output);
    if args.format == Format::Json {
        output.data(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    Ok(ExitStatus::Success)
}

/// Tells people what was done.
fn tell(report: &Report, output: &Output) {
    for path in &report.left_out {
        output.warn(&format!("{} is no table of the contract and was left out", path.display()));
    }
    for table in &report.tables {
        let name = &table.table;
        let ids: Vec<&str> = table.pseudonymised.iter().map(|p| p.column.as_str()).collect();
        output.line(&format!("{name:<18} {:>13} rows, pseudonyms in {}", thousands(table.rows), ids.join(", ")));
        let outside = table.dropped_as(Why::OutsideContract);
        if !outside.is_empty() {
            output.warn(&format!("{name}: dropped, for the contract does not know them: {}", outside.join(", ")));
        }
        for (why, what) in
            [(Why::NotSelected, "not read by the select"), (Why::PartOfPath, "in paths alone, and dropped")]
        {
            let columns = table.dropped_as(why);
            if !columns.is_empty() {
                output.line(&format!("{:<18} {what}: {}", "", columns.join(", ")));
            }
        }
    }
    output.line(&format!(
        "wrote {} under the key {}; nothing that leads back is kept but the key",
        report.folder.display(),
        report.key_id
    ));
}
