//! `sesame plan`.

use anyhow::Result;

use super::prepare::{Prepared, prepare};
use crate::cli::PlanArgs;
use crate::exit::ExitStatus;
use crate::features::sql;
use crate::ingest::export::OpenFile;
use crate::output::{Output, thousands};

/// Shows what a run would do.
///
/// # Errors
/// All findings about the configuration at once.
pub fn run(args: &PlanArgs, output: &Output) -> Result<ExitStatus> {
    let prepared = prepare(&args.pipeline)?;
    if args.sql {
        output.data(&format!("{};\n", sql::features(&prepared.plan)));
    } else {
        output.data(&text(&prepared));
    }
    Ok(ExitStatus::Success)
}

/// The plan as text.
#[must_use]
pub fn text(prepared: &Prepared) -> String {
    let mut lines = vec![
        format!(
            "pipeline  {} as of {}, known by {}",
            prepared.pipeline.settings.name,
            prepared.calendar.as_of(),
            prepared.known_by
        ),
        format!("model     {}", prepared.model.label()),
        format!("output    {}", prepared.pipeline.resolve(&prepared.pipeline.settings.output).display()),
        String::new(),
    ];
    for export in &prepared.exports {
        let rows = export.files.iter().map(OpenFile::rows).sum();
        let bytes = export.files.iter().map(|f| f.bytes).sum();
        lines.push(format!(
            "read      {:<18} {:>13} rows, {:>15} bytes, {} file(s)",
            export.table.name,
            thousands(rows),
            thousands(bytes),
            export.files.len()
        ));
    }
    for table in &prepared.plan.tables {
        lines.push(format!(
            "add up    {:<18} {:>13} conditions, {} values, {} groupings, {} sums",
            table.table,
            table.predicates.len(),
            table.values.len(),
            table.groupings.len(),
            table.accumulators.len()
        ));
    }
    lines.push(format!(
        "finish    {} features, {} of them scored",
        prepared.plan.features.len(),
        prepared.card.features.len()
    ));
    lines.join("\n") + "\n"
}
