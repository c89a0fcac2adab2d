//! The pipeline file: which exports, which model, where to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;

use super::finding::{Finding, Source};
use super::gates::Gates;
use super::marks::Marks;
use crate::contract::{Contract, parse_day};
use crate::expression::did_you_mean;
use crate::machine::MOST_THREADS;
use crate::storage::key::KeySource;

/// A pipeline file with its overrides applied.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file it came from.
    pub path: PathBuf,
    /// The text that was parsed: the file, or the file with `--set` values merged in.
    pub text: String,
    /// Whether `--set` changed the text.
    overridden: bool,
    /// The settings.
    pub settings: Settings,
}

/// The keys of a pipeline file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The pipeline's name; drift is measured against earlier runs of the same name.
    pub name: String,
    /// The model file, relative to the pipeline file.
    pub model: PathBuf,
    /// The as-of date: `YYYY-MM-DD`, or "yesterday" in UTC.
    #[serde(deserialize_with = "date_text")]
    pub as_of: String,
    /// The currency of every amount, ISO 4217; rows in another are quarantined.
    pub currency: String,
    /// The folder results go to, relative to the pipeline file.
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
    /// How much of the machine a run may use.
    #[serde(default)]
    pub engine: Engine,
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
    /// A file, folder or pattern.
    pub path: String,
    /// Row-wise SQL.
    pub select: Option<String>,
}

/// How an input may be written.
#[derive(JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is wanted")]
enum InputShape {
    /// A file, folder or pattern.
    Path(String),
    /// The same with row-wise SQL over the table `export` that yields the contract's columns.
    Selected {
        /// A file, folder or pattern.
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
}

const fn default_min_cell() -> u64 {
    10
}

impl Default for Privacy {
    fn default() -> Self {
        Self { min_cell: default_min_cell(), ledger_key: None }
    }
}

/// How much of the machine a run may use.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Threads; all cores when not set.
    pub threads: Option<usize>,
    /// Memory for rows waiting to be aggregated, such as "512MB"; what does not fit is spilled.
    pub memory: Option<String>,
    /// Where rows are spilled; the run's own folder when not set.
    pub scratch: Option<PathBuf>,
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

impl Pipeline {
    /// Reads a pipeline file and applies `KEY=VALUE` overrides, whose values are TOML. What it says is not yet checked;
    /// see [`Pipeline::findings`].
    ///
    /// # Errors
    /// When the file cannot be read, is not a pipeline, or an override is malformed; the message names file and line.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::with_overrides(Source::read(path)?, overrides)
    }

