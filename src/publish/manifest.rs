//! `manifest.json`: what went in, what came out, as an in-toto statement.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::hashes;

/// What a manifest says beyond the outputs' hashes.
pub struct Provenance {
    /// The run's id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file as it was used.
    pub configuration: String,
    /// Hash of the model and catalogue.
    pub model_hash: String,
    /// `name-version` of the model.
    pub model: String,
    /// The as-of date.
    pub as_of: String,
    /// The knowledge cut-off.
    pub known_by: String,
    /// Version of the program.
    pub program: String,
    /// Input files: table, label, rows, bytes, hash.
    pub inputs: Vec<Value>,
}

/// Writes the manifest over the run's output files.
///
/// # Errors
/// When an output cannot be read or the manifest not written.
pub fn write(folder: &Path, provenance: &Provenance, outputs: &[&str]) -> Result<()> {
    let mut subject = Vec::new();
    for name in outputs {
        subject.push(json!({ "name": name, "digest": { "blake3": hashes::file(&folder.join(name))? } }));
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "sesame/run/v1",
                "externalParameters": {
                    "pipeline": provenance.pipeline,
                    "as_of": provenance.as_of,
                    "known_by": provenance.known_by,
                    "model": provenance.model,
                    "model_hash": provenance.model_hash,
                    "configuration": provenance.configuration,
                },
                "resolvedDependencies": provenance.inputs,
            },
            "runDetails": { "builder": { "id": provenance.program }, "metadata": { "invocationId": provenance.run } },
        },
    });
    let mut text = serde_json::to_string_pretty(&statement)?;
    text.push('\n');
    fs_err::write(folder.join("manifest.json"), text)?;
    Ok(())
}
