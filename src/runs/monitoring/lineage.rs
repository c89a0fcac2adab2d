//! `lineage.ndjson`: what a run read and wrote, as OpenLineage events: START, then COMPLETE, FAIL or ABORT.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::exit::{self, ExitStatus};
use crate::job::inputs::Input;
use crate::runs::folder::{LINEAGE, RunFolder};
use crate::runs::ledger::entry::Begun;
use crate::runs::ledger::place::table_path;
use crate::runs::ledger::{Entry, Event};
use jiff::civil::Date;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACETS: &str = "https://openlineage.io/spec/facets";
/// Names this program; nothing is looked up there.
const PRODUCER: &str = concat!("urn:sesame:", env!("CARGO_PKG_VERSION"));

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// It began.
    Start,
    /// It published its table, of so many rows and bytes.
    Complete {
        /// Rows of the table.
        rows: u64,
        /// Bytes of the table.
        bytes: u64,
    },
    /// It ended without publishing.
    Fail {
        /// Why.
        because: String,
    },
    /// A signal stopped it.
    Abort,
}

impl Transition {
    /// How an error ends a run.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        match ExitStatus::of(error) {
            ExitStatus::Interrupted => Self::Abort,
            _ => Self::Fail { because: exit::message(error) },
        }
    }
}

/// What the events of a run tell of it.
pub struct Described<'a> {
    /// The run's id.
    pub run: &'a str,
    /// Where its output folder was when it began.
    pub output: &'a str,
    /// The program.
    pub program: &'a str,
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The as-of date and the `name-version` of the model, where they are known.
    pub label: Option<(Date, &'a str)>,
    /// The input files.
    pub inputs: &'a [Input],
}

/// How events write a place.
#[must_use]
pub fn place(path: &Path) -> String {
    crate::runs::remote::shown(&crate::runs::folder::configuration::plain(path))
}

/// How events call an input: a file by its path, an object by its key within its bucket.
fn dataset(uri: &Path) -> (String, String) {
    let of_url = || {
        let (scheme, rest) = uri.to_str()?.split_once("://")?;
        let (bucket, key) = rest.split_once('/')?;
        Some((format!("{scheme}://{bucket}"), key.to_owned()))
    };
    of_url().unwrap_or_else(|| ("file".to_owned(), place(uri)))
}

/// Adds an event to the run's file.
///
/// # Errors
/// When the disk is full.
pub fn emit(run: &RunFolder, of: &Described, transition: &Transition, at: &str) -> Result<()> {
    let mut file = fs_err::OpenOptions::new().append(true).create(true).open(run.path(LINEAGE))?;
    Ok(file.write_all(line(of, transition, at)?.as_bytes())?)
}

/// The events of a run that the ledger tells the end of; nothing when an older version did not tell enough.
///
/// # Errors
/// When the ledger's path is none.
pub fn of_entry(entry: &Entry, inputs: &[Input]) -> Result<Option<String>> {
    let Some(Begun { at: started, output }) = &entry.begun else { return Ok(None) };
    let of = Described {
        run: &entry.run,
        output,
        program: &entry.program,
        pipeline: &entry.pipeline,
        label: Some((entry.as_of, &entry.model)),
        inputs,
    };
    let end = match entry.event {
        Event::Published => {
            let size = entry.size.context("a published table without a size")?;
            Transition::Complete { rows: size.rows, bytes: size.bytes }
        }
        _ => Transition::Fail { because: entry.because.clone().unwrap_or_default() },
    };
    Ok(Some(line(&of, &Transition::Start, started)? + &line(&of, &end, &entry.at)?))
}

fn line(of: &Described, transition: &Transition, at: &str) -> Result<String> {
    Ok(serde_json::to_string(&event(of, transition, at)?)? + "\n")
}

fn event(of: &Described, transition: &Transition, at: &str) -> Result<Value> {
    let facet = |name: &str, version: &str, mut content: Value| {
        content["_producer"] = json!(PRODUCER);
        content["_schemaURL"] = json!(format!("{FACETS}/{version}/{name}.json#/$defs/{name}"));
        content
    };
    // An output in an object store is named by its URL already.
    let namespace = if of.output.contains("://") { of.output.to_owned() } else { format!("file://{}", of.output) };
    let inputs: Vec<Value> = of
        .inputs
        .iter()
        .map(|file| {
            let of = &file.annotations;
            let statistics = json!({ "rowCount": of.rows, "size": of.bytes, "fileCount": 1 });
            let (namespace, name) = dataset(&file.uri);
            json!({
                "namespace": namespace,
                "name": name,
                "inputFacets": { "inputStatistics": facet("InputStatisticsInputDatasetFacet", "1-0-0", statistics) },
            })
        })
        .collect();
    let mut facets = json!({
        "processing_engine": facet("ProcessingEngineRunFacet", "1-1-1", json!({
            "version": env!("CARGO_PKG_VERSION"),
            "name": "sesame",
        })),
    });
    let mut outputs = Vec::new();
    if let Some((as_of, model)) = of.label {
        let day = format!("{as_of}T00:00:00Z");
        facets["nominalTime"] = facet("NominalTimeRunFacet", "1-0-1", json!({ "nominalStartTime": day }));
        outputs.push(json!({ "namespace": "file", "name": format!("{}/{}", of.output, table_path(as_of, model)?) }));
    }
    let kind = match transition {
        Transition::Start => "START",
        Transition::Complete { rows, bytes } => {
            let statistics = json!({ "rowCount": rows, "size": bytes, "fileCount": 1 });
            let statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2", statistics);
            outputs.iter_mut().for_each(|o| o["outputFacets"] = json!({ "outputStatistics": statistics.clone() }));
            "COMPLETE"
        }
        Transition::Fail { because } => {
            let message = json!({ "message": because, "programmingLanguage": "Rust" });
            facets["errorMessage"] = facet("ErrorMessageRunFacet", "1-0-1", message);
            "FAIL"
        }
        Transition::Abort => "ABORT",
    };
    Ok(json!({
        "eventType": kind,
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": { "runId": uuid(&format!("{namespace} {} {}", of.run, of.program)), "facets": facets },
        "job": {
            "namespace": namespace,
            "name": of.pipeline,
            "facets": { "jobType": facet("JobTypeJobFacet", "2-0-4", json!({
                "processingType": "BATCH",
                "integration": "SESAME",
                "jobType": "SCORING",
            })) },
        },
        "inputs": inputs,
        "outputs": outputs,
    }))
}

/// This instant, as events and the ledger write it.
#[must_use]
pub fn now() -> String {
    // A test that compares folders has one time.
    let now = if cfg!(test) { jiff::Timestamp::UNIX_EPOCH } else { jiff::Timestamp::now() };
    let milliseconds = jiff::TimestampRound::new().smallest(jiff::Unit::Millisecond).mode(jiff::RoundMode::Trunc);
    now.round(milliseconds).unwrap_or(now).to_string()
}

/// A UUID (RFC 9562, version 8) of a text: the same run has the same one in all of its events.
fn uuid(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
