//! Gathers the answer.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use arrow::datatypes::DataType;
use jiff::Timestamp;

use super::parts::Answer;
use super::{given, inputs, kept};
use crate::contract::{Contract, Snapshot};
use crate::ingest::read::export::Export;
use crate::ingest::read::open::open;
use crate::output::Output;
use crate::pipeline::partners::Partners;
use crate::pipeline::{Findings, Model, Pipeline};
use crate::runs::erasure::Erasures;
use crate::runs::erasure::undisturbed::Undisturbed;
use crate::runs::ledger::{Event, Ledger};
use crate::runs::output_folder::{key_of, looked_at};
use crate::runs::remote;
use crate::runs::remote::look::Need;
use crate::tables::ids::{IdForm, canonical};
use crate::tables::scores::SUBJECT_ID;

/// Everything that is held about a subject.
///
/// # Errors
/// When nothing is held about it; all findings about pipeline and inputs at once; when a file is damaged, the ledger does not hold, or
/// the work is interrupted.
pub fn gather(pipeline: &Pipeline, subject: &str, now: Timestamp, stop: &AtomicBool, log: &Output) -> Result<Answer> {
    let contract = Contract::load()?;
    let mut findings = Findings(pipeline.findings(&contract));
    let (exports, found) = open(pipeline, &contract)?;
    findings.0.extend(found);
    findings.or(())?;
    // An id may be written in more ways than one; pseudonyms are made of one of them.
    let subject = &form(&exports).map_or_else(|| subject.to_owned(), |form| canonical(subject, form));
    let model = Model::load(&pipeline.resolve(&pipeline.settings.model))?;
    pipeline.name_keys();
    let output = looked_at(pipeline, Need::All)?;
    let reading = Undisturbed::begin(&output)?;
    let key = key_of(pipeline)?;
    let ledger = Ledger::open(&output, key.clone())?;
    let erased = Erasures::of(&output, &ledger, key.as_ref())?.guarded(u64::MAX).holds(subject);
    let zone = &pipeline.settings.time_zone;
    let snapshot = newest(pipeline, &contract, &ledger)?;
    let asked = inputs::Asked {
        contract: &contract,
        exports: &exports,
        currency: &pipeline.settings.currency,
        zone,
        subject,
        snapshot: &snapshot,
        now,
        at_least: u64::from(model.card.propagation.min_friends),
        erased,
        stop,
        log,
    };
    let (tables, links) = inputs::own(&asked)?;
    let runs =
        kept::runs(&kept::Asked { output: &output, ledger: &ledger, subject, zone, log }, &pipeline.settings.name)?;
    let partners = if Partners::place(pipeline).exists() { Some(Partners::load(pipeline)?) } else { None };
    if let Some(partners) = &partners {
        partners.name_keys();
    }
    let (releases, wrong) = given::releases(&output, &ledger, partners.as_ref(), subject, zone, stop)?;
    wrong.iter().for_each(|text| log.warn(text));
    if tables.is_empty() && runs.is_empty() && links.count.is_none() && releases.iter().all(|r| r.unknown.is_some()) {
        bail!(
            "nothing is held about the subject {subject} in the inputs and in {}; ids are written as in the exports",
            remote::shown(&output)
        );
    }
    reading.end()?;
    Ok(Answer {
        subject: subject.clone(),
        pipeline: pipeline.settings.name.clone(),
        at: now.to_string(),
        as_of: snapshot.calendar.as_of(),
        known_by: snapshot.known_by.to_string(),
        tables,
        links,
        runs,
        releases,
    })
}

/// How the exports write subjects; nothing when none does.
fn form(exports: &[Export]) -> Option<IdForm> {
    let files = exports.iter().flat_map(|export| &export.files);
    let kind =
        files.filter_map(|file| file.yields.column_with_name(SUBJECT_ID)).map(|(_, field)| field.data_type()).next()?;
    Some(match kind {
        DataType::FixedSizeBinary(_) => IdForm::Binary,
        kind if kind.is_integer() => IdForm::Integer,
        _ => IdForm::Text,
    })
}

/// The date that rows are held against: the newest one that the pipeline published, or its own.
fn newest(pipeline: &Pipeline, contract: &Contract, ledger: &Ledger) -> Result<Snapshot> {
    let zone = &pipeline.settings.time_zone;
    let published = ledger.lines.iter().filter(|l| l.entry.event == Event::Published);
    let newest = published.filter(|l| l.entry.pipeline == pipeline.settings.name).max_by_key(|l| (l.entry.as_of, l.n));
    match newest {
        Some(line) => Ok(Snapshot {
            calendar: contract.calendar(line.entry.as_of, zone)?,
            known_by: line.entry.known_by.parse()?,
        }),
        None => {
            let calendar = contract.calendar(pipeline.as_of(None)?, zone)?;
            let known_by = Timestamp::from_microsecond(calendar.cutoff_micros())?;
            Ok(Snapshot { calendar, known_by })
        }
    }
}
