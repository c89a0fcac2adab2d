//! `lineage.ndjson`: what a run read and wrote, as OpenLineage events: START, then COMPLETE, FAIL or ABORT.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::folder::RunFolder;
use super::identity::{Identity, PROGRAM};
use super::publication::table_path;
use crate::ingest::export::OpenFile;
use crate::job::Job;

const LINEAGE: &str = "lineage.ndjson";
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

/// Adds an event to the run's file.
///
/// # Errors
/// When the disk is full.
pub fn emit(run: &RunFolder, job: &Job, identity: &Identity, transition: &Transition) -> Result<()> {
    let mut file = fs_err::OpenOptions::new().append(true).create(true).open(run.path(LINEAGE))?;
    let event = event(run, job, identity, transition);
    Ok(file.write_all((serde_json::to_string(&event)? + "\n").as_bytes())?)
}

fn event(run: &RunFolder, job: &Job, identity: &Identity, transition: &Transition) -> Value {
    let facet = |name: &str, version: &str, mut content: Value| {
        content["_producer"] = json!(PRODUCER);
        content["_schemaURL"] = json!(format!("{FACETS}/{version}/{name}.json#/$defs/{name}"));
        content
    };
    let namespace = format!("file://{}", absolute(&run.output));
    let inputs: Vec<Value> = job
        .exports
        .iter()
        .flat_map(|export| export.files.iter())
        .map(|file: &OpenFile| {
            let statistics = json!({ "rowCount": file.rows(), "size": file.bytes, "fileCount": 1 });
            json!({
                "namespace": "file",
                "name": absolute(&file.file.path),
                "inputFacets": { "inputStatistics": facet("InputStatisticsInputDatasetFacet", "1-0-0", statistics) },
            })
        })
        .collect();
    let table = run.output.join(table_path(&identity.label.as_of, &identity.label.model));
    let mut output = json!({ "namespace": "file", "name": absolute(&table) });
    let day = format!("{}T00:00:00Z", identity.label.as_of);
    let mut facets = json!({
        "nominalTime": facet("NominalTimeRunFacet", "1-0-1", json!({ "nominalStartTime": day })),
        "processing_engine": facet("ProcessingEngineRunFacet", "1-1-1", json!({
            "version": env!("CARGO_PKG_VERSION"),
            "name": "sesame",
        })),
    });
    let kind = match transition {
        Transition::Start => "START",
        Transition::Complete { rows, bytes } => {
            let statistics = json!({ "rowCount": rows, "size": bytes, "fileCount": 1 });
            let statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2", statistics);
            output["outputFacets"] = json!({ "outputStatistics": statistics });
            "COMPLETE"
        }
        Transition::Fail { because } => {
            let message = json!({ "message": because, "programmingLanguage": "Rust" });
            facets["errorMessage"] = facet("ErrorMessageRunFacet", "1-0-1", message);
            "FAIL"
        }
        Transition::Abort => "ABORT",
    };
    json!({
        "eventType": kind,
        "eventTime": jiff::Timestamp::now().to_string(),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": { "runId": uuid(&format!("{namespace} {} {PROGRAM}", run.id)), "facets": facets },
        "job": {
            "namespace": namespace,
            "name": job.pipeline.settings.name,
            "facets": { "jobType": facet("JobTypeJobFacet", "2-0-4", json!({
                "processingType": "BATCH",
                "integration": "SESAME",
                "jobType": "SCORING",
            })) },
        },
        "inputs": inputs,
        "outputs": [output],
    })
}

fn absolute(path: &std::path::Path) -> String {
    super::configuration::plain(path).display().to_string()
}

/// A UUID (RFC 9562, version 8) of a text: the same run has the same one in all of its events.
fn uuid(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
