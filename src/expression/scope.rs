//! The columns and constants an expression may name.

use std::collections::BTreeMap;

/// What a named column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// An integer, or a finished feature.
    Number,
    /// True or false; 0 or 1 in the local engine.
    Flag,
    /// One of these words; its position in the local engine.
    Choice(Vec<String>),
    /// An id, compared with other ids only.
    Id,
    /// A code of goods or merchants: as an id, unless the scope allows naming one.
    Code,
}

/// A column as expressions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    kind: ColumnKind,
    nullable: bool,
    bound: i128,
}

/// What an expression can name, and where that comes from in words ("repayments", "the features").
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The name of the place, for error messages.
    pub place: String,
    /// Where codes may be compared with literals: from a code's text to the integer that stands for it.
    pub code_key: Option<fn(&[u8]) -> i64>,
    columns: BTreeMap<String, Named>,
    constants: BTreeMap<String, i64>,
}

impl Scope {
    /// An empty scope of that name.
    #[must_use]
    pub fn new(place: &str) -> Self {
        Self { place: place.to_owned(), ..Self::default() }
    }

    /// Adds a column that may be null and hold any number.
    pub fn column(&mut self, name: &str, kind: ColumnKind) {
        self.declare(name, kind, true, i128::from(i64::MAX));
    }

    /// Adds a column, with whether it may be null and the largest absolute value it holds.
    pub fn declare(&mut self, name: &str, kind: ColumnKind, nullable: bool, bound: i128) {
        self.columns.insert(name.to_owned(), Named { kind, nullable, bound });
    }

    /// Adds an integer constant that is written out wherever it is named.
    pub fn constant(&mut self, name: &str, value: i64) {
        self.constants.insert(name.to_owned(), value);
    }

    /// The kind of a column.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&ColumnKind> {
        self.columns.get(name).map(|named| &named.kind)
    }

    /// Whether a column may be null, and the largest absolute value it holds.
    #[must_use]
    pub fn range(&self, name: &str) -> (bool, i128) {
        self.columns.get(name).map_or((true, i128::from(i64::MAX)), |named| (named.nullable, named.bound))
    }

    /// The value of a constant.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<i64> {
        self.constants.get(name).copied()
    }

    /// Every name, columns first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().chain(self.constants.keys()).map(String::as_str)
    }
}

/// The known name most like a mistyped one, as ", did you mean x?".
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(name, k), k))
        .filter(|(similar, _)| *similar > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, k)| format!(", did you mean `{k}`?"))
}
