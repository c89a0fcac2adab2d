//! Under which key the ids of a file are pseudonyms. Its metadata says so where `sesame pseudonymise` wrote it; ids under different
//! keys, or under one and under none, never join, and a run would take that for subjects without records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::export::{Export, OpenFile};
use super::id_forms::family;
use crate::contract::{Column, ColumnType};
use crate::pipeline::Finding;

/// Where a file's metadata says how the key is called.
pub const KEY_ID: &str = "sesame.pseudonym.key_id";
/// Where it says what the key makes of nothing, which tells two keys of one name apart.
pub const KEY_CHECK: &str = "sesame.pseudonym.key_check";

/// Letters of the check that are shown.
const SHOWN: usize = 8;

/// The name of a key, never the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId {
    /// How it is called.
    pub name: String,
    /// What the key makes of nothing.
    pub check: String,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check: String = self.check.chars().take(SHOWN).collect();
        write!(f, "`{}` (check {check})", self.name)
    }
}

impl OpenFile {
    /// The key under which its ids are pseudonyms, if it says so.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        let facts = self.metadata().file_metadata().key_value_metadata()?;
        let value = |key: &str| facts.iter().find(|fact| fact.key == key)?.value.clone();
        Some(KeyId { name: value(KEY_ID)?, check: value(KEY_CHECK).unwrap_or_default() })
    }
}

/// What the ids of a file's columns are compared with.
fn families(export: &Export, file: &OpenFile, disputed: bool) -> BTreeSet<String> {
    let given = file.columns(&export.table);
    // What the configuration names is no pseudonym.
    let compared = |c: &&Column| c.kind == ColumnType::Id && !c.named && given.contains(&c.name);
    export.table.columns.iter().filter(compared).map(|c| family(&export.table.name, c, disputed)).collect()
}

/// Finds files whose ids are compared and not pseudonyms under one key: each of them is named.
pub(super) fn differing(exports: &[Export]) -> Vec<Finding> {
    let disputed = exports.iter().any(|e| e.table.name == "disputes");
    let files = || exports.iter().flat_map(|e| e.files.iter().map(move |f| (e, f)));
    let mut keys: BTreeMap<String, BTreeSet<Option<KeyId>>> = BTreeMap::new();
    for (export, file) in files() {
        for family in families(export, file, disputed) {
            keys.entry(family).or_default().insert(file.key_id());
        }
    }
    keys.retain(|_, of| of.len() > 1);
    let mut findings = Vec::new();
    for (export, file) in files() {
        let mixed: Vec<String> =
            families(export, file, disputed).into_iter().filter(|f| keys.contains_key(f)).collect();
        if mixed.is_empty() {
            continue;
        }
        let is = file
            .key_id()
            .map_or_else(|| "not pseudonymised".to_owned(), |key| format!("pseudonymised under the key {key}"));
        findings.push(Finding {
            file: file.file.path.clone(),
            line: 0,
            message: format!(
                "{}: its ids are {is}, those of other inputs are not so, and would never join ({}); pseudonymise all exports under one key",
                export.table.name,
                mixed.join(", ")
            ),
        });
    }
    findings
}
