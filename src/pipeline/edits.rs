//! Changes of a file's text, which leave the rest of it as it is.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A change of the text.
#[derive(Debug)]
pub struct Change {
    /// What is replaced.
    pub at: Range<usize>,
    /// By what.
    pub text: String,
}

/// The text with changes made, none of which overlaps another.
///
/// # Errors
/// When two do.
pub fn applied(text: &str, mut changes: Vec<Change>) -> Result<String> {
    // What is put in at a place comes before what is replaced from there on.
    changes.sort_by_key(|c| (c.at.start, c.at.end));
    let mut new = String::with_capacity(text.len());
    let mut from = 0;
    for change in changes {
        ensure!(change.at.start >= from, "two changes of the model's text overlap");
        new.push_str(&text[from..change.at.start]);
        new.push_str(&change.text);
        from = change.at.end;
    }
    new.push_str(&text[from..]);
    Ok(new)
}

/// The value of a key.
///
/// # Errors
/// When it is not there.
pub fn value<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Result<&'a Spanned<DeValue<'i>>> {
    table.get(key).with_context(|| format!("the model has no `{key}`"))
}

/// A TOML string.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
