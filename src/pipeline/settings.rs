//! The keys of a pipeline file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::gates::Gates;
use super::marks::Marks;
use crate::contract::Zone;
use crate::expression::did_you_mean;
use crate::storage::encryption::{FileKey, KeyError};
use crate::storage::key_text::{is_id, is_key, shown};
use crate::storage::secret::SecretSource;

/// The keys of a pipeline file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The pipeline's name; drift is measured against earlier runs of the same name.
    pub name: String,
    /// The model file, relative to the pipeline file.
    pub model: PathBuf,
    /// The as-of date: `YYYY-MM-DD`, or "yesterday" in the time zone.
    #[serde(deserialize_with = "date_text")]
    pub as_of: String,
    /// The time zone in which days begin and end, such as "Asia/Shanghai"; UTC when not given.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub time_zone: Zone,
    /// The currency of every amount, ISO 4217; rows in another are quarantined.
    pub currency: String,
    /// The folder results go to, relative to the pipeline file, or the URL of a place in an object store.
    pub output: PathBuf,
    /// Who may read what is written: the user that runs the program, or its group as well.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// Why every subject may be scored, when there is no `consents` input.
    pub consent_statement: Option<String>,
    /// The exports, by table.
    #[schemars(with = "BTreeMap<String, InputShape>")]
    pub inputs: BTreeMap<String, Input>,
    /// Conditions on the staged result; without this section all gates have their usual limits.
    gates: Option<Gates>,
    /// What may be shown.
    #[serde(default)]
    pub privacy: Privacy,
    /// What the audit's page marks as worth a look.
    #[serde(default)]
    pub report: Marks,
    /// The file of the partners that scores may be released to; `partners.toml` beside the pipeline file when not given.
    pub partners: Option<PathBuf>,
    /// How much of the machine a run may use.
    #[serde(default)]
    pub engine: Engine,
    /// A program and its arguments, called when a run or backfill ended well; variables `SESAME_…` tell what happened.
    pub on_success: Option<Vec<String>>,
    /// The same, called when it ended otherwise.
    pub on_failure: Option<Vec<String>>,
}

/// Who may read what a run writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// The user that runs the program: files 0600, folders 0700.
    #[default]
    Owner,
    /// Its group as well: files 0640, folders 0750.
    Group,
}

/// Where an export is, and the SQL over each batch that yields the contract's columns from the table `export`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Input {
    /// A file, folder or pattern, or the URL of such.
    pub path: String,
    /// Row-wise SQL.
    pub select: Option<String>,
}

/// How an input may be written.
#[derive(JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is wanted")]
enum InputShape {
    /// A file, folder or pattern, or the URL of such.
    Path(String),
    /// The same with row-wise SQL over the table `export` that yields the contract's columns.
    Selected {
        /// A file, folder or pattern, or the URL of such.
        path: String,
        /// Row-wise SQL.
        select: Option<String>,
    },
}

impl TryFrom<toml::Value> for Input {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let table = match value {
            toml::Value::String(path) => return Ok(Self { path, select: None }),
            toml::Value::Table(table) => table,
            other => return Err(format!("an input is a path or {{ path = …, select = … }}, not {}", other.type_str())),
        };
        let mut input = Self { path: String::new(), select: None };
        for (key, value) in table {
            let toml::Value::String(text) = value else { return Err(format!("`{key}` of an input is text")) };
            match key.as_str() {
                "path" => input.path = text,
                "select" => input.select = Some(text).filter(|t| !t.trim().is_empty()),
                _ => {
                    let hint = did_you_mean(&key, ["path", "select"]);
                    return Err(format!("`{key}` is no key of an input{hint}; there are `path` and `select`"));
                }
            }
        }
        Ok(input)
    }
}

/// A date as text, with or without quotes in the file.
fn date_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Datetime(date) => Ok(date.to_string()),
        other => Err(serde::de::Error::custom(format!("a date or \"yesterday\", not {}", other.type_str()))),
    }
}

/// What may be shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Smallest count of subjects shown anywhere.
    #[serde(default = "default_min_cell")]
    pub min_cell: u64,
    /// Where the ledger's key is: `env:NAME` or `file:PATH`.
    pub ledger_key: Option<String>,
    /// The keys that files are encrypted with, by reference.
    #[serde(default)]
    pub keys: FileKeys,
}

