//! `manifest.json`: what went in, what came out, as an in-toto statement with SLSA provenance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::RunFolder;
use crate::job::dependencies::Dependencies;
use crate::job::inputs::{Digest, Input};
use crate::storage::hashes::{self, Hash};
use crate::storage::{durable, read};
use jiff::civil::Date;

/// The manifest in a run's folder.
pub const MANIFEST: &str = "manifest.json";

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name in the run's folder.
    pub name: String,
    /// Its hash.
    pub digest: Digest,
    /// What it is encrypted with; nothing when it is plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Encrypted>,
}

/// How a file is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encrypted {
    /// The id of the key.
    pub key: String,
    /// Of the table: the hash that it has where it is written plain. Encrypted bytes differ each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Digest>,
}

impl Subject {
    /// The hash that it has where it is written plain, so that what is equal has equal ones.
    #[must_use]
    pub fn plain(&self) -> &Hash {
        let plain = self.annotations.as_ref().and_then(|encrypted| encrypted.plain.as_ref());
        &plain.unwrap_or(&self.digest).blake3
    }
}

/// What a run was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file, which paths of the configuration are relative to.
    pub pipeline_file: PathBuf,
    /// The as-of date.
    pub as_of: Date,
    /// The knowledge cut-off.
    pub known_by: String,
    /// `name-version` of the model.
    pub model: String,
    /// Hash of the model and its catalogue.
    pub model_hash: Hash,
    /// Where the model is kept in the run's folder.
    pub model_file: String,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(rename = "_type")]
    kind: String,
    /// The files of the run's folder.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// How they were made.
    pub predicate: Predicate,
}

/// How the files were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// What was asked for.
    pub build_definition: Definition,
    /// By what.
    pub run_details: Details,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    build_type: String,
    /// The parameters.
    pub external_parameters: Parameters,
    /// What the result depends on, part by part; nothing in those of older versions.
    #[serde(default, skip_serializing_if = "Dependencies::is_empty")]
    pub internal_parameters: Dependencies,
    /// The input files.
    pub resolved_dependencies: Vec<Input>,
}

/// What made the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The program.
    pub builder: Builder,
    /// The run.
    pub metadata: Metadata,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// Its version.
    pub id: String,
    /// The hash of the sources it was built from.
    pub version: BTreeMap<String, String>,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its id.
    pub invocation_id: String,
}

impl Manifest {
    /// A manifest of files whose hashes are known.
    #[must_use]
    pub fn new(
        run: &str,
        parameters: Parameters,
        dependencies: Dependencies,
        inputs: Vec<Input>,
        program: &str,
        build: &str,
        subject: Vec<Subject>,
    ) -> Self {
        Self {
            kind: "https://in-toto.io/Statement/v1".to_owned(),
            subject,
            predicate_type: "https://slsa.dev/provenance/v1".to_owned(),
            predicate: Predicate {
                build_definition: Definition {
                    build_type: "sesame/run/v1".to_owned(),
                    external_parameters: parameters,
                    internal_parameters: dependencies,
                    resolved_dependencies: inputs,
                },
                run_details: Details {
                    builder: Builder {
                        id: program.to_owned(),
                        version: BTreeMap::from([("sources".to_owned(), build.to_owned())]),
                    },
                    metadata: Metadata { invocation_id: run.to_owned() },
                },
            },
        }
    }

    /// Writes the manifest durably and returns its hash.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&self, run: &RunFolder) -> Result<Hash> {
        durable::replace(&run.path(MANIFEST), (serde_json::to_string_pretty(self)? + "\n").as_bytes())?;
        hashes::file(&run.path(MANIFEST))
    }

    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// When there is none, or it is none.
    pub fn read(run: &RunFolder) -> Result<Self> {
        let path = run.path(MANIFEST);
        let text = read::text(&path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is no manifest", path.display()))
    }

    /// The parameters.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.predicate.build_definition.external_parameters
    }

    /// What the result depends on, part by part.
    #[must_use]
    pub const fn dependencies(&self) -> &Dependencies {
        &self.predicate.build_definition.internal_parameters
    }

    /// One of the files of the run's folder.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Subject> {
        self.subject.iter().find(|file| file.name == name)
    }

    /// The input files.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.predicate.build_definition.resolved_dependencies
    }

    /// Hash of the program's sources.
    #[must_use]
    pub fn build(&self) -> Option<&str> {
        self.predicate.run_details.builder.version.get("sources").map(String::as_str)
    }

    /// Version of the program.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.predicate.run_details.builder.id
    }
}

/// A file of a run with its hash.
///
/// # Errors
/// When it cannot be read.
pub fn subject(run: &RunFolder, name: &str) -> Result<Subject> {
    let path: &Path = &run.path(name);
    Ok(Subject { name: name.to_owned(), digest: Digest { blake3: hashes::file(path)? }, annotations: None })
}
