//! The file of partners: to whom scores may be released, which columns, and under which pseudonyms.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::file::Pipeline;
use super::finding::{Findings, Source};
use super::settings::{FileKeys, LIKE_A_KEY};
use crate::expression::did_you_mean;
use crate::storage::encryption::{self, By, FileKey, KeyError};
use crate::storage::key_text::{is_key, shown};
use crate::storage::secret::SecretSource;

/// The file beside a pipeline file that names none.
const USUAL: &str = "partners.toml";

/// The keys of a file of partners.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnersFile {
    /// Who may be given scores.
    #[schemars(with = "Vec<Partner>")]
    pub partner: Vec<Spanned<Partner>>,
}

/// Who may be given scores, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    /// Its id, as consents name it in `partner_id`; letters, digits, `-`, `_` and `.`, for it names a folder.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What it is told of a subject; the band when not given.
    #[serde(default = "usual_columns")]
    pub columns: Vec<Told>,
    /// The privilege of the model whose cut-off the column `above` is about.
    pub privilege: Option<String>,
    /// Where the key of its pseudonyms is: `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    pub key: String,
    /// What the key is called; another key has another name.
    pub key_id: String,
    /// The period of the pseudonyms, such as "2026-Q4": those of two periods cannot be joined.
    pub key_period: Option<String>,
    /// Whether the partner may join what it gets over all periods; then there is no `key_period`.
    #[serde(default)]
    pub join_periods: bool,
    /// Keys of earlier releases, so that withdrawals reach what was given under them.
    #[serde(default)]
    pub earlier_keys: Vec<EarlierKey>,
    /// The keys that its tables are encrypted with, by reference; without them they are plain, whatever the pipeline's own tables are.
    #[serde(default)]
    pub file_keys: FileKeys,
    /// Names of keys that nobody has any more: all that was given under one is listed as withdrawn.
    #[serde(default)]
    pub lost_keys: Vec<String>,
}

/// A key of earlier releases.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlierKey {
    /// What it is called.
    pub id: String,
    /// Where it is: `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    pub key: String,
}

/// What a partner is told of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Whether the score reaches a privilege's cut-off.
    Above,
    /// The band.
    Band,
    /// The score.
    Score,
    /// Of a hundred scored subjects, how many have a lower score.
    Percentile,
}

impl Told {
    /// The name of its column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Band => "band",
            Self::Score => "score",
            Self::Percentile => "percentile",
        }
    }
}

fn usual_columns() -> Vec<Told> {
    vec![Told::Band]
}

/// The partners of a pipeline, found to be in order.
#[derive(Debug, Clone)]
pub struct Partners {
    /// The file.
    pub path: PathBuf,
    partners: Vec<Partner>,
}

/// Whether a text may name a folder: a partner, a key or a period.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let lawful = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 100 && text.chars().all(lawful) && !text.starts_with('.')
}

impl Partners {
    /// Where a pipeline's file of partners is.
    #[must_use]
    pub fn place(pipeline: &Pipeline) -> PathBuf {
        pipeline.resolve(pipeline.settings.partners.as_deref().unwrap_or_else(|| Path::new(USUAL)))
    }

    /// Reads the partners of a pipeline.
    ///
    /// # Errors
    /// Everything that is wrong with the file at once, or that there is none.
    pub fn load(pipeline: &Pipeline) -> Result<Self> {
        let path = Self::place(pipeline);
        if !path.exists() {
            bail!(
                "there is no file {}: it declares who may be given scores; write one, or name it with `partners` in the pipeline file",
                path.display()
            );
        }
        let source = Source::read(&path)?;
        let (partners, spans) = Self::read(&source)?;
        let own = &pipeline.settings.privacy.keys.at;
        let taken =
            partners.partners.iter().zip(spans).filter(|(partner, _)| partner.writes_as(|id| own.contains_key(id)));
        let told = |(partner, span): (&Partner, Range<usize>)| {
            source.finding(&span, partner.named(&partner.taken("in [privacy.keys.at]")))
        };
        Ok(Findings(taken.map(told).collect()).or(partners)?)
    }

    /// Reads partners from the text of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it at once.
    pub fn parse(source: &Source) -> Result<Self> {
        Ok(Self::read(source)?.0)
    }

