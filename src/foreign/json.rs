//! JSON as it stands in a file: keys in order and none twice, numbers as text, and the line of everything.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::double::double;
use crate::pipeline::units::{NotPoints, Units};
use crate::pipeline::{Finding, Source};

/// How much of a value a message shows.
const SHOWN: usize = 40;

/// A value in a JSON file.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    source: &'a Source,
    /// The value's text.
    text: &'a str,
    /// Where it begins in the file.
    at: usize,
}

impl<'a> Part<'a> {
    /// The file's value.
    #[must_use]
    pub fn whole(source: &'a Source) -> Self {
        Self { source, text: &source.text, at: 0 }
    }

    /// The line it begins on.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.line(&(self.at..self.at))
    }

    /// A finding about it.
    #[must_use]
    pub fn finding(&self, message: impl Into<String>) -> Finding {
        self.source.finding(&(self.at..self.at), message)
    }

    /// The keys of an object with their values, in order.
    ///
    /// # Errors
    /// When it is no object, or a key stands twice.
    pub fn object(&self) -> Result<Vec<(String, Self)>, Finding> {
        let Object(entries) = self.read()?;
        Ok(entries.into_iter().map(|(key, value)| (key, self.within(value))).collect())
    }

    /// The values of a list.
    ///
    /// # Errors
    /// When it is none.
    pub fn list(&self) -> Result<Vec<Self>, Finding> {
        let values: Vec<&'a RawValue> = self.read()?;
        Ok(values.into_iter().map(|value| self.within(value)).collect())
    }

    /// A text.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self) -> Result<String, Finding> {
        self.read()
    }

    /// A number as it is written, be it in quotes or not.
    ///
    /// # Errors
    /// When it is neither a number nor a text.
    pub fn number(&self) -> Result<String, Finding> {
        match self.text.as_bytes().first() {
            Some(b'"') => self.text(),
            Some(b'-' | b'0'..=b'9') => Ok(self.text.to_owned()),
            _ => Err(self.finding(format!("`{}` is no number", self.shown()))),
        }
    }

    /// A number, decimal or hexadecimal.
    ///
    /// # Errors
    /// When it is no finite one.
    pub fn double(&self) -> Result<f64, Finding> {
        let text = self.number()?;
        double(&text).ok_or_else(|| self.finding(format!("`{}` is no finite number", self.shown())))
    }

    /// A number of points: a decimal to the letter, or a hexadecimal as the shortest decimal that reads as the same double.
    ///
    /// # Errors
    /// When it is none.
    pub fn points(&self) -> Result<Units, Finding> {
        let text = self.number()?;
        let text = match text.contains(['x', 'X']) {
            true => self.double()?.to_string(),
            false => text,
        };
        text.parse().map_err(|e: NotPoints| self.finding(e.to_string()))
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.text.starts_with('[')
    }

    fn shown(&self) -> String {
        self.text.chars().take(SHOWN).collect()
    }

    /// A value within this one: its text is a part of this one's.
    fn within(&self, value: &'a RawValue) -> Self {
        let text = value.get();
        let further = text.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        Self { source: self.source, text, at: self.at + further }
    }

    fn read<T: Deserialize<'a>>(&self) -> Result<T, Finding> {
        serde_json::from_str(self.text).map_err(|e| {
            let said = e.to_string();
            let message = said.split(" at line ").next().unwrap_or_default();
            let line = self.line() + e.line().saturating_sub(1);
            Finding { file: self.source.path.clone(), line, message: format!("JSON: {message}") }
        })
    }
}

/// The entries of an object, in order.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            entries.push((key, value));
        }
        Ok(Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "card.json".into(), text: text.to_owned() }
    }

    #[test]
    fn keys_keep_their_order_and_their_lines() {
        let source = source("{\n \"z\": 1.50,\n \"a\": {\n  \"b\": [\"0x1.8p+0\",\n   2e-3]\n }\n}\n");
        let entries = Part::whole(&source).object().unwrap();
        let keys: Vec<(&str, usize)> = entries.iter().map(|(key, part)| (key.as_str(), part.line())).collect();
        assert_eq!(keys, [("z", 2), ("a", 3)]);
        assert_eq!(entries[0].1.number().unwrap(), "1.50");
        let list = entries[1].1.object().unwrap()[0].1.list().unwrap();
        assert_eq!((list[0].double().unwrap(), list[1].double().unwrap(), list[1].line()), (1.5, 0.002, 5));
        assert_eq!(list[0].points().unwrap(), Units(1_500_000_000_000));
        assert_eq!(list[1].points().unwrap(), Units(2_000_000_000));
    }

    #[test]
    fn a_key_twice_and_what_is_no_json_name_their_line() {
        let said = |text: &str| Part::whole(&source(text)).object().unwrap_err().to_string();
        assert_eq!(said("{\"a\": 1,\n\"a\": 2}"), "card.json:2: JSON: the key `a` stands twice");
        assert!(said("{\"a\": 1,\n\"b\": NaN}").starts_with("card.json:2: JSON: "));
        assert!(said("[1]").contains("an object"));
    }

    #[test]
    fn what_is_no_number_is_told_on_its_line() {
        let source = source("[\n\"abc\",\ntrue]");
        let list = Part::whole(&source).list().unwrap();
        assert_eq!(list[0].points().unwrap_err().to_string(), "card.json:2: `abc` is no decimal number");
        assert_eq!(list[1].double().unwrap_err().to_string(), "card.json:3: `true` is no number");
    }
}
