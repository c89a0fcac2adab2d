//! A model file under another name, and with another section at its end.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use toml::de::DeTable;

use crate::pipeline::Model;
use crate::pipeline::edits::{Change, applied, quoted, value};

/// A model under another name, perhaps in another folder.
#[derive(Clone, Copy)]
pub struct Renamed<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its new name and version.
    pub name: (&'a str, &'a str),
    /// Its catalogue's files, relative to its new folder.
    pub catalogue: &'a [String],
}

impl Renamed<'_> {
    /// What changes of the keys at the top.
    ///
    /// # Errors
    /// When one is not there.
    pub fn changes(&self, table: &DeTable) -> Result<Vec<Change>> {
        let mut changes = vec![
            Change { at: value(table, "name")?.span(), text: quoted(self.name.0) },
            Change { at: value(table, "version")?.span(), text: quoted(self.name.1) },
        ];
        let names: Vec<&str> = self.model.card.catalogue.iter().filter_map(|p| p.to_str()).collect();
        if !names.iter().eq(self.catalogue.iter()) {
            let lines = self.catalogue.iter().map(|file| format!("  {},\n", quoted(file))).collect::<String>();
            changes.push(Change { at: value(table, "catalogue")?.span(), text: format!("[\n{lines}]") });
        }
        Ok(changes)
    }

    /// The model's text with a section at its end, in place of the one that it had; `comment` goes before it.
    ///
    /// # Errors
    /// When the model's text is not what was read.
    pub fn with_section(&self, key: &str, comment: &str, section: &str) -> Result<String> {
        let text = &self.model.source.text;
        let table = DeTable::parse(text).context("the start model")?;
        let mut changes = self.changes(table.get_ref())?;
        changes.extend(without(text, table.get_ref(), key)?);
        Ok(format!("{}\n\n# {comment}\n[{key}]\n{section}", applied(text, changes)?.trim_end()))
    }
}

/// Takes a section out, if there is one.
///
/// # Errors
/// When it has no lines of its own.
pub fn without(text: &str, table: &DeTable, key: &str) -> Result<Option<Change>> {
    let Some(old) = table.get(key) else { return Ok(None) };
    if !text[old.span()].starts_with('[') {
        bail!("`{key}` of the start model is no section; write it under a line [{key}]");
    }
    Ok(Some(Change { at: block_of(text, key, old.span()), text: String::new() }))
}

/// The lines of a section, from its header to the next that is not of a part of it, with the comment right before it and without that
/// of the next.
fn block_of(text: &str, key: &str, header: Range<usize>) -> Range<usize> {
    let own = |rest: &str| rest.trim_start_matches('[').strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let mut end = text.len();
    let mut from = header.end;
    while let Some(at) = text[from..].find("\n[") {
        from += at + 1;
        if !own(&text[from..]) {
            end = above(text, from).max(header.end);
            break;
        }
    }
    above(text, text[..header.start].rfind('\n').map_or(0, |at| at + 1))..end
}

/// Where the comment begins that ends right before a line.
fn above(text: &str, line: usize) -> usize {
    let mut start = line;
    while start > 0 {
        let before = text[..start - 1].rfind('\n').map_or(0, |at| at + 1);
        if !text[before..start].starts_with('#') {
            break;
        }
        start = before;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"a\"\n\n# Of one.\n[one]\nx = 1\ny = [\n  1,\n]\n\n[one.part]\nz = 2\n\n# Of two.\n# More of it.\n[two]\n\
                        x = 1\n[[one.more]]\nx = 3\n";

    fn without(text: &str, key: &str) -> String {
        let table = DeTable::parse(text).unwrap();
        let change = super::without(text, table.get_ref(), key).unwrap();
        applied(text, change.into_iter().collect()).unwrap()
    }

    #[test]
    fn a_section_goes_with_its_comment_and_the_next_stays_with_its_own() {
        let one = TEXT.replace("[[one.more]]\nx = 3\n", "");
        assert_eq!(without(&one, "one"), "name = \"a\"\n\n# Of two.\n# More of it.\n[two]\nx = 1\n");
        let two = one.replace("[one.part]\nz = 2\n\n", "");
        assert_eq!(without(&two, "two"), "name = \"a\"\n\n# Of one.\n[one]\nx = 1\ny = [\n  1,\n]\n\n");
        assert_eq!(without(TEXT, "three"), TEXT);
    }

    #[test]
    fn a_value_in_one_line_is_no_section() {
        let text = "one = { x = 1 }\n";
        assert!(super::without(text, DeTable::parse(text).unwrap().get_ref(), "one").is_err());
    }
}
