//! The words of an answer in each language; they are data, in `words.toml` beside this file.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

const WORDS_TOML: &str = include_str!("words.toml");

/// The words of a language.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Headings and sentences.
    pub say: BTreeMap<String, String>,
    /// Tables of the contract.
    pub table: BTreeMap<String, String>,
    /// What becomes of a row.
    pub standing: BTreeMap<String, String>,
    /// Rules of the contract.
    pub rule: BTreeMap<String, String>,
    /// How a run stands.
    pub state: BTreeMap<String, String>,
    /// Why something cannot be found out.
    pub unknown: BTreeMap<String, String>,
}

impl Words {
    /// The words of a language.
    ///
    /// # Errors
    /// When there are none.
    pub fn of(language: &str) -> Result<Self> {
        let mut all: BTreeMap<String, Self> = toml::from_str(WORDS_TOML).context("words.toml")?;
        let Some(words) = all.remove(language) else {
            let known: Vec<String> = all.into_keys().collect();
            bail!("there are no words in {language:?}; there are {}", known.join(", "))
        };
        Ok(words)
    }
}

/// A word by its name; the name itself where there is none, so that nothing is left out.
#[must_use]
pub fn word<'a>(of: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    of.get(name).map_or(name, String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::parts::{Standing, Unknown};
    use crate::contract::Contract;
    use crate::ingest::check::rule::Rule;

    #[test]
    fn every_language_has_every_word_and_the_same_ones() {
        let contract = Contract::load().unwrap();
        let keys = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<BTreeSet<_>>();
        let english = Words::of("en").unwrap();
        for words in [english.clone(), Words::of("zh").unwrap()] {
            assert_eq!(keys(&words.say), keys(&english.say));
            let tables = contract.tables.iter().filter(|t| t.position("subject_id").is_some()).map(|t| t.name.clone());
            assert_eq!(keys(&words.table), tables.collect::<BTreeSet<_>>());
            assert_eq!(keys(&words.rule), Rule::ALL.iter().map(|r| r.name().to_owned()).collect::<BTreeSet<_>>());
            let standings = [
                Standing::Counts,
                Standing::NotVisible,
                Standing::Quarantined,
                Standing::Duplicate,
                Standing::Superseded,
                Standing::Disputed,
                Standing::WithoutConsent,
                Standing::InForce,
                Standing::Ended,
                Standing::Held,
                Standing::Erased,
            ];
            assert_eq!(keys(&words.standing), standings.iter().map(|s| s.name().to_owned()).collect::<BTreeSet<_>>());
            assert_eq!(keys(&words.state), BTreeSet::from(["published", "refused", "replaced"].map(str::to_owned)));
            assert_eq!(
                keys(&words.unknown),
                BTreeSet::from([Unknown::NoKey, Unknown::NoFiles].map(|u| u.name().to_owned()))
            );
            for place in ["{as_of}", "{known_by}"] {
                assert!(words.say["held_against"].contains(place));
            }
            assert!(words.say["few_links"].contains("{at_least}") && words.say["links"].contains("{count}"));
        }
        assert!(Words::of("xx").unwrap_err().to_string().contains("en, zh"));
    }
}
