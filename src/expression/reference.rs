//! The words and functions of SQL that may be used, as `functions.toml` beside this file lists them.

use std::sync::LazyLock;

use serde::Deserialize;

/// The list as its file has it.
const FUNCTIONS_TOML: &str = include_str!("functions.toml");

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the SQL over an export.
    Select,
    /// In a feature, a rule or a model.
    Feature,
}

/// A word or a function.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The function's name; a word has none.
    #[serde(default)]
    pub name: String,
    /// How it is written; another name of a function that is listed has none.
    #[serde(default)]
    pub form: String,
    /// Where it may stand.
    #[serde(rename = "in")]
    pub places: Vec<Place>,
    /// What it is.
    #[serde(default)]
    pub about: String,
    /// An example.
    #[serde(default)]
    pub example: String,
    /// What the example gives.
    #[serde(default)]
    pub gives: String,
    /// The example where a feature needs another one.
    pub in_feature: Option<String>,
    /// What that gives.
    pub gives_in_feature: Option<String>,
    /// The example as DuckDB writes it, where it differs.
    pub duckdb: Option<String>,
    /// More expressions with what they give, for the test alone.
    #[serde(default)]
    pub also: Vec<(String, String)>,
}

/// All of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Operators and words.
    #[serde(rename = "word")]
    pub words: Vec<Entry>,
    /// Functions.
    #[serde(rename = "function")]
    pub functions: Vec<Entry>,
}

impl Reference {
    /// The list that the program carries.
    ///
    /// # Errors
    /// When it is faulty: a defect of the build.
    pub fn get() -> Result<&'static Self, String> {
        static REFERENCE: LazyLock<Result<Reference, String>> =
            LazyLock::new(|| toml::from_str(FUNCTIONS_TOML).map_err(|e| format!("functions.toml: {e}")));
        REFERENCE.as_ref().map_err(Clone::clone)
    }

    /// The names of the functions that may stand in a place.
    pub fn names(&self, place: Place) -> impl Iterator<Item = &str> {
        self.functions.iter().filter(move |f| f.places.contains(&place)).map(|f| f.name.as_str())
    }
}