/// What is wrong with an id that could be the text of a key.
pub(super) const LIKE_A_KEY: &str =
    "an id reads like a key itself (the text of 16 or 32 bytes); call it otherwise, never by the key";

/// The keys that files are encrypted with, by reference; without any nothing is encrypted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileKeys {
    /// The id of the key that new files are written with, one of those of `at`; without it new files are plain.
    pub write: Option<String>,
    /// Where each key is, by its id, which stands in the files: `env:NAME`, `file:PATH` or `cmd:COMMAND`. What is there is the base64 or
    /// the hexadecimal digits of 16 or 32 bytes.
    #[serde(default)]
    pub at: BTreeMap<String, String>,
}

impl FileKeys {
    /// What is wrong with them, each with the key of the file that it is about; `place` is where they stand. What may be a key that
    /// stands in the place of its id is not repeated.
    #[must_use]
    pub fn faults(&self, place: &str) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (id, source) in &self.at {
            if !is_id(id) {
                let fault = "an id that is none; use up to 64 letters, digits, `.`, `_` and `-`, never the key itself";
                faults.push((id.clone(), format!("`{place}.at`: {fault}")));
            } else if is_key(id) {
                faults.push((id.clone(), format!("`{place}.at`: {LIKE_A_KEY}")));
            }
            if let Err(e) = SecretSource::parse(&format!("{place}.at.{}", shown(id)), source) {
                faults.push((id.clone(), format!("{e:#}")));
            }
        }
        if let Some(id) = self.write.as_ref().filter(|id| !self.at.contains_key(*id)) {
            let none = format!("is none of the keys of `{place}.at`");
            let ids = self.at.keys().map(String::as_str).filter(|id| shown(id) == *id);
            let fault = match shown(id) == id {
                true => format!("`{place}.write = {id:?}` {none}{}", did_you_mean(id, ids)),
                false => format!("`{place}.write` {none}; it takes the id of one, never the key itself"),
            };
            faults.push(("write".to_owned(), fault));
        }
        faults
    }

    /// Reads the key to write with from where these keys say that it is, whatever else is named by its id; nothing when what is written
    /// stays plain. `place` is where they stand.
    ///
    /// # Errors
    /// When it is named and not to be had.
    pub fn writes(&self, place: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Option<Arc<FileKey>>, KeyError> {
        let Some(id) = &self.write else { return Ok(None) };
        let what = format!("{place}.at.{}", shown(id));
        let source = self.at.get(id).ok_or_else(|| KeyError(format!("{what} is not there, and `write` names it")))?;
        FileKey::read(&what, id, source, resolve).map(|key| Some(Arc::new(key)))
    }
}

const fn default_min_cell() -> u64 {
    10
}

impl Default for Privacy {
    fn default() -> Self {
        Self { min_cell: default_min_cell(), ledger_key: None, keys: FileKeys::default() }
    }
}

/// How much of the machine a run may use.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Threads; all cores when not set.
    pub threads: Option<usize>,
    /// Memory for rows waiting to be aggregated, such as "512MB"; what does not fit is spilled. An eighth of what is free when not set.
    pub memory: Option<String>,
    /// Where rows are spilled; the run's own folder when not set.
    pub scratch: Option<PathBuf>,
    /// Whether rows are kept for the runs of later dates: true from the first run on, false never; when not set, of tables of which an
    /// earlier run read a file that is still there.
    pub keep_rows: Option<bool>,
}

impl Settings {
    /// Whether the file has a section of gates.
    #[must_use]
    pub const fn names_gates(&self) -> bool {
        self.gates.is_some()
    }

    /// The gates: those of the file, or all with their usual limits when it has no section.
    #[must_use]
    pub fn gates(&self) -> Gates {
        self.gates.clone().unwrap_or_else(Gates::usual)
    }
}

/// Bytes from a text such as `512MB`, `2GiB` or a plain number; all units are powers of two.
///
/// # Errors
/// When the text is no size.
pub fn bytes(text: &str) -> Result<u64> {
    let config = parse_size::Config::new().with_binary();
    config.parse_size(text).map_err(|error| match error {
        parse_size::Error::PosOverflow => anyhow!("'{text}' is too large"),
        _ => anyhow!("'{text}' is no size; write 512MB or 2GB"),
    })
}