    /// The partners, and where in the text each stands.
    fn read(source: &Source) -> Result<(Self, Vec<Range<usize>>)> {
        let file: PartnersFile = source.parse_discreetly().map_err(|finding| Findings(vec![finding]))?;
        let (mut findings, mut seen) = (Vec::new(), BTreeSet::new());
        for partner in &file.partner {
            let it = partner.get_ref();
            let mut faults = it.faults();
            if !seen.insert(&it.id) {
                faults.push("it stands twice".to_owned());
            }
            let mut others = file.partner.iter().map(Spanned::get_ref).filter(|other| other.id != it.id);
            let differs = |id: &str, other: &Partner| {
                other.file_keys.at.get(id).is_some_and(|source| Some(source) != it.file_keys.at.get(id))
            };
            if it.writes_as(|id| others.any(|other| differs(id, other))) {
                faults.push(it.taken("by another partner, with another place for the key,"));
            }
            findings.extend(faults.iter().map(|fault| source.finding(&partner.span(), it.named(fault))));
        }
        let spans = file.partner.iter().map(Spanned::span).collect();
        let partners = file.partner.into_iter().map(Spanned::into_inner).collect();
        Ok(Findings(findings).or((Self { path: source.path.clone(), partners }, spans))?)
    }

    /// All of them, as they are declared.
    pub fn all(&self) -> impl Iterator<Item = &Partner> {
        self.partners.iter()
    }

    /// The partner of an id.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, id: &str) -> Result<&Partner> {
        let found = self.partners.iter().find(|p| p.id == id);
        if let Some(partner) = found {
            return Ok(partner);
        }
        let hint = did_you_mean(id, self.partners.iter().map(|p| p.id.as_str()));
        bail!("{} declares no partner `{id}`{hint}", self.path.display())
    }

    /// Names the keys that partners' tables are encrypted with, to be read with; see [`encryption::name`].
    pub fn name_keys(&self) {
        let name = |partner: &Partner| encryption::name(None, &partner.file_keys.at, &self.resolve(""), By::User);
        self.partners.iter().for_each(name);
    }

    /// The key that a partner's tables are encrypted with, read from where the partner's own declaration says that it is; nothing when
    /// they stay plain.
    ///
    /// # Errors
    /// When it is named and not to be had.
    pub fn file_key(&self, partner: &Partner) -> Result<Option<Arc<FileKey>>, KeyError> {
        let place = format!("{}: the partner {}: file_keys", self.path.display(), partner.id);
        partner.file_keys.writes(&place, |path| self.resolve(path))
    }

    /// A path of the file, relative to the file.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new(".")).join(path)
    }
}