    /// Reads a pipeline from its text, as if it stood in a file.
    ///
    /// # Errors
    /// When the text is no pipeline.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        Self::with_overrides(Source { path: path.to_owned(), text }, &[])
    }

    fn with_overrides(mut source: Source, overrides: &[String]) -> Result<Self> {
        let path = source.path.clone();
        if !overrides.is_empty() {
            let mut table: toml::Table = source.parse().map_err(anyhow::Error::msg)?;
            for text in overrides {
                apply(&mut table, text)?;
            }
            source.text = toml::to_string(&table)?;
        }
        let settings: Settings = source.parse().map_err(|f| {
            if overrides.is_empty() {
                anyhow::Error::msg(f)
            } else {
                anyhow::anyhow!("{} with --set: {}", path.display(), f.message)
            }
        })?;
        let overridden = !overrides.is_empty();
        let mut pipeline = Self { path, text: source.text, overridden, settings };
        pipeline.settings.inputs.retain(|_, input| !input.path.is_empty());
        Ok(pipeline)
    }

    /// Everything the contract and common sense hold against the settings.
    #[must_use]
    pub fn findings(&self, contract: &Contract) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |key: &str, message: String| findings.push(self.finding(key, message));
        let names: Vec<&str> = contract.tables.iter().map(|t| t.name.as_str()).collect();
        for table in self.settings.inputs.keys().filter(|t| !names.contains(&t.as_str())) {
            let hint = did_you_mean(table, names.iter().copied());
            find(table, format!("`inputs.{table}` is no table of the contract{hint}"));
        }
        for table in contract.tables.iter().filter(|t| t.required && !self.settings.inputs.contains_key(&t.name)) {
            find("", format!("`inputs.{}` is missing: {}", table.name, table.about));
        }
        let consents = self.settings.inputs.contains_key("consents");
        let statement = self.settings.consent_statement.as_deref().is_some_and(|s| !s.trim().is_empty());
        if !consents && !statement {
            find(
                "consent_statement",
                "without an `inputs.consents` table a pipeline must say in `consent_statement = \"…\"` why every subject may be scored".into(),
            );
        }
        if self.settings.output.as_os_str().is_empty() {
            find("output", "`output = \"\"` would be the folder of the pipeline file; name one of its own".into());
        }
        for (key, path) in [("", self.path.clone()), ("output", self.resolve(&self.settings.output))] {
            if std::path::absolute(&path).unwrap_or(path.clone()).to_str().is_none() {
                find(
                    key,
                    format!("the path {} is not UTF-8, in which everything that names it is written", path.display()),
                );
            }
        }
        let currency = &self.settings.currency;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            find("currency", format!("`currency = \"{currency}\"` is no ISO 4217 code such as \"CNY\""));
        }
        if let Some(fault) = self.settings.report.fault() {
            find("report", fault);
        }
        let engine = &self.settings.engine;
        if let Some(threads) = engine.threads.filter(|n| !(1..=MOST_THREADS).contains(n)) {
            find("threads", format!("`engine.threads = {threads}`: write 1 to {MOST_THREADS}"));
        }
        if let Some(Err(e)) = engine.memory.as_deref().map(bytes) {
            find("memory", format!("`engine.memory`: {e:#}"));
        }
        for (key, fault) in self.settings.gates().faults(contract) {
            find(key, fault);
        }
        if let Some(Err(e)) = self.settings.privacy.ledger_key.as_deref().map(KeySource::parse) {
            find("ledger_key", format!("{e:#}"));
        }
        findings
    }

    /// A finding about a key of the file.
    #[must_use]
    pub fn finding(&self, key: &str, message: String) -> Finding {
        let is =
            |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        // With overrides the text is no longer the file's, and its lines tell nothing.
        let known = !self.overridden && !key.is_empty();
        let line = self.text.lines().position(is).filter(|_| known).map_or(0, |line| line + 1);
        Finding { file: self.path.clone(), line, message }
    }

    /// A path of the file, relative to the file.
    #[must_use]
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        folder.join(path)
    }

    /// The as-of date: the flag's, or the file's.
    ///
    /// # Errors
    /// When neither is a date or "yesterday".
    pub fn as_of(&self, flag: Option<&str>) -> Result<Date> {
        match flag.unwrap_or(&self.settings.as_of) {
            "yesterday" => Ok(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().yesterday()?),
            text => parse_day(text).context("as_of"),
        }
    }
}

/// Sets one dotted key of a pipeline to a TOML value.
fn apply(table: &mut toml::Table, text: &str) -> Result<()> {
    let one: toml::Table = toml::from_str(text).map_err(|e| {
        anyhow::anyhow!(
            "--set '{text}': {}; write KEY=VALUE with a TOML value, such as 'output=\"/srv/scores\"'",
            e.message().trim()
        )
    })?;
    let ends = text.match_indices('=').map(|(at, _)| at);
    // The key ends where a key alone is one of TOML: a quoted part of it may hold the sign.
    let keys = ends.filter_map(|at| toml::from_str::<toml::Table>(&format!("{}=0", &text[..at])).ok());
    set(table, one, depth(&keys.take(1).next().unwrap_or_default()));
    Ok(())
}

/// The number of parts of the dotted key that a table was made of.
fn depth(of: &toml::Table) -> usize {
    match of.values().next() {
        Some(toml::Value::Table(inner)) => 1 + depth(inner),
        _ => 1,
    }
}

