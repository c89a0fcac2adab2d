//! The map that an analyst writes: which feature of the catalogue each foreign one is, and in which unit. Never by order.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// The keys of the map.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// By the foreign name, the feature that it is.
    #[serde(default)]
    pub features: BTreeMap<String, Spanned<Target>>,
    /// Names for ranges of the score; one for all when there are none.
    #[serde(default)]
    pub band: Vec<Spanned<NamedBand>>,
}

/// What a foreign feature is.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a feature is \"its name in the catalogue\", or { feature = \"its name\", factor = 100.0, against_direction = \"why\" } where the last two may be left out"
)]
pub enum Target {
    /// A feature of the catalogue, in the same unit.
    Name(String),
    /// One in another unit, or one whose points run against its direction.
    Full(FullTarget),
}

/// What a foreign feature is, in full.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullTarget {
    /// The feature's name in the catalogue.
    pub feature: String,
    /// Its unit in units of the catalogue: foreign edges times this are edges of the feature.
    pub factor: Option<f64>,
    /// Why its points may run against the direction that the catalogue declares.
    pub against_direction: Option<String>,
}

/// A named range of the score, up to the next.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedBand {
    /// Its name.
    pub name: String,
    /// What it is called in a notice, by language.
    #[serde(default)]
    pub title: BTreeMap<String, String>,
    /// Its lowest score.
    pub from: i64,
}

impl Target {
    /// The feature's name in the catalogue.
    #[must_use]
    pub fn feature(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Full(full) => &full.feature,
        }
    }

    /// What edges are multiplied by.
    #[must_use]
    pub fn factor(&self) -> f64 {
        match self {
            Self::Name(_) => 1.0,
            Self::Full(full) => full.factor.unwrap_or(1.0),
        }
    }

    /// Why its points may run against its direction.
    #[must_use]
    pub fn against_direction(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Full(full) => full.against_direction.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Source;

    fn names(text: &str) -> Result<Names, String> {
        Source { path: "names.toml".into(), text: text.to_owned() }.parse().map_err(|finding| finding.to_string())
    }

    #[test]
    fn a_feature_is_a_name_or_more() {
        let names =
            names("[features]\na = \"x\"\nb = { feature = \"y\", factor = 100 }\n[[band]]\nname = \"low\"\nfrom = 3\n")
                .unwrap();
        let all: Vec<_> = names.features.values().map(|t| (t.get_ref().feature(), t.get_ref().factor())).collect();
        assert_eq!(all, [("x", 1.0), ("y", 100.0)]);
        assert_eq!((names.band[0].get_ref().name.as_str(), names.band[0].get_ref().from), ("low", 3));
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(names("[features]\na = \"x\"\na = \"y\"\n").unwrap_err().starts_with("names.toml:3: "));
        let said = names("[features]\na = { feature = \"x\", faktor = 2 }\n").unwrap_err();
        assert!(said.starts_with("names.toml:2: ") && said.contains("its name in the catalogue"), "{said}");
        assert!(names("[feature]\n").unwrap_err().contains("unknown field"));
    }
}