impl Partner {
    /// Where all of its keys are: those of its pseudonyms and those of its files.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier_keys.iter().map(|key| &key.key);
        std::iter::once(&self.key).chain(earlier).chain(self.file_keys.at.values()).map(String::as_str)
    }

    /// Whether the id that its tables are written with is one of some. An earlier id may be: what opens a file tries all keys of its id.
    fn writes_as(&self, is_taken: impl FnOnce(&str) -> bool) -> bool {
        self.file_keys.write.as_deref().is_some_and(is_taken)
    }

    /// What is wrong with it, with its name.
    fn named(&self, fault: &str) -> String {
        format!("the partner `{}`: {fault}", shown(&self.id))
    }

    /// What is wrong with the id that its tables are written with.
    fn taken(&self, by: &str) -> String {
        let id = shown(self.file_keys.write.as_deref().unwrap_or_default());
        format!(
            "`file_keys.write`: the id `{id}` is named {by} as well; write with another id, and leave this one under `at` for what was \
             given under it"
        )
    }

    /// The columns it is told, each once, in their order.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.columns.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What is wrong with what is declared.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let names = [("id", Some(&self.id)), ("key_id", Some(&self.key_id)), ("key_period", self.key_period.as_ref())];
        for (key, text) in names.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            if !is_plain_name(text) {
                faults.push(format!(
                    "`{key}` consists of letters, digits, `-`, `_` and `.`, and begins with none of these dots"
                ));
            } else if is_key(text) {
                faults.push(format!("`{key}`: {LIKE_A_KEY}"));
            }
        }
        if self.columns.is_empty() {
            faults.push("`columns = []` tells nothing; leave it out for the band alone".to_owned());
        }
        match (self.columns.contains(&Told::Above), &self.privilege) {
            (true, None) => faults.push("the column `above` needs `privilege = \"…\"`, one of the model's".to_owned()),
            (false, Some(_)) => {
                faults.push("`privilege` is for the column `above`, which is not among `columns`".to_owned())
            }
            _ => {}
        }
        match (self.join_periods, &self.key_period) {
            (false, None) => faults.push(
                "write `key_period = \"…\"`, such as \"2026-Q4\", or `join_periods = true` if it may join what it gets for ever"
                    .to_owned(),
            ),
            (true, Some(_)) => {
                faults.push("`join_periods = true` and a `key_period` contradict each other; leave one out".to_owned())
            }
            _ => {}
        }
        let keys = std::iter::once((&self.key_id, &self.key)).chain(self.earlier_keys.iter().map(|k| (&k.id, &k.key)));
        let mut seen = BTreeSet::new();
        for (id, source) in keys {
            if let Err(e) = SecretSource::parse("key", source) {
                faults.push(format!("{e:#}"));
            }
            if *id != self.key_id && is_key(id) {
                faults.push(format!("`earlier_keys`: {LIKE_A_KEY}"));
            }
            if !seen.insert(id) || self.lost_keys.contains(id) {
                let id = shown(id);
                faults.push(format!("the key `{id}` is named twice; one that is lost is in `lost_keys` alone"));
            }
        }
        faults.extend(self.file_keys.faults("file_keys").into_iter().map(|(_, fault)| fault));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[[partner]]\nid='a'\ntitle='A'\nkey='env:A'\nkey_id='a-1'\nkey_period='2026-Q4'\n";

    fn parsed(text: &str) -> Result<Partners> {
        Partners::parse(&Source { path: "/p/partners.toml".into(), text: text.to_owned() })
    }

    #[test]
    fn the_band_alone_is_told_when_nothing_is_said() {
        let partners = parsed(LEAST).unwrap();
        let partner = partners.get("a").unwrap();
        assert_eq!((partner.told(), partner.join_periods), (vec![Told::Band], false));
        assert_eq!(partners.resolve("k"), Path::new("/p/k"));
        assert!(partners.get("partner").unwrap_err().to_string().contains("declares no partner"));
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_no_key_is_repeated() {
        let text = "[[partner]]\nid='../a'\ntitle='A'\ncolumns=['above']\nkey='s3cr3t'\nkey_id='a-1'\nlost_keys=['a-1']\n\
            [[partner]]\nid='b'\ntitle='B'\nkey='env:B'\nkey_id='b'\nkey_period='x'\njoin_periods=true\n\
            [[partner]]\nid='b'\ntitle='B'\nkey='env:B'\nkey_id='b'\nkey_period='x'\n";
        let error = format!("{:#}", parsed(text).unwrap_err());
        for part in [
            "`id` consists",
            "needs `privilege",
            "never the key itself",
            "key_period",
            "named twice",
            "contradict",
            "stands twice",
        ] {
            assert!(error.contains(part), "{part} is not in\n{error}");
        }
        assert!(!error.contains("s3cr3t"), "{error}");
        assert!(error.contains("partners.toml:1"), "{error}");
        let twice = format!("{LEAST}columns=['score','band','score']\n");
        assert_eq!(parsed(&twice).unwrap().get("a").unwrap().told(), [Told::Band, Told::Score]);
        assert!(
            format!("{:#}", parsed(&format!("{LEAST}columns=['name']\n")).unwrap_err()).contains("unknown variant")
        );
    }

    #[test]
    fn no_key_that_stands_in_a_wrong_place_is_repeated() {
        let key = "AAECAwQFBgcICQoLDA0ODw";
        let hex = "f".repeat(64);
        for (wrong, said) in [
            (LEAST.replace("'a-1'", &format!("'{hex}'")), "`key_id`: an id reads like a key"),
            (format!("{LEAST}file_keys={{ write='{key}', at={{ k='env:K' }} }}\n"), "`file_keys.write` is none of"),
            (format!("{LEAST}file_keys={{ at={{ {key}='env:K' }} }}\n"), "`file_keys.at`: an id reads like a key"),
            (format!("{LEAST}file_keys={{ at={{ '{key}=='='k' }} }}\n"), "never the key itself"),
            (format!("{LEAST}file_keys={{ '{key}=='='env:K' }}\n"), "unknown field"),
            (format!("{LEAST}file_keys={{ at='{key}' }}\n"), "invalid type"),
            (format!("{LEAST}lost_keys={key}\n"), "partners.toml:7"),
            (format!("{LEAST}earlier_keys=[{{ id='{key}', key='env:K' }}, {{ id='{key}', key='env:K' }}]\n"), "twice"),
        ] {
            let told = format!("{:#}", parsed(&wrong).unwrap_err());
            assert!(told.contains(said), "{said} is not in\n{told}");
            assert!(!told.contains(key) && !told.contains(&hex), "{told}");
        }
    }

    #[test]
    fn nobody_writes_with_an_id_that_means_another_key_elsewhere() {
        let files = |write: &str, at: &str| format!("file_keys={{ write='{write}', at={{ {at} }} }}\n");
        let two = |a: &str, b: &str| parsed(&format!("{LEAST}{a}{}{b}", LEAST.replace("id='a'", "id='b'")));
        let told = format!("{:#}", two(&files("k", "k='env:A'"), &files("k", "k='env:B'")).unwrap_err());
        assert!(told.contains("the partner `a`") && told.contains("the partner `b`") && told.contains("`k`"), "{told}");
        // What was given under it can still be opened.
        assert!(two(&files("k2", "k='env:A', k2='env:A2'"), &files("k3", "k='env:B', k3='env:B3'")).is_ok());
        assert!(two(&files("k", "k='env:A'"), &files("k", "k='env:A'")).is_ok());
    }
}
