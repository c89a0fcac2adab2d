//! The pipeline file: which exports, which model, where to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::civil::Date;
use serde::Deserialize;

use super::finding::Source;
use crate::contract::{Contract, parse_day};
use crate::expression::did_you_mean;

/// A pipeline file with its overrides applied.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file it came from.
    pub path: PathBuf,
    /// The text that was parsed: the file, or the file with `--set` values merged in.
    pub text: String,
    /// The settings.
    pub settings: Settings,
}

/// The keys of a pipeline file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The pipeline's name; drift is measured against earlier runs of the same name.
    pub name: String,
    /// The model file, relative to the pipeline file.
    pub model: PathBuf,
    /// The as-of date: `YYYY-MM-DD`, or "yesterday" in UTC.
    pub as_of: String,
    /// The currency of every amount, ISO 4217; rows in another are quarantined.
    pub currency: String,
    /// The folder results go to, relative to the pipeline file.
    pub output: PathBuf,
    /// Why every subject may be scored, when there is no `consents` input.
    pub consent_statement: Option<String>,
    /// The exports, by table.
    pub inputs: BTreeMap<String, Input>,
    /// Conditions on the staged result.
    #[serde(default)]
    pub gates: Gates,
    /// What may be shown.
    #[serde(default)]
    pub privacy: Privacy,
    /// How much of the machine a run may use.
    #[serde(default)]
    pub engine: Engine,
}

/// Where an export is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A file, folder or pattern.
    Path(String),
    /// The same, with SQL over each batch that yields the contract's columns from the table `export`.
    Select {
        /// A file, folder or pattern.
        path: String,
        /// Row-wise SQL.
        select: String,
    },
}

impl Input {
    /// The file, folder or pattern.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Select { path, .. } => path,
        }
    }

    /// The SQL over the export.
    #[must_use]
    pub fn select(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Select { select, .. } => Some(select),
        }
    }
}

/// Conditions that a staged result must meet before it is published. A gate that is not set is not checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Largest share of quarantined rows among the visible rows of any table.
    pub max_quarantined_share: Option<f64>,
    /// Smallest share of subjects with a score.
    pub min_scored_share: Option<f64>,
    /// Largest population stability index against the previous published run.
    pub max_psi: Option<f64>,
    /// Largest growth of the quarantined share against the previous published run.
    pub max_quarantined_growth: Option<f64>,
    /// Largest change of a band's share against the previous published run.
    pub max_band_jump: Option<f64>,
    /// Whether propagation must end within its bound.
    pub propagation_converged: Option<bool>,
}

/// What may be shown.
#[derive(Debug, Clone, Deserialize)]
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
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Threads; all cores when not set.
    pub threads: Option<usize>,
    /// Memory for rows waiting to be aggregated, such as "512MB"; what does not fit is spilled.
    pub memory: Option<String>,
    /// Where rows are spilled; the run's own folder when not set.
    pub scratch: Option<PathBuf>,
}

impl Pipeline {
    /// Reads a pipeline file and applies `KEY=VALUE` overrides, whose values are TOML.
    ///
    /// # Errors
    /// When the file cannot be read, is not a pipeline, or an override is malformed; the message names file and line.
    pub fn load(path: &Path, overrides: &[String], contract: &Contract) -> Result<Self> {
        let mut source = Source::read(path)?;
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
        let mut pipeline = Self { path: path.to_owned(), text: source.text, settings };
        pipeline.settings.inputs.retain(|_, input| !input.path().is_empty());
        pipeline.check(contract)?;
        Ok(pipeline)
    }

    fn check(&self, contract: &Contract) -> Result<()> {
        let file = self.path.display();
        for table in self.settings.inputs.keys() {
            let names: Vec<&str> = contract.tables.iter().map(|t| t.name.as_str()).collect();
            if !names.contains(&table.as_str()) {
                bail!("{file}: `inputs.{table}` is no table of the contract{}", did_you_mean(table, names));
            }
        }
        for table in contract.tables.iter().filter(|t| t.required) {
            if !self.settings.inputs.contains_key(&table.name) {
                bail!("{file}: `inputs.{}` is missing: {}", table.name, table.about);
            }
        }
        let consents = self.settings.inputs.contains_key("consents");
        let statement = self.settings.consent_statement.as_deref().is_some_and(|s| !s.trim().is_empty());
        if !consents && !statement {
            bail!(
                "{file}: without an `inputs.consents` table a pipeline must say in `consent_statement = \"…\"` why every subject may be scored"
            );
        }
        let currency = &self.settings.currency;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            bail!("{file}: `currency = \"{currency}\"` is no ISO 4217 code such as \"CNY\"");
        }
        Ok(())
    }

    /// Gates that are set but not checked by this version of the program.
    #[must_use]
    pub fn unchecked_gates(&self) -> Vec<&'static str> {
        let gates = &self.settings.gates;
        let set = [
            ("max_psi", gates.max_psi.is_some()),
            ("max_quarantined_growth", gates.max_quarantined_growth.is_some()),
            ("max_band_jump", gates.max_band_jump.is_some()),
            ("propagation_converged", gates.propagation_converged.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
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
    merge(table, one);
    Ok(())
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) if !new.contains_key("path") => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
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
        Pipeline::load(&path, &overrides, &Contract::load()?)
    }

    #[test]
    fn overrides_set_dotted_keys_and_empty_inputs_are_dropped() {
        let p = load(&["inputs.repayments='r'", "gates.max_psi=0.5", "inputs.consents=''"]).unwrap();
        assert_eq!(p.settings.inputs["repayments"], Input::Path("r".into()));
        assert_eq!(p.settings.gates.max_psi, Some(0.5));
        assert!(!p.settings.inputs.contains_key("consents"));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        assert!(load(&["nonsense"]).unwrap_err().to_string().contains("KEY=VALUE"));
        assert!(load(&["inputs.repayment='r'"]).unwrap_err().to_string().contains("did you mean `repayments`"));
        assert!(
            load(&["inputs.consents=''", "consent_statement=''"])
                .unwrap_err()
                .to_string()
                .contains("consent_statement")
        );
        assert!(load(&["colour=1"]).unwrap_err().to_string().contains("unknown field"));
    }
}