/// Sets what stands so many keys deep in `from`, in place of what stood there.
fn set(into: &mut toml::Table, from: toml::Table, depth: usize) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) if depth > 1 => set(old, new, depth - 1),
            // An input that is only a path becomes a table when another key of it is set.
            (Some(old @ toml::Value::String(_)), toml::Value::Table(mut new)) if depth > 1 => {
                let path = old.clone();
                new.entry("path").or_insert(path);
                *old = toml::Value::Table(new);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Bytes from a text such as `512MB`, `2GiB` or a plain number.
///
/// # Errors
/// When the text is no size.
pub fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => anyhow::bail!("'{text}' is no size; write 512MB or 2GB"),
    };
    let number: u64 = digits.trim().parse().with_context(|| format!("'{text}' is no size; write 512MB or 2GB"))?;
    number.checked_mul(unit).with_context(|| format!("'{text}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name='n'\nmodel='m'\nas_of='2025-01-31'\ncurrency='CNY'\noutput='o'\nconsent_statement='all agreed'\n[inputs]\nsubjects='s.parquet'\nconsents='c'\n";

    fn load(overrides: &[&str]) -> Result<Pipeline> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("p.toml");
        fs_err::write(&path, TEXT)?;
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Pipeline::load(&path, &overrides)
    }

    fn findings(overrides: &[&str]) -> String {
        let found = load(overrides).unwrap().findings(&Contract::load().unwrap());
        found.iter().map(|f| f.message.clone()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn overrides_set_dotted_keys_and_empty_inputs_are_dropped() {
        let p = load(&["inputs.repayments='r'", "gates.max_psi=0.5", "inputs.consents=''"]).unwrap();
        assert_eq!(p.settings.inputs["repayments"], Input { path: "r".into(), select: None });
        assert_eq!(p.settings.gates().max_psi, Some(0.5));
        assert!(!p.settings.inputs.contains_key("consents"));
    }

    #[test]
    fn an_output_has_a_name() {
        assert!(findings(&["output=''"]).contains("name one of its own"));
        assert!(!findings(&["output='o'"]).contains("name one of its own"));
    }

    #[test]
    fn the_parts_of_an_input_are_set_one_by_one() {
        let input = |overrides: &[&str]| load(overrides).unwrap().settings.inputs["subjects"].clone();
        let select = Some("SELECT * FROM export".to_owned());
        let set = "inputs.subjects.select='SELECT * FROM export'";
        assert_eq!(input(&[set]), Input { path: "s.parquet".into(), select: select.clone() });
        assert_eq!(input(&[set, "inputs.subjects.path='t'"]), Input { path: "t".into(), select });
        assert_eq!(input(&[set, "inputs.subjects='t'"]), Input { path: "t".into(), select: None });
        assert_eq!(input(&[set, "inputs.subjects.select=''"]).select, None);
        assert_eq!(input(&[set, "inputs.subjects={ path = 't' }"]), Input { path: "t".into(), select: None });
        let gates = load(&["gates={ max_psi = 0.5, max_band_jump = 0.1 }", "gates={ max_psi = 0.6 }"])
            .unwrap()
            .settings
            .gates();
        assert_eq!((gates.max_psi, gates.max_band_jump), (Some(0.6), None));
        let error = load(&["inputs.subjects={ path = 's', slect = 'x' }"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `select`"), "{error}");
    }

    #[test]
    fn sizes_are_read_in_powers_of_two() {
        assert_eq!(bytes("512MB").unwrap(), 512 << 20);
        assert_eq!(bytes("2 GiB").unwrap(), 2 << 30);
        assert_eq!(bytes("100").unwrap(), 100);
        assert!(bytes("much").unwrap_err().to_string().contains("512MB"));
        assert!(bytes("99999999999GB").unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        assert!(load(&["nonsense"]).unwrap_err().to_string().contains("KEY=VALUE"));
        assert!(load(&["colour=1"]).unwrap_err().to_string().contains("unknown field"));
    }
    #[test]
    fn everything_wrong_with_the_settings_is_said_at_once() {
        let all = findings(&[
            "inputs.repayment='r'",
            "inputs.consents=''",
            "consent_statement=' '",
            "currency='yuan'",
            "gates.max_band_jump=nan",
        ]);
        for part in ["did you mean `repayments`", "consent_statement", "ISO 4217", "`gates.max_band_jump = NaN`"] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
        assert_eq!(findings(&[]), "");
    }

    #[test]
    fn a_finding_names_the_line_of_its_key() {
        assert_eq!(load(&[]).unwrap().finding("currency", String::new()).line, 4);
        assert_eq!(load(&["currency='EUR'"]).unwrap().finding("currency", String::new()).line, 0);
    }
}
