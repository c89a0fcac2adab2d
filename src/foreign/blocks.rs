//! The tables of a TOML file as stretches of its text, so that one can be replaced and all else stays as it is written.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::pipeline::edits::Change;

/// A table with a header of its own.
#[derive(Debug)]
pub struct Block<'a, 'i> {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// Its position among the tables of its outermost key, when that is a list of tables.
    pub item: Option<usize>,
    /// What it holds.
    pub table: &'a DeTable<'i>,
    /// What stands before it: blank lines and remarks.
    pub gap: Range<usize>,
    /// Its lines, from its header to its last value.
    pub lines: Range<usize>,
}

impl Block<'_, '_> {
    /// Its key, when it is not within another table.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.path.len() == 1 && self.is_in(key)
    }

    /// Whether it is a table of a key, or within one.
    #[must_use]
    pub fn is_in(&self, key: &str) -> bool {
        self.path.first().is_some_and(|first| first == key)
    }

    /// Takes it out, with what stands before it.
    #[must_use]
    pub fn gone(&self) -> Change {
        Change { at: self.gap.start..self.lines.end, text: String::new() }
    }
}

/// The tables of a file, in the order of its text.
#[must_use]
pub fn blocks<'a, 'i>(text: &str, file: &'a DeTable<'i>) -> Vec<Block<'a, 'i>> {
    let mut found: Vec<(Range<usize>, Block)> = Vec::new();
    for (key, value) in file {
        let path = vec![key.get_ref().to_string()];
        match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().enumerate().for_each(|(n, item)| collect(text, item, &path, Some(n), &mut found));
            }
            _ => collect(text, value, &path, None, &mut found),
        }
    }
    found.sort_by_key(|(header, _)| header.start);
    let mut end = line_end(text, last_of(text, file));
    let mut blocks = Vec::with_capacity(found.len());
    for (header, mut block) in found {
        let start = line_start(text, header.start);
        block.gap = end.min(start)..start;
        end = line_end(text, header.end.max(last_of(text, block.table)));
        block.lines = start..end;
        blocks.push(block);
    }
    blocks
}

fn collect<'a, 'i>(
    text: &str,
    value: &'a Spanned<DeValue<'i>>,
    path: &[String],
    item: Option<usize>,
    found: &mut Vec<(Range<usize>, Block<'a, 'i>)>,
) {
    match value.get_ref() {
        DeValue::Table(table) => {
            if has_header(text, value) {
                let block = Block { path: path.to_vec(), item, table, gap: 0..0, lines: 0..0 };
                found.push((value.span(), block));
            }
            for (key, value) in table {
                let path: Vec<String> = path.iter().cloned().chain([key.get_ref().to_string()]).collect();
                collect(text, value, &path, item, found);
            }
        }
        DeValue::Array(items) => items.iter().for_each(|value| collect(text, value, path, item, found)),
        _ => {}
    }
}

/// Whether a table has a header; that is then its span. One within a value begins with a brace.
fn has_header(text: &str, value: &Spanned<DeValue>) -> bool {
    text.get(value.span()).is_some_and(|span| span.starts_with('['))
}

/// Where the last value of a table ends that does not stand under another header.
fn last_of(text: &str, table: &DeTable) -> usize {
    table.iter().map(|(_, value)| end_of(text, value)).max().unwrap_or(0)
}

fn end_of(text: &str, value: &Spanned<DeValue>) -> usize {
    match value.get_ref() {
        DeValue::Table(_) if has_header(text, value) => 0,
        // Without braces it is made of dotted keys, or only of tables with headers.
        DeValue::Table(table) if !text.get(value.span()).is_some_and(|span| span.starts_with('{')) => {
            last_of(text, table)
        }
        DeValue::Array(items)
            if items.iter().any(|i| matches!(i.get_ref(), DeValue::Table(_)) && has_header(text, i)) =>
        {
            0
        }
        _ => value.span().end,
    }
}

/// The lines of a key and its value; nothing when the table has no such key, or the value stands under a header of its own.
#[must_use]
pub fn entry(text: &str, table: &DeTable, key: &str) -> Option<Range<usize>> {
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    let end = end_of(text, value);
    (end > 0).then(|| line_start(text, name.span().start)..line_end(text, end))
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |n| n + 1)
}

/// Behind the end of the line.
fn line_end(text: &str, at: usize) -> usize {
    match at {
        0 => 0,
        _ => text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |n| at + n + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::edits::applied;

    const TEXT: &str = "# top\nname = 'n' # of it\nlist = [\n  { a = 1 },\n]\n\n# the scale\n[scale]\nlow = 1   # least\n# within\nhigh = '''\n# no remark\n'''\n\n# ---- bands\n\n[[band]]\nname = 'a'\n[band.title]\nen = 'a'\n[[band]]\nname = 'b'\n# the end\n";

    fn told(text: &str) -> Vec<(String, Option<usize>, String, String)> {
        let table = DeTable::parse(text).unwrap();
        let all = blocks(text, table.get_ref());
        let part = |at: &Range<usize>| text[at.clone()].to_owned();
        all.iter().map(|b| (b.path.join("."), b.item, part(&b.gap), part(&b.lines))).collect()
    }

    #[test]
    fn every_table_has_its_lines_and_what_stands_before() {
        let found = told(TEXT);
        let names: Vec<(&str, Option<usize>)> = found.iter().map(|f| (f.0.as_str(), f.1)).collect();
        assert_eq!(names, [("scale", None), ("band", Some(0)), ("band.title", Some(0)), ("band", Some(1))]);
        assert_eq!(found[0].2, "\n# the scale\n");
        assert_eq!(found[0].3, "[scale]\nlow = 1   # least\n# within\nhigh = '''\n# no remark\n'''\n");
        assert_eq!(found[1].2, "\n# ---- bands\n\n");
        assert_eq!((found[2].2.as_str(), found[2].3.as_str()), ("", "[band.title]\nen = 'a'\n"));
        assert_eq!(found[3].3, "[[band]]\nname = 'b'\n");
    }

    #[test]
    fn a_key_has_its_lines() {
        let table = DeTable::parse(TEXT).unwrap();
        let of = |key: &str| entry(TEXT, table.get_ref(), key).map(|at| &TEXT[at]);
        assert_eq!(of("name"), Some("name = 'n' # of it\n"));
        assert_eq!(of("list"), Some("list = [\n  { a = 1 },\n]\n"));
        assert_eq!((of("scale"), of("band"), of("none")), (None, None, None));
    }

    #[test]
    fn what_is_not_changed_stays() {
        let table = DeTable::parse(TEXT).unwrap();
        let all = blocks(TEXT, table.get_ref());
        let bands = all.iter().filter(|b| b.is_in("band")).map(Block::gone).collect();
        let (before, _) = TEXT.split_once("\n# ---- bands").unwrap();
        assert_eq!(applied(TEXT, bands).unwrap(), format!("{before}# the end\n"));
        let twice = vec![all[0].gone(), all[0].gone()];
        assert!(applied(TEXT, twice).is_err());
    }
}
