//! `sesame plan`.

use anyhow::Result;

use crate::cli::PlanArgs;
use crate::exit::ExitStatus;
use crate::features::sql;
use crate::graph::Parameters;
use crate::ingest::export::OpenFile;
use crate::job::{self, Job};
use crate::output::{Output, thousands};
use crate::score::card::Origin;

/// Shows what a run would do.
///
/// # Errors
/// All findings about the configuration at once.
pub fn run(args: &PlanArgs, output: &Output) -> Result<ExitStatus> {
    let job = job::load(&args.pipeline)?;
    if args.sql {
        output.data(&format!("{};\n", sql::features(&job.plan)))?;
    } else {
        output.data(&text(&job))?;
    }
    Ok(ExitStatus::Success)
}

/// The plan as text.
#[must_use]
pub fn text(job: &Job) -> String {
    let mut lines = vec![
        format!(
            "pipeline  {} as of {}, known by {}",
            job.pipeline.settings.name,
            job.snapshot.calendar.as_of(),
            job.snapshot.known_by
        ),
        format!("model     {}", job.model.label()),
        format!("output    {}", job.pipeline.resolve(&job.pipeline.settings.output).display()),
        String::new(),
    ];
    for export in job.exports.iter() {
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
    for table in &job.plan.tables {
        lines.push(format!(
            "add up    {:<18} {:>13} conditions, {} values, {} groupings, {} sums",
            table.table,
            table.predicates.len(),
            table.values.len(),
            table.groupings.len(),
            table.accumulators.len()
        ));
    }
    let of_friends = job.card.features.iter().filter(|f| matches!(f.origin, Origin::Friends(_))).count();
    lines.push(format!("finish    {} features of a subject's own records", job.plan.features.len()));
    let propagation = &job.model.card.propagation;
    let linked = job.exports.iter().any(|e| e.table.name == "friend_links");
    lines.push(match (propagation.enabled, linked) {
        (true, true) => {
            let rounds = Parameters::new(propagation).rounds;
            format!("propagate {rounds} rounds over the ties of friends, {of_friends} features")
        }
        (true, false) => "propagate nothing: no friend_links, so the relationship category is neutral".to_owned(),
        (false, _) => "propagate nothing: the model's propagation is off".to_owned(),
    });
    lines.push(format!("score     {} features in {} segments", job.card.features.len(), job.card.weights.len()));
    lines.join("\n") + "\n"
}
