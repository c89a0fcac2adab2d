//! Judging: the result held against the gates, and against the published runs before it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::run::Run;
use super::scoring::Scored;
use crate::audit::previous::Previous;
use crate::contract::day_text;
use crate::gates::counts::Counts;
use crate::gates::loss::{TableChange, changes};
use crate::gates::verdicts::{self, Measured, TableAge, Verdict};
use crate::ingest::check::conservation::Class;
use crate::ingest::check::findings::Findings;
use crate::job::Job;
use crate::job::inputs::Input;
use crate::runs::earlier::Earlier;
use crate::runs::erasure::Erasures;
use crate::runs::folder::RunFolder;
use crate::runs::ledger::Ledger;
use crate::score::population::Population;

/// What the gates found, and what they looked at.
pub(super) struct Judged {
    /// What they found.
    pub verdicts: Vec<Verdict>,
    /// Scores and quarantined rows.
    pub now: Counts,
    /// The published run before this one, with its counts.
    pub previous: Option<(Previous, Counts)>,
    /// What changed in the exports since that run.
    pub changes: Vec<TableChange>,
    /// How old the newest record of each table is that has a limit.
    pub ages: Vec<TableAge>,
}

/// Asks the gates.
///
/// # Errors
/// When an earlier run cannot be read, or the work is interrupted.
pub(super) fn judge(run: &Run, folder: &RunFolder, inputs: &[Input], scored: &Scored) -> Result<Judged> {
    let (job, label) = (run.job, &run.identity.label);
    let now = counts(&folder.id, &scored.findings, &scored.population);
    let ledger = Ledger::open(&folder.output, run.session.key())?;
    let (pipeline, stop) = (job.pipeline.settings.name.as_str(), run.session.resources.stop);
    let erasures = Erasures::of(&folder.output, &ledger, None)?;
    let (output, erasures) = (folder.output.as_path(), &erasures);
    let mut earlier = Earlier { ledger: &ledger, output, pipeline, erasures, stop, broken: Vec::new() };
    let previous = earlier.before(label.as_of, &label.model)?;
    let before = previous.as_ref().map(Previous::counts);
    let bands = job.model.card.band.iter().map(|b| (b.get_ref().from, b.get_ref().name.clone())).collect::<Vec<_>>();
    let ages = ages(job, &scored.findings)?;
    let since = previous.as_ref().map(|p| changes(&p.inputs, inputs));
    let kept = kept(job, inputs, &scored.findings, erasures);
    // A run of a date that is published already must not lose what that one read, either.
    let published = earlier.inputs_of(label.as_of)?;
    let lost = published.map(|then| changes(&then, &kept).into_iter().filter(TableChange::is_less).collect::<Vec<_>>());
    // What was erased is not lost: the gate looks at the rows of the others.
    let moved = previous.as_ref().map(|p| changes(&p.inputs_kept, &kept));
    let compared = moved.into_iter().chain(lost.clone()).flatten().collect::<Vec<_>>();
    let measured = Measured {
        now: &now,
        before: before.as_ref(),
        broken: &earlier.broken,
        converged: scored.friends.as_ref().map(|f| f.propagated.converged()),
        bands: &bands,
        ages: &ages,
        changes: (since.is_some() || lost.is_some()).then_some(compared.as_slice()),
        min_cell: job.pipeline.settings.privacy.min_cell,
    };
    let mut verdicts = verdicts::check(&job.pipeline.settings.gates(), &measured);
    for verdict in verdicts.iter_mut().filter(|v| !v.passed) {
        verdict.accepted = run.accept.iter().find(|a| a.gate == verdict.gate).map(|a| a.because.clone());
    }
    Ok(Judged { verdicts, now, previous: previous.zip(before), changes: since.unwrap_or_default(), ages })
}

/// The input files with the rows of those who were not erased.
fn kept(job: &Job, inputs: &[Input], findings: &BTreeMap<String, Findings>, erasures: &Erasures) -> Vec<Input> {
    let files =
        job.exports.iter().flat_map(|export| (0..export.files.len()).map(move |n| (export.table.name.as_str(), n)));
    let mut kept = inputs.to_vec();
    for (input, (table, n)) in kept.iter_mut().zip(files) {
        let erased = findings.get(table).map_or(0, |found| found.tally.get(n, Class::Erased));
        let erased = erased.max(erasures.carried(input));
        input.annotations.rows = input.annotations.rows.saturating_sub(erased);
    }
    kept
}

/// How old the newest record of each table is that has a limit.
fn ages(job: &Job, findings: &BTreeMap<String, Findings>) -> Result<Vec<TableAge>> {
    let Some(limits) = job.pipeline.settings.gates().max_age_days else { return Ok(Vec::new()) };
    let mut ages = Vec::new();
    for export in job.exports.iter() {
        let table = &export.table;
        let Some(limit) = limits.of(&table.name, table.regular) else { continue };
        let newest = findings.get(&table.name).with_context(|| format!("{} was not counted", table.name))?.newest;
        let calendar = &job.snapshot.calendar;
        let days = calendar.as_of_day() - newest.unwrap_or_else(|| calendar.first_day());
        ages.push(TableAge { table: table.name.clone(), newest: newest.map(day_text), days, limit });
    }
    Ok(ages)
}

fn counts(run: &str, findings: &BTreeMap<String, Findings>, population: &Population) -> Counts {
    let of_table = |found: &Findings| {
        let visible = Class::ALL.iter().filter(|c| ![Class::NotVisible, Class::Erased].contains(c));
        let visible = visible.map(|c| found.tally.total(*c)).sum();
        (found.tally.total(Class::Quarantined), visible)
    };
    Counts {
        of: run.to_owned(),
        quarantined: findings.iter().map(|(t, f)| (t.clone(), of_table(f))).collect(),
        scores: population.by_score(),
        subjects: population.rows.score.len() as u64,
    }
}
