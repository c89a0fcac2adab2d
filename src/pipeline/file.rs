//! The pipeline file: which exports, which model, where to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::civil::Date;

use super::finding::{Finding, Source};
use super::overrides;
use super::settings::{Settings, bytes};
use crate::contract::{Contract, parse_day};
use crate::expression::did_you_mean;
use crate::machine::threads::MOST_THREADS;
use crate::storage::encryption::{self, By};
use crate::storage::objects::is_url;
use crate::storage::secret::SecretSource;

/// A pipeline file with its overrides applied.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file it came from.
    pub path: PathBuf,
    /// The text that was parsed: the file, or the file with `--set` values merged in.
    pub text: String,
    /// Whether `--set` changed the text.
    overridden: bool,
    /// Whether it lies in a kept run's folder: then no command that it names is run.
    kept: bool,
    /// The settings.
    pub settings: Settings,
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

    /// Reads the pipeline that a kept run was made with. Whoever can write to an output folder could have written it, so that its
    /// commands are none that the user gave.
    ///
    /// # Errors
    /// When the text is no pipeline.
    pub fn of_kept_run(path: &Path, text: String) -> Result<Self> {
        Ok(Self { kept: true, ..Self::parse(path, text)? })
    }

    fn with_overrides(mut source: Source, overrides: &[String]) -> Result<Self> {
        let path = source.path.clone();
        if !overrides.is_empty() {
            let mut table: toml::Table = source.parse().map_err(anyhow::Error::msg)?;
            for text in overrides {
                overrides::apply(&mut table, text)?;
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
        let mut pipeline = Self { path, text: source.text, overridden, kept: false, settings };
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
        if let Some(url) = self.settings.output.to_str().filter(|text| is_url(text)) {
            if url.contains(['?', '@', '#']) {
                find("output", "`output` holds what may be a key; name keys in the environment of the store".into());
            } else if url.starts_with("http") {
                find("output", format!("`output = \"{url}\"` can only be read; write s3://, az:// or gs://"));
            }
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
        for (key, words) in [("on_success", &self.settings.on_success), ("on_failure", &self.settings.on_failure)] {
            if words.as_ref().is_some_and(|w| w.first().is_none_or(|program| program.trim().is_empty())) {
                find(key, format!("`{key}` names no program; write [\"PROGRAM\", \"ARGUMENT\", …], or leave it out"));
            }
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
        if let Some(Err(e)) =
            self.settings.privacy.ledger_key.as_deref().map(|s| SecretSource::parse("privacy.ledger_key", s))
        {
            find("ledger_key", format!("{e:#}"));
        }
        let keys = &self.settings.privacy.keys;
        keys.faults("privacy.keys").into_iter().for_each(|(key, fault)| find(&key, fault));
        findings
    }

    /// Names the keys of the file to all that reads and writes files in this process; see [`encryption::name`].
    pub fn name_keys(&self) {
        let keys = &self.settings.privacy.keys;
        encryption::name(keys.write.as_deref(), &keys.at, &self.resolve(""), self.said_by());
    }

    /// Who says what the file says.
    #[must_use]
    pub const fn said_by(&self) -> By {
        if self.kept { By::KeptRun } else { By::User }
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
            "yesterday" => Ok(self.settings.time_zone.today()?.yesterday()?),
            text => parse_day(text).context("as_of"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Input;
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
    fn an_output_that_holds_a_key_is_not_shown() {
        for output in ["https://me:s3cr3t@h/x", "s3://s3cr3t@b/x", "https://h/x?sig=s3cr3t"] {
            let all = findings(&[&format!("output='{output}'")]);
            assert!(all.contains("may be a key") && !all.contains("s3cr3t"), "{all}");
        }
        assert!(findings(&["output='https://h/x'"]).contains("can only be read"));
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
        for set in ["privacy.ledger_key=s3cr3t s3cr3t", "privacy.ledger_key=['s3cr3t']", "privacy.keys='s3cr3t'"] {
            let told = load(&[set]).unwrap_err().to_string();
            assert!(told.contains("--set") && !told.contains("s3cr3t"), "{told}");
        }
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
    fn keys_are_named_by_id_and_never_written() {
        let all = findings(&[
            "privacy.keys={ write = '2026-11', at = { '2026-12' = 'c2VjcmV0IGtleSBvZiBtaW5l', 'a b' = 'env:K' } }",
        ]);
        for part in [
            "none of the keys of `privacy.keys.at`",
            "did you mean `2026-12`",
            "never the key itself",
            "an id that is none",
        ] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
        assert!(!all.contains("c2VjcmV0"), "{all}");
        let key = "AAECAwQFBgcICQoLDA0ODw==";
        let all = findings(&[&format!("privacy.keys={{ write = '{key}', at = {{ '{key}' = 'env:K' }} }}")]);
        assert!(all.contains("never the key itself") && !all.contains("AAEC"), "{all}");
        let all = findings(&[&format!("privacy.keys={{ write = '{key}', at = {{ a = 'env:K' }} }}")]);
        assert!(all.contains("takes the id of one") && !all.contains("AAEC"), "{all}");
        assert_eq!(findings(&["privacy.keys={ write = '2026-11', at = { '2026-11' = 'file:k' } }"]), "");
    }

    #[test]
    fn a_finding_names_the_line_of_its_key() {
        assert_eq!(load(&[]).unwrap().finding("currency", String::new()).line, 4);
        assert_eq!(load(&["currency='EUR'"]).unwrap().finding("currency", String::new()).line, 0);
    }
}
